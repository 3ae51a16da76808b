//! Mails about signing in. They go through the outbox, in the transaction that gives the reason for them.

use preloop_govern::{Alert, Channel};
use preloop_store::{NewDelivery, Tx};

/// A mail to one person.
pub(crate) struct Mail {
    pub(crate) address: String,
    pub(crate) name: Option<String>,
    pub(crate) subject: String,
    pub(crate) text: String,
}

/// Puts a mail in the outbox.
pub(crate) async fn send(tx: &mut Tx<'_>, mail: Mail) -> preloop_store::Result<()> {
    let Mail { address, name, subject, text } = mail;
    let alert = Alert { subject, text, address: address.clone(), name };
    // A map of strings always serialises.
    let payload = serde_json::to_vec(&alert).unwrap_or_default();
    let (channel, next_at) = (Channel::Email.as_str().to_owned(), tx.now());
    tx.enqueue(&NewDelivery { channel, recipient: address, approval: None, payload, next_at }).await?;
    Ok(())
}
