//! Recorded calls, decided anew by a document that could be applied.

use std::{borrow::Cow, sync::Arc};

use preloop_policy::{
    Sandbox,
    document::Document,
    replay::{self, CHANGES_MAX, Directory, Record, Report},
};
use preloop_store::DecidedCall;
use preloop_types::{Principal, Timestamp};

use super::{Config, ConfigError, OwnedRows, Result, problem, unread};

/// Calls read and decided at once.
const PAGE: u32 = 5_000;

/// What to decide anew.
#[derive(Debug, Clone)]
pub struct ReplayRequest {
    /// The document, YAML or JSON.
    pub text: String,
    /// As if applied with pruning.
    pub prune: bool,
    /// Calls from then on; all when absent.
    pub since: Option<Timestamp>,
    /// Calls before then; up to now when absent.
    pub until: Option<Timestamp>,
    /// At most so many, the newest.
    pub limit: u64,
}

impl Config {
    /// Decides recorded calls anew by the account as it would be with a document applied. Writes
    /// nothing.
    pub async fn replay_policy(&self, who: &Principal, request: ReplayRequest) -> Result<Report> {
        let rows = self.rows(who.account).await?;
        let read = self.read(&request.text, Some(rows.known()), Vec::new(), false).await?;
        let (document, _) = read.document(|_, _| true)?;
        let directory = Arc::new(self.directory(who, &rows).await?);
        let sandbox = Arc::new(self.sandbox(who, rows, document, request.prune).await?);
        let calls = self.store.account(who.account);
        let since = request.since.unwrap_or(Timestamp::from_micros(i64::MIN));
        let until = request.until.unwrap_or(Timestamp::from_micros(i64::MAX));
        let (mut report, mut left, mut after) = (Report::default(), request.limit, None);
        while left > 0 {
            let limit = u32::try_from(left).unwrap_or(u32::MAX).min(PAGE);
            let page = calls.decided_calls(since, until, after, limit).await?;
            let Some(last) = page.last() else { break };
            (after, left) = (Some(last.place), left.saturating_sub(page.len() as u64));
            let (sandbox, directory) = (sandbox.clone(), directory.clone());
            let deciding = tokio::task::spawn_blocking(move || {
                let records: Vec<Record<'_>> = page.iter().map(record).collect();
                replay::run(&sandbox, &directory, &records, CHANGES_MAX)
            });
            report.merge(deciding.await.map_err(|_| unread())?, CHANGES_MAX);
        }
        Ok(report)
    }

    /// The account as it would be.
    async fn sandbox(&self, who: &Principal, rows: OwnedRows, document: Document, prune: bool) -> Result<Sandbox> {
        let governance = self.store.account(who.account).subject_governance().await?;
        let now = self.store.now();
        let compiling =
            tokio::task::spawn_blocking(move || Sandbox::applied(&rows.borrow(), &governance, &document, prune, now));
        let compiled = compiling.await.map_err(|_| unread())?;
        compiled.map_err(|problems| ConfigError::Policy {
            errors: problems.iter().map(problem).collect(),
            warnings: Vec::new(),
        })
    }

    async fn directory(&self, who: &Principal, rows: &OwnedRows) -> Result<Directory> {
        let mut directory = Directory {
            account: Some(who.account),
            users: rows.users.iter().cloned().collect(),
            ..Directory::default()
        };
        for key in self.store.account(who.account).keys().await? {
            // Of an agent's keys, the newest tells what it is now.
            if let Some(agent) = key.agent {
                directory.agents.entry(agent.id).or_insert(agent);
            }
        }
        for tool in self.tools(who.account, &rows.servers).await? {
            let Some(server) = rows.servers.iter().find(|server| server.id == tool.tool.server_id) else { continue };
            let of_server = directory.discovered.entry(server.slug.clone()).or_default();
            of_server.insert(tool.tool.upstream_name, tool.tool.discovered_at);
        }
        Ok(directory)
    }
}

fn record(call: &DecidedCall) -> Record<'_> {
    Record {
        kind: call.kind,
        call: call.call,
        at: call.at,
        subject: call.subject,
        body: Cow::Borrowed(&call.body),
        payload: call.payload.as_deref().map(Cow::Borrowed),
    }
}
