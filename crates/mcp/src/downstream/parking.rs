//! Modern requests whose answer waits for the agent.

use std::sync::Arc;

use dashmap::DashMap;
use preloop_types::KeyId;
use tokio::sync::oneshot;

use super::{exchange::Exchange, request_state::Ticket};
use crate::protocol::InputResponses;

/// Every parked request, by the ticket its agent holds.
#[derive(Default)]
pub(super) struct ParkingLot {
    parked: DashMap<Ticket, Parked>,
}

/// A request that goes on when its agent comes back with answers.
pub(super) struct Parked {
    pub(super) exchange: Arc<Exchange>,
    pub(super) answers: oneshot::Sender<InputResponses>,
}

impl ParkingLot {
    pub(super) fn park(&self, ticket: Ticket, parked: Parked) {
        self.parked.insert(ticket, parked);
    }

    /// Takes a request out. Only once: the ticket is spent.
    pub(super) fn take(&self, ticket: &Ticket) -> Option<Parked> {
        self.parked.remove(ticket).map(|(_, parked)| parked)
    }
}

/// Counts something per credential, up to a limit.
#[derive(Debug)]
pub(super) struct PerKey {
    taken: DashMap<KeyId, usize>,
    max: usize,
}

/// One of what [`PerKey`] counts; gives itself back.
#[derive(Debug)]
pub(super) struct Slot {
    from: Arc<PerKey>,
    key: KeyId,
}

impl PerKey {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { taken: DashMap::new(), max })
    }

    /// One more, unless that is too many.
    pub(super) fn take(self: &Arc<Self>, key: KeyId) -> Option<Slot> {
        let mut taken = self.taken.entry(key).or_insert(0);
        if *taken >= self.max {
            return None;
        }
        *taken += 1;
        Some(Slot { from: Arc::clone(self), key })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let dashmap::Entry::Occupied(mut taken) = self.from.taken.entry(self.key) {
            *taken.get_mut() -= 1;
            if *taken.get() == 0 {
                taken.remove();
            }
        }
    }
}
