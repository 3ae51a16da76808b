use std::sync::Arc;

use futures::future::BoxFuture;
use preloop_types::{AccountId, ApprovalId, Entry, Hash, KeyId, Timestamp, WriterId};
use tokio::sync::broadcast;

use crate::{
    AccountStore, Clock, Delivery, Event, FoundKey, JournalStats, Keys, McpSession, NewOwner, Owner, Receipt, Result,
    Sealer, TokenGrant, Tx,
};

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `sqlite:///path/to/file.db` or `postgres://…`.
    pub url: String,
    /// Derived from the instance key.
    pub keys: Keys,
    /// This process's chain in every journal; the same across its restarts.
    pub writer: WriterId,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

/// The database of one instance. Cheap to clone.
#[derive(Clone)]
pub struct Store;

impl Store {
    /// Connects, migrates, starts the writer.
    pub async fn open(_options: StoreOptions) -> Result<Self> {
        todo!()
    }
    /// Where the time comes from.
    pub fn clock(&self) -> &dyn Clock {
        todo!()
    }
    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.clock().now()
    }
    /// What is committed from now on, here and on other nodes.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        todo!()
    }
    /// The data of one account.
    pub fn account(&self, _id: AccountId) -> AccountStore {
        todo!()
    }
    /// Runs `work` in the next group commit; returns once that is durable. An error rolls back this
    /// work only. Dropping the future does not stop a work that is already queued.
    pub async fn write<T: Send + 'static>(
        &self,
        _account: AccountId,
        _work: impl for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T>> + Send + 'static,
    ) -> Result<T> {
        todo!()
    }
    /// Appends one record; it is durable when this returns.
    pub async fn append(&self, _entry: Entry) -> Result<Receipt> {
        todo!()
    }
    /// Writes what is queued, signs a last checkpoint and closes the connections.
    pub async fn close(&self) {
        todo!()
    }
    /// How much the journal has written since the store was opened.
    pub fn journal_stats(&self) -> JournalStats {
        todo!()
    }
    /// The public half of the key that signs checkpoints.
    pub fn signing_public(&self) -> [u8; 32] {
        todo!()
    }
    /// The key of that hash, revoked and expired ones too, with its owner.
    pub async fn find_key(&self, _hash: &Hash) -> Result<Option<FoundKey>> {
        todo!()
    }
    /// Notes that a key was used; written later, in bulk.
    pub fn touch_key(&self, _id: KeyId) {
        todo!()
    }
    /// Every account.
    pub async fn accounts(&self) -> Result<Vec<AccountId>> {
        todo!()
    }
    /// Makes the first account with its owner and default workflow; `None` if there is an account.
    pub async fn bootstrap(&self, _owner: NewOwner) -> Result<Option<Owner>> {
        todo!()
    }
    /// What seals the secrets of one account.
    pub async fn sealer(&self, _account: AccountId) -> Result<Sealer> {
        todo!()
    }
    /// Encrypts `plain` so that it opens only in this account and context.
    pub async fn seal(&self, account: AccountId, context: &str, plain: &[u8]) -> Result<Vec<u8>> {
        Ok(self.sealer(account).await?.seal(context, plain))
    }
    /// Decrypts what [`Store::seal`] made for the same account and context.
    pub async fn open_sealed(&self, account: AccountId, context: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        self.sealer(account).await?.open(context, sealed)
    }
    /// The request a link leads to. Unscoped: a link comes before the account is known.
    pub async fn approval_by_token(&self, _id: ApprovalId, _token_hash: &Hash) -> Result<Option<TokenGrant>> {
        todo!()
    }
    /// Accounts with a request past its deadline or an execution past its lease.
    pub async fn due_approvals(&self, _now: Timestamp) -> Result<Vec<AccountId>> {
        todo!()
    }
    /// Takes deliveries that are due, each for one minute.
    pub async fn claim_deliveries(&self, _now: Timestamp, _limit: u32) -> Result<Vec<Delivery>> {
        todo!()
    }
    /// Keeps a session of an MCP client.
    pub async fn put_mcp_session(&self, _session: &McpSession) -> Result<()> {
        todo!()
    }
    /// The session, if it is this account's.
    pub async fn get_mcp_session(&self, _account: AccountId, _id: &str) -> Result<Option<McpSession>> {
        todo!()
    }
    /// Notes that a session was used; written later, in bulk.
    pub fn touch_mcp_session(&self, _account: AccountId, _id: &str) {
        todo!()
    }
    /// Ends a session.
    pub async fn delete_mcp_session(&self, _account: AccountId, _id: &str) -> Result<()> {
        todo!()
    }
    /// Ends sessions last seen before `before`; how many.
    pub async fn delete_stale_mcp_sessions(&self, _before: Timestamp) -> Result<u64> {
        todo!()
    }
}
