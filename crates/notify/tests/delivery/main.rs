//! Notices on their way from the outbox to people, over real SMTP and HTTP.

#![expect(clippy::unwrap_used, reason = "what does not work fails the test")]

mod chats;
mod clicks;
mod events;
mod push;
mod receiver;
mod rig;
mod sink;

use std::time::Duration;

use preloop_egress::{Egress, EgressOptions};
use preloop_govern::{Alert, ApprovalNotice, Message, Notice, Recipient};
use preloop_notify::{Courier, Settings, SmtpSettings, SmtpTls, sign};
use preloop_store::ApprovalStatus;
use preloop_types::Timestamp;
use serde_json::json;

use crate::{
    receiver::Receiver,
    rig::{HOSTILE, Rig, mailbox, smtp_settings, webhook},
    sink::Sink,
};

/// Longer than the longest wait between two attempts.
const LONG: Duration = Duration::from_hours(1);

/// Waits until `done`, a few seconds at most.
async fn until(done: impl Fn() -> bool) {
    for _ in 0..100 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not happen");
}

/// The request as somebody would write it who wants to deceive its reader.
fn hostile(request: ApprovalNotice) -> ApprovalNotice {
    ApprovalNotice {
        tool: HOSTILE.to_owned(),
        requester: HOSTILE.to_owned(),
        justification: Some(HOSTILE.to_owned()),
        reason: HOSTILE.to_owned(),
        arguments: json!({ HOSTILE: HOSTILE, "turned": "\u{202e}gnp.exe" }),
        ..request
    }
}

#[tokio::test]
async fn every_approver_gets_a_mail_with_a_link_of_their_own() {
    let sink = Sink::start(false).await;
    let rig = Rig::new(Some(sink.port)).await;
    rig.announce_to(mailbox("ann@example.com")).await;
    rig.announce_to(mailbox("bob@example.com")).await;

    assert_eq!(rig.deliver().await, 2);

    let mut mails = sink.mails();
    mails.sort_by_key(|mail| mail.to.clone());
    assert_eq!(mails.len(), 2);
    for (mail, own, other) in [(&mails[0], "ann", "bob"), (&mails[1], "bob", "ann")] {
        assert_eq!(mail.to, [format!("{own}@example.com")]);
        assert_eq!(mail.header("Subject"), "Tool Approval Required: pay");
        assert_eq!(mail.header("From"), "Preloop <preloop@example.com>");
        let text = mail.text();
        assert_eq!(text.matches(&format!("token-of-{own}@example.com")).count(), 2, "text and HTML:\n{text}");
        assert!(!text.contains(&format!("token-of-{other}")));
        assert!(text.contains("the invoice is due") && text.contains("payments need a human"));
    }
    assert_eq!(rig.history().await.len(), 2);
    assert_eq!(rig.deliver_after(LONG).await, 0, "a mail that was taken is not sent again");
}

#[tokio::test]
async fn an_alert_is_a_mail_without_a_decision() {
    let sink = Sink::start(false).await;
    let rig = Rig::new(Some(sink.port)).await;
    let alert = Alert {
        subject: "Budget warning: the daily budget\r\nBcc: thief@example.com".to_owned(),
        text: "The <b>daily</b> budget passed its soft limit.\n\nhttps://preloop.example/budgets?a=1&b=2\n".to_owned(),
    };
    rig.put(Notice { to: mailbox("ann@example.com"), what: Message::Alert(alert) }).await;

    assert_eq!(rig.deliver().await, 1);

    let mail = sink.mails().remove(0);
    assert_eq!(mail.to, ["ann@example.com"]);
    assert_eq!(mail.header("Bcc"), "", "{}", mail.data);
    assert!(mail.text().contains("passed its soft limit"), "{}", mail.data);
    let html = mail.text();
    assert!(html.contains("&lt;b&gt;daily") && html.contains("<a href=\"https:"), "{html}");
    assert_eq!(rig.deliver_after(LONG).await, 0);
}

