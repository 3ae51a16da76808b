//! Hands mails to the SMTP server of the settings.

use std::{str::FromStr, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor, message::Mailbox,
    transport::smtp::authentication::Credentials,
};
use secrecy::{ExposeSecret, SecretString};

use crate::{SendError, SettingsError};

/// Longest wait for the whole conversation about one mail.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The SMTP server that mails are handed to.
#[derive(Debug, Clone)]
pub struct SmtpSettings {
    /// Its name or address.
    pub host: String,
    /// Its port; the usual one of the kind of TLS when absent (587, 465, 25).
    pub port: Option<u16>,
    /// Who we are to it.
    pub username: Option<String>,
    /// The password of `username`.
    pub password: Option<SecretString>,
    /// The sender: `Preloop <preloop@example.com>` or the bare address.
    pub from: String,
    /// How the connection is protected.
    pub tls: SmtpTls,
}

/// How the connection to the SMTP server is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SmtpTls {
    /// Begins in the clear and must be upgraded before anything is said.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// In the clear; for a server on the same machine.
    None,
}

impl FromStr for SmtpTls {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "starttls" => Ok(Self::StartTls),
            "tls" => Ok(Self::Tls),
            "none" => Ok(Self::None),
            other => Err(format!("`{other}` is not one of `starttls`, `tls`, `none`")),
        }
    }
}

/// A pool of connections to the SMTP server.
#[derive(Clone)]
pub(crate) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    pub(crate) from: Mailbox,
}

impl Mailer {
    pub(crate) fn new(settings: &SmtpSettings) -> Result<Self, SettingsError> {
        let from = settings.from.parse().map_err(|error| SettingsError::From(settings.from.clone(), error))?;
        let host = settings.host.as_str();
        let mut transport = match settings.tls {
            SmtpTls::StartTls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host)?,
            SmtpTls::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(host)?,
            SmtpTls::None => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host),
        };
        if let Some(port) = settings.port {
            transport = transport.port(port);
        }
        if let (Some(username), Some(password)) = (&settings.username, &settings.password) {
            transport = transport.credentials(Credentials::new(username.clone(), password.expose_secret().to_owned()));
        }
        Ok(Self { transport: transport.timeout(Some(TIMEOUT)).build(), from })
    }

    pub(crate) async fn send(&self, mail: Message) -> Result<(), SendError> {
        let sent = tokio::time::timeout(TIMEOUT, self.transport.send(mail)).await;
        match sent {
            Err(_) => Err(SendError::temporary(format!("the SMTP server did not answer within {TIMEOUT:?}"))),
            Ok(Err(error)) if error.is_permanent() => {
                Err(SendError::permanent(format!("the SMTP server refused the mail: {error}")))
            }
            Ok(Err(error)) => Err(SendError::temporary(format!("the SMTP server: {error}"))),
            Ok(Ok(_)) => Ok(()),
        }
    }
}
