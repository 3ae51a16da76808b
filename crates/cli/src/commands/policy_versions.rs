//! `preloop policy versions | keep | rollback | tag | prune`: what the policy was, and what of that is kept.

use preloop_api_types::policies::{
    KeepVersion, PolicyVersion, PolicyVersions, PruneVersions, PrunedVersions, Rollback, RollbackResult, VersionTag,
};
use reqwest::Method;
use serde_json::json;

use super::policy::change;
use crate::{
    client::Client,
    failure::{Exit, Failure, Result},
    output::Printer,
    words::at,
};

const VERSIONS: &str = "/api/v1/policies/versions";

pub(super) async fn list(client: &Client, printer: Printer) -> Result {
    let all = all(client).await?;
    printer.list(
        &all,
        &[
            ("version", |version| version.version_number.to_string()),
            ("tag", |version| version.tag.clone().unwrap_or_default()),
            ("in force", |version| if version.is_active { "yes".to_owned() } else { String::new() }),
            ("made", |version| at(version.created_at)),
            ("description", |version| version.description.clone().unwrap_or_default()),
        ],
        "no policy was applied yet",
    )
}

/// Gives a version a name, or takes it away.
pub(super) async fn tag(client: &Client, printer: Printer, version: &str, tag: Option<&str>) -> Result {
    let found = find(client, version).await?;
    let request = client
        .request(if tag.is_some() { Method::PUT } else { Method::DELETE }, &format!("{VERSIONS}/{}/tag", found.id))?;
    let request = match tag {
        Some(tag) => request.json(&VersionTag { tag: tag.to_owned() }),
        None => request,
    };
    let answer = client.send(request).await?;
    let now: PolicyVersion = answer.json().await.map_err(|error| client.broken(error))?;
    let number = now.version_number;
    let sentence = match &now.tag {
        Some(tag) => format!("version {number} is called `{tag}`"),
        None => format!("version {number} has no name"),
    };
    printer.done(&now, &sentence)
}

/// Keeps the configuration as it is now.
pub(super) async fn keep(client: &Client, printer: Printer, keep: &KeepVersion) -> Result {
    let version: PolicyVersion = client.post(VERSIONS, keep).await?;
    printer.done(&version, &format!("kept as version {}", version.version_number))
}

/// Goes back to a version, or says what that would change.
pub(super) async fn rollback(client: &Client, printer: Printer, version: &str, preview_only: bool) -> Result {
    let found = find(client, version).await?;
    let path = format!("{VERSIONS}/{}/rollback", found.id);
    let answer: RollbackResult = client.post(&path, &Rollback { preview_only }).await?;
    if let Some(error) = &answer.error {
        let message = format!("version {} cannot be gone back to: {error}", found.version_number);
        return Err(Failure::new(Exit::Failure, message));
    }
    let (changes, summary) = match &answer.diff {
        Some(diff) => (diff.changes.iter().map(change).collect(), diff.summary.clone()),
        None => (String::new(), String::new()),
    };
    let what = if preview_only { "would go back" } else { "went back" };
    printer.done(&answer, &format!("{what} to version {}: {summary}\n{changes}", found.version_number))
}

pub(super) async fn prune(client: &Client, printer: Printer, which: &PruneVersions) -> Result {
    let pruned: PrunedVersions = client.post(&format!("{VERSIONS}/prune"), which).await?;
    printer.done(&pruned, &format!("{} versions removed", pruned.deleted_count))
}

async fn all(client: &Client) -> Result<Vec<PolicyVersion>> {
    let list: PolicyVersions = client.list(VERSIONS, &json!({"limit": 1_000})).await?;
    Ok(list.versions)
}

/// The version somebody means by its number or its tag.
async fn find(client: &Client, wanted: &str) -> Result<PolicyVersion> {
    let by_number = wanted.trim_start_matches('v').parse::<u32>().ok();
    let means =
        |version: &PolicyVersion| version.tag.as_deref() == Some(wanted) || by_number == Some(version.version_number);
    let missing = || Failure::new(Exit::NotFound, format!("there is no version `{wanted}`"));
    all(client).await?.into_iter().find(means).ok_or_else(|| missing().help("`preloop policy versions` lists them"))
}
