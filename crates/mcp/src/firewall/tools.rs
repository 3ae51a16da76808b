//! `tools/list`: exactly what a call would find, from memory.

use std::{fmt::Write as _, sync::Arc};

use dashmap::DashMap;
use preloop_govern::{CatalogueTool, Snapshot};
use preloop_types::{KeyId, Principal};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{Asked, Firewall, arguments, builtin};
use crate::splice::{self, Members};
use crate::{
    downstream::EndpointScope,
    protocol::{RpcError, error},
};

/// Rendered lists, one for each credential and endpoint.
#[derive(Default)]
pub(super) struct Lists {
    rendered: DashMap<(KeyId, EndpointScope), Arc<List>>,
}

/// The pages of one list, and the configuration they show.
struct List {
    snapshot: Arc<Snapshot>,
    pages: Vec<Arc<RawValue>>,
}

/// Tools on one page.
const PAGE: usize = 200;
/// Lists kept at once.
const LISTS_MAX: usize = 1_024;

#[derive(Deserialize, Default)]
struct ListParams<'a> {
    #[serde(borrow)]
    cursor: Option<std::borrow::Cow<'a, str>>,
}

impl Firewall {
    pub(super) async fn list_tools(&self, asked: &Asked<'_>) -> Result<Arc<RawValue>, RpcError> {
        let page = asked.page()?;
        let snapshot = self.snapshot(asked.who).await?;
        let list = self.lists.get(&snapshot, asked.who, asked.scope);
        list.pages.get(page).cloned().ok_or_else(bad_cursor)
    }
}

impl Asked<'_> {
    /// Which page a list request wants.
    pub(super) fn page(&self) -> Result<usize, RpcError> {
        let Some(params) = self.params else { return Ok(0) };
        let params: ListParams<'_> = serde_json::from_str(params.get()).map_err(|_| bad_cursor())?;
        match params.cursor {
            None => Ok(0),
            Some(cursor) => cursor.strip_prefix("page-").and_then(|page| page.parse().ok()).ok_or_else(bad_cursor),
        }
    }
}

impl Lists {
    fn get(&self, snapshot: &Arc<Snapshot>, who: &Principal, scope: &EndpointScope) -> Arc<List> {
        let key = (who.key, scope.clone());
        if let Some(list) = self.rendered.get(&key)
            && Arc::ptr_eq(&list.snapshot, snapshot)
        {
            return list.clone();
        }
        if self.rendered.len() >= LISTS_MAX {
            self.rendered.clear();
        }
        let list =
            Arc::new(List { snapshot: snapshot.clone(), pages: paginate("tools", &render(snapshot, who, scope)) });
        self.rendered.insert(key, list.clone());
        list
    }
}

/// Every visible tool, built-in ones first, then by server and name.
fn render(snapshot: &Snapshot, who: &Principal, scope: &EndpointScope) -> Vec<String> {
    let mut all = Vec::new();
    if *scope == EndpointScope::All {
        let ours = builtin::definitions().into_iter();
        let ours = ours.filter(|(name, _)| snapshot.ruleset.visible(who, &builtin::reference(name)));
        all.extend(ours.map(|(_, definition)| definition.to_string()));
    }
    let mut servers: Vec<_> = snapshot.tools_by_server.iter().collect();
    servers.sort_by_key(|(slug, _)| *slug);
    for (slug, tools) in servers {
        if matches!(scope, EndpointScope::Server(only) if only != slug) {
            continue;
        }
        let visible = tools.values().filter(|tool| tool.is_pinned() && snapshot.is_visible(who, tool));
        all.extend(visible.map(|tool| definition(snapshot, tool, scope)));
    }
    all
}

/// The pinned definition under the name it has here, with a parameter for the reason where one is
/// wanted. Everything else is as the server sent it.
fn definition(snapshot: &Snapshot, tool: &CatalogueTool, scope: &EndpointScope) -> String {
    let config = snapshot.ruleset.config(&tool.reference);
    let pinned: &RawValue = &tool.tool.definition.0;
    let Some(Members(members)) = Members::of(pinned) else { return pinned.get().to_owned() };
    let description = config.and_then(|config| config.description.as_ref());
    let mut out = String::with_capacity(pinned.get().len() + 64);
    out.push('{');
    for (key, value) in &members {
        match (&**key, description) {
            ("name", _) if *scope == EndpointScope::All => {
                splice::append(&mut out, "name", &json!(&*tool.reference.exposed).to_string());
            }
            ("description", Some(text)) => splice::append(&mut out, "description", &json!(text).to_string()),
            ("inputSchema", _) => {
                let mode = config.and_then(|config| config.justification);
                let asking = mode.and_then(|mode| arguments::with_reason(value, mode));
                splice::append(&mut out, "inputSchema", asking.as_deref().unwrap_or(value.get()));
            }
            _ => splice::append(&mut out, key, value.get()),
        }
    }
    if let (Some(text), false) = (description, members.iter().any(|(key, _)| key == "description")) {
        splice::append(&mut out, "description", &json!(text).to_string());
    }
    out.push('}');
    out
}

/// Cuts rendered items into result objects with cursors.
pub(super) fn paginate(member: &str, items: &[String]) -> Vec<Arc<RawValue>> {
    let mut pages = Vec::new();
    let chunks: Vec<&[String]> = if items.is_empty() { vec![&[]] } else { items.chunks(PAGE).collect() };
    for (at, chunk) in chunks.iter().enumerate() {
        let mut page = String::with_capacity(chunk.iter().map(|item| item.len() + 1).sum::<usize>() + 64);
        let _ = write!(page, "{{\"{member}\":[{}]", chunk.join(","));
        if at + 1 < chunks.len() {
            let _ = write!(page, ",\"nextCursor\":\"page-{}\"", at + 1);
        }
        page.push('}');
        pages.push(splice::raw(page));
    }
    pages
}

pub(super) fn bad_cursor() -> RpcError {
    RpcError::new(error::INVALID_PARAMS, "unknown cursor: list again from the start")
}
