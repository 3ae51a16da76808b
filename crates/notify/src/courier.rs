//! Takes notices and events out of the outbox and delivers them, again and again until it worked or was
//! tried often enough.
//!
//! A failure here never fails the request it is about: the approval page, REST and the command
//! line decide it as well. A claim on a delivery ends by itself, so a crash between sending and
//! writing that down repeats a notice (with the same delivery id) and never loses one.

use std::{collections::HashMap, sync::Arc, time::Duration};

use preloop_egress::Egress;
use preloop_govern::Notice;
use preloop_store::{Approval, ApprovalStatus, Delivery, Event, Store, Tx};
use preloop_types::{DeviceId, Entry, EntryKind, Subject, Timestamp};
use serde_json::{json, value::to_raw_value};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    SendError, SettingsError, Then,
    channel::{Channel, Parcel},
    channels::{self, Settings},
    schedule::wait_after,
};

/// Deliveries of one channel on the way at once: a channel that hangs takes nothing from the others.
const AT_ONCE: usize = 16;
/// Longest attempt, whatever a channel says of itself.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);
/// How often the outbox is looked at without being told to: for retries, and for lost messages.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often what ended long ago is forgotten, and how long ago that is.
const FORGET_EVERY: Duration = Duration::from_hours(1);
const KEPT: Duration = Duration::from_hours(14 * 24);

/// Delivers what is in the outbox, of all accounts. Several may share one database.
#[derive(Clone)]
pub struct Courier(Arc<Shared>);

struct Shared {
    store: Store,
    channels: HashMap<&'static str, Box<dyn Channel>>,
}

/// How an attempt ended.
enum Attempted {
    Sent,
    /// There was no reason to send it (any more).
    Skipped(String),
    Failed(SendError),
}

/// Deliveries on the way, by channel.
#[derive(Default)]
struct OnTheWay {
    tasks: JoinSet<String>,
    count: HashMap<String, usize>,
}

impl OnTheWay {
    fn room(&self, channel: &str) -> u32 {
        let taken = self.count.get(channel).copied().unwrap_or(0);
        u32::try_from(AT_ONCE.saturating_sub(taken)).unwrap_or(0)
    }

    fn start(&mut self, shared: &Arc<Shared>, delivery: Delivery) {
        *self.count.entry(delivery.channel.clone()).or_default() += 1;
        let (shared, channel) = (Arc::clone(shared), delivery.channel.clone());
        self.tasks.spawn(async move {
            shared.deliver(delivery).await;
            channel
        });
    }

    /// Waits for one to end; false if there is none.
    async fn next(&mut self) -> bool {
        match self.tasks.join_next().await {
            Some(Ok(channel)) => {
                self.count.entry(channel).and_modify(|count| *count = count.saturating_sub(1));
                true
            }
            // A task that panicked took its name with it; those that are left are counted anew.
            Some(Err(error)) => {
                tracing::error!(%error, "a delivery ended in an unexpected way");
                if self.tasks.is_empty() {
                    self.count.clear();
                }
                true
            }
            None => false,
        }
    }
}

impl Courier {
    /// Sets the channels up; connects to nothing yet.
    pub fn new(store: Store, egress: &Egress, settings: &Settings) -> Result<Self, SettingsError> {
        let channels = channels::all(&store, egress, settings)?;
        let channels = channels.into_iter().map(|channel| (channel.name(), channel)).collect();
        Ok(Self(Arc::new(Shared { store, channels })))
    }

