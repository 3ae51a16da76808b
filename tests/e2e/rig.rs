//! The rig itself: a mock that lied would prove nothing.

use preloop_bench::{
    mock::{Eras, Mock, Options, TOOLS},
    proxy::{Proxy, Target},
};
use preloop_e2e::{Agent, Era};
use serde_json::json;

#[tokio::test]
async fn the_mock_speaks_both_eras_and_counts_calls() {
    for era in Era::ALL {
        for stream in [false, true] {
            let mock = Mock::start(Options { stream, ..Options::default() }).await.unwrap();
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
    let mut mock = Mock::start(Options { eras: Eras::Legacy, ..Options::default() }).await.unwrap();
    let agent = Agent::connect(mock.url(), "none".to_owned(), Era::Legacy).await;
    let modern = Agent::connect(mock.url(), "none".to_owned(), Era::Modern).await;
    assert_eq!(modern.call("echo", json!({})).await.status, 400);

    mock.kill();
    let patience = std::time::Duration::from_secs(5);
    assert!(agent.call_within("echo", json!({}), patience).await.is_none());
    mock.restart().await.unwrap();
    assert_eq!(agent.call("echo", json!({})).await.status, 404, "its sessions are gone");
    assert!(mock.calls().is_empty());
}

#[tokio::test]
async fn the_proxy_adds_its_headers_and_holds_nothing_back() {
    let mock = Mock::start(Options::default()).await.unwrap();
    let headers = [("x-added".parse().unwrap(), "yes".parse().unwrap())].into_iter().collect();
    let target = Target { addr: mock.addr(), path: Some("/mcp".to_owned()), headers };
    let proxy = Proxy::start(0, target).await.unwrap();
    let agent = Agent::connect(format!("http://{}/elsewhere", proxy.addr()), "none".to_owned(), Era::Legacy).await;

    assert_eq!(agent.call("ask", json!({})).await.text(), "Hello, Ada!", "a question passes while the call is open");
    assert_eq!(mock.calls()[0].headers["x-added"], "yes");
}
