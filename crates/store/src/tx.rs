use std::ops::{Deref, DerefMut};

use preloop_types::{Entry, Timestamp};

use crate::{Error, Event, LedgerLine, Result, View, journal::Prepared, seal::INSTANCE};

/// One work inside a group commit: reads (those of [`View`]), mutations, journal records and events.
/// Nothing of it is seen outside before [`crate::Store::write`] returns.
pub struct Tx<'c> {
    view: View<'c>,
    now: Timestamp,
    entries: Vec<(Entry, LedgerLine)>,
    events: Vec<Event>,
}

impl<'c> Tx<'c> {
    pub(crate) fn new(view: View<'c>, now: Timestamp) -> Self {
        Self { view, now, entries: Vec::new(), events: Vec::new() }
    }

    /// The time of this work.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Adds a record to the journal, in this transaction. It has to be about this work's account.
    pub fn record(&mut self, entry: Entry) {
        self.record_with(entry, LedgerLine::default());
    }

    /// Adds a record to the journal, and what it means for the ledger.
    pub fn record_with(&mut self, entry: Entry, line: LedgerLine) {
        self.entries.push((entry, line));
    }

    /// Tells every node once this is committed. Mutations tell of themselves; telling twice is telling once.
    pub fn emit(&mut self, event: Event) {
        if !self.events.contains(&event) {
            self.events.push(event);
        }
    }

    /// Configuration changed.
    pub(crate) fn config_changed(&mut self) {
        self.emit(Event::ConfigChanged(self.account()));
    }

    /// Keys or users changed.
    pub(crate) fn keys_changed(&mut self) {
        self.emit(Event::KeysChanged(self.account()));
    }

    /// Puts into the outbox what event webhooks are told of what this work recorded.
    async fn tell_of_entries(&mut self) -> Result<()> {
        if self.account() == INSTANCE || self.entries.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(&mut self.entries);
        let told = self.tell_events(&entries.iter().map(|(entry, _)| entry).collect::<Vec<_>>()).await;
        self.entries = entries;
        told
    }

    /// What the work wants recorded, ready to be chained, and told.
    pub(crate) async fn into_effects(mut self) -> Result<(Vec<Prepared>, Vec<Event>)> {
        let account = self.account();
        self.tell_of_entries().await?;
        let mut prepared = Vec::with_capacity(self.entries.len());
        for (entry, line) in std::mem::take(&mut self.entries) {
            if account != INSTANCE && entry.account != account {
                return Err(Error::Invalid("a journal record is about another account than its work".to_owned()));
            }
            let sealer = self.view.sealer_of(entry.account).await?;
            prepared.push(Prepared::new(entry, line, &sealer)?);
        }
        Ok((prepared, self.events))
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