    /// Delivers until `shutdown` resolves, then ends what is on the way.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut events = self.0.store.events();
        let (mut look, mut forget) = (interval(LOOK_EVERY), interval(FORGET_EVERY));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        forget.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut on_the_way = OnTheWay::default();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                _ = look.tick() => {}
                _ = forget.tick() => self.forget().await,
                () = told(&mut events) => {}
                true = on_the_way.next() => {}
            }
            if let Err(error) = self.start_due(&mut on_the_way).await {
                tracing::warn!(%error, "the outbox cannot be read; trying again");
            }
        }
        while on_the_way.next().await {}
    }

    /// Attempts everything that is due now, once; how many deliveries that were.
    pub async fn deliver_due(&self) -> preloop_store::Result<usize> {
        let mut on_the_way = OnTheWay::default();
        let mut count = 0;
        loop {
            let started = self.start_due(&mut on_the_way).await?;
            count += started;
            if !on_the_way.next().await && started == 0 {
                return Ok(count);
            }
        }
    }

    async fn start_due(&self, on_the_way: &mut OnTheWay) -> preloop_store::Result<usize> {
        let (store, now) = (&self.0.store, self.0.store.now());
        let mut started = 0;
        for channel in store.due_channels(now).await? {
            let room = on_the_way.room(&channel);
            if room > 0 {
                let due = store.claim_deliveries(&channel, now, room).await?;
                started += due.len();
                for delivery in due {
                    on_the_way.start(&self.0, delivery);
                }
            }
        }
        Ok(started)
    }

    async fn forget(&self) {
        if let Err(error) = self.0.store.forget_deliveries(KEPT).await {
            tracing::warn!(%error, "old deliveries could not be forgotten");
        }
    }
}

/// Resolves when something happened that may have put a notice into the outbox.
async fn told(events: &mut Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(Event::ApprovalChanged { .. } | Event::OutboxFilled | Event::Resync) | Err(RecvError::Lagged(_)) => {
                break;
            }
            Ok(_) => {}
            // The store is closing: the caller's shutdown is near.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
    // Whatever else came in meanwhile is answered by the same look.
    while events.try_recv().is_ok() {}
}

impl Shared {
    async fn deliver(&self, delivery: Delivery) {
        let approval = match self.approval(&delivery).await {
            Ok(approval) => approval,
            // Not an attempt: the claim runs out and the delivery comes back.
            Err(error) => return tracing::warn!(%error, delivery = %delivery.id, "a notice's request cannot be read"),
        };
        let attempted = self.attempt(&delivery, approval.as_ref()).await;
        if let Err(error) = self.write_down(&delivery, approval, attempted).await {
            tracing::warn!(%error, delivery = %delivery.id, "how a notice went cannot be written down");
        }
    }

    async fn approval(&self, delivery: &Delivery) -> preloop_store::Result<Option<Approval>> {
        match delivery.approval {
            Some(id) => self.store.account(delivery.account).approval(id).await,
            None => Ok(None),
        }
    }

    async fn attempt(&self, delivery: &Delivery, approval: Option<&Approval>) -> Attempted {
        let now = self.store.now();
        if delivery.approval.is_some() {
            if approval.is_none_or(|approval| approval.status != ApprovalStatus::Pending) {
                return Attempted::Skipped("the request was already decided".to_owned());
            }
            if approval.is_some_and(|approval| approval.expires_at <= now) {
                return Attempted::Skipped("the request had already expired".to_owned());
            }
        }
        let Some(channel) = self.channels.get(delivery.channel.as_str()) else {
            return Attempted::Skipped(format!("`{}` is not set up on this instance", delivery.channel));
        };
        let parcel = Parcel { delivery, at: now };
        match tokio::time::timeout(ATTEMPT_MAX, channel.send(&parcel)).await {
            Ok(Ok(())) => Attempted::Sent,
            Ok(Err(error)) => Attempted::Failed(error),
            Err(_) => Attempted::Failed(SendError::temporary(format!("no end within {} s", ATTEMPT_MAX.as_secs()))),
        }
    }

    async fn write_down(
        &self,
        delivery: &Delivery,
        approval: Option<Approval>,
        attempted: Attempted,
    ) -> preloop_store::Result<()> {
        let (id, attempt) = (delivery.id, delivery.attempt);
        let gone = match &attempted {
            Attempted::Failed(SendError { then: Then::Gone, .. }) => device(delivery),
            _ => None,
        };
        let outcome = Outcome::of(delivery, attempted);
        if let Outcome::Failed { error, .. } | Outcome::Retry { error, .. } = &outcome {
            tracing::warn!(delivery = %id, channel = delivery.channel, attempt, %error, "a notice was not delivered");
        }
        let now = self.store.now();
        let channel = delivery.channel.clone();
        let recipient = delivery.recipient.clone();
        self.store
            .write(delivery.account, move |tx| {
                Box::pin(async move {
                    match &outcome {
                        Outcome::Retry { wait, error } => return tx.retry_delivery(id, now + *wait, error).await,
                        Outcome::Later { until } => return tx.postpone_delivery(id, *until).await,
                        Outcome::Failed { error } => tx.dead_letter_delivery(id, error).await?,
                        Outcome::Sent | Outcome::Skipped { .. } => tx.finish_delivery(id).await?,
                    }
                    if let Some(device) = gone {
                        forget_device(tx, device).await?;
                    }
                    match approval {
                        Some(approval) => note(tx, &approval, &channel, &recipient, attempt, &outcome).await,
                        None => Ok(()),
                    }
                })
            })
            .await
    }
}

