use std::time::Duration;

use preloop_types::{AccountId, ApprovalId, Timestamp};
use uuid::Uuid;

use crate::{
    EVENT_CHANNEL, Error, Event, Result, Store, Tx,
    db::{Conn, at, execute, fetch_all, fetch_optional, found, row, small},
};

/// How long a delivery is its taker's before somebody else may take it.
const TAKEN_FOR: Duration = Duration::from_mins(1);
/// Largest payload.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// Most deliveries of one account that wait.
const PENDING_MAX: i64 = 10_000;

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
    /// The event it tells of, and its type, where it tells of one.
    pub event: Option<(Uuid, String)>,
}

row! {
    struct DeliveryRow {
        id: Uuid, account_id: Uuid, channel: String, recipient: String, approval_id: Option<Uuid>, payload: Vec<u8>,
        attempt: i64, created_at: i64, event_id: Option<Uuid>, event_type: Option<String>,
    }
}

pub(crate) fn context(id: Uuid) -> String {
    format!("outbox/{id}")
}

impl Store {
    /// Takes deliveries of one channel that are due, each for one minute: one that is not finished by then can
    /// be taken again. Unscoped: one sender serves every account.
    pub async fn claim_deliveries(&self, channel: &str, now: Timestamp, limit: u32) -> Result<Vec<Delivery>> {
        let channel = channel.to_owned();
        self.write_any(move |tx| Box::pin(async move { tx.claim_deliveries(&channel, now, limit).await })).await
    }

    /// The channels of deliveries that are due.
    pub async fn due_channels(&self, now: Timestamp) -> Result<Vec<String>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT DISTINCT channel FROM outbox WHERE status = 'pending' AND next_at <= $1";
        let rows = fetch_all!(conn, (String,), sql, now.micros())?;
        Ok(rows.into_iter().map(|(channel,)| channel).collect())
    }

    /// Forgets deliveries that ended so long ago, and events that could not be told in all that time; how many.
    pub async fn forget_deliveries(&self, kept: Duration) -> Result<u64> {
        self.write_any(move |tx| {
            Box::pin(async move {
                let then = tx.now().micros() - i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
                let sql = "DELETE FROM outbox WHERE finished_at < $1 OR (channel = $2 AND created_at < $1)";
                execute!(tx.conn, sql, then, EVENT_CHANNEL)
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn claim_deliveries(&mut self, channel: &str, now: Timestamp, limit: u32) -> Result<Vec<Delivery>> {
        let sql = match self.conn {
            Conn::Sqlite(_) => {
                "UPDATE outbox SET attempt = attempt + 1, next_at = $2 WHERE id IN (SELECT id FROM outbox \
                 WHERE status = 'pending' AND next_at <= $1 AND channel = $4 ORDER BY next_at LIMIT $3) RETURNING *"
            }
            Conn::Pg(_) => {
                "UPDATE outbox SET attempt = attempt + 1, next_at = $2 WHERE id IN (SELECT id FROM outbox \
                 WHERE status = 'pending' AND next_at <= $1 AND channel = $4 ORDER BY next_at LIMIT $3 \
                 FOR UPDATE SKIP LOCKED) RETURNING *"
            }
        };
        let (until, limit) = ((now + TAKEN_FOR).micros(), i64::from(limit));
        let rows = fetch_all!(self.conn, DeliveryRow, sql, now.micros(), until, limit, channel)?;
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows {
            let account = AccountId(row.account_id);
            let sealer = self.sealer_of(account).await?;
            taken.push(Delivery {
                id: row.id,
                account,
                channel: row.channel,
                recipient: row.recipient,
                approval: row.approval_id.map(ApprovalId),
                payload: sealer.open(&context(row.id), &row.payload)?,
                attempt: small(row.attempt)?,
                created_at: at(row.created_at),
                event: row.event_id.zip(row.event_type),
            });
        }
        Ok(taken)
    }

    /// Puts a message in the outbox; false if the same channel was already to tell the same
    /// recipient of the same request.
    pub async fn enqueue(&mut self, delivery: &NewDelivery) -> Result<bool> {
        let (account, now) = (self.account().0, self.now());
        if delivery.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::Invalid(format!("a delivery has more than {PAYLOAD_BYTES_MAX} bytes")));
        }
        if let Some(approval) = delivery.approval {
            self.approval_exists(approval).await?;
        }
        let sql = "SELECT COUNT(*) FROM outbox WHERE account_id = $1 AND status = 'pending' AND channel <> 'event'";
        if fetch_optional!(self.conn, (i64,), sql, account)?.is_some_and(|(pending,)| pending >= PENDING_MAX) {
            return Err(Error::Busy);
        }
        let id = ApprovalId::new(now).0;
        let payload = self.sealer().await?.seal(&context(id), &delivery.payload);
        let sql = "INSERT INTO outbox (account_id, id, channel, recipient, approval_id, payload, status, attempt, \
                   next_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, 'pending', 0, $7, $8) \
                   ON CONFLICT (approval_id, channel, recipient) DO NOTHING";
        let added = execute!(
            self.conn,
            sql,
            account,
            id,
            &delivery.channel[..],
            &delivery.recipient[..],
            delivery.approval.map(|id| id.0),
            payload,
            delivery.next_at.micros(),
            now.micros()
        )?;
        if added > 0 && delivery.approval.is_none() {
            self.emit(Event::OutboxFilled);
        }
        Ok(added > 0)
    }

    /// The message was sent.
    pub async fn finish_delivery(&mut self, id: Uuid) -> Result<()> {
        self.end_delivery(id, "sent", None).await
    }

    /// Sending failed; try again at `next_at`.
    pub async fn retry_delivery(&mut self, id: Uuid, next_at: Timestamp, error: &str) -> Result<()> {
        let account = self.account().0;
        let sql = "UPDATE outbox SET next_at = $3, last_error = $4 \
                   WHERE account_id = $1 AND id = $2 AND status = 'pending'";
        found(execute!(self.conn, sql, account, id, next_at.micros(), error)?)
    }

    /// Nothing was tried: try at `next_at`, as if it had not been taken.
    pub async fn postpone_delivery(&mut self, id: Uuid, next_at: Timestamp) -> Result<()> {
        let account = self.account().0;
        let sql = "UPDATE outbox SET next_at = $3, attempt = attempt - 1 \
                   WHERE account_id = $1 AND id = $2 AND status = 'pending'";
        found(execute!(self.conn, sql, account, id, next_at.micros())?)
    }

    /// Sending failed for good.
    pub async fn dead_letter_delivery(&mut self, id: Uuid, error: &str) -> Result<()> {
        self.end_delivery(id, "dead", Some(error)).await
    }

    async fn end_delivery(&mut self, id: Uuid, status: &'static str, error: Option<&str>) -> Result<()> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE outbox SET status = $3, last_error = $4, finished_at = $5 \
                   WHERE account_id = $1 AND id = $2 AND status = 'pending'";
        found(execute!(self.conn, sql, account, id, status, error, now)?)
    }
}
