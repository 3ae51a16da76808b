use std::{
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use preloop_store::{Event, LedgerLine, Store};
use preloop_types::{
    AccountId, Audience, CallId, Decision, DecisionSource, Entry, EntryKind, EventType, Halt, HaltScope, NanoUsd,
    Permission, Principal, Timestamp, ToolCall, Verdict, WorkflowId, WriterId,
};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::{
    Approvals, Error, Executor, Held, IdentifyError, Models, Observer, Permit, Refusal, RefusalKind, Result, Snapshot,
    approvals::Waiters,
    budgets::Budgets,
    identify::Identities,
    limits::Limits,
    model::{Traffic, Unwritten},
    permit::Granted,
    records::{self, Basis},
    sessions::Runs,
    snapshot::Snapshots,
};

/// The one path every governed call takes. Cheap to clone.
#[derive(Clone)]
pub struct Governor(Arc<Inner>);

pub(crate) struct Inner {
    store: Store,
    options: GovernorOptions,
    identities: Identities,
    snapshots: Snapshots,
    pub(crate) waiters: Waiters,
    pub(crate) budgets: Budgets,
    pub(crate) limits: Limits,
    pub(crate) sessions: Runs,
    pub(crate) traffic: Traffic,
    pub(crate) unwritten: Unwritten,
    executor: OnceLock<Weak<dyn Executor>>,
    observer: OnceLock<Arc<dyn Observer>>,
    models: OnceLock<Weak<dyn Models>>,
    /// Held by every model call under way, so that they can be counted.
    pub(crate) in_flight: Arc<()>,
}

/// What the governor must know of its surroundings.
#[derive(Debug, Clone)]
pub struct GovernorOptions {
    /// This process, as the journal knows it.
    pub writer: WriterId,
    /// Base of the links people get, without a trailing slash.
    pub public_url: String,
    /// Whether mail can be sent; without it nobody is told by mail.
    pub email: bool,
    /// How long an approved call may wait to be carried out.
    pub approved_ttl: Duration,
    /// How long a claimed call may run before it counts as lost.
    pub claim_lease: Duration,
}

/// The answer to a call.
#[expect(
    clippy::large_enum_variant,
    reason = "most of them are permits; boxing one would cost every call an allocation"
)]
pub enum Admission {
    /// Carry it out.
    Granted(Permit),
    /// A human is asked.
    Held(Box<Held>),
    /// No.
    Refused(Refusal),
}

/// What an agent wants people to be asked.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Whom.
    pub workflow: WorkflowId,
    /// What, in one sentence.
    pub reason: String,
    /// How long they have; as long as the workflow says when absent.
    pub window: Option<Duration>,
}

impl Governor {
    /// A governor over `store`. Call [`Governor::run`] to keep it up to date.
    pub fn new(store: Store, options: GovernorOptions) -> Self {
        Self(Arc::new(Inner {
            store,
            options,
            identities: Identities::default(),
            snapshots: Snapshots::default(),
            waiters: Waiters::default(),
            budgets: Budgets::default(),
            limits: Limits::default(),
            sessions: Runs::default(),
            traffic: Traffic::default(),
            unwritten: Unwritten::default(),
            executor: OnceLock::new(),
            observer: OnceLock::new(),
            models: OnceLock::new(),
            in_flight: Arc::default(),
        }))
    }

    /// Who carries out approved calls whose agent no longer waits. Set once, at start.
    pub fn set_executor(&self, executor: Weak<dyn Executor>) {
        if self.0.executor.set(executor).is_err() {
            tracing::warn!("a second executor was ignored");
        }
    }

    /// Who asks models for our own parts. Set once, at start.
    pub fn set_models(&self, models: Weak<dyn Models>) {
        if self.0.models.set(models).is_err() {
            tracing::warn!("a second way to models was ignored");
        }
    }

    /// Who sees calls go by. Set once, at start.
    pub fn set_observer(&self, observer: Arc<dyn Observer>) {
        if self.0.observer.set(observer).is_err() {
            tracing::warn!("a second observer was ignored");
        }
    }

