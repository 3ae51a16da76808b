use std::collections::BTreeMap;

use preloop_types::{ServerId, WorkflowId};
use secrecy::SecretString;

use crate::{Result, Tx, View};

/// What a secret belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretOwner {
    /// An upstream server.
    Server(ServerId),
    /// An approval workflow.
    Workflow(WorkflowId),
}

impl View<'_> {
    /// The secrets of one owner, by name.
    pub async fn secrets(&mut self, _owner: SecretOwner) -> Result<BTreeMap<String, SecretString>> {
        todo!()
    }
    /// The names of one owner's secrets.
    pub async fn secret_names(&mut self, _owner: SecretOwner) -> Result<Vec<String>> {
        todo!()
    }
}

impl Tx<'_> {
    /// Keeps a secret, replacing one of that name.
    pub async fn put_secret(&mut self, _owner: SecretOwner, _name: &str, _secret: &SecretString) -> Result<()> {
        todo!()
    }
    /// Forgets a secret; false if there was none.
    pub async fn delete_secret(&mut self, _owner: SecretOwner, _name: &str) -> Result<bool> {
        todo!()
    }
    /// Forgets every secret of an owner.
    pub async fn delete_secrets(&mut self, _owner: SecretOwner) -> Result<()> {
        todo!()
    }
}
