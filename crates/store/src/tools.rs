use preloop_types::{
    Hash, ServerId, Timestamp, ToolId,
    config::{PinState, RawJson, Tool},
};
use uuid::Uuid;

use crate::{
    Error, Result, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, from_json, hash, micros, opt_from_json, row, word},
};

/// One definition a tool has had.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolVersion {
    /// Hash of the definition's canonical form.
    pub hash: Hash,
    /// The definition as the server sent it.
    pub definition: RawJson,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
}

/// Something suspicious about a tool's definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Its id.
    pub id: Uuid,
    /// The tool.
    pub tool: ToolId,
    /// What kind of suspicion.
    pub kind: String,
    /// How bad.
    pub severity: String,
    /// For people.
    pub detail: String,
    /// `open`, `accepted`, …
    pub state: String,
}

row! {
    struct ToolRow {
        id: Uuid, server_id: Uuid, upstream_name: String, exposed_name: String, definition: String,
        pinned_hash: Vec<u8>, definition_hash: Vec<u8>, drifted_definition: Option<String>, pin: String,
        discovered_at: i64, last_seen_at: i64, removed_at: Option<i64>,
    }
}

impl ToolRow {
    fn into_tool(self) -> Result<Tool> {
        Ok(Tool {
            id: ToolId(self.id),
            server_id: ServerId(self.server_id),
            upstream_name: self.upstream_name,
            exposed_name: self.exposed_name,
            definition: from_json(&self.definition)?,
            pinned_hash: hash(&self.pinned_hash)?,
            definition_hash: hash(&self.definition_hash)?,
            drifted_definition: opt_from_json(self.drifted_definition.as_deref())?,
            pin: word(PinState::parse, &self.pin)?,
            discovered_at: at(self.discovered_at),
            last_seen_at: at(self.last_seen_at),
            removed_at: self.removed_at.map(at),
        })
    }
}

impl View<'_> {
    /// Every tool, removed ones too, by exposed name.
    pub async fn tools(&mut self) -> Result<Vec<Tool>> {
        let account = self.account().0;
        let sql = "SELECT * FROM tools WHERE account_id = $1 ORDER BY exposed_name";
        fetch_all!(self.conn, ToolRow, sql, account)?.into_iter().map(ToolRow::into_tool).collect()
    }

    /// One tool.
    pub async fn tool(&mut self, id: ToolId) -> Result<Option<Tool>> {
        let account = self.account().0;
        let sql = "SELECT * FROM tools WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, ToolRow, sql, account, id.0)?.map(ToolRow::into_tool).transpose()
    }

    /// The definitions a tool has had, newest first.
    pub async fn tool_versions(&mut self, id: ToolId) -> Result<Vec<ToolVersion>> {
        let account = self.account().0;
        let sql = "SELECT hash, definition, first_seen, last_seen FROM tool_versions \
                   WHERE account_id = $1 AND tool_id = $2 ORDER BY first_seen DESC, last_seen DESC";
        let rows = fetch_all!(self.conn, (Vec<u8>, String, i64, i64), sql, account, id.0)?;
        let version = |(bytes, definition, first_seen, last_seen): (Vec<u8>, String, i64, i64)| {
            Ok(ToolVersion {
                hash: hash(&bytes)?,
                definition: from_json(&definition)?,
                first_seen: at(first_seen),
                last_seen: at(last_seen),
            })
        };
        rows.into_iter().map(version).collect()
    }

    /// Findings about one tool, or all.
    pub async fn tool_findings(&mut self, tool: Option<ToolId>) -> Result<Vec<Finding>> {
        let account = self.account().0;
        let sql = "SELECT id, tool_id, kind, severity, detail, state FROM tool_findings \
                   WHERE account_id = $1 AND ($2 IS NULL OR tool_id = $2) ORDER BY tool_id, id";
        let tool = tool.map(|id| id.0);
        let rows = fetch_all!(self.conn, (Uuid, Uuid, String, String, String, String), sql, account, tool)?;
        let finding = |(id, tool, kind, severity, detail, state)| Finding {
            id,
            tool: ToolId(tool),
            kind,
            severity,
            detail,
            state,
        };
        Ok(rows.into_iter().map(finding).collect())
    }
}

impl Tx<'_> {
    /// Adds a tool.
    pub async fn insert_tool(&mut self, tool: &Tool) -> Result<()> {
        let sql = "INSERT INTO tools (account_id, id, server_id, upstream_name, exposed_name, definition, pinned_hash, \
                   definition_hash, drifted_definition, pin, discovered_at, last_seen_at, removed_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        self.put_tool(sql, tool).await.map(drop)
    }

    /// Replaces a tool's row.
    pub async fn update_tool(&mut self, tool: &Tool) -> Result<()> {
        let sql = "UPDATE tools SET server_id = $3, upstream_name = $4, exposed_name = $5, definition = $6, \
                   pinned_hash = $7, definition_hash = $8, drifted_definition = $9, pin = $10, discovered_at = $11, \
                   last_seen_at = $12, removed_at = $13 WHERE account_id = $1 AND id = $2";
        found(self.put_tool(sql, tool).await?)
    }

    async fn put_tool(&mut self, sql: &'static str, tool: &Tool) -> Result<u64> {
        self.config_changed();
        let account = self.account().0;
        execute!(
            self.conn,
            sql,
            account,
            tool.id.0,
            tool.server_id.0,
            &tool.upstream_name[..],
            &tool.exposed_name[..],
            tool.definition.0.get(),
            &tool.pinned_hash.0[..],
            &tool.definition_hash.0[..],
            tool.drifted_definition.as_ref().map(|json| json.0.get()),
            tool.pin.as_str(),
            tool.discovered_at.micros(),
            tool.last_seen_at.micros(),
            micros(tool.removed_at)
        )
    }

    /// Notes that a tool has this definition now.
    pub async fn record_tool_version(&mut self, tool: ToolId, hash: Hash, definition: &RawJson) -> Result<()> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "INSERT INTO tool_versions (account_id, tool_id, hash, definition, first_seen, last_seen) \
                   VALUES ($1, $2, $3, $4, $5, $5) \
                   ON CONFLICT (account_id, tool_id, hash) DO UPDATE SET last_seen = excluded.last_seen";
        execute!(self.conn, sql, account, tool.0, &hash.0[..], definition.0.get(), now)?;
        Ok(())
    }

    /// Replaces the findings about a tool.
    pub async fn replace_findings(&mut self, tool: ToolId, findings: &[Finding]) -> Result<()> {
        let account = self.account().0;
        self.tool(tool).await?.ok_or(Error::NotFound)?;
        execute!(self.conn, "DELETE FROM tool_findings WHERE account_id = $1 AND tool_id = $2", account, tool.0)?;
        let sql = "INSERT INTO tool_findings (account_id, id, tool_id, kind, severity, detail, state) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        for Finding { id, kind, severity, detail, state, .. } in findings {
            execute!(self.conn, sql, account, *id, tool.0, &kind[..], &severity[..], &detail[..], &state[..])?;
        }
        Ok(())
    }
}
