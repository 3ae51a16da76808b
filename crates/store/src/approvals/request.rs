use preloop_types::{AccountId, ApprovalId, Timestamp};
use uuid::Uuid;

use super::{
    Approval, ApprovalFilter, Joined, NewApproval,
    rows::{ApprovalRow, arguments_context, dedupe_key, preview_context},
};
use crate::{
    Error, Event, Result, Store, Tx, View,
    db::{execute, fetch_all, fetch_optional, json},
};

/// Most requests of one page, or of one sweep.
const PAGE_MAX: u32 = 1000;
pub(super) const SWEEP_MAX: i64 = 100;

impl Store {
    /// Approved requests that nobody has begun to carry out and that may still be, oldest first.
    pub async fn ready_approvals(&self, now: Timestamp) -> Result<Vec<(AccountId, ApprovalId)>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT account_id, id FROM approvals WHERE status = 'approved' AND execution = 'none' \
                   AND execute_before > $1 ORDER BY execute_before LIMIT $2";
        let rows = fetch_all!(conn, (Uuid, Uuid), sql, now.micros(), SWEEP_MAX)?;
        Ok(rows.into_iter().map(|(account, id)| (AccountId(account), ApprovalId(id))).collect())
    }
}

impl View<'_> {
    /// One request.
    pub async fn approval(&mut self, id: ApprovalId) -> Result<Option<Approval>> {
        let account = self.account().0;
        let sql = "SELECT * FROM approvals WHERE account_id = $1 AND id = $2";
        let row = fetch_optional!(self.conn, ApprovalRow, sql, account, id.0)?;
        self.read_approval(row).await
    }

    /// Requests, newest first.
    pub async fn approvals(&mut self, filter: ApprovalFilter) -> Result<Vec<Approval>> {
        let account = self.account().0;
        // A text to search in, because the two databases bind lists differently.
        let statuses = filter.status.iter().fold(String::new(), |all, status| all + "," + status.as_str() + ",");
        let sql = "SELECT * FROM approvals WHERE account_id = $1 AND ($2 = '' OR $2 LIKE '%,' || status || ',%') \
                   AND ($3 IS NULL OR key_id = $3) ORDER BY requested_at DESC, id DESC LIMIT $4 OFFSET $5";
        let (limit, skip) = (i64::from(filter.limit.min(PAGE_MAX)), i64::from(filter.skip));
        let key = filter.requester_key.map(|id| id.0);
        let rows = fetch_all!(self.conn, ApprovalRow, sql, account, &statuses[..], key, limit, skip)?;
        self.read_approvals(rows).await
    }

    /// The call of this tool that was approved last.
    pub async fn last_approved(&mut self, tool: preloop_types::ToolRef) -> Result<Option<Approval>> {
        let account = self.account().0;
        let server = tool.server_id.map_or(Uuid::nil(), |id| id.0);
        let sql = "SELECT * FROM approvals WHERE account_id = $1 AND tool_name = $2 AND server_id = $3 \
                   AND status = 'approved' ORDER BY requested_at DESC LIMIT 1";
        let row = fetch_optional!(self.conn, ApprovalRow, sql, account, &tool.name[..], server)?;
        self.read_approval(row).await
    }

    /// Refuses another tenant's request like one that does not exist.
    pub(crate) async fn approval_exists(&mut self, id: ApprovalId) -> Result<()> {
        let account = self.account().0;
        let sql = "SELECT requested_at FROM approvals WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, (i64,), sql, account, id.0)?.map(drop).ok_or(Error::NotFound)
    }
}

impl Tx<'_> {
    /// Makes a request, or joins the open one for the same credential, session, tool, definition and
    /// arguments: one that is pending, or approved and neither delivered nor out of time.
    pub async fn insert_or_join_approval(&mut self, new: &NewApproval) -> Result<Joined> {
        let (account, now) = (self.account(), self.now());
        let dedupe = dedupe_key(account, new);
        let release = "UPDATE approvals SET dedupe_key = NULL WHERE account_id = $1 AND dedupe_key = $2 AND ( \
                       (status = 'pending' AND expires_at <= $3 \
                       AND (escalated_at IS NOT NULL OR escalate_to = '[]')) OR \
                       (status = 'approved' AND execution <> 'claimed' AND execute_before <= $3))";
        execute!(self.conn, release, account.0, &dedupe.0[..], now.micros())?;
        // Another node may close the open request between the two statements; then there is room again.
        for _ in 0..3 {
            if self.insert_approval(new, &dedupe.0).await? {
                self.emit(Event::ApprovalChanged { account, id: new.id });
                let approval = self.approval(new.id).await?.ok_or(Error::NotFound)?;
                return Ok(Joined { approval, created: true });
            }
            let sql = "SELECT * FROM approvals WHERE account_id = $1 AND dedupe_key = $2";
            let row = fetch_optional!(self.conn, ApprovalRow, sql, account.0, &dedupe.0[..])?;
            if let Some(approval) = self.read_approval(row).await? {
                return Ok(Joined { approval, created: false });
            }
        }
        Err(Error::Busy)
    }

    async fn insert_approval(&mut self, new: &NewApproval, dedupe: &[u8]) -> Result<bool> {
        let (account, now) = (self.account().0, self.now());
        let sealer = self.sealer().await?;
        let arguments = sealer.seal(&arguments_context(new.id), new.arguments.get().as_bytes());
        let preview = new.preview.as_ref().map(|text| sealer.seal(&preview_context(new.id), text.as_bytes()));
        let window = i64::try_from(new.window.as_micros()).unwrap_or(i64::MAX);
        let execute_within = i64::try_from(new.execute_within.as_micros()).unwrap_or(i64::MAX);
        let sql = "INSERT INTO approvals (account_id, id, call_id, workflow_id, workflow_name, tool_id, server_id, \
                   server, tool_name, exposed_name, definition_hash, key_id, user_id, agent_id, session_id, client, \
                   args_hash, arguments, justification, status, approvals_required, approvers, require_reason, \
                   async_mode, requested_at, expires_at, execute_within, policy_version, rule_context, shown_hash, \
                   votes, execution, attempt, dedupe_key, excluded, escalate_to, time_window, preview) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
                   'pending', $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, '[]', 'none', 0, $30, $31, $32, $33, $34) \
                   ON CONFLICT (dedupe_key) DO NOTHING";
        let rows = execute!(
            self.conn,
            sql,
            account,
            new.id.0,
            new.call.0,
            new.workflow.0,
            &new.workflow_name[..],
            new.tool.id.map(|id| id.0),
            new.tool.server_id.map(|id| id.0),
            &new.tool.server[..],
            &new.tool.name[..],
            &new.tool.exposed[..],
            &new.tool.definition.0[..],
            new.requester.key.0,
            new.requester.user.0,
            new.requester.agent.map(|id| id.0),
            new.requester.session.map(|id| id.0),
            new.requester.client.as_deref(),
            &new.args_hash.0[..],
            arguments,
            new.justification.as_deref(),
            i64::from(new.approvals_required),
            json(&new.approvers)?,
            new.require_reason,
            new.async_mode,
            now.micros(),
            (now + new.window).micros(),
            execute_within,
            &new.policy_version[..],
            new.rule_context.0.get(),
            new.shown_hash.map(|hash| hash.0.to_vec()),
            dedupe,
            json(&new.excluded)?,
            json(&new.escalate_to)?,
            window,
            preview
        )?;
        Ok(rows > 0)
    }
}