#[tokio::test]
async fn hostile_words_stay_words() {
    let sink = Sink::start(false).await;
    let rig = Rig::new(Some(sink.port)).await;
    let to = Recipient::email("ann@example.com".to_owned(), Some(HOSTILE.to_owned()));
    rig.announce(to.clone(), hostile(rig.notice(&to))).await;

    rig.deliver().await;

    let mail = sink.mails().remove(0);
    assert_eq!(mail.to, ["ann@example.com"]);
    assert_eq!(mail.header("Bcc"), "", "{}", mail.data);
    let text = mail.text();
    let html = text.split("<!doctype html>").nth(1).unwrap();
    assert!(!html.contains("<script>") && html.contains("&lt;script&gt;"), "{html}");
    assert!(!text.contains('\u{202e}'));
}

#[tokio::test]
async fn a_mailbox_that_is_refused_is_not_tried_again() {
    let sink = Sink::start(false).await;
    let rig = Rig::new(Some(sink.port)).await;
    rig.announce_to(mailbox("unknown@example.com")).await;
    rig.announce_to(mailbox("not an address\r\nRCPT TO:<thief@example.com>")).await;

    assert_eq!(rig.deliver().await, 2);
    assert_eq!(rig.deliver_after(LONG).await, 0);

    assert!(sink.mails().is_empty());
    let history = rig.history().await;
    assert!(history.iter().all(|event| event.event_type == "notification_failed"), "{history:?}");
    assert!(history.iter().any(|event| event.detail.as_deref().unwrap().contains("no such person")), "{history:?}");
    let journal = rig.journal().await;
    assert_eq!(journal.len(), 2);
    assert!(!format!("{journal:?}").contains('@'), "the journal is never erased, so it holds no address");
}

#[tokio::test]
async fn nothing_is_said_in_the_clear_where_tls_was_asked_for() {
    for tls in [SmtpTls::StartTls, SmtpTls::Tls] {
        let sink = Sink::start(false).await;
        let rig = Rig::with(Some(smtp_settings(sink.port, tls)), EgressOptions::default()).await;
        rig.announce_to(mailbox("ann@example.com")).await;

        rig.deliver().await;

        assert!(sink.mails().is_empty(), "{tls:?}");
    }
}

#[tokio::test]
async fn a_sender_that_is_none_is_refused_at_the_start() {
    let rig = Rig::new(None).await;
    let settings = SmtpSettings { from: "nobody".to_owned(), ..smtp_settings(25, SmtpTls::None) };
    let refused = Courier::new(
        rig.store.clone(),
        &Egress::new(EgressOptions::default()),
        &Settings { smtp: Some(settings), ..Settings::default() },
    );
    assert!(refused.err().unwrap().to_string().contains("SMTP_FROM"));
}

#[tokio::test]
async fn a_webhook_can_check_who_tells_it() {
    let receiver = Receiver::start(204).await;
    let rig = Rig::new(None).await;
    let headers =
        vec![("X-Tenant".to_owned(), "7".to_owned()), ("x-preloop-event-type".to_owned(), "forged".to_owned())];
    let to = Recipient::webhook(&receiver.url, &headers, Some("whsec"));
    rig.announce_to(to).await;

    rig.deliver().await;

    let told = receiver.told().remove(0);
    let signature = told.header("x-preloop-signature");
    let seconds: i64 = signature.split(['=', ',']).nth(1).unwrap().parse().unwrap();
    assert_eq!(signature, sign(b"whsec", Timestamp::from_micros(seconds * 1_000_000), &told.body));
    assert_eq!(told.header("x-preloop-event-type"), "approval_request");
    assert_eq!(told.header("x-preloop-event-id"), rig.approval.id.to_string());
    assert_eq!(told.header("x-preloop-attempt"), "1");
    assert_eq!(told.header("x-tenant"), "7");

    let body = told.json();
    assert_eq!(body["type"], "approval_request");
    assert_eq!(body["tool_args"], json!({ "amount": 5, "memo": "<b>hi</b>" }));
    let page = format!("https://preloop.example/approval/{}", rig.approval.id);
    assert!(body["actions"]["view"].as_str().unwrap().starts_with(&format!("{page}?token=")));
    assert!(body["actions"]["approve"].as_str().unwrap().starts_with(&format!("{page}/approve?token=")));
}

