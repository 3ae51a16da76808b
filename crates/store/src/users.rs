use preloop_types::{Timestamp, UserId};

use crate::{Result, Tx, View};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Unique in the account.
    pub username: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// Display name.
    pub full_name: Option<String>,
    /// Whether their credentials work and their votes count.
    pub is_active: bool,
    /// When they were added.
    pub created_at: Timestamp,
}

impl View<'_> {
    /// Every person.
    pub async fn users(&mut self) -> Result<Vec<User>> {
        todo!()
    }
    /// One person.
    pub async fn user(&mut self, _id: UserId) -> Result<Option<User>> {
        todo!()
    }
}

impl Tx<'_> {
    /// Adds a person.
    pub async fn insert_user(&mut self, _user: &User) -> Result<()> {
        todo!()
    }
    /// Replaces a person's row.
    pub async fn update_user(&mut self, _user: &User) -> Result<()> {
        todo!()
    }
}
