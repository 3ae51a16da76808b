//! The journal records of signing in. No secret and no attempt at one is ever part of them.

use std::net::IpAddr;

use preloop_types::{AccountId, Entry, EntryKind, Subject, User};
use serde_json::{Value, json, value::to_raw_value};

/// Somebody signed in, `via` a password, a passkey, an identity provider, …
pub(crate) fn signed_in(account: AccountId, user: &User, via: &str, address: IpAddr) -> Entry {
    let body = json!({ "user": user.id, "username": user.username, "via": via, "address": address });
    entry(account, EntryKind::SignedIn, Subject { user: Some(user.id), ..Subject::default() }, &body)
}

/// Somebody who knew a person's name was not let in. Who that was nobody knows: the subject stays empty.
pub(crate) fn failed(account: AccountId, user: &User, why: &str, address: IpAddr) -> Entry {
    let body = json!({ "user": user.id, "username": user.username, "reason": why, "address": address });
    entry(account, EntryKind::SignInFailed, Subject::default(), &body)
}

/// How a person proves who they are changed.
pub(crate) fn changed(account: AccountId, by: Subject, user: &User, what: &str) -> Entry {
    let body = json!({ "user": user.id, "username": user.username, "action": what });
    entry(account, EntryKind::SignInChanged, by, &body)
}

fn entry(account: AccountId, kind: EntryKind, subject: Subject, body: &Value) -> Entry {
    // A map of plain values always serialises.
    Entry { account, kind, call: None, subject, body: to_raw_value(body).unwrap_or_default(), payload: None }
}
