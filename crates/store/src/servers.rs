use preloop_types::{
    ServerId, Timestamp,
    config::{Server, ServerFacts, ServerStatus},
};

use crate::{Result, Tx, View};

impl View<'_> {
    /// Every server, by name.
    pub async fn servers(&mut self) -> Result<Vec<Server>> {
        todo!()
    }
    /// One server.
    pub async fn server(&mut self, _id: ServerId) -> Result<Option<Server>> {
        todo!()
    }
}

impl Tx<'_> {
    /// Adds a server.
    pub async fn insert_server(&mut self, _server: &Server) -> Result<()> {
        todo!()
    }
    /// Replaces a server's row.
    pub async fn update_server(&mut self, _server: &Server) -> Result<()> {
        todo!()
    }
    /// Removes a server with its tools, secrets and tool configurations.
    pub async fn delete_server(&mut self, _id: ServerId) -> Result<()> {
        todo!()
    }
    /// Notes how a scan or call went. `None` leaves `facts` and `scanned_at` as they were.
    pub async fn set_server_state(
        &mut self,
        _id: ServerId,
        _status: ServerStatus,
        _last_error: Option<&str>,
        _facts: Option<&ServerFacts>,
        _scanned_at: Option<Timestamp>,
    ) -> Result<()> {
        todo!()
    }
}
