//! Leaves to make a call again without asking. What is left of one is in its row, and taken by one
//! conditional update: on any number of nodes its bounds hold.

use preloop_types::{
    AgentId, Amount, ApprovalId, GrantedArguments, KeyId, ServerId, SpendLimit, StandingGrant, StandingGrantId,
    Timestamp, ToolRef, UserId, WorkflowId, config::SubjectRef,
};
use uuid::Uuid;

use crate::{
    Error, Result, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, hash, row, small},
};

/// Most that are read at once.
const PAGE_MAX: i64 = 1000;

row! {
    struct StandingRow {
        id: Uuid, user_id: Uuid, workflow_id: Uuid, subject_type: String, subject_id: Uuid, server_id: Option<Uuid>,
        server: String, tool_name: String, exposed_name: String, definition_hash: Vec<u8>, args_hash: Option<Vec<u8>>,
        expression: Option<String>, uses_max: i64, uses: i64, spend_argument: Option<String>, spend_max: Option<i64>,
        spent: i64, reason: Option<String>, approval_id: Option<Uuid>, created_at: i64, expires_at: i64,
        last_used_at: Option<i64>, revoked_at: Option<i64>, revoked_by: Option<Uuid>,
    }
}

impl StandingRow {
    fn into_grant(self) -> Result<StandingGrant> {
        let damaged = |what: &str| Error::Damaged(format!("a standing grant {what}"));
        Ok(StandingGrant {
            id: StandingGrantId(self.id),
            user: UserId(self.user_id),
            workflow: WorkflowId(self.workflow_id),
            subject: match self.subject_type.as_str() {
                "key" => SubjectRef::Key(KeyId(self.subject_id)),
                "agent" => SubjectRef::Agent(AgentId(self.subject_id)),
                _ => return Err(damaged("of nobody")),
            },
            tool: ToolRef {
                id: None,
                server_id: self.server_id.map(ServerId),
                server: self.server.into(),
                name: self.tool_name.into(),
                exposed: self.exposed_name.into(),
                definition: hash(&self.definition_hash)?,
            },
            arguments: match (self.args_hash, self.expression) {
                (Some(same), _) => GrantedArguments::Same(hash(&same)?),
                (None, Some(text)) => GrantedArguments::Where(text),
                (None, None) => return Err(damaged("for no arguments")),
            },
            uses_max: small(self.uses_max)?,
            uses: small(self.uses)?,
            spend: match (self.spend_argument, self.spend_max) {
                (Some(argument), Some(max)) => Some(SpendLimit { argument, max: Amount(max) }),
                _ => None,
            },
            spent: Amount(self.spent),
            reason: self.reason,
            approval: self.approval_id.map(ApprovalId),
            created_at: at(self.created_at),
            expires_at: at(self.expires_at),
            last_used_at: self.last_used_at.map(at),
            revoked_at: self.revoked_at.map(at),
            revoked_by: self.revoked_by.map(UserId),
        })
    }
}

impl View<'_> {
    /// Standing grants, oldest first: those that are not over by time or by hand at `now`, or all.
    pub async fn standing_grants(&mut self, live_at: Option<Timestamp>) -> Result<Vec<StandingGrant>> {
        let account = self.account().0;
        let sql = "SELECT * FROM standing_grants WHERE account_id = $1 \
                   AND ($2 IS NULL OR (revoked_at IS NULL AND expires_at > $2)) ORDER BY created_at, id LIMIT $3";
        let live_at = live_at.map(Timestamp::micros);
        let rows = fetch_all!(self.conn, StandingRow, sql, account, live_at, PAGE_MAX)?;
        rows.into_iter().map(StandingRow::into_grant).collect()
    }

    /// One standing grant, over or not.
    pub async fn standing_grant(&mut self, id: StandingGrantId) -> Result<Option<StandingGrant>> {
        let account = self.account().0;
        let sql = "SELECT * FROM standing_grants WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, StandingRow, sql, account, id.0)?.map(StandingRow::into_grant).transpose()
    }
}

impl Tx<'_> {
    /// Gives a leave.
    pub async fn insert_standing_grant(&mut self, grant: &StandingGrant) -> Result<()> {
        self.config_changed();
        self.user(grant.user).await?.ok_or(Error::NotFound)?;
        let account = self.account().0;
        let (subject_type, subject) = match grant.subject {
            SubjectRef::Key(id) => ("key", id.0),
            SubjectRef::Agent(id) => ("agent", id.0),
        };
        let (same, expression) = match &grant.arguments {
            GrantedArguments::Same(same) => (Some(same.0.to_vec()), None),
            GrantedArguments::Where(text) => (None, Some(&text[..])),
        };
        let sql = "INSERT INTO standing_grants (account_id, id, user_id, workflow_id, subject_type, subject_id, \
                   server_id, server, tool_name, exposed_name, definition_hash, args_hash, expression, uses_max, uses, \
                   spend_argument, spend_max, spent, reason, approval_id, created_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, $15, $16, 0, $17, $18, $19, \
                   $20)";
        execute!(
            self.conn,
            sql,
            account,
            grant.id.0,
            grant.user.0,
            grant.workflow.0,
            subject_type,
            subject,
            grant.tool.server_id.map(|id| id.0),
            &grant.tool.server[..],
            &grant.tool.name[..],
            &grant.tool.exposed[..],
            &grant.tool.definition.0[..],
            same,
            expression,
            i64::from(grant.uses_max),
            grant.spend.as_ref().map(|spend| &spend.argument[..]),
            grant.spend.as_ref().map(|spend| spend.max.0),
            grant.reason.as_deref(),
            grant.approval.map(|id| id.0),
            grant.created_at.micros(),
            grant.expires_at.micros()
        )?;
        Ok(())
    }

    /// Takes one call's worth out of a leave; false if it has no room for it, or is over.
    pub async fn use_standing_grant(&mut self, id: StandingGrantId, amount: Amount) -> Result<bool> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE standing_grants SET uses = uses + 1, spent = spent + $3, last_used_at = $4 \
                   WHERE account_id = $1 AND id = $2 AND revoked_at IS NULL AND expires_at > $4 AND uses < uses_max \
                   AND (spend_max IS NULL OR spent + $3 <= spend_max)";
        Ok(execute!(self.conn, sql, account, id.0, amount.0, now)? > 0)
    }

    /// Takes a leave back; false if it is over.
    pub async fn revoke_standing_grant(&mut self, id: StandingGrantId, by: UserId) -> Result<bool> {
        self.config_changed();
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE standing_grants SET revoked_at = $3, revoked_by = $4 \
                   WHERE account_id = $1 AND id = $2 AND revoked_at IS NULL AND expires_at > $3";
        Ok(execute!(self.conn, sql, account, id.0, now, by.0)? > 0)
    }
}
