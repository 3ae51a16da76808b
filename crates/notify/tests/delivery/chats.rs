//! Slack, Mattermost and ntfy: what they are sent, as they take it.

use std::time::Duration;

use preloop_govern::Recipient;
use preloop_notify::{ChatSettings, MattermostSettings, Settings, SlackSettings};
use preloop_store::ApprovalStatus;
use serde_json::{Value, json};
use url::Url;

use crate::{
    hostile,
    receiver::Receiver,
    rig::{Rig, mailbox},
    sink::Sink,
    until,
};

pub(crate) fn slack(url: &str) -> Recipient {
    Recipient::sealed("slack", "Default", json!({ "webhook_url": url }))
}

pub(crate) fn mattermost(url: &str) -> Recipient {
    Recipient::sealed("mattermost", "Default", json!({ "webhook_url": url }))
}

pub(crate) fn with_chat(chat: ChatSettings) -> Settings {
    Settings { chat, ..Settings::default() }
}

pub(crate) fn slack_app() -> ChatSettings {
    let slack = SlackSettings { signing_secret: Some("signing".into()), ..SlackSettings::default() };
    ChatSettings { slack, ..ChatSettings::default() }
}

pub(crate) fn mattermost_server(origin: &str) -> ChatSettings {
    let mattermost = MattermostSettings {
        url: Some(Url::parse(origin).unwrap()),
        action_secret: Some("action".into()),
        bot_token: None,
    };
    ChatSettings { mattermost, ..ChatSettings::default() }
}

/// The elements of the message's last block.
fn elements(message: &Value) -> Vec<Value> {
    message["attachments"][0]["blocks"].as_array().unwrap().last().unwrap()["elements"].as_array().unwrap().clone()
}

#[tokio::test]
async fn slack_shows_the_request_and_has_buttons_where_clicks_can_be_verified() {
    let receiver = Receiver::start(200).await;
    let rig = Rig::set_up(with_chat(slack_app())).await;
    rig.announce_to(slack(&receiver.url)).await;

    rig.deliver().await;

    let message = receiver.told()[0].json();
    assert_eq!(message["text"], "pay waits for a decision");
    let shown = message.to_string();
    assert!(shown.contains("the invoice is due") && shown.contains("payments need a human"), "{shown}");
    let buttons = elements(&message);
    let actions: Vec<_> = buttons.iter().map(|button| button["action_id"].as_str().unwrap()).collect();
    assert_eq!(actions, ["preloop_approve", "preloop_decline", "preloop_view"]);
    assert_eq!(buttons[0]["value"], format!("{}.token-of-workflow Default", rig.approval.id));
    assert!(buttons[2]["url"].as_str().unwrap().starts_with("https://preloop.example/approval/"));
    assert_eq!(rig.history().await[0].event_type, "notification_sent");
}

#[tokio::test]
async fn without_a_signing_secret_there_is_a_link_alone() {
    let receiver = Receiver::start(200).await;
    let rig = Rig::new(None).await;
    rig.announce_to(slack(&receiver.url)).await;
    rig.announce_to(mattermost(&receiver.url)).await;

    rig.deliver().await;

    let mut told: Vec<Value> = receiver.told().iter().map(crate::receiver::Told::json).collect();
    told.sort_by_key(|message| message["text"] == "");
    assert_eq!(elements(&told[0]).len(), 1);
    assert!(elements(&told[0])[0]["value"].is_null());
    assert_eq!(told[1]["attachments"][0]["actions"], json!([]));
    assert!(told[1]["attachments"][0]["text"].as_str().unwrap().contains("(https://preloop.example/approval/"));
}

