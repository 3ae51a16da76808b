//! Fresh databases of both kinds for tests.

use std::sync::Arc;

use crate::{ManualClock, Store};

/// A store of its own, gone when dropped.
pub struct TestStore;

impl TestStore {
    /// The clock the store runs by.
    pub fn clock(&self) -> &Arc<ManualClock> {
        todo!()
    }
}

impl std::ops::Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        todo!()
    }
}

/// A fresh SQLite store.
pub async fn fresh_sqlite() -> TestStore {
    todo!()
}

/// A fresh PostgreSQL store; `None` where there is no PostgreSQL.
pub async fn fresh_postgres() -> Option<TestStore> {
    todo!()
}
