//! Who looks after the instance is said on its own machine, by whoever has its key: nobody can make
//! themselves that over the network.

use std::sync::Arc;

use preloop_store::{Keys, Store, StoreOptions, SystemClock};
use preloop_types::{Entry, EntryKind, Subject, WriterId};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{json, value::to_raw_value};

use crate::ServeError;

/// Says whether a person looks after the instance; false if there is nobody of that name.
pub async fn set_superuser(
    database_url: &str,
    instance_key: &SecretString,
    writer: WriterId,
    username: &str,
    is_superuser: bool,
) -> Result<bool, ServeError> {
    let keys = Keys::derive(instance_key.expose_secret().as_bytes());
    let options = StoreOptions { url: database_url.to_owned(), keys, writer, clock: Arc::new(SystemClock) };
    let store = Store::open(options).await?;
    let Some(found) = store.find_sign_in(username).await? else {
        store.close().await;
        return Ok(false);
    };
    let (account, user) = (found.account, found.user);
    let said = store.write(account, move |tx| {
        Box::pin(async move {
            tx.set_superuser(user.id, is_superuser).await?;
            let body = json!({
                "config_type": "user", "action": "updated", "id": user.id, "name": user.username,
                "old": { "is_superuser": user.is_superuser }, "new": { "is_superuser": is_superuser },
            });
            let body = to_raw_value(&body).unwrap_or_default();
            let (kind, subject) = (EntryKind::ConfigChanged, Subject::default());
            tx.record(Entry { account, kind, call: None, subject, body, payload: None });
            Ok(())
        })
    });
    let said = said.await;
    store.close().await;
    said?;
    Ok(true)
}
