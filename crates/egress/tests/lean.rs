//! The lean client against real sockets: what reaches the other side, what comes back, and that
//! the guard holds where connections are made.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, Version, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use preloop_egress::{Chunks, Egress, EgressOptions, LeanClient, Lookup, Policy, Refused, SendError};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Every name is this machine, or the given address.
#[derive(Debug)]
struct Names(IpAddr);

impl Lookup for Names {
    fn lookup(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let address = self.0;
        async move { Ok(vec![address]) }.boxed()
    }
}

fn client(instance_allows: bool, policy_allows: bool) -> LeanClient {
    let lookup = Arc::new(Names(Ipv4Addr::LOCALHOST.into()));
    let options = EgressOptions { allow_private_network: instance_allows, lookup, ..EgressOptions::default() };
    let policy =
        Policy { allow_private: policy_allows, connect_timeout: Duration::from_millis(300), ..Policy::default() };
    Egress::new(options).lean(policy).unwrap()
}

/// Answers with what it was sent: version, `content-length`, all header names, body.
async fn describe(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/moved" {
        return Ok(Response::builder().status(307).header("location", "/").body(Full::default()).unwrap());
    }
    let version = request.version();
    let length = request.headers().get("content-length").map(|value| value.to_str().unwrap().to_owned());
    let mut names: Vec<_> = request.headers().keys().map(ToString::to_string).collect();
    names.sort();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let text = format!("{version:?} {length:?} {names:?} {}", String::from_utf8_lossy(&body));
    Ok(Response::new(Full::from(text)))
}

/// A plain HTTP server; counts its connections.
async fn server() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            let served = auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { served.serve_connection(TokioIo::new(stream), service_fn(describe)).await });
        }
    });
    (address, connections)
}

fn post(url: &str, chunks: &[&'static str]) -> Request<Chunks> {
    let chunks: Vec<_> = chunks.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
    Request::post(url).body(chunks.into()).unwrap()
}

async fn text(client: &LeanClient, request: Request<Chunks>) -> String {
    let answer = client.send(request).await.unwrap();
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_body_in_pieces_arrives_as_one_with_its_length() {
    let (address, connections) = server().await;
    let client = client(true, true);
    let url = format!("http://{address}/v1");

    for _ in 0..3 {
        let seen = text(&client, post(&url, &["{\"a\":", "", "1}"])).await;
        assert_eq!(seen, r#"HTTP/1.1 Some("7") ["content-length", "host"] {"a":1}"#);
    }

    assert_eq!(connections.load(Ordering::SeqCst), 1, "connections are pooled");
}

#[tokio::test]
async fn private_addresses_need_the_policy_and_the_instance() {
    let (address, connections) = server().await;
    for (instance, policy) in [(false, false), (true, false), (false, true)] {
        let client = client(instance, policy);
        for host in ["127.0.0.1", "name.example", "localhost", "2130706433", "[::ffff:127.0.0.1]"] {
            let error = client.send(post(&format!("http://{host}:{}/", address.port()), &["x"])).await.unwrap_err();
            assert!(matches!(error, SendError::Refused(Refused::Private { .. })), "{host}: {error}");
            assert!(!error.may_have_arrived());
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0, "nothing was connected to");
    assert!(
        text(&client(true, true), post(&format!("http://name.example:{}/", address.port()), &["x"]))
            .await
            .ends_with('x')
    );
}

#[tokio::test]
async fn a_redirect_is_the_answer() {
    let (address, _) = server().await;

    let answer = client(true, true).send(post(&format!("http://{address}/moved"), &["x"])).await.unwrap();

    assert_eq!(answer.status(), 307);
}

#[tokio::test]
async fn errors_tell_whether_the_request_may_have_arrived() {
    let client = client(true, true);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client.send(post(&format!("http://{closed}/"), &["x"])).await.unwrap_err();
    assert!(matches!(error, SendError::Connect(_)) && !error.may_have_arrived(), "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
    });
    let error = client.send(post(&format!("http://{address}/"), &["x"])).await.unwrap_err();
    assert!(error.may_have_arrived(), "{error}");
}

#[tokio::test]
async fn a_tls_handshake_that_never_ends_is_a_connect_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let started = Instant::now();

    let error = client(true, true).send(post(&format!("https://{address}/"), &["x"])).await.unwrap_err();

    assert!(matches!(error, SendError::ConnectTimeout), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// Trust in the test's certificate comes from the system's store, which is read from a variable:
/// so the test runs in a process of its own.
#[test]
fn https_speaks_http_2_where_the_server_does() {
    let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/cert.pem");
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "over_tls"])
        .env("SSL_CERT_FILE", certificate)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
}

#[tokio::test]
#[ignore = "run by `https_speaks_http_2_where_the_server_does`"]
async fn over_tls() {
    for (protocols, expected) in
        [(vec![b"h2".to_vec(), b"http/1.1".to_vec()], Version::HTTP_2), (vec![], Version::HTTP_11)]
    {
        let address = tls_server(protocols).await;
        let seen =
            text(&client(true, true), post(&format!("https://tls.example:{}/", address.port()), &["a", "b"])).await;
        assert!(seen.starts_with(&format!("{expected:?} Some(\"2\")")) && seen.ends_with("ab"), "{seen}");
    }
    let address = tls_server(vec![]).await;
    let error = client(true, true).send(post(&format!("https://other.example:{}/", address.port()), &["x"])).await;
    assert!(matches!(error.unwrap_err(), SendError::Connect(_)), "a certificate of another name");
}

async fn tls_server(protocols: Vec<Vec<u8>>) -> SocketAddr {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = protocols;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let served = auto::Builder::new(TokioExecutor::new());
                let _ = served.serve_connection(TokioIo::new(stream), service_fn(describe)).await;
            });
        }
    });
    address
}
