use preloop_store::Store;

/// People, and how they prove who they are. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    store: Store,
}

impl Identity {
    /// People of `store`.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The store behind it.
    pub fn store(&self) -> &Store {
        &self.store
    }
}
