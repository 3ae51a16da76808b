//! Who is told of a request and of what happened: in the transaction that gives the reason for it.

use std::time::Duration;

use preloop_store::{Bypass, Delivery, Device, EventEndpoint, Preferences, each_store, testing::TestStore};
use preloop_types::{
    AccountId, AgentId, BypassId, DeviceId, EndpointId, EventType, Hash, SEALED_CHANNELS, UserId,
    config::{Channels, RuleAction},
};
use serde_json::{Value, json};

use crate::house::House;

/// A house in which mail can be sent, and whose owner has an address.
async fn house(store: TestStore) -> House {
    let house = House::with_rule(store, RuleAction::RequireApproval, None).await;
    let owner = house.store.account(house.account).user(house.owner.user).await.unwrap().unwrap();
    let owner = preloop_types::User { email: Some("ann@example.com".to_owned()), ..owner };
    house.store.write(house.account, |tx| Box::pin(async move { tx.update_user(&owner).await })).await.unwrap();
    house.with_mail()
}

async fn prefer(house: &House, preferences: Preferences) {
    let user = house.owner.user;
    let put = house
        .store
        .write(house.account, move |tx| Box::pin(async move { tx.put_preferences(user, &preferences).await }));
    put.await.unwrap();
}

async fn add_phone(house: &House) {
    let device = Device {
        id: DeviceId::new(house.store.now()),
        user: house.owner.user,
        channel: "mobile_push".to_owned(),
        platform: "ios".to_owned(),
        name: "phone".to_owned(),
        address: json!({ "platform": "ios", "token": "apns-secret" }).to_string(),
        token_hash: Hash::of("apns-secret"),
        key: None,
        created_at: house.store.now(),
    };
    let put = house.store.write(house.account, move |tx| Box::pin(async move { tx.put_device(&device).await }));
    put.await.unwrap();
}

/// What is due `later`, by channel.
async fn due(house: &House, channel: &str, later: Duration) -> Vec<Delivery> {
    house.store.claim_deliveries(channel, house.store.now() + later, 50).await.unwrap()
}

fn payload(delivery: &Delivery) -> Value {
    serde_json::from_slice(&delivery.payload).unwrap()
}

