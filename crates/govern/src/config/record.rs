//! The journal record of a change.

use preloop_store::{Event, Tx};
use preloop_types::{AccountId, Entry, EntryKind, Principal, Subject, UserId, redact};
use serde::Serialize;
use serde_json::{Map, Value, value::to_raw_value};
use uuid::Uuid;

/// Who changes something, as the journal knows them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Actor {
    pub(super) account: AccountId,
    pub(super) subject: Subject,
}

impl From<&Principal> for Actor {
    fn from(who: &Principal) -> Self {
        Self { account: who.account, subject: who.into() }
    }
}

/// What changed.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    McpServer,
    ToolConfiguration,
    ApprovalWorkflow,
    Defaults,
    SubjectGovernance,
    Account,
    User,
    UserRole,
    Team,
    TeamMember,
    TeamRole,
    Invitation,
    Policy,
    ApiKey,
    ManagedAgent,
    Enrollment,
    AiModel,
    PriceOverride,
    Budget,
    ModelSettings,
    Device,
    NotificationPreferences,
    ChatLink,
    ApprovalBypass,
    EventWebhook,
    IdentityProvider,
}

#[derive(Serialize)]
struct Body<'a> {
    config_type: What,
    action: &'static str,
    id: Uuid,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<Value>,
}

impl Actor {
    /// Who really acts, also in somebody else's place.
    pub(super) fn person(self) -> Option<UserId> {
        self.subject.impersonator.or(self.subject.user)
    }

    /// Records a change of configuration and announces it.
    pub(super) fn changed(
        self,
        tx: &mut Tx<'_>,
        what: What,
        (id, name): (Uuid, &str),
        old: Option<&impl Serialize>,
        new: Option<&impl Serialize>,
    ) {
        self.record(tx, EntryKind::ConfigChanged, what, (id, name), old, new);
        tx.emit(Event::ConfigChanged(self.account));
    }

    /// Records a change of a credential or a person and announces it.
    pub(super) fn credential_changed(
        self,
        tx: &mut Tx<'_>,
        what: What,
        (id, name): (Uuid, &str),
        old: Option<&impl Serialize>,
        new: Option<&impl Serialize>,
    ) {
        self.record(tx, EntryKind::KeyChanged, what, (id, name), old, new);
        tx.emit(Event::KeysChanged(self.account));
    }

    fn record(
        self,
        tx: &mut Tx<'_>,
        kind: EntryKind,
        what: What,
        (id, name): (Uuid, &str),
        old: Option<&impl Serialize>,
        new: Option<&impl Serialize>,
    ) {
        let (old, new) = (old.map(shown), new.map(shown));
        let action = match (&old, &new) {
            (None, _) => "created",
            (_, None) => "deleted",
            _ => "updated",
        };
        let (old, new) = only_what_differs(old, new);
        let body = Body { config_type: what, action, id, name, old, new };
        // Strings, numbers and JSON values always serialise.
        let body = to_raw_value(&body).unwrap_or_default();
        tx.record(Entry { account: self.account, kind, call: None, subject: self.subject, body, payload: None });
    }
}

/// The row as people may see it. Rows hold no secrets by design; credentials that someone wrote
/// into a description, a URL or an argument are hidden all the same.
fn shown(row: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(row).unwrap_or_default();
    hide(&mut value);
    value
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(hide),
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::String(text) => {
            if let Some(clean) = redact::redact_text(text) {
                *text = clean;
            }
        }
        _ => {}
    }
}

/// Drops the members that are the same on both sides.
fn only_what_differs(old: Option<Value>, new: Option<Value>) -> (Option<Value>, Option<Value>) {
    let (Some(Value::Object(old)), Some(Value::Object(new))) = (&old, &new) else { return (old, new) };
    let differing = |a: &Map<String, Value>, b: &Map<String, Value>| {
        Value::Object(
            a.iter().filter(|(key, value)| b.get(*key) != Some(value)).map(|(k, v)| (k.clone(), v.clone())).collect(),
        )
    };
    (Some(differing(old, new)), Some(differing(new, old)))
}
