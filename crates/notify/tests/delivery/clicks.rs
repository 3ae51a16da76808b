//! Clicks on buttons: whose votes they become, and what forgers get.

use hmac::{Hmac, KeyInit, Mac};
use preloop_notify::{ChatAnswer, ChatDesk, ChatError, ChatSettings, MattermostSettings, SlackSettings};
use preloop_store::ApprovalStatus;
use preloop_types::{Hash, User, UserId};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

use crate::{
    chats::{mattermost, mattermost_server, slack_app, with_chat},
    receiver::Receiver,
    rig::Rig,
    until,
};

/// The token of the notice the buttons are in.
const TOKEN: &str = "token-in-the-message";

async fn rig() -> Rig {
    let rig = Rig::set_up(with_chat(slack_app())).await;
    let id = rig.approval.id;
    let keep = rig.store.write(rig.account, move |tx| {
        Box::pin(async move { tx.insert_approval_token(id, None, "workflow Default", &Hash::of(TOKEN)).await })
    });
    keep.await.unwrap();
    rig
}

/// What Slack posts when Ann clicks.
fn click(rig: &Rig, action: &str, response_url: &str) -> Vec<u8> {
    let payload = json!({
        "type": "block_actions", "user": { "id": "U1", "username": "ann", "team_id": "T1" }, "team": { "id": "T1" },
        "actions": [{ "action_id": action, "value": format!("{}.{TOKEN}", rig.approval.id) }],
        "response_url": response_url,
    });
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &payload.to_string())
        .finish()
        .into_bytes()
}

fn signed(secret: &[u8], timestamp: i64, body: &[u8]) -> (String, String) {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(format!("v0:{timestamp}:").as_bytes());
    mac.update(body);
    (timestamp.to_string(), format!("v0={}", hex::encode(mac.finalize().into_bytes())))
}

fn now(rig: &Rig) -> i64 {
    rig.store.now().micros() / 1_000_000
}

async fn post(rig: &Rig, desk: &ChatDesk, body: &[u8]) -> Result<ChatAnswer, ChatError> {
    let (timestamp, signature) = signed(b"signing", now(rig), body);
    desk.slack(&timestamp, &signature, body).await
}

async fn votes(rig: &Rig) -> usize {
    rig.store.account(rig.account).approval(rig.approval.id).await.unwrap().unwrap().votes.len()
}