async fn subscribe(store: &TestStore, account: AccountId, event_types: Vec<EventType>) -> EndpointId {
    let now = store.now();
    let endpoint = EventEndpoint {
        id: EndpointId::new(now),
        url: "https://grc.example/in".to_owned(),
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
    let id = endpoint.id;
    let add = store
        .write(account, move |tx| Box::pin(async move { tx.insert_event_endpoint(&endpoint, &"whsec".into()).await }));
    add.await.unwrap();
    id
}

each_store! {
    async fn a_device_is_told_at_once_and_without_a_link_and_the_mail_waits_for_it(store) {
        let house = house(store).await;
        prefer(&house, Preferences { enable_push: true, ..Preferences::default() }).await;
        add_phone(&house).await;

        let held = house.held(json!({"amount": 5, "api_key": "sk-hidden"})).await;

        assert_eq!(held.channels, ["console", "mobile_push", "email"]);
        let push = due(&house, "mobile_push", Duration::ZERO).await;
        assert_eq!(push.len(), 1);
        let notice = payload(&push[0]);
        assert_eq!(notice["what"]["link"], Value::Null);
        assert!(!notice.to_string().contains("sk-hidden"), "{notice}");
        assert!(due(&house, "email", Duration::from_secs(14)).await.is_empty());
        let mail = due(&house, "email", Duration::from_secs(15)).await;
        assert!(payload(&mail[0])["what"]["link"].as_str().unwrap().contains("token="));
    }

    async fn whoever_does_not_want_mail_gets_none_and_without_a_device_mail_comes_at_once(store) {
        let house = house(store).await;
        house.held(json!({"amount": 1})).await;
        assert_eq!(due(&house, "email", Duration::ZERO).await.len(), 1);
        prefer(&house, Preferences { enable_email: false, ..Preferences::default() }).await;
        let held = house.held(json!({"amount": 2})).await;
        assert_eq!(held.channels, ["console"]);
        assert!(due(&house, "email", Duration::from_hours(1)).await.iter().all(|mail| mail.approval != Some(held.approval.id)));
    }

    async fn a_person_who_muted_requests_is_not_told_of_them_and_they_block_all_the_same(store) {
        let house = house(store).await;
        let now = house.store.now();
        let mute = |user: UserId, agent: Option<AgentId>| Bypass {
            id: BypassId::new(now),
            user,
            mode: "mute_notifications".to_owned(),
            agent,
            reason: None,
            created_via: "cli".to_owned(),
            created_at: now,
            expires_at: now + Duration::from_hours(1),
            revoked_at: None,
            revoked_by: None,
            auto_approved: 0,
        };
        // Of an agent that is not this one: nothing changes.
        let other = mute(house.owner.user, Some(AgentId::new(now)));
        house.store.write(house.account, |tx| Box::pin(async move { tx.insert_bypass(&other).await })).await.unwrap();
        assert!(house.held(json!({"amount": 1})).await.channels.contains(&"email".to_owned()));
        let all = mute(house.owner.user, None);
        house.store.write(house.account, |tx| Box::pin(async move { tx.insert_bypass(&all).await })).await.unwrap();
        assert_eq!(house.held(json!({"amount": 2})).await.channels, ["console"]);
        house.store.clock().advance(Duration::from_hours(1));
        assert!(house.held(json!({"amount": 3})).await.channels.contains(&"email".to_owned()));
    }

    async fn a_workflows_own_channels_are_told_with_the_secrets_they_need(store) {
        let house = house(store).await;
        let mut workflow = house.store.account(house.account).workflows().await.unwrap().remove(0);
        let fields = |name: &str| vec![if name == "ntfy" { "url" } else { "webhook_url" }.to_owned()];
        let sealed = SEALED_CHANNELS.iter().map(|channel| (channel.name.to_owned(), fields(channel.name))).collect();
        workflow.channels = Channels { sealed, ..Channels::default() };
        let write = house.store.write(house.account, move |tx| Box::pin(async move {
            tx.update_workflow(&workflow).await?;
            let owner = preloop_store::SecretOwner::Workflow(workflow.id);
            for name in ["slack.webhook_url", "mattermost.webhook_url", "ntfy.url"] {
                tx.put_secret(owner, name, &format!("https://{name}.example").into()).await?;
            }
            Ok(())
        }));
        write.await.unwrap();
        let house = house.with_mail();

        let held = house.held(json!({"amount": 5})).await;

        assert_eq!(held.channels, ["console", "email", "mattermost", "ntfy", "slack"]);
        let slack = due(&house, "slack", Duration::ZERO).await;
        assert_eq!(payload(&slack[0])["to"]["address"]["webhook_url"], "https://slack.webhook_url.example");
    }

    async fn events_are_told_by_the_transaction_that_records_them_and_hold_no_arguments(store) {
        let house = house(store).await;
        let all = subscribe(&house.store, house.account, Vec::new()).await;
        subscribe(&house.store, house.account, vec![EventType::ApprovalDecided]).await;
        let house = house.with_mail();
        let held = house.held(json!({"amount": 5, "iban": "DE-hidden"})).await;
        let created = due(&house, "event", Duration::ZERO).await;
        assert_eq!(created.len(), 1);
        assert_eq!(created[0].recipient, all.to_string());
        let event = payload(&created[0]);
        assert_eq!((&event["type"], &event["version"]), (&json!("approval.created"), &json!("1")));
        assert_eq!(event["data"]["facts"]["approval"], held.approval.id.to_string());
        assert!(!event.to_string().contains("DE-hidden"), "{event}");

        house.approve(&held.approval).await;

        let decided = due(&house, "event", Duration::ZERO).await;
        assert_eq!(decided.len(), 2);
        let ids: Vec<_> = decided.iter().map(|delivery| delivery.event.clone().unwrap()).collect();
        assert_eq!(ids[0], ids[1], "one event under one id, whoever it is told");
        assert_eq!(payload(&decided[0])["data"]["facts"]["status"], "approved");
    }

    async fn a_denial_is_told_where_somebody_wants_to_know(store) {
        let house = House::with_rule(store, RuleAction::Deny, None).await;
        house.refused(json!({"amount": 5})).await;
        assert!(due(&house, "event", Duration::ZERO).await.is_empty());
        subscribe(&house.store, house.account, vec![EventType::PolicyDenied]).await;
        let house = house.with_mail();

        house.refused(json!({"amount": 5})).await;

        let told = due(&house, "event", Duration::ZERO).await;
        assert_eq!(payload(&told[0])["type"], "policy.denied");
        assert_eq!(payload(&told[0])["data"]["facts"]["status"], "denied");
    }

    async fn events_that_find_the_queue_full_are_dropped_and_counted_and_the_call_goes_on(store) {
        // Filling it takes a while, and the statements are the same on both.
        if !store.is_sqlite() {
            return;
        }
        let house = house(store).await;
        let id = subscribe(&house.store, house.account, Vec::new()).await;
        for _ in 0..10 {
            let fill = house.store.write(house.account, move |tx| Box::pin(async move {
                for _ in 0..1_000 {
                    tx.test_event_endpoint(id).await?;
                }
                Ok(())
            }));
            fill.await.unwrap();
        }

        let held = house.held(json!({"amount": 5})).await;

        house.approve(&held.approval).await;
        let endpoint = house.store.account(house.account).event_endpoint(id).await.unwrap().unwrap();
        assert_eq!(endpoint.dropped, 2);
    }
}
