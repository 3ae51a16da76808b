//! What whoever holds the database does without a server: the way back in when nobody can sign in.

use std::sync::Arc;

use preloop_identity::{Identity, Options};
use preloop_store::{Keys, Store, StoreOptions, SystemClock};
use preloop_types::WriterId;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::ServeError;

/// The database of an instance that is not running here.
pub struct LocalDatabase {
    /// `sqlite:///path/to/file.db` or `postgres://…`.
    pub database_url: String,
    /// Seals secrets and signs the journal (`SECRET_KEY`).
    pub instance_key: SecretString,
    /// Under whose name changes are recorded.
    pub writer: WriterId,
    /// Where people reach the instance when it runs.
    pub public_url: Url,
}

impl LocalDatabase {
    /// Gives a person a password, or else a link with which they set one themselves within 24 hours. A new password
    /// ends every sign-in of theirs. It is recorded.
    pub async fn set_password(
        self,
        username: &str,
        password: Option<&SecretString>,
    ) -> Result<Option<SecretString>, ServeError> {
        let store = Store::open(StoreOptions {
            url: self.database_url,
            keys: Keys::derive(self.instance_key.expose_secret().as_bytes()),
            writer: self.writer,
            clock: Arc::new(SystemClock),
        })
        .await?;
        let public_url = self.public_url.as_str().trim_end_matches('/').to_owned();
        let identity = Identity::with(store.clone(), Options { public_url, ..Options::default() });
        let done = given(&identity, username, password).await;
        store.close().await;
        done.map_err(|error| ServeError::Identity(error.to_string()))
    }
}

async fn given(
    identity: &Identity,
    username: &str,
    password: Option<&SecretString>,
) -> preloop_identity::Result<Option<SecretString>> {
    if let Some(password) = password {
        return identity.force_password(username, password).await.map(|_| None);
    }
    let found = identity.store().find_sign_in(username).await?;
    let found = found.ok_or(preloop_identity::Error::NotFound("user"))?;
    identity.set_up_link(found.account, found.user.id).await.map(Some)
}
