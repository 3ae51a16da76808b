//! What a channel is.

use async_trait::async_trait;
use preloop_govern::{Message, Notice};
use preloop_store::Delivery;
use preloop_types::Timestamp;
use serde::de::DeserializeOwned;

use crate::SendError;

/// Carries what is in the outbox under its name to where it goes. It gives up by itself within some
/// ten seconds, holds nobody else up, and says what went wrong without a secret.
#[async_trait]
pub(crate) trait Channel: Send + Sync {
    /// The spelling in the outbox.
    fn name(&self) -> &'static str;

    /// One attempt.
    async fn send(&self, parcel: &Parcel<'_>) -> Result<(), SendError>;
}

/// One delivery, and when it is attempted.
pub(crate) struct Parcel<'a> {
    pub(crate) delivery: &'a Delivery,
    pub(crate) at: Timestamp,
}

impl Parcel<'_> {
    /// The notice in it, and its address as this channel writes addresses.
    pub(crate) fn open<A: DeserializeOwned>(&self) -> Result<(A, Message), SendError> {
        let notice: Notice = serde_json::from_slice(&self.delivery.payload)
            .map_err(|error| SendError::permanent(format!("the notice is unreadable: {error}")))?;
        // The error of a wrong type may quote the value.
        let address = serde_json::from_value(notice.to.address)
            .map_err(|_| SendError::permanent("the recipient's address is incomplete".to_owned()))?;
        Ok((address, notice.what))
    }
}