/// The code in what the chat was told.
fn code(told: &Value) -> String {
    let text = told["text"].as_str().or(told["ephemeral_text"].as_str()).unwrap();
    text.split("link-chat ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn somebody_unknown_is_told_how_to_decide_and_once_they_said_who_they_are_their_click_is_their_vote() {
    let slack = Receiver::start(200).await;
    let rig = rig().await;
    let desk = rig.desk(slack_app());
    post(&rig, &desk, &click(&rig, "preloop_approve", &slack.url)).await.unwrap();
    until(|| slack.told().len() == 1).await;
    let told = slack.told()[0].json();
    assert_eq!((&told["response_type"], &told["replace_original"]), (&json!("ephemeral"), &json!(false)));
    assert!(told["text"].as_str().unwrap().contains("nothing was decided"), "{told}");
    assert_eq!(votes(&rig).await, 0, "there are no anonymous votes by click");

    desk.link(rig.account, rig.owner, &code(&told)).await.unwrap();
    rig.store.clock().advance(std::time::Duration::from_secs(1));
    post(&rig, &desk, &click(&rig, "preloop_approve", &slack.url)).await.unwrap();

    let approval = rig.store.account(rig.account).approval(rig.approval.id).await.unwrap().unwrap();
    assert_eq!((approval.status, approval.decided_by), (ApprovalStatus::Approved, Some(rig.owner)));
    assert_eq!(approval.votes[0].via, "slack");
    until(|| slack.told().len() == 2).await;
    let updated = slack.told()[1].json();
    assert_eq!((&updated["replace_original"], &updated["text"]), (&json!(true), &json!("pay: approved by ann")));
}

#[tokio::test]
async fn a_click_that_is_forged_old_or_seen_before_does_nothing() {
    let slack = Receiver::start(200).await;
    let rig = rig().await;
    let desk = rig.desk(slack_app());
    link_ann(&rig, "slack", "T1").await;
    let body = click(&rig, "preloop_decline", &slack.url);
    let is_refused = |answer: Result<ChatAnswer, ChatError>| matches!(answer, Err(ChatError::Refused(_)));

    let (timestamp, forged) = signed(b"another secret", now(&rig), &body);
    assert!(is_refused(desk.slack(&timestamp, &forged, &body).await));
    let (timestamp, signature) = signed(b"signing", now(&rig) - 301, &body);
    assert!(is_refused(desk.slack(&timestamp, &signature, &body).await));
    let (timestamp, signature) = signed(b"signing", now(&rig), &body);
    let turned = click(&rig, "preloop_approve", &slack.url);
    assert!(is_refused(desk.slack(&timestamp, &signature, &turned).await));
    assert_eq!(votes(&rig).await, 0);

    assert!(desk.slack(&timestamp, &signature, &body).await.is_ok());
    assert_eq!(votes(&rig).await, 1);
    assert!(is_refused(desk.slack(&timestamp, &signature, &body).await), "a signature counts once");
    let unsigned = rig.desk(ChatSettings::default()).slack(&timestamp, &signature, &body).await;
    assert!(matches!(unsigned, Err(ChatError::NotSetUp(_))));
}

async fn link_ann(rig: &Rig, provider: &str, team: &str) {
    let link = preloop_store::ChatLink {
        provider: provider.to_owned(),
        team: team.to_owned(),
        chat_user: "U1".to_owned(),
        chat_name: "ann".to_owned(),
        user: rig.owner,
        created_at: rig.store.now(),
    };
    rig.store.write(rig.account, |tx| Box::pin(async move { tx.put_chat_link(&link).await })).await.unwrap();
}

#[tokio::test]
async fn a_code_says_who_its_reader_is_and_nobody_else_can_make_one() {
    let slack = Receiver::start(200).await;
    let rig = rig().await;
    let desk = rig.desk(slack_app());
    post(&rig, &desk, &click(&rig, "preloop_approve", &slack.url)).await.unwrap();
    until(|| slack.told().len() == 1).await;
    let code = code(&slack.told()[0].json());

    let (claim, mac) = code.split_once('.').unwrap();
    assert!(desk.link(rig.account, rig.owner, &format!("{claim}x.{mac}")).await.is_err());
    rig.store.clock().advance(std::time::Duration::from_mins(16));
    assert!(desk.link(rig.account, rig.owner, &code).await.is_err(), "too old");
}

/// Ann's mail address here, and whether she proved it is hers.
async fn address(rig: &Rig, email: &str, verified: bool) {
    let owner = rig.store.account(rig.account).user(rig.owner).await.unwrap().unwrap();
    let user = User { email: Some(email.to_owned()), email_verified: verified, ..owner };
    rig.store.write(rig.account, |tx| Box::pin(async move { tx.update_user(&user).await })).await.unwrap();
}

#[tokio::test]
async fn the_mail_address_that_slack_knows_says_who_clicked() {
    let slack = Receiver::start(200).await;
    let app = SlackSettings {
        signing_secret: Some("signing".into()),
        bot_token: Some("xoxb-1".into()),
        api_url: Url::parse(&format!("{}/api/", slack.origin())).unwrap(),
    };
    let settings = ChatSettings { slack: app, ..ChatSettings::default() };
    let user = |email: &str| json!({ "ok": true, "user": { "profile": { "email": email } } }).to_string();
    let cases = [
        ("ann@example.com", true, user("Ann@example.com"), 1),
        ("ann@example.com", false, user("ann@example.com"), 0),
        ("ann@example.com", true, user("eve@example.com"), 0),
        ("ann@example.com", true, json!({ "ok": false, "error": "user_not_found" }).to_string(), 0),
    ];
    for (here, verified, there, counted) in cases {
        let rig = rig().await;
        address(&rig, here, verified).await;
        slack.say(&there);

        post(&rig, &rig.desk(settings.clone()), &click(&rig, "preloop_approve", &slack.url)).await.unwrap();

        assert_eq!(votes(&rig).await, counted, "{here} {verified} {there}");
        let asked = slack.told().into_iter().find(|told| told.path == "/api/users.info?user=U1").unwrap();
        assert_eq!(asked.header("authorization"), "Bearer xoxb-1");
    }
}

#[tokio::test]
async fn whoever_is_no_approver_decides_nothing_with_a_click() {
    let slack = Receiver::start(200).await;
    let rig = rig().await;
    let desk = rig.desk(slack_app());
    let eve = User::new(UserId::new(rig.store.now()), "eve", rig.store.now());
    let id = eve.id;
    rig.store.write(rig.account, |tx| Box::pin(async move { tx.insert_user(&eve).await })).await.unwrap();
    post(&rig, &desk, &click(&rig, "preloop_approve", &slack.url)).await.unwrap();
    until(|| slack.told().len() == 1).await;
    desk.link(rig.account, id, &code(&slack.told()[0].json())).await.unwrap();
    rig.store.clock().advance(std::time::Duration::from_secs(1));

    post(&rig, &desk, &click(&rig, "preloop_approve", &slack.url)).await.unwrap();

    until(|| slack.told().len() == 2).await;
    assert!(slack.told()[1].json()["text"].as_str().unwrap().contains("not among the approvers"));
    assert_eq!(votes(&rig).await, 0);
}

#[tokio::test]
async fn a_slack_that_hangs_when_it_is_asked_who_clicked_delays_the_click_by_two_seconds_at_most() {
    let hanging = crate::sink::Sink::start(true).await;
    let rig = rig().await;
    let app = SlackSettings {
        signing_secret: Some("signing".into()),
        bot_token: Some("xoxb-1".into()),
        api_url: Url::parse(&format!("http://127.0.0.1:{}/api/", hanging.port)).unwrap(),
    };
    let desk = rig.desk(ChatSettings { slack: app, ..ChatSettings::default() });
    let begun = std::time::Instant::now();

    post(&rig, &desk, &click(&rig, "preloop_approve", "http://127.0.0.1:1/")).await.unwrap();

    assert!(begun.elapsed() < std::time::Duration::from_millis(2_800), "Slack waits three seconds");
    assert_eq!(votes(&rig).await, 0);
}

#[tokio::test]
async fn mattermosts_click_comes_back_with_its_context_and_is_answered_in_the_message() {
    let server = Receiver::start(200).await;
    let settings = mattermost_server(server.origin());
    let rig = Rig::set_up(with_chat(settings.clone())).await;
    let to = mattermost(&server.url);
    let mut request = rig.notice(&to);
    request.link = Some(format!("https://preloop.example/approval/{}?token={TOKEN}", rig.approval.id));
    rig.announce(to, request).await;
    let id = rig.approval.id;
    let keep = rig.store.write(rig.account, move |tx| {
        Box::pin(async move { tx.insert_approval_token(id, None, "workflow Default", &Hash::of(TOKEN)).await })
    });
    keep.await.unwrap();
    rig.deliver().await;
    let context = server.told()[0].json()["attachments"][0]["actions"][0]["integration"]["context"].clone();
    let desk = rig.desk(settings.clone());
    let click = |context: &Value| json!({ "user_id": "U1", "user_name": "ann", "context": context }).to_string();
    let said = |answer| match answer {
        Ok(ChatAnswer::Json(said)) => said,
        other => panic!("{other:?}"),
    };

    let unknown = said(desk.mattermost(click(&context).as_bytes()).await);
    assert!(unknown["ephemeral_text"].as_str().unwrap().contains("nothing was decided"), "{unknown}");
    let mut turned = context.clone();
    turned["action"] = json!("decline");
    assert!(matches!(desk.mattermost(click(&turned).as_bytes()).await, Err(ChatError::Refused(_))));
    let elsewhere = MattermostSettings { action_secret: Some("other".into()), ..settings.mattermost };
    let elsewhere = rig.desk(ChatSettings { mattermost: elsewhere, ..ChatSettings::default() });
    assert!(matches!(elsewhere.mattermost(click(&context).as_bytes()).await, Err(ChatError::Refused(_))));
    assert_eq!(votes(&rig).await, 0);

    desk.link(rig.account, rig.owner, &code(&unknown)).await.unwrap();
    let decided = said(desk.mattermost(click(&context).as_bytes()).await);
    assert!(decided["update"].to_string().contains("pay: approved by ann"), "{decided}");
    assert_eq!(rig.status().await, ApprovalStatus::Approved);
}
