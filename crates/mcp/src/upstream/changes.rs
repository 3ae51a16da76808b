use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use preloop_types::{AccountId, ServerId};
use serde::Deserialize;
use tokio::sync::{Notify, broadcast};

use crate::protocol::Notification;

/// Something an upstream server changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamEvent {
    /// Whose server.
    pub account: AccountId,
    /// Which server.
    pub server: ServerId,
    /// What changed.
    pub change: UpstreamChange,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamChange {
    /// Its tools, after they were scanned and pinned anew.
    Tools,
    /// Its prompts.
    Prompts,
    /// Its resources or resource templates.
    Resources,
    /// The content of one resource, by upstream's own URI.
    ResourceUpdated(String),
}

/// Takes in a server's notices of change: tells everybody, and remembers what has to be read
/// again before it is relied on.
#[derive(Debug)]
pub(super) struct Changes {
    account: AccountId,
    server: ServerId,
    events: broadcast::Sender<UpstreamEvent>,
    /// The tools may no longer be those that were scanned.
    tools_stale: AtomicBool,
    /// Counts changes of prompts and resources.
    lists: AtomicU64,
    rescan: Notify,
}

#[derive(Deserialize)]
struct Updated {
    uri: String,
}

impl Changes {
    pub(super) fn new(account: AccountId, server: ServerId, events: broadcast::Sender<UpstreamEvent>) -> Self {
        Self {
            account,
            server,
            events,
            tools_stale: AtomicBool::new(true),
            lists: AtomicU64::new(0),
            rescan: Notify::new(),
        }
    }

    pub(super) fn notified(&self, notification: &Notification) {
        match notification.method.as_str() {
            // Announced once the new list is pinned.
            "notifications/tools/list_changed" => self.tools_may_have_changed(),
            "notifications/prompts/list_changed" => self.list_changed(UpstreamChange::Prompts),
            "notifications/resources/list_changed" => self.list_changed(UpstreamChange::Resources),
            "notifications/resources/updated" => {
                let params = notification.params.as_deref().map_or("null", |params| params.get());
                if let Ok(Updated { uri }) = serde_json::from_str(params) {
                    self.emit(UpstreamChange::ResourceUpdated(uri));
                }
            }
            _ => {}
        }
    }

    /// No tool is called before the list has been read again.
    pub(super) fn tools_may_have_changed(&self) {
        self.tools_stale.store(true, Ordering::Release);
        self.rescan.notify_one();
    }

    pub(super) fn tools_stale(&self) -> bool {
        self.tools_stale.load(Ordering::Acquire)
    }

    /// To be called before the list is read: a change that comes while reading counts again.
    pub(super) fn reading_tools(&self) {
        self.tools_stale.store(false, Ordering::Release);
    }

    pub(super) fn tools_unread(&self) {
        self.tools_stale.store(true, Ordering::Release);
    }

    pub(super) fn tools_changed(&self) {
        self.emit(UpstreamChange::Tools);
    }

    /// Resolves when tools may have changed.
    pub(super) async fn rescan_wanted(&self) {
        self.rescan.notified().await;
    }

    /// How often prompts or resources have changed.
    pub(super) fn lists(&self) -> u64 {
        self.lists.load(Ordering::Acquire)
    }

    fn list_changed(&self, change: UpstreamChange) {
        self.lists.fetch_add(1, Ordering::AcqRel);
        self.emit(change);
    }

    fn emit(&self, change: UpstreamChange) {
        // Nobody may be listening.
        let _ = self.events.send(UpstreamEvent { account: self.account, server: self.server, change });
    }
}
