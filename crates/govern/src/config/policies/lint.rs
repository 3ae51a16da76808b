//! What is odd about a document that could be applied.

use preloop_policy::{
    document::{self, Document, LookUp},
    lint::{Against, Linted, lint},
};
use preloop_types::Principal;

use super::{Config, KnownTool, Result, unread};

/// What to lint.
#[derive(Debug, Clone, Default)]
pub struct LintRequest {
    /// The document, YAML or JSON.
    pub text: String,
    /// Compare it with what the account has.
    pub against_active: bool,
    /// As if applied with pruning.
    pub prune: bool,
}

impl Config {
    /// Lints a document: rules that never decide, rules in each other's way, calls that would get
    /// further than they do now. Fails on one that is not valid.
    pub async fn lint_policy(&self, who: &Principal, request: LintRequest) -> Result<Vec<Linted>> {
        let rows = self.rows(who.account).await?;
        let tools = self.tools(who.account, &rows.servers).await?;
        // What is wrong is said as everywhere.
        let read = self.read(&request.text, Some(rows.known()), Vec::new(), false).await?;
        read.document(|_, _| true)?;
        let now = self.store.now();
        let linting = tokio::task::spawn_blocking(move || {
            let known = rows.known();
            let nothing: Option<&LookUp> = None;
            let report = document::read(&request.text, document::Options { known: Some(&known), variables: nothing });
            let schemas: Vec<_> = tools.iter().filter_map(KnownTool::schema).collect();
            let active = request.against_active.then(|| Document::from_rows(&rows.borrow(), "active", now));
            let against = Against { tools: &schemas, active: active.as_ref(), prune: request.prune };
            let document = report.document?;
            Some(lint(&document, &report.source, against, now))
        });
        let findings = linting.await.ok().flatten().ok_or_else(unread)?;
        Ok(findings.into_iter().map(Linted::from).collect())
    }
}
