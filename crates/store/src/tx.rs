use std::ops::{Deref, DerefMut};

use preloop_types::{Entry, Timestamp};

use crate::{Event, View};

/// One work inside a group commit: reads (those of [`View`]), mutations, journal records and events.
/// Nothing of it is seen outside before [`crate::Store::write`] returns.
pub struct Tx<'c> {
    view: View<'c>,
}

impl Tx<'_> {
    /// The time of this work.
    pub fn now(&self) -> Timestamp {
        todo!()
    }
    /// Adds a record to the journal, in this transaction.
    pub fn record(&mut self, _entry: Entry) {
        todo!()
    }
    /// Tells every node once this is committed.
    pub fn emit(&mut self, _event: Event) {
        todo!()
    }
}

impl<'c> Deref for Tx<'c> {
    type Target = View<'c>;

    fn deref(&self) -> &View<'c> {
        &self.view
    }
}

impl<'c> DerefMut for Tx<'c> {
    fn deref_mut(&mut self) -> &mut View<'c> {
        &mut self.view
    }
}
