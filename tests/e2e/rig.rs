//! The rig itself: a mock that lied would prove nothing.

use std::time::Duration;

use preloop_bench::{
    mock::{self, Eras, Mock, TOOLS},
    provider::{Api, End, Options, Provider, TEXT},
    proxy::{Proxy, Target},
};
use preloop_e2e::{Agent, Ask, Era, eventually, text_of};
use serde_json::json;

#[tokio::test]
async fn the_mock_speaks_both_eras_and_counts_calls() {
    for era in Era::ALL {
        for stream in [false, true] {
            let mock = Mock::start(mock::Options { stream, ..mock::Options::default() }).await.unwrap();
            let agent = Agent::connect(mock.url(), "none".to_owned(), era).await;
            assert_eq!(agent.tools().await.len(), TOOLS.len());

            let answer = agent.call("echo", json!({ "id": "a", "text": "hi" })).await;
            assert_eq!(answer.result()["structuredContent"]["echo"]["text"], "hi");
            assert!(!answer.is_error());
            assert!(agent.call("fail", json!({ "id": "a" })).await.is_error());
            assert_eq!(agent.call("refuse", json!({})).await.response["error"]["code"], -32050);
            assert_eq!(agent.call("ask", json!({})).await.text(), "Hello, Ada!");
            assert_eq!(mock.count("a"), 2);
        }
    }
}

#[tokio::test]
async fn the_mock_can_be_of_one_era_only_and_can_die_and_come_back() {
    let mut mock = Mock::start(mock::Options { eras: Eras::Legacy, ..mock::Options::default() }).await.unwrap();
    let agent = Agent::connect(mock.url(), "none".to_owned(), Era::Legacy).await;
    let modern = Agent::connect(mock.url(), "none".to_owned(), Era::Modern).await;
    assert_eq!(modern.call("echo", json!({})).await.status, 400);

    mock.kill();
    let patience = Duration::from_secs(5);
    assert!(agent.call_within("echo", json!({}), patience).await.is_none());
    mock.restart().await.unwrap();
    assert_eq!(agent.call("echo", json!({})).await.status, 404, "its sessions are gone");
    assert!(mock.calls().is_empty());
}

#[tokio::test]
async fn the_proxy_adds_its_headers_and_holds_nothing_back() {
    let mock = Mock::start(mock::Options::default()).await.unwrap();
    let headers = [("x-added".parse().unwrap(), "yes".parse().unwrap())].into_iter().collect();
    let target = Target { addr: mock.addr(), path: Some("/mcp".to_owned()), headers };
    let proxy = Proxy::start(0, target).await.unwrap();
    let agent = Agent::connect(format!("http://{}/elsewhere", proxy.addr()), "none".to_owned(), Era::Legacy).await;

    assert_eq!(agent.call("ask", json!({})).await.text(), "Hello, Ada!", "a question passes while the call is open");
    assert_eq!(mock.calls()[0].headers["x-added"], "yes");
}

#[tokio::test]
async fn a_provider_that_remembers_nothing_answers_the_same() {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for record in [true, false] {
        let provider = Provider::start(Options { record, ..Options::default() }).await.unwrap();
        for api in Ask::APIS {
            for stream in [false, true] {
                let ask = Ask::new(api, "mock", stream);
                let request = http.post(format!("{}{}", provider.url(), ask.path)).body(ask.body);
                let answer = request.send().await.unwrap().bytes().await.unwrap();
                assert_eq!(text_of(api, &answer), (TEXT.to_owned(), true), "{api:?} stream {stream} record {record}");
            }
        }
    }
}

#[tokio::test]
async fn the_provider_bills_what_it_sent_and_sees_who_leaves() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = |words: &str, stream: bool| {
        let ask = Ask::new(Api::Chat, &format!("mock--{words}"), stream);
        http.post(format!("{}{}", provider.url(), ask.path)).body(ask.body).send()
    };

    send("in-10--cached-10--out-2", false).await.unwrap().bytes().await.unwrap();
    // Dollars a million tokens: 3 in, 0.30 from the cache, 15 out.
    assert_eq!(provider.bill(), 10 * 3_000 + 10 * 300 + 2 * 15_000);

    provider.forget();
    let mut left = send("frames-50--stall-20--in-0--out-1000", true).await.unwrap();
    left.chunk().await.unwrap();
    drop(left);
    eventually("the end of an abandoned answer", || async { (provider.open() == 0).then_some(()) }).await;
    let exchange = &provider.exchanges()[0];
    assert_eq!(exchange.end.unwrap().0, End::Abandoned);
    assert!(exchange.frames < 10 && provider.bill() < 1_000 * 15_000 / 4, "{} frames", exchange.frames);

    assert_eq!(send("status-529", false).await.unwrap().status(), 529);
    assert!(send("cut-0", false).await.unwrap().bytes().await.is_err());
    assert!(tokio::time::timeout(Duration::from_millis(200), send("silent", true)).await.is_err());
    assert_eq!(send("status-503--first-1", false).await.unwrap().status(), 503);
    assert_eq!(send("status-503--first-1", false).await.unwrap().status(), 200);
}
