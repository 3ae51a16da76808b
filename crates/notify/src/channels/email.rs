//! Mails by the SMTP server of the settings.

use async_trait::async_trait;
use preloop_govern::Message;
use serde::Deserialize;

use super::{
    mail,
    smtp::{Mailer, SmtpSettings},
};
use crate::{
    SendError, SettingsError,
    channel::{Channel, Parcel},
};

/// A mailbox.
#[derive(Deserialize)]
struct Address {
    address: String,
    name: Option<String>,
}

pub(super) struct Email(Mailer);

impl Email {
    pub(super) fn new(settings: &SmtpSettings) -> Result<Self, SettingsError> {
        Ok(Self(Mailer::new(settings)?))
    }
}

#[async_trait]
impl Channel for Email {
    fn name(&self) -> &'static str {
        "email"
    }

    async fn send(&self, parcel: &Parcel<'_>) -> Result<(), SendError> {
        let (Address { address, name }, message) = parcel.open()?;
        let name = name.as_deref();
        let mail = match &message {
            Message::Request(request) => mail::compose(&self.0.from, &address, name, request)?,
            Message::Alert(alert) => mail::compose_alert(&self.0.from, &address, name, alert)?,
        };
        self.0.send(mail).await
    }
}