#[tokio::test]
async fn a_webhook_that_fails_is_told_six_times_and_the_request_lives_on() {
    let receiver = Receiver::start(503).await;
    let rig = Rig::new(None).await;
    rig.announce_to(webhook(&receiver.url)).await;

    rig.deliver().await;
    assert_eq!(rig.deliver_after(Duration::from_secs(7)).await, 0, "the second attempt comes after some ten seconds");
    for _ in 0..8 {
        rig.deliver_after(LONG).await;
    }

    let told = receiver.told();
    let attempts: Vec<&str> = told.iter().map(|told| told.header("x-preloop-attempt")).collect();
    assert_eq!(attempts, ["1", "2", "3", "4", "5", "6"]);
    assert!(
        told.iter().all(|attempt| attempt.header("x-preloop-delivery-id") == told[0].header("x-preloop-delivery-id"))
    );
    let history = rig.history().await;
    assert_eq!(history.len(), 1);
    assert!(history[0].detail.as_deref().unwrap().contains("503"), "{history:?}");
    let approval = rig.store.account(rig.account).approval(rig.approval.id).await.unwrap().unwrap();
    assert_eq!(approval.status, ApprovalStatus::Pending);
}

#[tokio::test]
async fn a_webhook_that_recovers_is_told_once_more() {
    let receiver = Receiver::start(500).await;
    let rig = Rig::new(None).await;
    rig.announce_to(webhook(&receiver.url)).await;
    rig.deliver().await;
    receiver.answer_with(200);

    rig.deliver_after(Duration::from_secs(13)).await;
    rig.deliver_after(LONG).await;

    assert_eq!(receiver.told().len(), 2);
    assert_eq!(rig.history().await[0].event_type, "notification_sent");
    assert_eq!(rig.journal().await[0]["attempts"], 2);
}

#[tokio::test]
async fn a_server_that_hangs_holds_nobody_up() {
    let hanging = Sink::start(true).await;
    let receiver = Receiver::start(200).await;
    let rig = Rig::new(Some(hanging.port)).await;
    rig.announce_to(mailbox("ann@example.com")).await;
    let courier = tokio::spawn(rig.courier.clone().run(std::future::pending()));

    rig.announce_to(webhook(&receiver.url)).await;

    until(|| receiver.told().len() == 1).await;
    courier.abort();
}

#[tokio::test]
async fn nobody_is_told_of_what_is_decided() {
    let sink = Sink::start(false).await;
    let rig = Rig::new(Some(sink.port)).await;
    rig.announce_to(mailbox("ann@example.com")).await;
    let id = rig.approval.id;
    rig.store.write(rig.account, move |tx| Box::pin(async move { tx.cancel_approval(id, None).await })).await.unwrap();

    rig.deliver().await;

    assert!(sink.mails().is_empty());
    assert_eq!(rig.journal().await[0]["status"], "skipped");
}

#[tokio::test]
async fn a_webhook_cannot_be_aimed_at_this_machine() {
    let receiver = Receiver::start(200).await;
    let rig = Rig::with(None, EgressOptions::default()).await;
    rig.announce_to(webhook(&receiver.url)).await;

    rig.deliver().await;

    assert!(receiver.told().is_empty());
    assert_eq!(rig.history().await[0].event_type, "notification_failed");
}

#[tokio::test]
async fn the_courier_stops_when_told() {
    let sink = Sink::start(false).await;
    let rig = Rig::new(Some(sink.port)).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let courier = tokio::spawn(rig.courier.clone().run(async {
        let _ = stopped.await;
    }));
    rig.announce_to(mailbox("ann@example.com")).await;
    until(|| sink.mails().len() == 1).await;

    stop.send(()).unwrap();

    tokio::time::timeout(Duration::from_secs(5), courier).await.unwrap().unwrap();
}
