//! What models that review requests make of them: one review a request, asked for by one node at a time.
//!
//! A review is made with its request and survives a restart: whoever asks holds a lease, and another
//! asks again when it ran out. What the review decides is one conditional update of the request.

use preloop_types::{AccountId, ApprovalId, Hash, Timestamp};
use uuid::Uuid;

use crate::{
    Error, Event, Result, Sealer, Store, Tx, View,
    approvals::Approval,
    db::{at, execute, fetch_all, row},
};

/// Most reviews looked for at once.
const OPEN_MAX: i64 = 100;

/// What a model makes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The request.
    pub approval: ApprovalId,
    /// The model's name.
    pub model: String,
    /// How often it was asked.
    pub attempts: u32,
    /// `approve`, `deny` or `uncertain`; absent while it is not done and where there was no answer.
    pub decision: Option<String>,
    /// How sure it is, in thousandths.
    pub confidence_permille: Option<u16>,
    /// Why, or why there is no answer.
    pub reasoning: Option<String>,
    /// What came of it: `approved`, `declined`, `escalated` or `none`; absent while it is not done.
    pub outcome: Option<String>,
    /// When.
    pub reviewed_at: Option<Timestamp>,
}

/// The end of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewEnd {
    /// `approve`, `deny` or `uncertain`; absent where there was no answer.
    pub decision: Option<&'static str>,
    /// How sure, in thousandths.
    pub confidence_permille: Option<u16>,
    /// Why, or why there is no answer; sealed.
    pub reasoning: String,
    /// `approved`, `declined`, `escalated` or `none`.
    pub outcome: &'static str,
}

row! {
    struct ReviewRow {
        approval_id: Uuid, model: String, attempts: i64, decision: Option<String>, confidence_permille: Option<i64>,
        reasoning: Option<Vec<u8>>, outcome: Option<String>, reviewed_at: Option<i64>,
    }
}

fn context(id: ApprovalId) -> String {
    format!("review/{id}")
}

impl Store {
    /// Reviews nobody works on, of requests that are still open.
    pub async fn open_reviews(&self, now: Timestamp) -> Result<Vec<(AccountId, ApprovalId)>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT r.account_id, r.approval_id FROM approval_reviews r JOIN approvals a ON a.id = r.approval_id \
                   WHERE a.status = 'pending' AND (r.state = 'waiting' OR (r.state = 'asking' AND r.lease_until <= $1)) \
                   ORDER BY a.requested_at LIMIT $2";
        let rows = fetch_all!(conn, (Uuid, Uuid), sql, now.micros(), OPEN_MAX)?;
        Ok(rows.into_iter().map(|(account, id)| (AccountId(account), ApprovalId(id))).collect())
    }
}

impl View<'_> {
    /// The review of one request, if it has one.
    pub async fn review(&mut self, id: ApprovalId) -> Result<Option<Review>> {
        Ok(self.reviews(id, id).await?.pop())
    }

    /// The reviews of requests from `first` to `last`.
    pub async fn reviews(&mut self, first: ApprovalId, last: ApprovalId) -> Result<Vec<Review>> {
        let account = self.account().0;
        let sql = "SELECT approval_id, model, attempts, decision, confidence_permille, reasoning, outcome, reviewed_at \
                   FROM approval_reviews WHERE account_id = $1 AND approval_id >= $2 AND approval_id <= $3";
        let rows = fetch_all!(self.conn, ReviewRow, sql, account, first.0, last.0)?;
        let sealer = self.sealer().await?;
        rows.into_iter().map(|row| row.open(&sealer)).collect()
    }
}

impl ReviewRow {
    fn open(self, sealer: &Sealer) -> Result<Review> {
        let id = ApprovalId(self.approval_id);
        let open =
            |sealed: Vec<u8>| String::from_utf8(sealer.open(&context(id), &sealed)?).map_err(|_| Error::Unsealable);
        Ok(Review {
            approval: id,
            model: self.model,
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            decision: self.decision,
            confidence_permille: self.confidence_permille.and_then(|number| u16::try_from(number).ok()),
            reasoning: self.reasoning.map(open).transpose()?,
            outcome: self.outcome,
            reviewed_at: self.reviewed_at.map(at),
        })
    }
}

impl Tx<'_> {
    /// Has a request reviewed.
    pub async fn insert_review(&mut self, id: ApprovalId, model: &str) -> Result<()> {
        let account = self.account().0;
        let sql = "INSERT INTO approval_reviews (approval_id, account_id, state, attempts, model) \
                   VALUES ($1, $2, 'waiting', 0, $3)";
        execute!(self.conn, sql, id.0, account, model)?;
        Ok(())
    }

    /// Takes a review until `until`: whether it is yours. False if somebody has it, or it is done.
    pub async fn claim_review(&mut self, id: ApprovalId, until: Timestamp) -> Result<bool> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE approval_reviews SET state = 'asking', lease_until = $3, attempts = attempts + 1 \
                   WHERE account_id = $1 AND approval_id = $2 \
                   AND (state = 'waiting' OR (state = 'asking' AND lease_until <= $4))";
        Ok(execute!(self.conn, sql, account, id.0, until.micros(), now)? > 0)
    }

    /// Ends a review; false if it was ended before.
    pub async fn finish_review(&mut self, id: ApprovalId, end: &ReviewEnd) -> Result<bool> {
        let (account, now) = (self.account().0, self.now().micros());
        let reasoning = self.sealer().await?.seal(&context(id), end.reasoning.as_bytes());
        let sql = "UPDATE approval_reviews SET state = 'done', lease_until = NULL, decision = $3, \
                   confidence_permille = $4, reasoning = $5, outcome = $6, reviewed_at = $7 \
                   WHERE account_id = $1 AND approval_id = $2 AND state <> 'done'";
        let confidence = end.confidence_permille.map(i64::from);
        Ok(execute!(self.conn, sql, account, id.0, end.decision, confidence, reasoning, end.outcome, now)? > 0)
    }

    /// Resolves a request by its review. Only while nobody voted, in time, and if it is what was
    /// reviewed; `None` otherwise. No vote is cast.
    pub async fn resolve_by_review(
        &mut self,
        id: ApprovalId,
        approve: bool,
        reviewed: Option<Hash>,
        comment: &str,
    ) -> Result<Option<Approval>> {
        let (account, now) = (self.account(), self.now().micros());
        let status = if approve { "approved" } else { "declined" };
        let shown = reviewed.map(|hash| hash.0.to_vec()).unwrap_or_default();
        let sql = "UPDATE approvals SET status = $3, resolved_at = $4, comment = $5, \
                   execute_before = CASE WHEN $3 = 'approved' THEN $4 + execute_within END, \
                   dedupe_key = CASE WHEN $3 = 'declined' THEN NULL ELSE dedupe_key END \
                   WHERE account_id = $1 AND id = $2 AND status = 'pending' AND expires_at > $4 AND votes = '[]' \
                   AND shown_hash = $6";
        if execute!(self.conn, sql, account.0, id.0, status, now, comment, shown)? == 0 {
            return Ok(None);
        }
        self.emit(Event::ApprovalChanged { account, id });
        self.approval(id).await
    }
}
