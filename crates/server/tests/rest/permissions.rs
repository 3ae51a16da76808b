//! Who may do what: the document says it, every endpoint keeps it. Nothing here names an endpoint
//! that needs a permission, so a new one is held to this from its first day.

use std::collections::BTreeMap;

use preloop_store::Grant;
use preloop_types::{CredentialKind, GrantId, Hash, KeyId, Permission, PermissionSet, Principal, Scope, UserId};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    app::{App, Person, Reply},
    document::{NOTHING, Needs, Operation, operations},
};

async fn call(who: &Person, operation: &Operation, id: &str) -> Reply {
    who.send(who.request(operation.method.clone(), &operation.at(id)).json(&operation.body)).await
}

fn list(operations: &[Operation], needs: &Needs) -> String {
    let these = operations.iter().filter(|operation| operation.needs == *needs);
    let mut these: Vec<_> = these.map(|operation| format!("{} {}", operation.method, operation.path)).collect();
    these.sort();
    these.join("\n")
}

#[test]
fn what_is_open_to_everybody_is_a_short_list() {
    insta::assert_snapshot!(list(&operations(), &Needs::Public), @r"
    GET /api/v1/auth/oauth/providers
    GET /api/v1/features
    GET /api/v1/health
    GET /api/v1/mcp-servers/oauth/callback
    GET /api/v1/mcp-servers/oauth/client-metadata
    GET /api/v1/notification-preferences/register-device
    GET /api/v1/ping
    GET /api/v1/version
    GET /approval/{id}/data
    POST /api/v1/auth/accept-invitation
    POST /api/v1/auth/forgot-password
    POST /api/v1/auth/refresh
    POST /api/v1/auth/register
    POST /api/v1/auth/reset-password
    POST /api/v1/auth/token
    POST /api/v1/auth/token/json
    POST /api/v1/auth/token/mfa
    POST /api/v1/auth/token/passkey
    POST /api/v1/auth/token/passkey/options
    POST /api/v1/auth/verify-email
    POST /api/v1/chat/mattermost
    POST /api/v1/chat/slack
    POST /api/v1/notification-preferences/register-via-token
    POST /approval/{id}/approve
    POST /approval/{id}/decide
    POST /approval/{id}/decline
    ");
}

#[test]
fn what_is_open_to_agents_is_a_short_list() {
    insta::assert_snapshot!(list(&operations(), &Needs::Access("anyone".to_owned())), @r"
    GET /api/v1/auth/users/me
    GET /api/v1/policies/schema
    POST /api/v1/agents/permission-check
    ");
}

#[tokio::test]
async fn nothing_else_answers_without_a_credential() {
    let app = App::start().await;
    for operation in operations().iter().filter(|operation| operation.needs != Needs::Public) {
        for person in [app.nobody(), app.with_key("pl_nobody-has-this-key")] {
            let reply = call(&person, operation, NOTHING).await;
            assert_eq!(reply.status, 401, "{} {}: {}", operation.method, operation.path, reply.text);
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
        }
    }
}

/// The owner, with these permissions instead of theirs.
async fn with_permissions(app: &App, permissions: PermissionSet) -> Person {
    introduced(app, |owner| Principal { permissions, ..owner }).await
}

async fn introduced(app: &App, change: impl FnOnce(Principal) -> Principal) -> Person {
    let owner = app.server.governor().identify(&app.owner.key).await.unwrap();
    let key = format!("introduced-{}", uuid::Uuid::now_v7());
    app.server.governor().introduce(&key, change((*owner).clone()));
    app.with_key(&key)
}

#[tokio::test]
async fn every_operation_needs_the_permission_it_declares_and_no_other() {
    let app = App::start().await;
    let mut seen = 0;
    for operation in operations() {
        let Needs::Permission(name) = &operation.needs else { continue };
        let permission = Permission::ALL.iter().copied().find(|known| known.name() == name);
        let only = PermissionSet::of(&[permission.unwrap_or_else(|| panic!("`{name}` is no permission"))]);
        let what = format!("{} {}", operation.method, operation.path);

        let everything_else = with_permissions(&app, PermissionSet::ALL.without(only)).await;
        let refused = call(&everything_else, &operation, NOTHING).await.fails(403);
        assert_eq!(refused, json!(format!("Insufficient permissions. Required: {name}")), "{what}");

        let let_in = call(&with_permissions(&app, only).await, &operation, NOTHING).await;
        assert!(![401, 403].contains(&let_in.status.as_u16()), "{what}: {} {}", let_in.status, let_in.text);
        assert!(let_in.status.as_u16() != 500, "{what}: {}", let_in.text);
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}

#[tokio::test]
async fn an_agents_credential_administers_nothing() {
    let app = App::start().await;
    let agent = json!({"name": "bound", "scopes": ["mcp:read", "mcp:write", "gateway:invoke", "admin"],
        "agent": {"name": "Claude", "kind": "claude_code"}});
    let bound = app.owner.post("/api/v1/auth/api-keys", agent).await.created();
    let run = json!({"session_source_type": "codex", "session_source_id": "one"});
    let run = app.owner.post("/api/v1/auth/runtime-sessions/token", run).await.created();
    let credentials = [
        app.agent().await,
        app.with_key(bound["key"].as_str().unwrap()),
        app.with_key(run["token"].as_str().unwrap()),
        app.with_key(&client_token(&app).await),
    ];
    for credential in &credentials {
        assert_eq!(credential.get("/api/v1/auth/users/me").await.ok()["username"], "ann");
        for operation in operations() {
            let what = format!("{} {}", operation.method, operation.path);
            match &operation.needs {
                Needs::Permission(name) => {
                    let detail = call(credential, &operation, NOTHING).await.fails(403);
                    assert_eq!(detail, json!(format!("Insufficient permissions. Required: {name}")), "{what}");
                }
                Needs::Access(who) if who == "push_relay" => {
                    drop(call(credential, &operation, NOTHING).await.fails(403));
                }
                Needs::Access(who) if who != "anyone" => {
                    let detail = call(credential, &operation, NOTHING).await.fails(403);
                    assert_eq!(detail, "Only people may do this: this is an agent's credential", "{what}");
                }
                Needs::Access(_) | Needs::Public => {}
            }
        }
    }
}

/// What an MCP client gets that the owner consented to.
async fn client_token(app: &App) -> String {
    let store = app.server.store();
    let owner = app.server.governor().identify(&app.owner.key).await.unwrap();
    let token = "plo_a-client-of-the-owner";
    let (account, user, now) = (owner.account, owner.user, store.now());
    let made = store.write(account, move |tx| {
        Box::pin(async move {
            let grant = Grant {
                id: GrantId::new(now),
                user,
                kind: CredentialKind::OAuth,
                client: "a client".to_owned(),
                client_id: None,
                address: None,
                scopes: vec![Scope::McpRead, Scope::McpWrite],
                resource: None,
                impersonator: None,
                created_at: now,
                last_used_at: now,
                expires_at: now + std::time::Duration::from_hours(1),
                ended_at: None,
                end_reason: None,
            };
            tx.insert_grant(&grant).await?;
            let key = preloop_store::KeyRow {
                id: KeyId::new(now),
                account,
                user,
                kind: grant.kind,
                grant: Some(grant.id),
                impersonator: None,
                name: grant.client,
                hash: Hash::of(token),
                prefix: "plo_".to_owned(),
                scopes: grant.scopes,
                agent: None,
                session: None,
                allowed_tools: None,
                allowed_servers: None,
                expires_at: Some(grant.expires_at),
                last_used_at: None,
                revoked_at: None,
                created_at: now,
            };
            tx.insert_access_token(&key).await
        })
    });
    made.await.unwrap();
    token.to_owned()
}

#[tokio::test]
async fn whoever_acts_in_somebodys_place_makes_no_credentials_and_decides_nothing() {
    let app = App::start().await;
    let support = introduced(&app, |owner| Principal {
        impersonator: Some(UserId::new(app.server.store().now())),
        permissions: owner.permissions.without(PermissionSet::IN_PERSON),
        ..owner
    })
    .await;
    // What is open to everybody looks at no credential.
    for operation in operations().into_iter().filter(|operation| operation.needs != Needs::Public) {
        let alone = match &operation.needs {
            Needs::Permission(name) => PermissionSet::IN_PERSON.iter().any(|permission| permission.name() == name),
            Needs::Access(who) => ["in_person", "superuser", "push_relay"].contains(&who.as_str()),
            Needs::Public => false,
        };
        let reply = call(&support, &operation, NOTHING).await;
        assert_eq!(reply.status == 403, alone, "{} {}: {}", operation.method, operation.path, reply.text);
    }
}

/// Something of every kind, so that there are ids to try.
async fn furnish(app: &App) {
    let agent = app.with_held_payments().await;
    let owner = &app.owner;
    app.held(&agent, "pay", json!({"amount": 5}), None).await;
    for (path, body) in [
        ("/api/v1/ai-models", json!({"provider": "openai", "identifier": "gpt-x"})),
        ("/api/v1/price-overrides", json!({"model": "*", "discount_percent": 1})),
        ("/api/v1/budgets", json!({"hard_limit": 1})),
        ("/api/v1/event-webhooks/endpoints", json!({"url": "https://grc.example.org/in"})),
        ("/api/v1/auth/api-keys", json!({"name": "bound", "agent": {"name": "Claude", "kind": "claude_code"}})),
        ("/api/v1/auth/runtime-sessions/token", json!({"session_source_type": "codex", "session_source_id": "one"})),
    ] {
        owner.post(path, body).await.created();
    }
}

/// Every id in an answer, one of each place.
fn ids(value: &Value, place: &str, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                ids(value, &format!("{place}.{name}"), found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| ids(item, place, found)),
        Value::String(text) if place.ends_with("id") && text.len() >= 36 => {
            found.entry(place.to_owned()).or_insert_with(|| text.clone());
        }
        _ => {}
    }
}

/// An answer, whatever id it is about.
fn said(reply: &Reply, id: &str) -> (StatusCode, String) {
    (reply.status, reply.text.replace(id, "it"))
}

#[tokio::test]
async fn another_tenants_ids_do_not_exist() {
    for app in App::each().await {
        furnish(&app).await;
        let owner = &app.owner;
        let operations = operations();
        let guarded = || operations.iter().filter(|operation| operation.needs != Needs::Public);
        let reads = || guarded().filter(|operation| operation.method == "GET");

        let mut found = BTreeMap::new();
        for operation in reads().filter(|operation| !operation.takes_id()) {
            let reply = call(owner, operation, NOTHING).await;
            if let Ok(answer) = serde_json::from_str(&reply.text) {
                ids(&answer, &operation.path, &mut found);
            }
        }
        // What hangs on those, and that there is something to try everywhere.
        let mut ours: Vec<String> = found.into_values().collect();
        ours.sort();
        ours.dedup();
        let mut more = BTreeMap::new();
        for operation in reads().filter(|operation| operation.takes_id()) {
            let missing = call(owner, operation, NOTHING).await;
            let mut known = 0;
            for id in &ours {
                let reply = call(owner, operation, id).await;
                known += usize::from(said(&reply, id) != said(&missing, NOTHING));
                if let (true, Ok(answer)) = (reply.status.is_success(), serde_json::from_str(&reply.text)) {
                    ids(&answer, &operation.path, &mut more);
                }
            }
            let two_places = operation.path.matches('{').count() > 1;
            assert!(known > 0 || two_places, "`furnish` makes nothing that GET {} could show", operation.path);
        }
        ours.extend(more.into_values());
        ours.sort();
        ours.dedup();

        let before = owner.get("/api/v1/policies/export").await.text;
        let stranger = app.stranger().await;
        let mut tried = 0;
        for operation in guarded().filter(|operation| operation.takes_id()) {
            let missing = call(&stranger, operation, NOTHING).await;
            for id in &ours {
                let reply = call(&stranger, operation, id).await;
                // A record's id is not a UUID: where one is expected it is not even read.
                let unread = id.len() != NOTHING.len() && reply.status.is_client_error();
                let (got, expected) = (said(&reply, id), said(&missing, NOTHING));
                assert!(
                    got == expected || unread,
                    "{} {}: {got:?}, not {expected:?}",
                    operation.method,
                    operation.at(id)
                );
                tried += 1;
            }
        }
        assert!(tried > 500, "{tried}");
        let stable = |text: &str| {
            text.lines().filter(|line| !line.starts_with('#') && !line.contains("created_at")).collect::<String>()
        };
        assert_eq!(stable(&owner.get("/api/v1/policies/export").await.text), stable(&before));
    }
}
