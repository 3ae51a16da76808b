use std::sync::Arc;

use preloop_store::{Event, Finding, Store, Tx};
use preloop_types::{
    AccountId, Entry, EntryKind, Hash, Subject, Timestamp, ToolId,
    config::{PinState, Server, ServerFacts, ServerStatus, Tool},
};
use serde_json::{json, value::RawValue};

use crate::upstream::UpstreamError;

use super::pin::{Change, Clash, Plan, ScanReport, plan};

/// Pins and names what a scan listed, in one transaction with the journal. Reads the tools in that
/// transaction too, so that scans of two servers cannot give one name away twice.
pub(crate) async fn store_scan(
    store: &Store,
    account: AccountId,
    server: &Server,
    facts: ServerFacts,
    listed: Vec<Arc<RawValue>>,
) -> Result<ScanReport, UpstreamError> {
    let id = server.id;
    let scanned: Result<ScanReport, Clash> = store
        .write(account, move |tx| {
            Box::pin(async move {
                let server = tx.server(id).await?.ok_or(preloop_store::Error::NotFound)?;
                let existing = tx.tools().await?;
                let Plan { changes, report } = match plan(&server, &existing, &listed, tx.now()) {
                    Ok(plan) => plan,
                    Err(clash) => return Ok(Err(clash)),
                };
                for change in changes {
                    apply(tx, account, &server, change).await?;
                }
                let status = if server.status == ServerStatus::Disabled { server.status } else { ServerStatus::Active };
                let now = tx.now();
                tx.set_server_state(id, status, None, Some(&facts), Some(now)).await?;
                if report.changed_anything() || status != server.status || server.facts.as_ref() != Some(&facts) {
                    tx.emit(Event::ConfigChanged(account));
                }
                Ok(Ok(report))
            })
        })
        .await?;
    let report = scanned.map_err(|clash| UpstreamError::Config(clash.to_string()))?;
    for (tool, why) in &report.dropped {
        tracing::warn!(server = %server.name, tool, why, "a tool cannot be offered");
    }
    Ok(report)
}

async fn apply(
    tx: &mut Tx<'_>,
    account: AccountId,
    server: &Server,
    change: Change,
) -> Result<(), preloop_store::Error> {
    let Change { tool, is_new, version, findings, event } = change;
    if is_new {
        tx.insert_tool(&tool).await?;
    } else {
        tx.update_tool(&tool).await?;
    }
    if let Some((hash, definition)) = &version {
        tx.record_tool_version(tool.id, *hash, definition).await?;
    }
    if let Some(findings) = findings {
        let now = tx.now();
        let findings: Vec<Finding> = findings
            .into_iter()
            .map(|found| Finding {
                id: ToolId::new(now).0,
                tool: tool.id,
                kind: found.kind.to_owned(),
                severity: found.severity.to_owned(),
                detail: found.detail,
                state: "open".to_owned(),
            })
            .collect();
        tx.replace_findings(tool.id, &findings).await?;
    }
    if let Some(event) = event {
        record(tx, account, server, &tool, event.as_str(), Subject::default())?;
    }
    Ok(())
}

fn record(
    tx: &mut Tx<'_>,
    account: AccountId,
    server: &Server,
    tool: &Tool,
    change: &str,
    subject: Subject,
) -> Result<(), preloop_store::Error> {
    let facts = json!({
        "change": change,
        "server": server.slug,
        "server_id": server.id,
        "tool": tool.upstream_name,
        "tool_id": tool.id,
        "exposed": tool.exposed_name,
        "pinned": tool.pinned_hash,
        "offered": tool.definition_hash,
        "state": tool.pin,
    });
    let body =
        serde_json::value::to_raw_value(&facts).map_err(|error| preloop_store::Error::Invalid(error.to_string()))?;
    tx.record(Entry { account, kind: EntryKind::ToolPinned, call: None, subject, body, payload: None });
    Ok(())
}

/// Accepts a tool as it is offered now: pins that definition and lets it be used. `seen` is the
/// hash of the definition the person looked at; if it has changed since, nothing happens.
pub(crate) async fn accept(
    store: &Store,
    account: AccountId,
    id: ToolId,
    seen: Hash,
    by: Subject,
) -> Result<Tool, preloop_store::Error> {
    store
        .write(account, move |tx| {
            Box::pin(async move {
                let mut tool = tx.tool(id).await?.ok_or(preloop_store::Error::NotFound)?;
                let server = tx.server(tool.server_id).await?.ok_or(preloop_store::Error::NotFound)?;
                if tool.definition_hash != seen {
                    return Err(preloop_store::Error::Invalid(format!(
                        "tool `{}` has changed again since you looked: review `{}` and accept that",
                        tool.exposed_name, tool.definition_hash
                    )));
                }
                if let Some(newest) = tool.drifted_definition.take() {
                    tool.definition = newest;
                }
                tool.pinned_hash = tool.definition_hash;
                tool.pin = PinState::Pinned;
                tx.update_tool(&tool).await?;
                let mut findings = tx.tool_findings(Some(id)).await?;
                if !findings.is_empty() {
                    for finding in &mut findings {
                        "accepted".clone_into(&mut finding.state);
                    }
                    tx.replace_findings(id, &findings).await?;
                }
                record(tx, account, &server, &tool, "accepted", by)?;
                tx.emit(Event::ConfigChanged(account));
                Ok(tool)
            })
        })
        .await
}

/// Writes down that a scan failed. Best effort: the scan's error is what the caller hears.
pub(crate) async fn note_failure(
    store: &Store,
    account: AccountId,
    server: &Server,
    (status, error): &(ServerStatus, String),
) {
    let (id, status, error) = (server.id, *status, error.clone());
    let noted = store.write(account, move |tx| {
        Box::pin(async move {
            let Some(server) = tx.server(id).await? else { return Ok(()) };
            if server.status == ServerStatus::Disabled
                || (server.status == status && server.last_error.as_deref() == Some(&error))
            {
                return Ok(());
            }
            let at: Option<Timestamp> = None;
            tx.set_server_state(id, status, Some(&error), None, at).await?;
            tx.emit(Event::ConfigChanged(account));
            Ok(())
        })
    });
    if let Err(error) = noted.await {
        tracing::warn!(server = %server.name, %error, "could not note a failed scan");
    }
}
