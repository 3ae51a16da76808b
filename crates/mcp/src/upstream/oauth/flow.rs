use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use preloop_egress::Client;
use preloop_store::{Event, SecretOwner, Store};
use preloop_types::{
    AccountId, Entry, EntryKind, Hash, ServerId, Subject, Timestamp,
    config::{Auth, OAuthSettings, Server, ServerStatus, Transport},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use super::{
    UpstreamError,
    discovery::{Provider, discover, token_endpoint},
    grant::{Grant, Registration, Tokens},
    json as fetch_json,
};

const PENDING: &str = "oauth.pending";
const CLIENT_SECRET: &str = "client_secret";
const WANTED: &str = "oauth.wanted";
/// How long a sign-in may take.
const PENDING_FOR: Duration = Duration::from_mins(10);

/// Who we are to authorization servers.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    /// Where a person's browser comes back to, with `code`, `state` and `iss`.
    pub redirect_uri: Url,
    /// Where the document that describes us lies (client id metadata documents); heeded if it is
    /// reached over https.
    pub metadata: Option<Url>,
}

/// A sign-in under way, as it is kept (sealed) with the server.
#[derive(Serialize, Deserialize)]
struct Kept {
    state: Hash,
    verifier: String,
    redirect_uri: String,
    grant: Grant,
    names_itself: bool,
    by: Subject,
    started_at: Timestamp,
}

/// A sign-in whose person has come back.
pub(crate) struct Pending {
    pub(crate) account: AccountId,
    pub(crate) server: Server,
    kept: Kept,
}

/// Begins a sign-in: where to send the person's browser.
pub(crate) async fn begin(
    store: &Store,
    client: &Client,
    account: AccountId,
    server: &Server,
    us: &OAuthClient,
    by: Subject,
) -> Result<Url, UpstreamError> {
    let redirect_uri = &us.redirect_uri;
    let (Auth::OAuth(settings), Transport::StreamableHttp { url } | Transport::Sse { url }) =
        (&server.auth, &server.transport)
    else {
        return Err(UpstreamError::Config(format!("server `{}` does not sign in with OAuth", server.name)));
    };
    let url = Url::parse(url).map_err(|error| UpstreamError::Config(format!("`{url}` is not a URL: {error}")))?;
    let provider = discover(client, &url, &challenge(client, &url).await?).await?;
    if let Some(expected) = &settings.issuer
        && *expected != provider.issuer
        && settings.client_id.is_some()
    {
        return Err(UpstreamError::NeedsAuth(format!(
            "the server now names authorization server `{}`; its client was registered with `{expected}`",
            provider.issuer
        )));
    }
    let registration = registration(store, client, account, server, settings, &provider, us).await?;

    let verifier = random();
    let secret = random();
    let state = format!("{account}.{}.{secret}", server.id);
    let scopes = scopes(store, account, server, settings, &provider).await?;
    let mut target = provider.authorization_endpoint.clone();
    {
        let mut query = target.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &registration.client_id)
            .append_pair("redirect_uri", redirect_uri.as_str())
            .append_pair("state", &state)
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(Hash::of(&verifier).0))
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", &provider.resource);
        if !scopes.is_empty() {
            query.append_pair("scope", &scopes);
        }
    }
    let kept = Kept {
        state: Hash::of(&state),
        verifier,
        redirect_uri: redirect_uri.to_string(),
        grant: Grant {
            issuer: provider.issuer,
            token_endpoint: provider.token_endpoint,
            registration,
            resource: provider.resource,
            expires_at: None,
        },
        names_itself: provider.names_itself,
        by,
        started_at: store.now(),
    };
    let kept = serde_json::to_string(&kept).map_err(|error| UpstreamError::Config(error.to_string()))?;
    let owner = SecretOwner::Server(server.id);
    store.write(account, move |tx| Box::pin(async move { tx.put_secret(owner, PENDING, &kept.into()).await })).await?;
    Ok(target)
}

