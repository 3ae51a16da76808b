use std::time::Duration;

use futures::future::join_all;
use preloop_store::{NewDelivery, each_store};
use preloop_types::UserId;
use uuid::Uuid;

use crate::new_approval;

each_store! {
    async fn a_delivery_is_taken_by_one_sender_and_retried(store) {
        let account = store.owner("ann").await.account;
        let now = store.now();
        let new = new_approval(vec![UserId(Uuid::from_u128(1))], 1, "{}");
        let delivery = NewDelivery {
            channel: "email".to_owned(),
            recipient: "ann@example.org".to_owned(),
            approval: Some(new.id),
            payload: b"hello".to_vec(),
            next_at: now,
        };
        let d = delivery.clone();
        let put = store.write(account, move |tx| Box::pin(async move {
            tx.insert_or_join_approval(&new).await?;
            Ok((tx.enqueue(&d).await?, tx.enqueue(&d).await?))
        }));
        assert_eq!(put.await.unwrap(), (true, false), "one message per request, channel and recipient");

        let taken = join_all((0..8).map(|_| store.claim_deliveries("email", now, 10))).await;
        let taken: Vec<_> = taken.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(taken.len(), 1);
        assert_eq!((taken[0].payload.as_slice(), taken[0].attempt, taken[0].account), (&b"hello"[..], 1, account));

        let id = taken[0].id;
        let again = now + Duration::from_secs(10);
        store.write(account, move |tx| Box::pin(async move { tx.retry_delivery(id, again, "down").await })).await.unwrap();
        assert!(store.claim_deliveries("email", now, 10).await.unwrap().is_empty());
        assert_eq!(store.claim_deliveries("email", again, 10).await.unwrap()[0].attempt, 2);
        // Whoever took it never came back.
        let much_later = again + Duration::from_secs(61);
        assert_eq!(store.claim_deliveries("email", much_later, 10).await.unwrap()[0].attempt, 3);
        store.write(account, move |tx| Box::pin(async move { tx.finish_delivery(id).await })).await.unwrap();
        assert!(store.claim_deliveries("email", much_later + Duration::from_secs(999), 10).await.unwrap().is_empty());
    }
}
