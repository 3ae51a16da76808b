//! Event webhooks: who wants to be told of what, and what waits for them in the outbox.
//!
//! Events follow from journal records: whatever is recorded in a transaction is told by the same
//! transaction, so nothing that happened goes untold and nothing is told that did not happen.

use preloop_types::{CallId, EndpointId, Entry, EventType, Subject, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    Error, Result, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, from_json, json, micros, row, small, unsigned},
    outbox,
};

/// The channel of events in the outbox.
pub const EVENT_CHANNEL: &str = "event";
/// Most endpoints of one account.
const ENDPOINTS_MAX: usize = 20;
/// Most events of one account that wait; what comes then is dropped and counted.
const WAITING_MAX: i64 = 10_000;
/// Most of an event's data.
const DATA_BYTES_MAX: usize = 63 * 1024;

/// An event webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventEndpoint {
    /// Its id.
    pub id: EndpointId,
    /// Where events are posted.
    pub url: String,
    /// For people.
    pub description: Option<String>,
    /// What it is told of; everything when empty.
    pub event_types: Vec<EventType>,
    /// Whether it is told at all.
    pub is_active: bool,
    /// The end of its signing key.
    pub secret_hint: String,
    /// Failed attempts in a row.
    pub failures: u32,
    /// It is left alone until then.
    pub paused_until: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Events it was never told of, because too many waited.
    pub dropped: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// An event that no attempt could deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event.
    pub event: Uuid,
    /// What it tells of.
    pub event_type: String,
    /// Who was not told.
    pub endpoint: EndpointId,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When it happened.
    pub created_at: Timestamp,
    /// When it was given up.
    pub finished_at: Option<Timestamp>,
}

row! {
    struct EndpointRow {
        id: Uuid, url: String, description: Option<String>, event_types: String, is_active: bool, secret: Vec<u8>,
        secret_hint: String, failures: i64, paused_until: Option<i64>, last_error: Option<String>, dropped: i64,
        created_at: i64, updated_at: i64,
    }
}

row! {
    struct LetterRow {
        event_id: Option<Uuid>, event_type: Option<String>, recipient: String, attempt: i64, last_error: Option<String>,
        created_at: i64, finished_at: Option<i64>,
    }
}

impl EndpointRow {
    fn into_endpoint(self) -> Result<EventEndpoint> {
        Ok(EventEndpoint {
            id: EndpointId(self.id),
            url: self.url,
            description: self.description,
            event_types: from_json(&self.event_types)?,
            is_active: self.is_active,
            secret_hint: self.secret_hint,
            failures: small(self.failures)?,
            paused_until: self.paused_until.map(at),
            last_error: self.last_error,
            dropped: unsigned(self.dropped)?,
            created_at: at(self.created_at),
            updated_at: at(self.updated_at),
        })
    }
}

impl EventEndpoint {
    /// Whether it is to be told of `event`.
    pub fn wants(&self, event: EventType) -> bool {
        self.is_active && (self.event_types.is_empty() || self.event_types.contains(&event))
    }
}

/// What is posted.
#[derive(Serialize)]
struct Event<'a> {
    id: Uuid,
    #[serde(rename = "type")]
    kind: EventType,
    version: &'static str,
    occurred_at: Timestamp,
    account_id: Uuid,
    data: Data<'a>,
}

/// The record's own facts, and who and what it is about.
#[derive(Serialize)]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<CallId>,
    #[serde(flatten)]
    subject: Subject,
    facts: &'a RawValue,
}

fn context(id: Uuid) -> String {
    format!("event-endpoint/{id}")
}

/// What people see of a key.
fn hint(secret: &str) -> String {
    let tail: Vec<char> = secret.chars().rev().take(4).collect();
    format!("…{}", tail.into_iter().rev().collect::<String>())
}

