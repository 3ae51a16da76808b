//! What people are told by: P9 for every read and mutation that takes an id, and what is used up once.

use std::time::Duration;

use preloop_store::{Bypass, ChatLink, Device, Error, EventEndpoint, Preferences, each_store, testing::TestStore};
use preloop_types::{AccountId, BypassId, DeviceId, EndpointId, Hash, UserId};

fn a_device(user: UserId, token: &str) -> Device {
    Device {
        id: DeviceId::new(preloop_store::testing::START),
        user,
        channel: "mobile_push".to_owned(),
        platform: "ios".to_owned(),
        name: "phone".to_owned(),
        address: format!(r#"{{"token":"{token}"}}"#),
        token_hash: Hash::of(token),
        key: None,
        created_at: preloop_store::testing::START,
    }
}

fn an_endpoint() -> EventEndpoint {
    let now = preloop_store::testing::START;
    EventEndpoint {
        id: EndpointId::new(now),
        url: "https://grc.example/in".to_owned(),
        description: None,
        event_types: Vec::new(),
        is_active: true,
        secret_hint: String::new(),
        failures: 0,
        paused_until: None,
        last_error: None,
        dropped: 0,
        created_at: now,
        updated_at: now,
    }
}

fn a_link(user: UserId) -> ChatLink {
    let [provider, team, chat_user, chat_name] = ["slack", "T1", "U1", "ann"].map(str::to_owned);
    ChatLink { provider, team, chat_user, chat_name, user, created_at: preloop_store::testing::START }
}

fn a_bypass(user: UserId) -> Bypass {
    let now = preloop_store::testing::START;
    Bypass {
        id: BypassId::new(now),
        user,
        mode: "mute_notifications".to_owned(),
        agent: None,
        reason: None,
        created_via: "api".to_owned(),
        created_at: now,
        expires_at: now + Duration::from_hours(1),
        revoked_at: None,
        revoked_by: None,
        auto_approved: 0,
    }
}

async fn furnish(store: &TestStore, account: AccountId, user: UserId) -> (Device, EventEndpoint, Bypass) {
    let all = (a_device(user, "t"), an_endpoint(), a_bypass(user));
    let (device, endpoint, bypass) = all.clone();
    let write = store.write(account, move |tx| {
        Box::pin(async move {
            tx.put_device(&device).await?;
            tx.insert_event_endpoint(&endpoint, &"whsec_hidden".into()).await?;
            tx.insert_bypass(&bypass).await?;
            tx.put_chat_link(&a_link(user)).await?;
            tx.put_preferences(user, &Preferences { enable_email: false, ..Preferences::default() }).await
        })
    });
    write.await.unwrap();
    all
}

each_store! {
    async fn p9_another_tenants_devices_endpoints_links_and_bypasses_do_not_exist(store) {
        let (ann, bob) = (store.owner("ann").await, store.owner("bob").await);
        let (device, endpoint, bypass) = furnish(&store, ann.account, ann.user).await;

        let bobs = store.account(bob.account);
        assert!(bobs.devices(None).await.unwrap().is_empty());
        assert!(bobs.devices(Some(ann.user)).await.unwrap().is_empty());
        assert_eq!(bobs.preferences(ann.user).await.unwrap(), Preferences::default());
        assert!(bobs.event_endpoints().await.unwrap().is_empty());
        assert!(bobs.event_endpoint(endpoint.id).await.unwrap().is_none());
        assert!(bobs.event_endpoint_secret(endpoint.id).await.unwrap().is_none());
        assert!(bobs.active_bypasses(store.now()).await.unwrap().is_empty());
        assert!(bobs.bypass(bypass.id).await.unwrap().is_none());
        assert!(bobs.chat_links(None).await.unwrap().is_empty());
        let [provider, team, user] = ["slack", "T1", "U1"].map(str::to_owned);
        assert!(bobs.chat_link(provider, team, user).await.unwrap().is_none());
        let (anns, his) = (ann.user, bob.user);
        let foreign = endpoint.clone();
        let answers = store.write(bob.account, move |tx| Box::pin(async move {
            assert!(!tx.delete_device(device.id).await?);
            assert!(!tx.revoke_bypass(bypass.id, his).await?);
            assert!(!tx.delete_chat_link(anns, "slack", "U1").await?);
            assert!(matches!(tx.update_event_endpoint(&foreign).await, Err(Error::NotFound)));
            assert!(matches!(tx.delete_event_endpoint(foreign.id).await, Err(Error::NotFound)));
            assert!(matches!(tx.test_event_endpoint(foreign.id).await, Err(Error::NotFound)));
            assert!(matches!(tx.put_device(&a_device(anns, "x")).await, Err(Error::NotFound)));
            assert!(matches!(tx.put_preferences(anns, &Preferences::default()).await, Err(Error::NotFound)));
            assert!(matches!(tx.put_chat_link(&a_link(anns)).await, Err(Error::NotFound)));
            assert!(matches!(tx.insert_bypass(&a_bypass(anns)).await, Err(Error::NotFound)));
            assert!(matches!(tx.insert_device_code(anns, &Hash::of("c")).await, Err(Error::NotFound)));
            Ok(())
        }));
        answers.await.unwrap();

        let own = store.account(ann.account);
        assert_eq!(own.devices(Some(ann.user)).await.unwrap()[0].address, r#"{"token":"t"}"#);
        assert!(!own.preferences(ann.user).await.unwrap().enable_email);
        assert_eq!(own.event_endpoint(endpoint.id).await.unwrap().unwrap().secret_hint, "…dden");
        assert_eq!(own.active_bypasses(store.now()).await.unwrap().len(), 1);
        assert_eq!(own.chat_links(Some(ann.user)).await.unwrap().len(), 1);
    }

    async fn a_device_code_works_once_and_in_time(store) {
        let ann = store.owner("ann").await;
        let mint = |code: &'static str| store.write(ann.account, move |tx| Box::pin(async move {
            tx.insert_device_code(ann.user, &Hash::of(code)).await
        }));
        mint("one").await.unwrap();
        mint("two").await.unwrap();

        let tries = futures::future::join_all((0..8).map(|_| store.use_device_code(Hash::of("one")))).await;
        assert_eq!(tries.into_iter().filter(|used| *used.as_ref().unwrap() == Some((ann.account, ann.user))).count(), 1);
        assert_eq!(store.use_device_code(Hash::of("three")).await.unwrap(), None);
        store.clock().advance(Duration::from_mins(15));
        assert_eq!(store.use_device_code(Hash::of("two")).await.unwrap(), None);
    }

    async fn the_same_device_again_replaces_itself(store) {
        let ann = store.owner("ann").await;
        for name in ["phone", "new phone"] {
            let device = Device { name: name.to_owned(), ..a_device(ann.user, "t") };
            store.write(ann.account, |tx| Box::pin(async move { tx.put_device(&device).await })).await.unwrap();
        }
        let devices = store.account(ann.account).devices(None).await.unwrap();
        assert_eq!(devices.iter().map(|device| device.name.as_str()).collect::<Vec<_>>(), ["new phone"]);
    }

    async fn a_click_is_the_first_of_its_kind_once(store) {
        let clicks = futures::future::join_all((0..8).map(|_| store.first_click(Hash::of("v0=1")))).await;
        assert_eq!(clicks.into_iter().filter(|first| *first.as_ref().unwrap()).count(), 1);
        assert!(store.first_click(Hash::of("v0=2")).await.unwrap());
    }

    async fn what_ended_two_weeks_ago_is_forgotten(store) {
        let ann = store.owner("ann").await;
        let (_, endpoint, _) = furnish(&store, ann.account, ann.user).await;
        let id = endpoint.id;
        let test = store.write(ann.account, move |tx| Box::pin(async move { tx.test_event_endpoint(id).await }));
        test.await.unwrap();
        let delivery = store.claim_deliveries("event", store.now(), 1).await.unwrap().remove(0);
        let dead = store.write(ann.account, move |tx| Box::pin(async move {
            tx.dead_letter_delivery(delivery.id, "down").await
        }));
        dead.await.unwrap();
        let kept = Duration::from_hours(14 * 24);
        store.clock().advance(kept);
        assert_eq!(store.forget_deliveries(kept).await.unwrap(), 0);
        store.clock().advance(Duration::from_secs(1));
        assert_eq!(store.forget_deliveries(kept).await.unwrap(), 1);
        assert!(store.account(ann.account).dead_letters(0, 10).await.unwrap().is_empty());
    }
}