/// Takes the sign-in that `state` belongs to. It works once.
pub(crate) async fn claim(store: &Store, state: &str) -> Result<Pending, UpstreamError> {
    let unknown = || UpstreamError::NeedsAuth("this sign-in is unknown, used or too old: begin again".to_owned());
    let mut parts = state.splitn(3, '.');
    let account: AccountId = parts.next().and_then(|part| part.parse().ok()).ok_or_else(unknown)?;
    let id: ServerId = parts.next().and_then(|part| part.parse().ok()).ok_or_else(unknown)?;
    let owner = SecretOwner::Server(id);
    let given = Hash::of(state);
    let taken = store
        .write(account, move |tx| {
            Box::pin(async move {
                let Some(server) = tx.server(id).await? else { return Ok(None) };
                let secrets = tx.secrets(owner).await?;
                let kept =
                    secrets.get(PENDING).and_then(|kept| serde_json::from_str::<Kept>(kept.expose_secret()).ok());
                let Some(kept) = kept.filter(|kept| kept.state == given) else { return Ok(None) };
                tx.delete_secret(owner, PENDING).await?;
                Ok(Some((server, kept)))
            })
        })
        .await
        .map_err(|error| match error {
            preloop_store::Error::NotFound => unknown(),
            error => error.into(),
        })?;
    let (server, kept) = taken.ok_or_else(unknown)?;
    if store.now().since(kept.started_at) > PENDING_FOR {
        return Err(unknown());
    }
    Ok(Pending { account, server, kept })
}

/// Trades the code for tokens and keeps them.
pub(crate) async fn finish(
    store: &Store,
    client: &Client,
    pending: &Pending,
    code: &str,
    iss: Option<&str>,
) -> Result<(), UpstreamError> {
    let Kept { verifier, redirect_uri, grant, names_itself, by, .. } = &pending.kept;
    // Mix-up defence (RFC 9207): the answer must come from whom we asked.
    match iss {
        Some(iss) if iss == grant.issuer => {}
        None if !names_itself => {}
        _ => return Err(UpstreamError::NeedsAuth("the answer came from another authorization server".to_owned())),
    }
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier),
    ];
    let tokens = grant.request(client, &form, store.now()).await?;
    keep(store, pending.account, &pending.server, grant.clone(), tokens, *by).await
}

async fn keep(
    store: &Store,
    account: AccountId,
    server: &Server,
    grant: Grant,
    tokens: Tokens,
    by: Subject,
) -> Result<(), UpstreamError> {
    let id = server.id;
    let settings = match &server.auth {
        Auth::OAuth(settings) => settings.clone(),
        _ => OAuthSettings::default(),
    };
    let auth =
        Auth::OAuth(OAuthSettings { issuer: Some(grant.issuer.clone()), expires_at: tokens.expires_at, ..settings });
    let facts = json!({ "what": "mcp_server", "id": id, "change": "oauth_connected", "issuer": grant.issuer });
    let body = serde_json::value::to_raw_value(&facts).map_err(|error| UpstreamError::Config(error.to_string()))?;
    store
        .write(account, move |tx| {
            Box::pin(async move {
                let Some(mut server) = tx.server(id).await? else { return Err(preloop_store::Error::NotFound) };
                grant.keep(tx, id, &tokens).await?;
                server.auth = auth;
                if server.status == ServerStatus::NeedsAuth {
                    server.status = ServerStatus::Active;
                    server.last_error = None;
                }
                server.updated_at = tx.now();
                tx.update_server(&server).await?;
                tx.record(Entry {
                    account,
                    kind: EntryKind::ConfigChanged,
                    call: None,
                    subject: by,
                    body,
                    payload: None,
                });
                tx.emit(Event::ConfigChanged(account));
                Ok(())
            })
        })
        .await?;
    Ok(())
}