impl View<'_> {
    /// Every event webhook, oldest first.
    pub async fn event_endpoints(&mut self) -> Result<Vec<EventEndpoint>> {
        let account = self.account().0;
        let sql = "SELECT * FROM event_endpoints WHERE account_id = $1 ORDER BY created_at, id";
        fetch_all!(self.conn, EndpointRow, sql, account)?.into_iter().map(EndpointRow::into_endpoint).collect()
    }

    /// One event webhook.
    pub async fn event_endpoint(&mut self, id: EndpointId) -> Result<Option<EventEndpoint>> {
        let account = self.account().0;
        let sql = "SELECT * FROM event_endpoints WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, EndpointRow, sql, account, id.0)?.map(EndpointRow::into_endpoint).transpose()
    }

    /// The key that signs what an event webhook is told.
    pub async fn event_endpoint_secret(&mut self, id: EndpointId) -> Result<Option<SecretString>> {
        let account = self.account().0;
        let sql = "SELECT * FROM event_endpoints WHERE account_id = $1 AND id = $2";
        let Some(row) = fetch_optional!(self.conn, EndpointRow, sql, account, id.0)? else { return Ok(None) };
        let plain = String::from_utf8(self.sealer().await?.open(&context(row.id), &row.secret)?);
        Ok(Some(SecretString::from(plain.map_err(|_| Error::Unsealable)?)))
    }

    /// Events that no attempt could deliver, newest first.
    pub async fn dead_letters(&mut self, skip: u32, limit: u32) -> Result<Vec<DeadLetter>> {
        let account = self.account().0;
        let sql = "SELECT * FROM outbox WHERE account_id = $1 AND status = 'dead' AND channel = $2 \
                   ORDER BY finished_at DESC, id DESC LIMIT $3 OFFSET $4";
        let rows = fetch_all!(self.conn, LetterRow, sql, account, EVENT_CHANNEL, i64::from(limit), i64::from(skip))?;
        let read = |row: LetterRow| {
            Ok(DeadLetter {
                event: row.event_id.unwrap_or_default(),
                event_type: row.event_type.unwrap_or_default(),
                endpoint: EndpointId(Uuid::parse_str(&row.recipient).unwrap_or_default()),
                attempts: small(row.attempt)?,
                error: row.last_error,
                created_at: at(row.created_at),
                finished_at: row.finished_at.map(at),
            })
        };
        rows.into_iter().map(read).collect()
    }
}