/// The device a delivery was for.
fn device(delivery: &Delivery) -> Option<DeviceId> {
    serde_json::from_slice::<Notice>(&delivery.payload).ok()?.to.device
}

/// Forgets a device that is gone, and ends the key it decided with.
async fn forget_device(tx: &mut Tx<'_>, id: DeviceId) -> preloop_store::Result<()> {
    let devices = tx.devices(None).await?;
    let Some(device) = devices.into_iter().find(|device| device.id == id) else { return Ok(()) };
    tx.delete_device(id).await?;
    if let Some(key) = device.key {
        tx.revoke_key(key).await?;
    }
    let body = json!({
        "config_type": "device", "action": "deleted", "id": id, "name": device.name,
        "reason": "its push service says that it is gone",
    });
    tx.record(Entry {
        account: tx.account(),
        kind: EntryKind::KeyChanged,
        call: None,
        subject: Subject::default(),
        // A map of plain values always serialises.
        body: to_raw_value(&body).unwrap_or_default(),
        payload: None,
    });
    Ok(())
}

/// What an attempt means for its delivery.
enum Outcome {
    Sent,
    Skipped { why: String },
    Retry { wait: Duration, error: String },
    Later { until: Timestamp },
    Failed { error: String },
}

impl Outcome {
    fn of(delivery: &Delivery, attempted: Attempted) -> Self {
        match attempted {
            Attempted::Sent => Outcome::Sent,
            Attempted::Skipped(why) => Outcome::Skipped { why },
            Attempted::Failed(SendError { then: Then::NotBefore(until), .. }) => Outcome::Later { until },
            Attempted::Failed(SendError { reason, then }) => {
                match wait_after(delivery.attempt, rand::random()).filter(|_| then == Then::Again) {
                    Some(wait) => Outcome::Retry { wait, error: reason },
                    None => Outcome::Failed { error: reason },
                }
            }
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Outcome::Sent => "sent",
            Outcome::Skipped { .. } => "skipped",
            Outcome::Retry { .. } | Outcome::Later { .. } | Outcome::Failed { .. } => "failed",
        }
    }
}

/// Tells the request's history and the journal. The journal is never erased, so it holds no address.
async fn note(
    tx: &mut Tx<'_>,
    approval: &Approval,
    channel: &str,
    recipient: &str,
    attempts: u32,
    outcome: &Outcome,
) -> preloop_store::Result<()> {
    let (detail, error) = match outcome {
        Outcome::Skipped { why } => (format!("{channel} to {recipient} was not sent: {why}"), Some(why.clone())),
        Outcome::Failed { error } => {
            (format!("{channel} to {recipient} failed after {attempts} attempt(s): {error}"), Some(error.clone()))
        }
        Outcome::Sent | Outcome::Retry { .. } | Outcome::Later { .. } => {
            (format!("{channel} sent to {recipient}"), None)
        }
    };
    let event = if error.is_none() { "notification_sent" } else { "notification_failed" };
    tx.add_approval_event(approval.id, event, Some(&detail), None, None).await?;
    let body = json!({ "approval": approval.id, "channel": channel, "status": outcome.word(), "attempts": attempts });
    tx.record(Entry {
        account: approval.account,
        kind: EntryKind::ApprovalNotified,
        call: Some(approval.call),
        subject: Subject::default(),
        // A map of plain values always serialises.
        body: to_raw_value(&body).unwrap_or_default(),
        payload: None,
    });
    Ok(())
}
