//! Event webhooks: what is told, how often, and what is left alone.

use std::time::Duration;

use preloop_notify::sign;
use preloop_store::EventEndpoint;
use preloop_types::{EndpointId, EventType, Timestamp};
use secrecy::SecretString;

use crate::{LONG, receiver::Receiver, rig::Rig};

async fn subscribe(rig: &Rig, url: &str, event_types: Vec<EventType>) -> EndpointId {
    let now = rig.store.now();
    let endpoint = EventEndpoint {
        id: EndpointId::new(now),
        url: url.to_owned(),
        description: None,
        event_types,
        is_active: true,
        secret_hint: String::new(),
        failures: 0,
        paused_until: None,
        last_error: None,
        dropped: 0,
        created_at: now,
        updated_at: now,
    };
    let (id, secret) = (endpoint.id, SecretString::from("whsec_1"));
    let added = rig
        .store
        .write(rig.account, move |tx| Box::pin(async move { tx.insert_event_endpoint(&endpoint, &secret).await }));
    added.await.unwrap();
    id
}

async fn endpoint(rig: &Rig, id: EndpointId) -> EventEndpoint {
    rig.store.account(rig.account).event_endpoint(id).await.unwrap().unwrap()
}

async fn try_out(rig: &Rig, id: EndpointId) -> uuid::Uuid {
    rig.store.write(rig.account, move |tx| Box::pin(async move { tx.test_event_endpoint(id).await })).await.unwrap()
}

#[tokio::test]
async fn a_receiver_can_check_who_tells_it_of_what() {
    let receiver = Receiver::start(204).await;
    let rig = Rig::new(None).await;
    let id = subscribe(&rig, &receiver.url, Vec::new()).await;
    let event = try_out(&rig, id).await;

    rig.deliver().await;

    let told = receiver.told().remove(0);
    let signature = told.header("x-preloop-signature");
    let seconds: i64 = signature.split(['=', ',']).nth(1).unwrap().parse().unwrap();
    assert_eq!(signature, sign(b"whsec_1", Timestamp::from_micros(seconds * 1_000_000), &told.body));
    assert_eq!(told.header("x-preloop-event-type"), "webhook.test");
    assert_eq!(told.header("x-preloop-event-id"), event.to_string());
    let body = told.json();
    assert_eq!((body["id"].as_str().unwrap(), body["version"].as_str().unwrap()), (&*event.to_string(), "1"));
    assert_eq!(body["account_id"], rig.account.to_string());
}

#[tokio::test]
async fn six_attempts_then_the_dead_letters_from_where_it_can_be_sent_again() {
    let receiver = Receiver::start(400).await;
    let rig = Rig::new(None).await;
    let id = subscribe(&rig, &receiver.url, Vec::new()).await;
    let event = try_out(&rig, id).await;

    for _ in 0..8 {
        rig.deliver_after(LONG).await;
    }

    assert_eq!(receiver.told().len(), 6);
    let dead = rig.store.account(rig.account).dead_letters(0, 10).await.unwrap();
    assert_eq!((dead[0].event, dead[0].endpoint, dead[0].attempts), (event, id, 6));
    assert!(dead[0].error.as_deref().unwrap().contains("400"));

    receiver.answer_with(200);
    let replay = rig.store.write(rig.account, move |tx| Box::pin(async move { tx.replay_event(event).await }));
    assert_eq!(replay.await.unwrap(), 1);
    rig.deliver().await;

    let told = receiver.told();
    assert_eq!(told.len(), 7);
    assert_eq!(told[6].header("x-preloop-event-id"), told[0].header("x-preloop-event-id"));
    assert!(rig.store.account(rig.account).dead_letters(0, 10).await.unwrap().is_empty());
    assert_eq!(endpoint(&rig, id).await.failures, 0);
}

#[tokio::test]
async fn an_endpoint_that_fails_ten_times_in_a_row_is_left_alone_for_a_while() {
    let receiver = Receiver::start(500).await;
    let rig = Rig::new(None).await;
    let id = subscribe(&rig, &receiver.url, Vec::new()).await;
    for _ in 0..10 {
        try_out(&rig, id).await;
        rig.deliver().await;
    }
    assert_eq!(receiver.told().len(), 10);
    assert!(endpoint(&rig, id).await.paused_until.is_some());

    try_out(&rig, id).await;
    rig.deliver_after(Duration::from_mins(14)).await;
    assert_eq!(receiver.told().len(), 10, "it is left alone");

    receiver.answer_with(200);
    rig.deliver_after(Duration::from_mins(2)).await;
    assert_eq!(receiver.told().len(), 21, "all that waited, and nothing counted as an attempt meanwhile");
    let last = receiver.told().into_iter().find(|told| told.header("x-preloop-attempt") == "1");
    assert!(last.is_some());
    assert_eq!(endpoint(&rig, id).await.paused_until, None);
}

#[tokio::test]
async fn a_webhook_of_events_cannot_be_aimed_at_this_machine() {
    let receiver = Receiver::start(200).await;
    let rig = Rig::with(None, preloop_egress::EgressOptions::default()).await;
    let id = subscribe(&rig, &receiver.url, Vec::new()).await;
    try_out(&rig, id).await;

    rig.deliver().await;

    assert!(receiver.told().is_empty());
    assert!(endpoint(&rig, id).await.last_error.unwrap().contains("private address"));
}
