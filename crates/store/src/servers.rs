use preloop_types::{
    ServerId, Timestamp,
    config::{Server, ServerFacts, ServerStatus},
};
use uuid::Uuid;

use crate::{
    Result, SecretOwner, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, from_json, json, micros, opt_from_json, opt_json, row, word},
};

row! {
    struct ServerRow {
        id: Uuid, slug: String, name: String, transport: String, auth: String, settings: String, status: String,
        last_scan_at: Option<i64>, last_error: Option<String>, facts: Option<String>, created_at: i64,
        updated_at: i64,
    }
}

impl ServerRow {
    fn into_server(self) -> Result<Server> {
        Ok(Server {
            id: ServerId(self.id),
            slug: self.slug,
            name: self.name,
            transport: from_json(&self.transport)?,
            auth: from_json(&self.auth)?,
            settings: from_json(&self.settings)?,
            status: word(ServerStatus::parse, &self.status)?,
            last_scan_at: self.last_scan_at.map(at),
            last_error: self.last_error,
            facts: opt_from_json(self.facts.as_deref())?,
            created_at: at(self.created_at),
            updated_at: at(self.updated_at),
        })
    }
}

impl View<'_> {
    /// Every server, by name.
    pub async fn servers(&mut self) -> Result<Vec<Server>> {
        let account = self.account().0;
        let sql = "SELECT * FROM servers WHERE account_id = $1 ORDER BY name";
        fetch_all!(self.conn, ServerRow, sql, account)?.into_iter().map(ServerRow::into_server).collect()
    }

    /// One server.
    pub async fn server(&mut self, id: ServerId) -> Result<Option<Server>> {
        let account = self.account().0;
        let sql = "SELECT * FROM servers WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, ServerRow, sql, account, id.0)?.map(ServerRow::into_server).transpose()
    }
}

impl Tx<'_> {
    /// Adds a server.
    pub async fn insert_server(&mut self, server: &Server) -> Result<()> {
        let sql = "INSERT INTO servers (account_id, id, slug, name, transport, auth, settings, status, last_scan_at, \
                   last_error, facts, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        self.put_server(sql, server).await.map(drop)
    }

    /// Replaces a server's row; its slug and when it was added stay.
    pub async fn update_server(&mut self, server: &Server) -> Result<()> {
        let sql = "UPDATE servers SET name = $4, transport = $5, auth = $6, settings = $7, status = $8, \
                   last_scan_at = $9, last_error = $10, facts = $11, updated_at = $13 \
                   WHERE account_id = $1 AND id = $2 AND slug = $3 AND created_at = $12";
        found(self.put_server(sql, server).await?)
    }

    async fn put_server(&mut self, sql: &'static str, server: &Server) -> Result<u64> {
        self.config_changed();
        let account = self.account().0;
        execute!(
            self.conn,
            sql,
            account,
            server.id.0,
            &server.slug[..],
            &server.name[..],
            json(&server.transport)?,
            json(&server.auth)?,
            json(&server.settings)?,
            server.status.as_str(),
            micros(server.last_scan_at),
            server.last_error.as_deref(),
            opt_json(server.facts.as_ref())?,
            server.created_at.micros(),
            server.updated_at.micros()
        )
    }

    /// Removes a server with its tools, its secrets and the configuration of its tools.
    pub async fn delete_server(&mut self, id: ServerId) -> Result<()> {
        self.config_changed();
        let account = self.account().0;
        found(execute!(self.conn, "DELETE FROM servers WHERE account_id = $1 AND id = $2", account, id.0)?)?;
        let sql = "DELETE FROM tool_configs WHERE account_id = $1 AND source = $2";
        execute!(self.conn, sql, account, id.to_string())?;
        self.delete_secrets(SecretOwner::Server(id)).await
    }

    /// Notes how a scan or call went. `None` leaves `facts` and `scanned_at` as they were.
    pub async fn set_server_state(
        &mut self,
        id: ServerId,
        status: ServerStatus,
        last_error: Option<&str>,
        facts: Option<&ServerFacts>,
        scanned_at: Option<Timestamp>,
    ) -> Result<()> {
        self.config_changed();
        let account = self.account().0;
        let sql = "UPDATE servers SET status = $3, last_error = $4, facts = COALESCE($5, facts), \
                   last_scan_at = COALESCE($6, last_scan_at) WHERE account_id = $1 AND id = $2";
        found(execute!(
            self.conn,
            sql,
            account,
            id.0,
            status.as_str(),
            last_error,
            opt_json(facts)?,
            micros(scanned_at)
        )?)
    }
}
