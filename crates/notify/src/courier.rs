//! Takes notices out of the outbox and delivers them, again and again until it worked or was
//! tried often enough.
//!
//! A failure here never fails the request it is about: the approval page, REST and the command
//! line decide it as well. A claim on a delivery ends by itself, so a crash between sending and
//! writing that down repeats a notice (with the same delivery id) and never loses one.

use std::{sync::Arc, time::Duration};

use preloop_egress::Egress;
use preloop_govern::{Alert, ApprovalNotice, Recipient};
use preloop_store::{Approval, ApprovalStatus, Delivery, Event, Store, Tx};
use preloop_types::{Entry, EntryKind, Subject, Timestamp};
use serde_json::{json, value::to_raw_value};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    SendError, SettingsError, SmtpSettings, mail,
    schedule::wait_after,
    smtp::Mailer,
    webhook::{Attempt, Endpoint, Poster},
};

/// Deliveries on the way at once. Each takes some ten seconds at most.
const AT_ONCE: usize = 32;

/// Why no mail was sent.
const NO_MAIL: &str = "no SMTP server is configured (SMTP_HOST)";

/// How often the outbox is looked at without being told to: for retries, and for lost messages.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Which channels there are.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Mails go out when there is one.
    pub smtp: Option<SmtpSettings>,
}

/// Delivers the notices of all accounts. Several may share one database.
#[derive(Clone)]
pub struct Courier(Arc<Shared>);

struct Shared {
    store: Store,
    mailer: Option<Mailer>,
    poster: Poster,
}

/// How an attempt ended.
enum Attempted {
    Sent,
    /// There was no reason to send it (any more).
    Skipped(&'static str),
    Failed(SendError),
}

impl Courier {
    /// Sets the channels up; connects to nothing yet.
    pub fn new(store: Store, egress: &Egress, settings: &Settings) -> Result<Self, SettingsError> {
        let mailer = settings.smtp.as_ref().map(Mailer::new).transpose()?;
        Ok(Self(Arc::new(Shared { store, mailer, poster: Poster::new(egress)? })))
    }

    /// Delivers until `shutdown` resolves, then ends what is on the way.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut events = self.0.store.events();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut on_the_way = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                _ = look.tick() => {}
                () = told(&mut events) => {}
                Some(_) = on_the_way.join_next() => {}
            }
            if let Err(error) = self.start_due(&mut on_the_way).await {
                tracing::warn!(%error, "the outbox cannot be read; trying again");
            }
        }
        while on_the_way.join_next().await.is_some() {}
    }

    /// Attempts everything that is due now, once; how many deliveries that were.
    pub async fn deliver_due(&self) -> preloop_store::Result<usize> {
        let mut on_the_way = JoinSet::new();
        let mut count = 0;
        loop {
            let started = self.start_due(&mut on_the_way).await?;
            count += started;
            if on_the_way.join_next().await.is_none() && started == 0 {
                return Ok(count);
            }
        }
    }

    async fn start_due(&self, on_the_way: &mut JoinSet<()>) -> preloop_store::Result<usize> {
        let free = u32::try_from(AT_ONCE.saturating_sub(on_the_way.len())).unwrap_or(0);
        if free == 0 {
            return Ok(0);
        }
        let due = self.0.store.claim_deliveries(self.0.store.now(), free).await?;
        let count = due.len();
        for delivery in due {
            let shared = Arc::clone(&self.0);
            on_the_way.spawn(async move { shared.deliver(delivery).await });
        }
        Ok(count)
    }
}

/// Resolves when something happened that may have put a notice into the outbox.
async fn told(events: &mut Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(Event::ApprovalChanged { .. } | Event::Resync) | Err(RecvError::Lagged(_)) => break,
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
        if delivery.approval.is_none() {
            return self.alert(delivery).await;
        }
        if approval.is_none_or(|approval| approval.status != ApprovalStatus::Pending) {
            return Attempted::Skipped("the request was already decided");
        }
        let notice: ApprovalNotice = match serde_json::from_slice(&delivery.payload) {
            Ok(notice) => notice,
            Err(error) => return Attempted::Failed(SendError::permanent(format!("the notice is unreadable: {error}"))),
        };
        let now = self.store.now();
        if notice.expires_at <= now {
            return Attempted::Skipped("the request had already expired");
        }
        match self.send(delivery, &notice, now).await {
            None => Attempted::Skipped(NO_MAIL),
            Some(Ok(())) => Attempted::Sent,
            Some(Err(error)) => Attempted::Failed(error),
        }
    }

    /// What tells of something and asks for nothing goes by mail.
    async fn alert(&self, delivery: &Delivery) -> Attempted {
        let alert: Alert = match serde_json::from_slice(&delivery.payload) {
            Ok(alert) => alert,
            Err(error) => return Attempted::Failed(SendError::permanent(format!("the alert is unreadable: {error}"))),
        };
        let Some(mailer) = &self.mailer else { return Attempted::Skipped(NO_MAIL) };
        let sent = match mail::compose_alert(&mailer.from, &alert) {
            Ok(mail) => mailer.send(mail).await,
            Err(error) => Err(error),
        };
        sent.map_or_else(Attempted::Failed, |()| Attempted::Sent)
    }

    /// Sends the notice; `None` if its channel is not set up.
    async fn send(
        &self,
        delivery: &Delivery,
        notice: &ApprovalNotice,
        now: Timestamp,
    ) -> Option<Result<(), SendError>> {
        match &notice.to {
            Recipient::Email { address, name } => {
                let mailer = self.mailer.as_ref()?;
                Some(match mail::compose(&mailer.from, address, name.as_deref(), notice) {
                    Ok(mail) => mailer.send(mail).await,
                    Err(error) => Err(error),
                })
            }
            Recipient::Webhook { url, headers, secret } => {
                let id = delivery.id.to_string();
                let attempt = Attempt { delivery: &id, number: delivery.attempt, at: now };
                Some(self.poster.send(Endpoint { url, headers, secret: secret.as_deref() }, notice, attempt).await)
            }
        }
    }

    async fn write_down(
        &self,
        delivery: &Delivery,
        approval: Option<Approval>,
        attempted: Attempted,
    ) -> preloop_store::Result<()> {
        let (id, attempt) = (delivery.id, delivery.attempt);
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
                        Outcome::Failed { error } => tx.dead_letter_delivery(id, error).await?,
                        Outcome::Sent | Outcome::Skipped { .. } => tx.finish_delivery(id).await?,
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

/// What an attempt means for its delivery.
enum Outcome {
    Sent,
    Skipped { why: &'static str },
    Retry { wait: Duration, error: String },
    Failed { error: String },
}

impl Outcome {
    fn of(delivery: &Delivery, attempted: Attempted) -> Self {
        match attempted {
            Attempted::Sent => Outcome::Sent,
            Attempted::Skipped(why) => Outcome::Skipped { why },
            Attempted::Failed(SendError { reason, retryable }) => {
                match wait_after(delivery.attempt, rand::random()).filter(|_| retryable) {
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
            Outcome::Retry { .. } | Outcome::Failed { .. } => "failed",
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
        Outcome::Skipped { why } => (format!("{channel} to {recipient} was not sent: {why}"), Some((*why).to_owned())),
        Outcome::Failed { error } => {
            (format!("{channel} to {recipient} failed after {attempts} attempt(s): {error}"), Some(error.clone()))
        }
        Outcome::Sent | Outcome::Retry { .. } => (format!("{channel} sent to {recipient}"), None),
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
