//! Access tokens of service accounts, against a token endpoint on this machine.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use preloop_dialects::{Dialect, Operation};
use preloop_egress::{Egress, EgressOptions, Policy};
use preloop_gateway::providers::{Authorizer, Credential, Delivery, Outgoing, ProviderError, Secrets, provider};
use preloop_types::{Model, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const NOW: Timestamp = Timestamp::from_micros(1_763_600_000_000_000);

/// Gives out `token-1`, `token-2`, … for an hour each to whoever shows an assertion of `key`.
async fn token_endpoint(key: Arc<KeyPair>, answered: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (key, answered) = (Arc::clone(&key), Arc::clone(&answered));
            let answer = service_fn(move |request: Request<Incoming>| {
                let (key, answered) = (Arc::clone(&key), Arc::clone(&answered));
                async move {
                    let form = request.into_body().collect().await.unwrap().to_bytes();
                    let number = answered.fetch_add(1, Ordering::SeqCst) + 1;
                    let (status, body) = match claims(&key, &form) {
                        Some(claims) if claims["iss"] == "robot@p-1.example" && claims["exp"] == 1_763_603_600 => {
                            (200, json!({"access_token": format!("token-{number}"), "expires_in": 3600}))
                        }
                        _ => (400, json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."})),
                    };
                    let body = Full::new(Bytes::from(body.to_string()));
                    let status = StatusCode::from_u16(status).unwrap();
                    Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    address
}

fn claims(key: &KeyPair, form: &[u8]) -> Option<Value> {
    let assertion = url::form_urlencoded::parse(form).find(|(name, _)| name == "assertion")?.1.into_owned();
    let (signed, signature) = assertion.rsplit_once('.')?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    public.verify(signed.as_bytes(), &signature).ok()?;
    let claims = signed.split('.').nth(1)?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

fn key_file(key: &KeyPair, endpoint: SocketAddr) -> Secrets {
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let pem = BASE64_STANDARD.encode(der.as_ref());
    let file = json!({
        "type": "service_account", "project_id": "p-1", "client_email": "robot@p-1.example", "private_key_id": "7",
        "private_key": format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n"),
        "token_uri": format!("http://{endpoint}/token"),
    });
    Secrets::from([("service_account".to_owned(), file.to_string().into())])
}

fn credential(secrets: &Secrets) -> Result<Credential, ProviderError> {
    let model: Model = serde_json::from_value(json!({
        "id": "01997ed2-54ba-7eb9-b7ae-d0b6d1a5a2a1", "alias": "m", "provider": "vertex", "identifier": "gemini-2.5-pro",
        "enabled": true, "is_default": false, "tags": [], "settings": {},
        "created_at": "2026-11-20T00:00:00Z", "updated_at": "2026-11-20T00:00:00Z",
    }))
    .unwrap();
    let call = Outgoing {
        model: &model,
        secrets,
        dialect: Dialect::Gemini,
        operation: Operation::Generate,
        delivery: Delivery::Whole,
        method: None,
        agent_headers: None,
    };
    let upstream = provider("vertex").unwrap().request(&call)?;
    assert!(upstream.uri.path().starts_with("/v1/projects/p-1/locations/global/"), "the account's own project");
    Ok(upstream.credential)
}

fn authorizer() -> Authorizer {
    let egress = Egress::new(EgressOptions { allow_private_network: true, ..EgressOptions::default() });
    Authorizer::new(egress.lean(Policy { allow_private: true, ..Policy::default() }).unwrap())
}

async fn bearer(authorizer: &Authorizer, credential: &Credential, now: Timestamp) -> Result<String, ProviderError> {
    let mut parts = Request::post("https://x.example/").body(()).unwrap().into_parts().0;
    authorizer.authorize(credential, &mut parts, &[], now).await?;
    Ok(parts.headers["authorization"].to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_token_is_fetched_once_and_renewed_before_it_ends() {
    let key = Arc::new(KeyPair::generate(KeySize::Rsa2048).unwrap());
    let fetched = Arc::new(AtomicUsize::new(0));
    let endpoint = token_endpoint(Arc::clone(&key), Arc::clone(&fetched)).await;
    let secrets = key_file(&key, endpoint);
    let (authorizer, credential) = (authorizer(), credential(&secrets).unwrap());

    let both = tokio::join!(bearer(&authorizer, &credential, NOW), bearer(&authorizer, &credential, NOW));
    assert_eq!((both.0.unwrap(), both.1.unwrap()), ("Bearer token-1".into(), "Bearer token-1".into()));
    assert_eq!(fetched.load(Ordering::SeqCst), 1);

    let later = NOW + Duration::from_mins(58);
    assert_eq!(bearer(&authorizer, &credential, later).await.unwrap(), "Bearer token-1");
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_refused_assertion_is_the_owner_s_to_repair() {
    let key = Arc::new(KeyPair::generate(KeySize::Rsa2048).unwrap());
    let other = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let endpoint = token_endpoint(key, Arc::default()).await;
    let secrets = key_file(&other, endpoint);

    let error = bearer(&authorizer(), &credential(&secrets).unwrap(), NOW).await.unwrap_err();

    assert_eq!(error.code(), "upstream_credentials_expired");
    assert!(error.to_string().ends_with("HTTP 400: invalid_grant Invalid JWT Signature."), "{error}");
}

#[test]
fn a_key_file_that_is_none_is_refused_without_being_shown() {
    for text in ["", "hunter2", r#"{"client_email": "x"}"#] {
        let secrets = Secrets::from([("service_account".to_owned(), text.into())]);
        let error = credential(&secrets).unwrap_err();
        assert_eq!(error.code(), "upstream_credentials_missing");
        assert!(!error.to_string().contains("hunter2"));
    }
}