/// What the server demands of a request without credentials.
async fn challenge(client: &Client, url: &Url) -> Result<String, UpstreamError> {
    let request = client
        .post(url.clone())?
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json")
        .body(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let response = request
        .timeout(Duration::from_secs(20))
        .send()
        .await
        .map_err(|error| super::super::http::send_error(&error))?;
    let challenge = response.headers().get("www-authenticate").and_then(|value| value.to_str().ok());
    Ok(challenge.unwrap_or_default().to_owned())
}

/// The scopes configured, else those the server names, and those it asked for since.
async fn scopes(
    store: &Store,
    account: AccountId,
    server: &Server,
    settings: &OAuthSettings,
    provider: &Provider,
) -> Result<String, UpstreamError> {
    let secrets = store.account(account).secrets(SecretOwner::Server(server.id)).await?;
    let wanted = secrets.get(WANTED).map(|wanted| wanted.expose_secret().to_owned()).unwrap_or_default();
    let mut scopes = if settings.scopes.is_empty() { provider.scopes.clone() } else { settings.scopes.clone() };
    for scope in
        wanted.split_whitespace().filter(|scope| !scopes.iter().any(|there| there == scope)).collect::<Vec<_>>()
    {
        scopes.push(scope.to_owned());
    }
    Ok(scopes.join(" "))
}

/// Remembers scopes the server asked for, so that whoever signs in next is asked for them.
pub(crate) async fn want(
    store: &Store,
    account: AccountId,
    server: ServerId,
    scopes: &str,
) -> Result<(), UpstreamError> {
    let (owner, scopes) = (SecretOwner::Server(server), scopes.to_owned());
    let noted = store.write(account, move |tx| {
        Box::pin(async move {
            let secrets = tx.secrets(owner).await?;
            let known = secrets.get(WANTED).map(|wanted| wanted.expose_secret().to_owned()).unwrap_or_default();
            let mut all: std::collections::BTreeSet<&str> = known.split_whitespace().collect();
            let before = all.len();
            all.extend(scopes.split_whitespace());
            if all.len() > before {
                let all = all.into_iter().collect::<Vec<_>>().join(" ");
                tx.put_secret(owner, WANTED, &all.into()).await?;
            }
            Ok(())
        })
    });
    Ok(noted.await?)
}

/// A client registered beforehand, else ourselves by the URL that describes us, else the client
/// registered last time, else a new one.
async fn registration(
    store: &Store,
    client: &Client,
    account: AccountId,
    server: &Server,
    settings: &OAuthSettings,
    provider: &Provider,
    us: &OAuthClient,
) -> Result<Registration, UpstreamError> {
    #[derive(Deserialize)]
    struct Registered {
        client_id: String,
        client_secret: Option<String>,
    }
    let redirect_uri = &us.redirect_uri;
    let secrets = store.account(account).secrets(SecretOwner::Server(server.id)).await?;
    if let Some(client_id) = &settings.client_id {
        let client_secret = secrets.get(CLIENT_SECRET).map(|secret| secret.expose_secret().to_owned());
        return Ok(Registration { client_id: client_id.clone(), client_secret, redirect_uri: None });
    }
    // The authorization server fetches it, so it must be able to, and over TLS.
    if provider.reads_client_metadata
        && let Some(document) = us.metadata.as_ref().filter(|document| document.scheme() == "https")
    {
        return Ok(Registration { client_id: document.to_string(), client_secret: None, redirect_uri: None });
    }
    if let Some(grant) = Grant::read(&secrets)
        && grant.issuer == provider.issuer
        && grant.registration.redirect_uri.as_deref() == Some(redirect_uri.as_str())
        && token_endpoint(client, &grant.issuer).await.is_ok_and(|now| now == grant.token_endpoint)
    {
        return Ok(grant.registration);
    }
    let endpoint = provider.registration_endpoint.clone().ok_or_else(|| {
        UpstreamError::NeedsAuth(format!(
            "authorization server `{}` registers no clients by itself: register one there and set `client_id`",
            provider.issuer
        ))
    })?;
    let local = redirect_uri.scheme() == "http";
    let wanted = json!({
        "client_name": "Preloop",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": if local { "native" } else { "web" },
    });
    let registered: Registered =
        fetch_json(client.post(endpoint)?.json(&wanted), "the authorization server registers no client").await?;
    Ok(Registration {
        client_id: registered.client_id,
        client_secret: registered.client_secret,
        redirect_uri: Some(redirect_uri.to_string()),
    })
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}