    /// Model calls that were granted and not settled yet.
    pub fn model_calls_in_flight(&self) -> usize {
        Arc::strong_count(&self.0.in_flight) - 1
    }

    /// Dollars that budgets set aside for calls under way; a call counts in each of its budgets.
    pub fn budget_reserved(&self) -> NanoUsd {
        self.0.budgets.reserved_dollars()
    }

    /// The store behind it.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The injected clock's time.
    pub fn now(&self) -> Timestamp {
        self.0.store.now()
    }

    /// Requests for a human decision.
    pub fn approvals(&self) -> Approvals<'_> {
        Approvals::new(self)
    }

    /// Who a credential belongs to. One that was given out for a part of this server is unknown here.
    pub async fn identify(&self, bearer: &str) -> Result<Arc<Principal>, IdentifyError> {
        self.identify_at(bearer, &Audience::Everything).await
    }

    /// Who a credential belongs to that is presented to `place`.
    pub async fn identify_at(&self, bearer: &str, place: &Audience) -> Result<Arc<Principal>, IdentifyError> {
        let who = self.0.identities.identify(&self.0.store, bearer).await?;
        if who.audience.includes(place) { Ok(who) } else { Err(IdentifyError::Unknown) }
    }

    /// From now on that credential is `who`'s, whatever the store says.
    #[cfg(feature = "testing")]
    pub fn introduce(&self, bearer: &str, who: Principal) {
        self.0.identities.introduce(bearer, who);
    }

    /// The account's compiled configuration.
    pub async fn snapshot(&self, account: AccountId) -> Result<Arc<Snapshot>> {
        self.0.snapshots.get(&self.0.store, account).await
    }

    /// Decides a call. `Granted` means: allowed, and its intent is durable.
    pub async fn admit(&self, who: &Arc<Principal>, call: ToolCall) -> Admission {
        let snapshot = match self.snapshot(who.account).await {
            Ok(snapshot) => snapshot,
            Err(error) => return Admission::Refused(unavailable(call.id, &error)),
        };
        if let Some(refused) = self.barred(who, &call, &snapshot).await {
            return Admission::Refused(refused);
        }
        let decision = snapshot.decide(who, &call, self.now());
        self.carry_decision(who, call, &decision, &snapshot).await
    }

    /// Turns a decision into what it means for the call.
    pub(crate) async fn carry_decision(
        &self,
        who: &Arc<Principal>,
        call: ToolCall,
        decision: &Decision,
        snapshot: &Snapshot,
    ) -> Admission {
        match decision.verdict {
            Verdict::Allow => self.grant(who, call, decision, snapshot).await,
            Verdict::Deny => Admission::Refused(self.deny(who, &call, decision, snapshot.version).await),
            Verdict::Ask(workflow) => {
                let approvals = self.approvals();
                if let Some(admission) = approvals.on_standing_grant(who, &call, decision, snapshot, workflow).await {
                    return admission;
                }
                approvals.hold(who, call, decision, snapshot, (workflow, None)).await
            }
        }
    }

    /// Puts a call before a human whatever the rules allow; what they deny stays denied.
    pub async fn ask(&self, who: &Arc<Principal>, call: ToolCall, asking: Asking) -> Admission {
        let snapshot = match self.snapshot(who.account).await {
            Ok(snapshot) => snapshot,
            Err(error) => return Admission::Refused(unavailable(call.id, &error)),
        };
        if let Some(refused) = self.barred(who, &call, &snapshot).await {
            return Admission::Refused(refused);
        }
        let decision = snapshot.decide(who, &call, self.now());
        if decision.verdict == Verdict::Deny {
            return Admission::Refused(self.deny(who, &call, &decision, snapshot.version).await);
        }
        let Asking { workflow, reason, window } = asking;
        let asked = Decision { verdict: Verdict::Ask(workflow), reason, ..decision };
        self.approvals().hold(who, call, &asked, &snapshot, (workflow, window)).await
    }

    async fn grant(&self, who: &Arc<Principal>, call: ToolCall, decision: &Decision, snapshot: &Snapshot) -> Admission {
        let server = call.tool.server_id.and_then(|id| snapshot.servers.get(&id).cloned());
        let intent = records::decided(EntryKind::CallIntent, who, &call, decision, snapshot.version, Basis::Policy);
        if let Err(error) = self.store().append(intent).await {
            return Admission::Refused(unavailable(call.id, &error.into()));
        }
        Admission::Granted(Permit::new(Granted {
            governor: self.clone(),
            who: who.clone(),
            call,
            server,
            claim: None,
            answer: None,
            started: Instant::now(),
        }))
    }

    async fn deny(&self, who: &Principal, call: &ToolCall, decision: &Decision, policy: u64) -> Refusal {
        let kind = match decision.source {
            DecisionSource::NoWorkflow => RefusalKind::Misconfigured,
            _ => RefusalKind::Denied,
        };
        let refusal = Refusal { call: call.id, kind, message: decision.reason.clone(), approval: None };
        self.record_refusal(who, call, refusal, Some((decision, policy))).await
    }

    /// What refuses a call before the policy is asked: the kill switch, and the caller's roles.
    pub(crate) async fn barred(&self, who: &Principal, call: &ToolCall, snapshot: &Snapshot) -> Option<Refusal> {
        let (kind, why) = match (snapshot.halted(HaltScope::Tools), not_permitted(who, call)) {
            (Some(halt), _) => (RefusalKind::AccountHalted, halted(halt)),
            (None, Some(why)) => (RefusalKind::Denied, why),
            (None, None) => return None,
        };
        Some(self.refuse(who, call, kind, why).await)
    }

    /// Records that a call was refused before the policy was asked, and hands the refusal on.
    pub async fn refuse(&self, who: &Principal, call: &ToolCall, kind: RefusalKind, message: String) -> Refusal {
        self.record_refusal(who, call, Refusal { call: call.id, kind, message, approval: None }, None).await
    }

    pub(crate) async fn record_refusal(
        &self,
        who: &Principal,
        call: &ToolCall,
        refusal: Refusal,
        decision: Option<(&Decision, u64)>,
    ) -> Refusal {
        let refusal =
            match self.write_refusal(records::refused(who, call, &refusal, decision), LedgerLine::default()).await {
                Ok(()) => refusal,
                Err(error) => unavailable(call.id, &error),
            };
        self.0.observe(|observer| observer.tool_refused(who, call, &refusal));
        refusal
    }

    /// Writes down that a call was refused. Where an event webhook wants to know of it, it is told by the
    /// same transaction; everywhere else the record shares the next commit with others.
    pub(crate) async fn write_refusal(&self, record: Entry, line: LedgerLine) -> Result<()> {
        let account = record.account;
        let told = match EventType::of(&record) {
            Some(event) => self.snapshot(account).await?.tells.contains(&event),
            None => false,
        };
        if told {
            let recorded = self.store().write(account, move |tx| {
                Box::pin(async move {
                    tx.record_with(record, line);
                    Ok(())
                })
            });
            return Ok(recorded.await?);
        }
        self.store().append_with(record, line).await?;
        Ok(())
    }

    /// Keeps memory in step with the store, wakes waiters, carries out approved calls nobody waits
    /// for, expires requests. Runs until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut events = self.store().events();
        let mut sweep = every(SWEEP_EVERY);
        let mut resync = every(RESYNC_EVERY);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.recv() => match event {
                    Ok(event) => self.react(event),
                    Err(RecvError::Lagged(_)) => self.react(Event::Resync),
                    Err(RecvError::Closed) => return,
                },
                _ = sweep.tick() => {
                    self.0.budgets.sweep(self);
                    self.0.limits.sweep(self.now());
                    if let Err(error) = self.approvals().sweep().await {
                        tracing::warn!(%error, "approvals could not be swept");
                    }
                }
                _ = resync.tick() => {
                    self.0.sessions.sweep(self.now());
                    if self.store().is_shared() {
                        self.react(Event::Resync);
                        self.0.budgets.look_around(self).await;
                    }
                    if let Err(error) = self.approvals().review_leftovers().await {
                        tracing::warn!(%error, "requests to be reviewed could not be looked for");
                    }
                    if let Err(error) = self.approvals().carry_out_leftovers().await {
                        tracing::warn!(%error, "approved calls could not be looked for");
                    }
                }
            }
        }
    }

    fn react(&self, event: Event) {
        match event {
            Event::ConfigChanged(account) => {
                self.0.snapshots.forget(account);
                self.cut_if_off(account);
            }
            Event::KeysChanged(account) => {
                self.0.identities.forget(account);
                self.0.snapshots.forget(account);
            }
            Event::ApprovalChanged { account, id } => {
                let waited_for = self.0.waiters.wake(id);
                let governor = self.clone();
                tokio::spawn(async move {
                    if waited_for {
                        tokio::time::sleep(WAITERS_FIRST).await;
                    }
                    governor.approvals().carry_out_unattended(account, id).await;
                });
            }
            Event::BudgetWanted { account, id } => self.0.budgets.give_back(self, account, id),
            Event::BudgetReached { .. } | Event::OutboxFilled => {}
            Event::SessionEnded { account, id } => self.0.sessions.ended(account, id),
            Event::Resync => {
                self.0.sessions.forget_all();
                self.0.identities.forget_all();
                self.0.snapshots.forget_all();
                self.cut_all_that_are_off();
                self.0.waiters.wake_all();
            }
        }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

/// Longest delay between a deadline and its effect.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// A node that missed a message catches up after this long.
const RESYNC_EVERY: Duration = Duration::from_secs(5);
/// How long a waiter has to claim what was approved before it is carried out without one.
const WAITERS_FIRST: Duration = Duration::from_secs(2);

fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

impl Inner {
    pub(crate) fn options(&self) -> &GovernorOptions {
        &self.options
    }

    pub(crate) fn observe(&self, tell: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = self.observer.get() {
            tell(&**observer);
        }
    }

    pub(crate) fn models(&self) -> Option<Arc<dyn Models>> {
        self.models.get().and_then(Weak::upgrade)
    }

    pub(crate) fn executor(&self) -> Option<Arc<dyn Executor>> {
        self.executor.get().and_then(Weak::upgrade)
    }
}

/// What an agent is told that meets the kill switch.
pub(crate) fn halted(halt: &Halt) -> String {
    let what = match halt.scope {
        HaltScope::Gateway => "Model calls",
        HaltScope::Tools => "Tool calls",
        HaltScope::Flows => "Flows",
    };
    let reason = halt.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!(
        "{what} of this account were halted by `{}` at {}{reason}. This was not carried out. Stop, and do not look for \
         another way; a person has to let agents go on",
        halt.username, halt.at
    )
}

/// Why the caller's roles do not allow a call whatever the policy says, if so.
pub(crate) fn not_permitted(who: &Principal, call: &ToolCall) -> Option<String> {
    let (permission, what) = if call.tool.is_read() {
        (Permission::ViewTools, "reading")
    } else {
        (Permission::ExecuteTools, "calling tools")
    };
    (!who.may(permission)).then(|| {
        format!(
            "{what} needs the permission `{}`, which the roles of `{}` do not give; an administrator of the account \
             can give one that does",
            permission.name(),
            who.username
        )
    })
}

pub(crate) fn unavailable(call: CallId, error: &Error) -> Refusal {
    tracing::error!(%call, %error, "a call was refused because it cannot be governed now");
    Refusal {
        call,
        kind: RefusalKind::Unavailable,
        message: format!("Preloop cannot decide or record this call now, so it was not carried out: {error}"),
        approval: None,
    }
}
