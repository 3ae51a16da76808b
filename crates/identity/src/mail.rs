//! Mails about signing in. They go through the outbox, in the transaction that gives the reason for them.

use preloop_govern::{Alert, Message, Notice, Recipient};
use preloop_store::Tx;

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
    let notice = Notice { to: Recipient::email(address, name), what: Message::Alert(Alert { subject, text }) };
    tx.enqueue(&notice.delivery(tx.now())).await?;
    Ok(())
}
