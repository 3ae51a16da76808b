//! The approval page.

use reqwest::Method;
use serde_json::json;

use crate::app::{App, Reply};

async fn open(app: &App, id: &str) -> (String, String) {
    let link = app.owner.post(&format!("/api/v1/approval-requests/{id}/link"), json!({})).await.ok();
    let url = link["url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix(&app.url).unwrap().to_owned();
    let token = url.split_once("?token=").unwrap().1.to_owned();
    (path, token)
}

async fn submit(app: &App, id: &str, form: &[(&str, &str)]) -> Reply {
    let nobody = app.nobody();
    nobody.send(nobody.request(Method::POST, &format!("/approval/{id}")).form(form)).await
}

#[tokio::test]
async fn the_page_shows_the_call_and_looking_decides_nothing() {
    for app in App::each().await {
        let agent = app.with_held_payments().await;
        let arguments = json!({"amount": 120, "password": "hidden-value"});
        let id = app.held(&agent, "pay", arguments, Some("The customer was charged twice")).await;
        let (path, token) = open(&app, &id).await;
        for _ in 0..3 {
            let page = app.nobody().get(&path).await;
            assert_eq!(page.status, 200, "{}", page.text);
            for text in [
                "Allow pay?",
                "&quot;amount&quot;: 120",
                "charged twice",
                "mock",
                "Payments are reviewed",
                "Default Approval Workflow",
            ] {
                assert!(page.text.contains(text), "`{text}` is missing: {}", page.text);
            }
            assert!(!page.text.contains("hidden-value") && !page.text.contains("<script"), "{}", page.text);
            let policy = page.headers["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
            assert_eq!(page.headers["referrer-policy"], "no-referrer");
            assert_eq!(page.headers["cache-control"], "no-store");
        }
        assert_eq!(app.owner.get(&format!("/api/v1/approval-requests/{id}")).await.ok()["status"], "pending");

        let done = submit(&app, &id, &[("token", &token), ("action", "approve"), ("comment", "go")]).await;
        assert!(done.status == 200 && done.text.contains("Approved"), "{}", done.text);
        assert!(!done.text.contains("<form"), "{}", done.text);
        let request = app.owner.get(&format!("/api/v1/approval-requests/{id}")).await.ok();
        assert_eq!((&request["status"], &request["approver_comment"]), (&json!("approved"), &json!("go")));
        let late = submit(&app, &id, &[("token", &token), ("action", "decline")]).await;
        assert!(late.status == 400 || late.status == 404, "{}", late.text);
    }
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let app = App::start().await;
    let agent = app.with_held_payments().await;
    let hostile = "</pre><script>alert(1)</script>\u{202e}\"><img src=x onerror=alert(1)>{{ 7*7 }}";
    let id = app.held(&agent, "pay", json!({"text": hostile}), Some(hostile)).await;
    let (path, _) = open(&app, &id).await;
    let page = app.nobody().get(&path).await.text;
    assert!(!page.contains("<script>") && !page.contains("<img") && !page.contains('\u{202e}'), "{page}");
    assert!(page.contains("&lt;script&gt;") && page.contains("{{ 7*7 }}"), "{page}");
}

#[tokio::test]
async fn every_bad_link_looks_the_same() {
    let app = App::start().await;
    let agent = app.with_held_payments().await;
    let id = app.held(&agent, "pay", json!({}), None).await;
    let nothing = "00000000-0000-7000-8000-000000000000";
    let mut pages = Vec::new();
    for path in [
        format!("/approval/{id}"),
        format!("/approval/{id}?token=wrong"),
        format!("/approval/{nothing}?token=x"),
        "/approval/x".to_owned(),
    ] {
        let page = app.nobody().get(&path).await;
        assert_eq!(page.status, 404, "{path}");
        pages.push(page.text);
    }
    let posted = submit(&app, &id, &[("token", "wrong"), ("action", "approve")]).await;
    assert_eq!(posted.status, 404);
    pages.push(posted.text);
    assert!(pages.iter().all(|page| *page == pages[0]));
    assert_eq!(app.owner.get(&format!("/api/v1/approval-requests/{id}")).await.ok()["status"], "pending");
}

#[tokio::test]
async fn a_missing_reason_is_asked_for_again() {
    let app = App::start().await;
    let workflow = app.owner.get("/api/v1/approval-workflows").await.ok()[0]["id"].as_str().unwrap().to_owned();
    app.owner.put(&format!("/api/v1/approval-workflows/{workflow}"), json!({"require_reason": true})).await.ok();
    let agent = app.with_held_payments().await;
    let id = app.held(&agent, "pay", json!({"amount": 1}), None).await;
    let (_, token) = open(&app, &id).await;
    let again = submit(&app, &id, &[("token", &token), ("action", "approve"), ("comment", " ")]).await;
    assert!(
        again.status == 422 && again.text.contains("requires a reason") && again.text.contains("<form"),
        "{}",
        again.text
    );
    let unclear = submit(&app, &id, &[("token", &token)]).await;
    assert_eq!(unclear.status, 400);
    let done = submit(&app, &id, &[("token", &token), ("action", "decline"), ("comment", "too much")]).await;
    assert!(done.status == 200 && done.text.contains("Declined"), "{}", done.text);
}
