//! What stops a model call that is under way: the end of its session, and the account's kill switch.

use std::{future::Future, sync::Arc, time::Duration, time::Instant};

use dashmap::DashMap;
use preloop_types::{AccountId, CallId, HaltScope};
use tokio_util::sync::CancellationToken;

use crate::{Governor, sessions::Stop};

/// Who stopped a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// A person ended its session.
    SessionEnded,
    /// A person pressed the account's kill switch for model calls.
    TrafficOff,
}

impl Halt {
    /// The stable code agents see.
    pub const fn code(self) -> &'static str {
        match self {
            Halt::SessionEnded => "session_ended",
            Halt::TrafficOff => "preloop_account_halted",
        }
    }

    /// For the agent and its person.
    pub const fn reason(self) -> &'static str {
        match self {
            Halt::SessionEnded => "this call was stopped: its session was ended by a person",
            Halt::TrafficOff => "this call was stopped: model calls of this account were halted by a person",
        }
    }
}

/// What may stop one call.
#[derive(Clone, Default)]
pub(crate) struct Stops {
    pub(crate) session: Stop,
    pub(crate) traffic: Stop,
}

impl Stops {
    pub(crate) fn halted(&self) -> impl Future<Output = Halt> + Send + 'static + use<> {
        let (session, traffic): (CancellationToken, CancellationToken) =
            (self.session.token.clone(), self.traffic.token.clone());
        async move {
            tokio::select! {
                biased;
                () = traffic.cancelled() => Halt::TrafficOff,
                () = session.cancelled() => Halt::SessionEnded,
            }
        }
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.session.token.is_cancelled() || self.traffic.token.is_cancelled()
    }
}

/// What stops the running calls of each account.
#[derive(Default)]
pub(crate) struct Traffic(DashMap<AccountId, Stop>);

impl Traffic {
    /// Taken before the account's settings are looked at: then a call is either refused by them or stopped by
    /// whoever switches it off.
    pub(crate) fn stop_of(&self, account: AccountId) -> Stop {
        self.0.entry(account).or_default().clone()
    }

    fn running(&self) -> Vec<AccountId> {
        self.0.iter().filter(|each| each.is_held()).map(|each| *each.key()).collect()
    }

    fn cut(&self, account: AccountId) {
        if let Some((_, stop)) = self.0.remove(&account) {
            stop.token.cancel();
        }
    }
}

impl Governor {
    /// The account's settings may have changed: its running calls end if model traffic is off now.
    pub(crate) fn cut_if_off(&self, account: AccountId) {
        if !self.inner().traffic.0.get(&account).is_some_and(|stop| stop.is_held()) {
            return;
        }
        let governor = self.clone();
        tokio::spawn(async move {
            match governor.snapshot(account).await {
                Ok(snapshot) if snapshot.halted(HaltScope::Gateway).is_some() => governor.inner().traffic.cut(account),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "whether model traffic is switched off cannot be read"),
            }
        });
    }

    /// The same for every account that has calls under way.
    pub(crate) fn cut_all_that_are_off(&self) {
        for account in self.inner().traffic.running() {
            self.cut_if_off(account);
        }
    }

    /// Model calls whose outcome is not durable yet, and since when the oldest of them has been over.
    pub fn ledger_backlog(&self) -> (usize, Duration) {
        let unwritten = &self.inner().unwritten.0;
        let longest = unwritten.iter().map(|since| since.elapsed()).max().unwrap_or_default();
        (unwritten.len(), longest)
    }
}

/// Calls that are over, while their outcome is on its way to the journal.
#[derive(Clone, Default)]
pub(crate) struct Unwritten(Arc<DashMap<CallId, Instant>>);

impl Unwritten {
    pub(crate) fn begin(&self, call: CallId) {
        self.0.insert(call, Instant::now());
    }

    pub(crate) fn end(&self, call: CallId) {
        self.0.remove(&call);
    }
}
