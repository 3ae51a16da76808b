use preloop_types::config::{Defaults, SubjectGovernance, SubjectRef};

use crate::{Result, Tx, View};

impl View<'_> {
    /// What happens to tools nothing else speaks about.
    pub async fn defaults(&mut self) -> Result<Defaults> {
        todo!()
    }
    /// Rules and switches of agents and keys.
    pub async fn subject_governance(&mut self) -> Result<Vec<(SubjectRef, SubjectGovernance)>> {
        todo!()
    }
}

impl Tx<'_> {
    /// Replaces the defaults.
    pub async fn put_defaults(&mut self, _defaults: &Defaults) -> Result<()> {
        todo!()
    }
    /// Replaces the rules and switches of one subject.
    pub async fn put_subject_governance(&mut self, _subject: SubjectRef, _rules: &SubjectGovernance) -> Result<()> {
        todo!()
    }
}
