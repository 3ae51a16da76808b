//! Event webhooks: signed, retried, and left alone for a while when they fail in a row.

use std::time::Duration;

use async_trait::async_trait;
use preloop_store::{EVENT_CHANNEL, EventEndpoint, Store};
use preloop_types::EndpointId;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use crate::{
    SendError, Then,
    channel::{Channel, Parcel},
    http::Http,
    sign,
};

const WHAT: &str = "the event webhook";
/// After so many failures in a row an endpoint is left alone.
const FAILURES_MAX: u32 = 10;
const LEFT_ALONE: Duration = Duration::from_mins(15);

pub(super) struct Event {
    store: Store,
    http: Http,
}

impl Event {
    pub(super) fn new(store: Store, http: Http) -> Self {
        Self { store, http }
    }

    /// Notes how the attempt went, where that says anything new.
    async fn note(&self, parcel: &Parcel<'_>, endpoint: &EventEndpoint, failed: Option<&SendError>) {
        let (id, failures) = (endpoint.id, failed.map_or(0, |_| endpoint.failures.saturating_add(1)));
        if failures == 0 && endpoint.failures == 0 {
            return;
        }
        let paused = (failures >= FAILURES_MAX).then(|| parcel.at + LEFT_ALONE);
        let error = failed.map(|error| error.reason.clone());
        let noted = self.store.write(parcel.delivery.account, move |tx| {
            Box::pin(async move { tx.note_endpoint(id, failures, paused, error.as_deref()).await })
        });
        if let Err(error) = noted.await {
            tracing::warn!(%error, endpoint = %id, "how an event webhook did cannot be written down");
        }
    }

    async fn post(&self, parcel: &Parcel<'_>, endpoint: &EventEndpoint, secret: &str) -> Result<(), SendError> {
        let delivery = parcel.delivery;
        let (event, kind) = delivery.event.clone().unwrap_or_default();
        let headers = [
            ("x-preloop-event-id", event.to_string()),
            ("x-preloop-event-type", kind),
            ("x-preloop-delivery-id", delivery.id.to_string()),
            ("x-preloop-attempt", delivery.attempt.to_string()),
            ("x-preloop-signature", sign(secret.as_bytes(), parcel.at, &delivery.payload)),
        ];
        let mut map = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        for (name, value) in headers {
            let value = HeaderValue::try_from(value);
            let value = value.map_err(|_| SendError::permanent(format!("header `{name}` cannot be written")))?;
            map.insert(HeaderName::from_static(name), value);
        }
        let answer = self.http.post(WHAT, &endpoint.url, map, delivery.payload.clone()).await?;
        // A receiver that is wrong today may be corrected tomorrow: every refusal is tried again.
        answer.judged(WHAT).map_err(|error| SendError::temporary(error.reason))
    }
}

#[async_trait]
impl Channel for Event {
    fn name(&self) -> &'static str {
        EVENT_CHANNEL
    }

    async fn send(&self, parcel: &Parcel<'_>) -> Result<(), SendError> {
        let unreadable = |error: preloop_store::Error| SendError::temporary(format!("its row cannot be read: {error}"));
        let gone = || SendError::permanent("the event webhook is no more".to_owned());
        let id: EndpointId = parcel.delivery.recipient.parse().map_err(|_| gone())?;
        let rows = self.store.account(parcel.delivery.account);
        let endpoint = rows.event_endpoint(id).await.map_err(unreadable)?.ok_or_else(gone)?;
        if !endpoint.is_active {
            return Err(SendError::permanent("the event webhook is switched off".to_owned()));
        }
        if let Some(until) = endpoint.paused_until.filter(|until| *until > parcel.at) {
            let reason = format!("{WHAT} failed {} times in a row and is left alone", endpoint.failures);
            return Err(SendError { reason, then: Then::NotBefore(until) });
        }
        let secret = rows.event_endpoint_secret(id).await.map_err(unreadable)?.ok_or_else(gone)?;
        let sent = self.post(parcel, &endpoint, secret.expose_secret()).await;
        self.note(parcel, &endpoint, sent.as_ref().err()).await;
        sent
    }
}