#[tokio::test]
async fn mattermosts_buttons_go_to_the_server_that_is_trusted_and_to_no_other() {
    let (trusted, other) = (Receiver::start(200).await, Receiver::start(200).await);
    let rig = Rig::set_up(with_chat(mattermost_server(trusted.origin()))).await;
    rig.announce_to(mattermost(&trusted.url)).await;
    let elsewhere = Recipient { label: "elsewhere".to_owned(), ..mattermost(&other.url) };
    rig.announce_to(elsewhere).await;

    rig.deliver().await;

    let actions = trusted.told()[0].json()["attachments"][0]["actions"].clone();
    assert_eq!(actions.as_array().unwrap().len(), 2);
    assert_eq!(actions[0]["integration"]["url"], "https://preloop.example/api/v1/chat/mattermost");
    assert_eq!(actions[0]["integration"]["context"]["action"], "approve");
    assert_eq!(other.told()[0].json()["attachments"][0]["actions"], json!([]));
}

#[tokio::test]
async fn hostile_words_mention_and_link_nobody() {
    let receiver = Receiver::start(200).await;
    let rig = Rig::new(None).await;
    for to in [slack(&receiver.url), mattermost(&receiver.url)] {
        let mut request = hostile(rig.notice(&to));
        request.tool = "<!channel> @all [x](https://evil.example) ```".to_owned();
        request.reason = request.tool.clone();
        rig.announce(to, request).await;
    }

    rig.deliver().await;

    for told in receiver.told() {
        let message = told.json();
        let text = message["text"].as_str().unwrap();
        assert!(!text.contains("<!channel>"), "{text}");
        let attachment = &message["attachments"][0];
        if attachment["title"].is_string() {
            // Outside of the two fences there is nothing but the link.
            let outside: String = attachment["text"].as_str().unwrap().split("```").step_by(2).collect();
            assert!(!outside.contains('@') && !outside.contains("evil"), "{outside}");
            assert!(!attachment["title"].as_str().unwrap().contains(['@', '[']));
        } else {
            let marked_up = attachment["blocks"].to_string().contains("mrkdwn");
            assert!(!marked_up, "{attachment}");
        }
    }
}

#[tokio::test]
async fn ntfy_is_told_by_json_with_its_token_and_without_a_link() {
    let receiver = Receiver::start(200).await;
    let rig = Rig::new(None).await;
    let url = format!("{}/approvals-7", receiver.origin());
    rig.announce_to(Recipient::sealed("ntfy", "Default", json!({ "url": url, "token": "tk_1" }))).await;

    rig.deliver().await;

    let told = receiver.told().remove(0);
    assert_eq!((told.path.as_str(), told.header("authorization")), ("/", "Bearer tk_1"));
    let message = told.json();
    assert_eq!((&message["topic"], &message["title"]), (&json!("approvals-7"), &json!("New Approval Request: pay")));
    assert!(!message.to_string().contains("token-of") && !message.to_string().contains("https://"), "{message}");
}

#[tokio::test]
async fn a_channel_that_is_not_set_up_says_so_and_fails_nothing() {
    let rig = Rig::new(None).await;
    rig.announce_to(mailbox("ann@example.com")).await;

    rig.deliver().await;

    let history = rig.history().await;
    assert!(history[0].detail.as_deref().unwrap().contains("not set up on this instance"), "{history:?}");
    assert_eq!(rig.status().await, ApprovalStatus::Pending);
}

/// Fewer mails than there is room for would prove nothing.
#[tokio::test]
async fn a_channel_that_hangs_takes_nothing_from_the_others() {
    let hanging = Sink::start(true).await;
    let receiver = Receiver::start(200).await;
    let rig = Rig::new(Some(hanging.port)).await;
    for number in 0..40 {
        rig.announce_to(mailbox(&format!("approver-{number}@example.com"))).await;
    }
    let courier = tokio::spawn(rig.courier.clone().run(std::future::pending()));
    tokio::time::sleep(Duration::from_millis(300)).await;

    rig.announce_to(slack(&receiver.url)).await;

    until(|| receiver.told().len() == 1).await;
    courier.abort();
}
