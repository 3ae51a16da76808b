//! The guard against real sockets: what may be reached, and what a hostile name server or
//! redirect cannot talk it into.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{FutureExt, future::BoxFuture};
use preloop_egress::{Egress, EgressOptions, Lookup, Policy, Redirects, Refused, refusal};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use url::Url;

/// Answers each look-up with the next list of addresses.
#[derive(Debug)]
struct Script(Vec<Vec<IpAddr>>, AtomicUsize);

impl Lookup for Script {
    fn lookup(&self, _host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let turn = self.1.fetch_add(1, Ordering::SeqCst);
        let answer = self.0[turn.min(self.0.len() - 1)].clone();
        async move { Ok(answer) }.boxed()
    }
}

fn egress(instance_allows: bool, answers: &[&[&str]]) -> Egress {
    let answers = answers.iter().map(|list| list.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
    Egress::new(EgressOptions {
        allow_private_network: instance_allows,
        lookup: Arc::new(Script(answers, AtomicUsize::new(0))),
        ..EgressOptions::default()
    })
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

/// An HTTP server that gives every request the same head.
async fn server(head: impl Into<String>) -> SocketAddr {
    let head = head.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = head.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(head.as_bytes()).await;
            });
        }
    });
    address
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";

#[test]
fn a_url_is_refused_when_saved_and_says_what_to_do() {
    let closed = egress(false, &[]);
    for spelling in [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://localhost:8080/mcp",
        "http://metadata.localhost./",
    ] {
        let error = closed.check_url(spelling, true).unwrap_err();
        assert!(error.to_string().contains("allow_private_network"), "{spelling}: {error}");
        assert!(egress(true, &[]).check_url(spelling, false).is_err(), "{spelling}: the target must allow it too");
        assert!(egress(true, &[]).check_url(spelling, true).is_ok(), "{spelling}: both allow it");
    }
    assert_eq!(closed.check_url("ftp://example.com/", false), Err(Refused::Scheme("ftp".into())));
    assert_eq!(closed.check_url("file:///etc/passwd", true), Err(Refused::Scheme("file".into())));
    assert_eq!(closed.check_url("https://ann:secret@example.com/", false), Err(Refused::UserInfo));
    assert!(matches!(closed.check_url("example.com", false), Err(Refused::Syntax { .. })));
    assert!(closed.check_url("https://example.com/mcp", false).is_ok());
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_refused_before_connecting() {
    let client = egress(false, &[&["8.8.8.8", "10.0.0.1"]]).client(Policy::default()).unwrap();
    let error = client.get(url("http://rebind.example/")).unwrap().send().await.unwrap_err();
    assert_eq!(
        refusal(&error),
        Some(&Refused::Private { host: "rebind.example".into(), address: "10.0.0.1".parse().unwrap() })
    );
}

#[tokio::test]
async fn a_literal_private_address_never_reaches_the_socket() {
    let client = egress(false, &[]).client(Policy { allow_private: true, ..Policy::default() }).unwrap();
    assert!(matches!(client.get(url("http://127.0.0.1:1/")), Err(Refused::Private { .. })));
}

#[tokio::test]
async fn the_checked_address_is_the_one_connected_to() {
    let address = server(OK).await;
    // A second look-up would find an address nothing listens on.
    let egress = egress(true, &[&["127.0.0.1"], &["192.0.2.1"]]);
    let client = egress.client(Policy { allow_private: true, ..Policy::default() }).unwrap();
    let reply = client.get(url(&format!("http://flip.example:{}/", address.port()))).unwrap().send().await.unwrap();
    assert_eq!(reply.text().await.unwrap(), "hi");
}

#[tokio::test]
async fn redirects_are_not_followed_unless_asked_for() {
    let target = server(OK).await;
    let from = server(redirect_to(&format!("http://127.0.0.1:{}/", target.port()))).await;
    let egress = egress(true, &[]);
    let policy = Policy { allow_private: true, ..Policy::default() };

    let plain = egress.client(policy).unwrap();
    let reply = plain.get(url(&format!("http://{from}/"))).unwrap().send().await.unwrap();
    assert_eq!(reply.status(), 302);

    let following = egress.client(Policy { redirects: Redirects::Few, ..policy }).unwrap();
    let reply = following.get(url(&format!("http://{from}/"))).unwrap().send().await.unwrap();
    assert_eq!(reply.text().await.unwrap(), "hi");
}

#[tokio::test]
async fn a_redirect_is_checked_like_the_first_url() {
    let egress = egress(true, &[&["127.0.0.1"]]);
    let policy = Policy { allow_private: true, redirects: Redirects::Few, ..Policy::default() };
    let client = egress.client(policy).unwrap();

    let upgrading = server(redirect_to("https://127.0.0.1/")).await;
    let error = client.get(url(&format!("http://{upgrading}/"))).unwrap().send().await.unwrap_err();
    assert!(matches!(refusal(&error), Some(Refused::SchemeChange { .. })), "{error:?}");

    let forever = server(redirect_to("/again")).await;
    assert!(client.get(url(&format!("http://{forever}/"))).unwrap().send().await.unwrap_err().is_redirect());
}

fn redirect_to(target: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}
