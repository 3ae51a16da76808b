use preloop_types::{AccountId, ApprovalId, Timestamp};
use uuid::Uuid;

use crate::{Result, Tx};

/// A message to be sent, before it is in the outbox.
#[derive(Clone)]
pub struct NewDelivery {
    /// How: `email`, `webhook`, …
    pub channel: String,
    /// To whom; with channel and approval it is unique.
    pub recipient: String,
    /// The request it is about.
    pub approval: Option<ApprovalId>,
    /// What is sent; sealed in the row.
    pub payload: Vec<u8>,
    /// When to send it.
    pub next_at: Timestamp,
}

/// A message taken out of the outbox to be sent.
#[derive(Clone)]
pub struct Delivery {
    /// Its id; stays the same over retries.
    pub id: Uuid,
    /// Whose.
    pub account: AccountId,
    /// How: `email`, `webhook`, …
    pub channel: String,
    /// To whom.
    pub recipient: String,
    /// The request it is about.
    pub approval: Option<ApprovalId>,
    /// What is sent.
    pub payload: Vec<u8>,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// When it was put in.
    pub created_at: Timestamp,
}

impl Tx<'_> {
    /// Puts a message in the outbox; false if the same channel was already to tell the same
    /// recipient of the same request.
    pub async fn enqueue(&mut self, _delivery: &NewDelivery) -> Result<bool> {
        todo!()
    }
    /// The message was sent.
    pub async fn finish_delivery(&mut self, _id: Uuid) -> Result<()> {
        todo!()
    }
    /// Sending failed; try again at `next_at`.
    pub async fn retry_delivery(&mut self, _id: Uuid, _next_at: Timestamp, _error: &str) -> Result<()> {
        todo!()
    }
    /// Sending failed for good.
    pub async fn dead_letter_delivery(&mut self, _id: Uuid, _error: &str) -> Result<()> {
        todo!()
    }
}
