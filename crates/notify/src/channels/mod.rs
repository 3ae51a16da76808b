//! Every channel there is. One more is a file here and a line in [`all`].

mod email;
mod event;
mod mail;
mod mattermost;
mod mobile_push;
mod ntfy;
mod slack;
mod smtp;
mod web_push;
mod webhook;

use preloop_egress::Egress;
use preloop_store::Store;

pub use mobile_push::{PushMessage, PushProxySettings, PushRelay, RelayError};
pub use smtp::{SmtpSettings, SmtpTls};
pub use web_push::WebPushKeys;

use crate::{ChatSettings, SettingsError, channel::Channel, http::Http};

/// Which channels there are, and what they need of the instance.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Mails go out when there is one.
    pub smtp: Option<SmtpSettings>,
    /// Chats whose buttons and people can be told.
    pub chat: ChatSettings,
    /// What sends to phones.
    pub push_proxy: Option<PushProxySettings>,
    /// Who sends to browsers.
    pub web_push: Option<WebPushKeys>,
    /// Base of this instance's addresses, without a trailing slash.
    pub public_url: String,
}

/// The channels that can be used with these settings.
pub(crate) fn all(store: &Store, egress: &Egress, settings: &Settings) -> Result<Vec<Box<dyn Channel>>, SettingsError> {
    let http = Http::new(egress)?;
    let mut channels: Vec<Box<dyn Channel>> = vec![
        Box::new(webhook::Webhook(http.clone())),
        Box::new(event::Event::new(store.clone(), http.clone())),
        Box::new(slack::Slack::new(http.clone(), &settings.chat.slack)),
        Box::new(mattermost::Mattermost::new(http.clone(), &settings.chat.mattermost, &settings.public_url)),
        Box::new(ntfy::Ntfy(http.clone())),
    ];
    if let Some(smtp) = &settings.smtp {
        channels.push(Box::new(email::Email::new(smtp)?));
    }
    if let Some(proxy) = &settings.push_proxy {
        channels.push(Box::new(mobile_push::MobilePush(PushRelay::new(http.clone(), proxy.clone()))));
    }
    if let Some(keys) = &settings.web_push {
        channels.push(Box::new(web_push::WebPush::new(http, keys.clone(), &settings.public_url)));
    }
    Ok(channels)
}