impl Tx<'_> {
    /// Adds an event webhook with the key that signs what it is told.
    pub async fn insert_event_endpoint(&mut self, endpoint: &EventEndpoint, secret: &SecretString) -> Result<()> {
        if self.event_endpoints().await?.len() >= ENDPOINTS_MAX {
            return Err(Error::Invalid(format!("an account has at most {ENDPOINTS_MAX} event webhooks")));
        }
        self.config_changed();
        let account = self.account().0;
        let sealed = self.sealer().await?.seal(&context(endpoint.id.0), secret.expose_secret().as_bytes());
        let sql = "INSERT INTO event_endpoints (account_id, id, url, description, event_types, is_active, secret, \
                   secret_hint, failures, dropped, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, $9, $10)";
        execute!(
            self.conn,
            sql,
            account,
            endpoint.id.0,
            &endpoint.url[..],
            endpoint.description.as_deref(),
            json(&endpoint.event_types)?,
            endpoint.is_active,
            sealed,
            hint(secret.expose_secret()),
            endpoint.created_at.micros(),
            endpoint.updated_at.micros()
        )?;
        Ok(())
    }

    /// Replaces what a person can set of an event webhook, which is then tried at once.
    pub async fn update_event_endpoint(&mut self, endpoint: &EventEndpoint) -> Result<()> {
        self.config_changed();
        let account = self.account().0;
        let sql = "UPDATE event_endpoints SET url = $3, description = $4, event_types = $5, is_active = $6, \
                   updated_at = $7, failures = 0, paused_until = NULL WHERE account_id = $1 AND id = $2";
        found(execute!(
            self.conn,
            sql,
            account,
            endpoint.id.0,
            &endpoint.url[..],
            endpoint.description.as_deref(),
            json(&endpoint.event_types)?,
            endpoint.is_active,
            endpoint.updated_at.micros()
        )?)
    }

    /// Removes an event webhook, and what waits for it.
    pub async fn delete_event_endpoint(&mut self, id: EndpointId) -> Result<()> {
        self.config_changed();
        let account = self.account().0;
        let sql = "DELETE FROM event_endpoints WHERE account_id = $1 AND id = $2";
        found(execute!(self.conn, sql, account, id.0)?)?;
        let sql = "DELETE FROM outbox WHERE account_id = $1 AND channel = $2 AND recipient = $3";
        execute!(self.conn, sql, account, EVENT_CHANNEL, id.to_string())?;
        Ok(())
    }

    /// Notes how an attempt went: its failures in a row, and until when it is left alone.
    pub async fn note_endpoint(
        &mut self,
        id: EndpointId,
        failures: u32,
        paused_until: Option<Timestamp>,
        error: Option<&str>,
    ) -> Result<()> {
        let account = self.account().0;
        let sql = "UPDATE event_endpoints SET failures = $3, paused_until = $4, last_error = $5 \
                   WHERE account_id = $1 AND id = $2";
        execute!(self.conn, sql, account, id.0, i64::from(failures), micros(paused_until), error)?;
        Ok(())
    }

    /// Sends what could not be delivered of one event again; how many deliveries that are.
    pub async fn replay_event(&mut self, event: Uuid) -> Result<u64> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE outbox SET status = 'pending', attempt = 0, next_at = $3, finished_at = NULL \
                   WHERE account_id = $1 AND event_id = $2 AND channel = $4 AND status = 'dead'";
        execute!(self.conn, sql, account, event, now, EVENT_CHANNEL)
    }

    /// Tells one endpoint that somebody tries it out; the event's id.
    pub async fn test_event_endpoint(&mut self, id: EndpointId) -> Result<Uuid> {
        let endpoint = self.event_endpoint(id).await?.ok_or(Error::NotFound)?;
        let facts = RawValue::from_string(format!(r#"{{"endpoint":"{id}"}}"#)).map_err(|_| Error::NotFound)?;
        self.tell(EventType::WebhookTest, None, Subject::default(), &facts, &[endpoint]).await
    }

    /// Tells whoever wants to know of what this transaction recorded.
    pub(crate) async fn tell_events(&mut self, entries: &[&Entry]) -> Result<()> {
        let news: Vec<_> = entries.iter().filter_map(|entry| Some((EventType::of(entry)?, *entry))).collect();
        if news.is_empty() {
            return Ok(());
        }
        let endpoints = self.event_endpoints().await?;
        for (event, entry) in news {
            let told: Vec<EventEndpoint> = endpoints.iter().filter(|to| to.wants(event)).cloned().collect();
            if !told.is_empty() {
                self.tell(event, entry.call, entry.subject, &entry.body, &told).await?;
            }
        }
        Ok(())
    }

    async fn tell(
        &mut self,
        kind: EventType,
        call: Option<CallId>,
        subject: Subject,
        facts: &RawValue,
        to: &[EventEndpoint],
    ) -> Result<Uuid> {
        let (account, now) = (self.account(), self.now());
        let id = EndpointId::new(now).0;
        let too_long = RawValue::from_string(r#"{"truncated":true}"#.to_owned()).map_err(|_| Error::NotFound)?;
        let facts = if facts.get().len() > DATA_BYTES_MAX { &too_long } else { facts };
        let data = Data { call, subject, facts };
        let event = Event { id, kind, version: "1", occurred_at: now, account_id: account.0, data };
        let payload = json(&event)?.into_bytes();
        let sql = "SELECT COUNT(*) FROM outbox WHERE account_id = $1 AND status = 'pending' AND channel = $2";
        let waiting = fetch_optional!(self.conn, (i64,), sql, account.0, EVENT_CHANNEL)?.map_or(0, |(count,)| count);
        for endpoint in to {
            // What happened has happened: a receiver that does not keep up holds up nobody else.
            if waiting >= WAITING_MAX {
                let sql = "UPDATE event_endpoints SET dropped = dropped + 1 WHERE account_id = $1 AND id = $2";
                execute!(self.conn, sql, account.0, endpoint.id.0)?;
                continue;
            }
            let row = EndpointId::new(now).0;
            let sealed = self.sealer().await?.seal(&outbox::context(row), &payload);
            let sql = "INSERT INTO outbox (account_id, id, channel, recipient, payload, status, attempt, next_at, \
                       created_at, event_id, event_type) VALUES ($1, $2, $3, $4, $5, 'pending', 0, $6, $6, $7, $8)";
            let recipient = endpoint.id.to_string();
            execute!(
                self.conn,
                sql,
                account.0,
                row,
                EVENT_CHANNEL,
                recipient,
                sealed,
                now.micros(),
                id,
                kind.as_str()
            )?;
        }
        self.emit(crate::Event::OutboxFilled);
        Ok(id)
    }
}
