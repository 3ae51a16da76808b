//! Who somebody in a chat is here, and the clicks that were counted.

use std::time::Duration;

use preloop_types::{Hash, Timestamp, UserId};
use uuid::Uuid;

use crate::{
    Error, Result, Store, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, row},
};

/// A click is remembered for longer than its signature is accepted.
const REMEMBERED: Duration = Duration::from_mins(15);

/// Somebody in a chat, and who that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatLink {
    /// `slack`, `mattermost`.
    pub provider: String,
    /// The workspace, by its id there.
    pub team: String,
    /// Their id there.
    pub chat_user: String,
    /// Their name there when this was made.
    pub chat_name: String,
    /// Who they are here.
    pub user: UserId,
    /// When this was made.
    pub created_at: Timestamp,
}

row! {
    struct ChatRow {
        provider: String, team: String, chat_user: String, chat_name: String, user_id: Uuid, created_at: i64,
    }
}

impl ChatRow {
    fn into_link(self) -> ChatLink {
        let Self { provider, team, chat_user, chat_name, user_id, created_at } = self;
        ChatLink { provider, team, chat_user, chat_name, user: UserId(user_id), created_at: at(created_at) }
    }
}

impl Store {
    /// Notes a click by the hash of its signature; false if it was seen before.
    pub async fn first_click(&self, signature: Hash) -> Result<bool> {
        self.write_any(move |tx| {
            Box::pin(async move {
                let now = tx.now().micros();
                let long_ago = now - i64::try_from(REMEMBERED.as_micros()).unwrap_or(i64::MAX);
                execute!(tx.conn, "DELETE FROM chat_clicks WHERE at < $1", long_ago)?;
                let sql = "INSERT INTO chat_clicks (hash, at) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING";
                Ok(execute!(tx.conn, sql, &signature.0[..], now)? > 0)
            })
        })
        .await
    }
}

impl View<'_> {
    /// Who people are in chats; of one person, or of everybody.
    pub async fn chat_links(&mut self, user: Option<UserId>) -> Result<Vec<ChatLink>> {
        let account = self.account().0;
        let sql = "SELECT * FROM chat_links WHERE account_id = $1 AND ($2 IS NULL OR user_id = $2) \
                   ORDER BY provider, team, chat_user";
        let rows = fetch_all!(self.conn, ChatRow, sql, account, user.map(|id| id.0))?;
        Ok(rows.into_iter().map(ChatRow::into_link).collect())
    }

    /// Who somebody in a chat is here.
    pub async fn chat_link(&mut self, provider: String, team: String, chat_user: String) -> Result<Option<ChatLink>> {
        let account = self.account().0;
        let sql = "SELECT * FROM chat_links WHERE account_id = $1 AND provider = $2 AND team = $3 AND chat_user = $4";
        let row = fetch_optional!(self.conn, ChatRow, sql, account, provider, team, chat_user)?;
        Ok(row.map(ChatRow::into_link))
    }
}

impl Tx<'_> {
    /// Says who somebody in a chat is here; whoever they were before, they are no more.
    pub async fn put_chat_link(&mut self, link: &ChatLink) -> Result<()> {
        self.user(link.user).await?.ok_or(Error::NotFound)?;
        let account = self.account().0;
        let sql = "INSERT INTO chat_links (account_id, provider, team, chat_user, chat_name, user_id, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (account_id, provider, team, chat_user) \
                   DO UPDATE SET chat_name = excluded.chat_name, user_id = excluded.user_id, \
                   created_at = excluded.created_at";
        let ChatLink { provider, team, chat_user, chat_name, user, created_at } = link;
        execute!(
            self.conn,
            sql,
            account,
            &provider[..],
            &team[..],
            &chat_user[..],
            &chat_name[..],
            user.0,
            created_at.micros()
        )?;
        Ok(())
    }

    /// Forgets who somebody in a chat is here, of one person's; false if there is no such link.
    pub async fn delete_chat_link(&mut self, user: UserId, provider: &str, chat_user: &str) -> Result<bool> {
        let account = self.account().0;
        let sql = "DELETE FROM chat_links WHERE account_id = $1 AND user_id = $2 AND provider = $3 AND chat_user = $4";
        Ok(execute!(self.conn, sql, account, user.0, provider, chat_user)? > 0)
    }
}
