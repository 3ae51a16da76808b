use preloop_store::{Error, Keys, SecretOwner, Store, StoreOptions, each_store};
use secrecy::ExposeSecret as _;

use crate::{new_approval, server, with_payload};

each_store! {
    async fn p8_secrets_come_back_and_are_nowhere_in_clear(store) {
        let account = store.owner("ann").await.account;
        let server = server("files", store.now());
        let id = server.id;
        let new = new_approval(vec![], 1, r#"{"card":"hunter2-argument"}"#);
        store.write(account, move |tx| Box::pin(async move {
            tx.insert_server(&server).await?;
            tx.put_secret(SecretOwner::Server(id), "token", &"old".into()).await?;
            tx.put_secret(SecretOwner::Server(id), "token", &"hunter2-token".into()).await?;
            tx.insert_or_join_approval(&new).await.map(drop)
        })).await.unwrap();
        store.append(with_payload(account, "hunter2-payload")).await.unwrap();

        let store = store.reopen().await;
        let secrets = store.account(account).secrets(SecretOwner::Server(id)).await.unwrap();
        assert_eq!(secrets["token"].expose_secret(), "hunter2-token");
        assert_eq!(store.account(account).secret_names(SecretOwner::Server(id)).await.unwrap(), ["token"]);
        if store.is_sqlite() {
            let file = store.url().trim_start_matches("sqlite://").to_owned();
            for companion in ["", "-wal"] {
                let bytes = std::fs::read(format!("{file}{companion}")).unwrap_or_default();
                assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
            }
        }
        let export = crate::exported(&store, account, false).await;
        assert!(!export.contains("hunter2"));
    }

    async fn p8_a_secret_moved_to_another_owner_does_not_open(store) {
        let account = store.owner("ann").await.account;
        let (a, b) = (server("a", store.now()), server("b", store.now()));
        let (from, to) = (a.id, b.id);
        store.write(account, move |tx| Box::pin(async move {
            tx.insert_server(&a).await?;
            tx.insert_server(&b).await?;
            tx.put_secret(SecretOwner::Server(from), "token", &"x".into()).await?;
            tx.put_secret(SecretOwner::Server(to), "token", &"y".into()).await
        })).await.unwrap();
        let hex = |id: preloop_types::ServerId| id.0.simple().to_string();
        let blob = |id| if store.is_sqlite() { format!("X'{}'", hex(id)) } else { format!("'{}'::uuid", hex(id)) };
        let swap = format!(
            "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE owner_id = {}) WHERE owner_id = {}",
            blob(from), blob(to)
        );
        assert_eq!(store.tamper(&swap).await.unwrap(), 1);
        assert!(store.account(account).secrets(SecretOwner::Server(from)).await.is_ok());
        let moved = store.account(account).secrets(SecretOwner::Server(to)).await;
        assert!(matches!(moved, Err(Error::Unsealable)));
    }

    async fn p8_another_instance_key_is_refused_at_once(store) {
        let options = StoreOptions { keys: Keys::derive(b"another"), ..store.options() };
        store.close().await;
        assert!(matches!(opened(options).await, Err(Error::WrongKey)));
    }

    async fn what_is_sealed_for_one_account_opens_for_it_alone(store) {
        let (ann, bob) = (store.owner("ann").await.account, store.owner("bob").await.account);
        let sealed = store.seal(ann, "cursor", b"plain").await.unwrap();
        assert_eq!(store.open_sealed(ann, "cursor", &sealed).await.unwrap(), b"plain");
        assert!(store.open_sealed(ann, "other", &sealed).await.is_err());
        assert!(store.open_sealed(bob, "cursor", &sealed).await.is_err());
    }
}

/// Opens as soon as the last process has let go.
async fn opened(options: StoreOptions) -> preloop_store::Result<Store> {
    loop {
        match Store::open(options.clone()).await {
            Err(Error::InUse(_)) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            opened => return opened,
        }
    }
}
