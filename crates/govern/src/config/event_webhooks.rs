//! Event webhooks.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use preloop_store::EventEndpoint;
use preloop_types::{EndpointId, EventType, Principal};
use secrecy::SecretString;
use serde::Serialize;
use uuid::Uuid;

use super::{
    Config, ConfigError, Patch, Result, limits,
    record::{Actor, What},
};

/// What to change about an event webhook; to make one, what it shall be.
#[derive(Debug, Clone, Default)]
pub struct EndpointChange {
    /// Where events are posted.
    pub url: Option<String>,
    /// For people.
    pub description: Patch<String>,
    /// What it is told of; everything when empty.
    pub event_types: Option<Vec<String>>,
    /// Whether it is told at all.
    pub is_active: Option<bool>,
}

#[derive(Serialize)]
struct Shown<'a> {
    url: &'a str,
    description: &'a Option<String>,
    event_types: &'a [EventType],
    is_active: bool,
}

impl<'a> From<&'a EventEndpoint> for Shown<'a> {
    fn from(endpoint: &'a EventEndpoint) -> Self {
        let EventEndpoint { url, description, event_types, is_active, .. } = endpoint;
        Shown { url, description, event_types, is_active: *is_active }
    }
}

impl Config {
    /// Makes an event webhook; its signing key is only in this answer.
    pub async fn create_event_endpoint(
        &self,
        who: &Principal,
        change: EndpointChange,
    ) -> Result<(EventEndpoint, SecretString)> {
        let now = self.store.now();
        let blank = EventEndpoint {
            id: EndpointId::new(now),
            url: String::new(),
            description: None,
            event_types: Vec::new(),
            is_active: true,
            secret_hint: String::new(),
            failures: 0,
            paused_until: None,
            last_error: None,
            dropped: 0,
            created_at: now,
            updated_at: now,
        };
        let endpoint = changed(blank, EndpointChange { url: Some(change.url.unwrap_or_default()), ..change })?;
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let secret =
                    SecretString::from(format!("whsec_{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())));
                tx.insert_event_endpoint(&endpoint, &secret).await.map_err(|error| match error {
                    preloop_store::Error::Invalid(message) => ConfigError::Refused(message),
                    error => error.into(),
                })?;
                let shown = Shown::from(&endpoint);
                by.changed(tx, What::EventWebhook, (endpoint.id.0, &endpoint.url), None::<&Shown<'_>>, Some(&shown));
                let made = tx.event_endpoint(endpoint.id).await?;
                Ok((made.ok_or(ConfigError::NotFound("event webhook"))?, secret))
            })
        })
        .await
    }

    /// Changes an event webhook, which is then tried at once.
    pub async fn update_event_endpoint(
        &self,
        who: &Principal,
        id: EndpointId,
        change: EndpointChange,
    ) -> Result<EventEndpoint> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = tx.event_endpoint(id).await?.ok_or(ConfigError::NotFound("event webhook"))?;
                let new = EventEndpoint { updated_at: tx.now(), ..changed(old.clone(), change)? };
                tx.update_event_endpoint(&new).await?;
                let (before, after) = (Shown::from(&old), Shown::from(&new));
                by.changed(tx, What::EventWebhook, (id.0, &new.url), Some(&before), Some(&after));
                tx.event_endpoint(id).await?.ok_or(ConfigError::NotFound("event webhook"))
            })
        })
        .await
    }

    /// Removes an event webhook, and what waits for it.
    pub async fn delete_event_endpoint(&self, who: &Principal, id: EndpointId) -> Result<()> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = tx.event_endpoint(id).await?.ok_or(ConfigError::NotFound("event webhook"))?;
                tx.delete_event_endpoint(id).await?;
                by.changed(tx, What::EventWebhook, (id.0, &old.url), Some(&Shown::from(&old)), None::<&Shown<'_>>);
                Ok(())
            })
        })
        .await
    }

    /// Tells one event webhook that somebody tries it out; the event's id.
    pub async fn test_event_endpoint(&self, who: &Principal, id: EndpointId) -> Result<Uuid> {
        self.change(who.account, move |tx| {
            Box::pin(async move {
                tx.event_endpoint(id).await?.ok_or(ConfigError::NotFound("event webhook"))?;
                Ok(tx.test_event_endpoint(id).await?)
            })
        })
        .await
    }

    /// Sends an event again to whom it could not be delivered; to how many.
    pub async fn replay_event(&self, who: &Principal, event: Uuid) -> Result<u64> {
        self.change(who.account, move |tx| {
            Box::pin(async move {
                match tx.replay_event(event).await? {
                    0 => Err(ConfigError::NotFound("undelivered event")),
                    replayed => Ok(replayed),
                }
            })
        })
        .await
    }
}

fn changed(mut endpoint: EventEndpoint, change: EndpointChange) -> Result<EventEndpoint> {
    if let Some(url) = change.url {
        endpoint.url = limits::url("url", &url)?;
    }
    if let Some(description) = change.description {
        endpoint.description = description.map(|text| limits::text("description", &text, 500)).transpose()?;
    }
    if let Some(words) = change.event_types {
        endpoint.event_types.clear();
        for word in words {
            let event = EventType::catalogue().find(|event| event.as_str() == word).ok_or_else(|| {
                let known: Vec<_> = EventType::catalogue().map(|event| format!("`{}`", event.as_str())).collect();
                let message = format!("`{}` is not one of {}", word.escape_debug(), known.join(", "));
                ConfigError::invalid("event_types", message)
            })?;
            if !endpoint.event_types.contains(&event) {
                endpoint.event_types.push(event);
            }
        }
    }
    endpoint.is_active = change.is_active.unwrap_or(endpoint.is_active);
    Ok(endpoint)
}
