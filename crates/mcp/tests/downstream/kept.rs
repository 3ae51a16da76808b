//! Sessions in the store.

use std::{sync::Arc, time::Duration};

use preloop_mcp::{
    downstream::{SessionRecord, SessionStore},
    protocol::{ClientInfo, Version},
};
use preloop_store::{Keys, ManualClock, NewOwner, Store, StoreOptions};
use preloop_types::{AccountId, KeyId, Timestamp, WriterId};
use serde_json::{Value, json};

#[tokio::test]
async fn a_session_comes_back_as_it_was_kept_until_it_is_idle() {
    let at = Timestamp::from_micros(1_800_000_000_000_000);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions {
        url: format!("sqlite://{}/test.db", directory.path().display()),
        keys: Keys::derive(b"an instance key for tests"),
        writer: WriterId::new(at),
        clock: Arc::new(ManualClock::new(at)),
    })
    .await
    .unwrap();
    let owner = NewOwner { username: "ana".to_owned(), email: None, full_name: None, key: None };
    let account = store.bootstrap(owner).await.unwrap().unwrap().account;
    let Value::Object(capabilities) = json!({"elicitation": {"form": {}}}) else { unreachable!() };
    let session = SessionRecord {
        id: "s1".to_owned(),
        account,
        key: KeyId::new(at),
        info: ClientInfo { name: "codex".to_owned(), version: "1.2".to_owned(), capabilities },
        version: Version::V2025_06_18,
        created_at: at,
        last_seen: at,
    };
    let sessions: &dyn SessionStore = &store;

    sessions.put(&session).await.unwrap();
    let found = sessions.get(account, "s1").await.unwrap().unwrap();
    assert_eq!(format!("{found:?}"), format!("{session:?}"));
    assert!(sessions.get(AccountId::new(at), "s1").await.unwrap().is_none(), "another account's is none");

    sessions.delete_idle(at).await.unwrap();
    assert!(sessions.get(account, "s1").await.unwrap().is_some());
    sessions.delete_idle(at + Duration::from_secs(1)).await.unwrap();
    assert!(sessions.get(account, "s1").await.unwrap().is_none());

    sessions.put(&session).await.unwrap();
    sessions.delete(account, "s1").await.unwrap();
    assert!(sessions.get(account, "s1").await.unwrap().is_none());
    store.close().await;
}
