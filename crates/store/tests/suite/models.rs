use std::time::Duration;

use preloop_store::{Error, Event, SecretOwner, each_store};
use preloop_types::{
    BudgetSubject, BudgetUnit, Guardrails, KeyId, ModelPattern, Rates,
    config::{AccountModelSettings, Capture, OnUnpriced},
};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::{budget, model, price};

each_store! {
    async fn models_come_back_as_they_were_and_take_their_secrets_with_them(store) {
        let account = store.owner("ann").await.account;
        let mut gpt = model("fast", store.now());
        let (id, m) = (gpt.id, gpt.clone());
        let mut events = store.events();
        store.write(account, move |tx| Box::pin(async move {
            tx.insert_model(&m).await?;
            tx.put_secret(SecretOwner::Model(m.id), "api_key", &"sk-hunter2".into()).await
        })).await.unwrap();
        // Where nodes share a database, the way between them may have been made anew just then.
        while events.recv().await.unwrap() != Event::ConfigChanged(account) {}
        let view = store.account(account);
        assert_eq!(view.models().await.unwrap(), [gpt.clone()]);
        assert_eq!(view.secrets(SecretOwner::Model(id)).await.unwrap()["api_key"].expose_secret(), "sk-hunter2");

        gpt.alias = "faster".to_owned();
        gpt.endpoint = Some("https://example.org/v1".to_owned());
        gpt.pricing = Some(Rates { output: "15".parse().unwrap(), ..Rates::default() });
        gpt.updated_at = gpt.updated_at + Duration::from_secs(1);
        let m = gpt.clone();
        store.write(account, move |tx| Box::pin(async move { tx.update_model(&m).await })).await.unwrap();
        assert_eq!(view.model(id).await.unwrap(), Some(gpt));

        store.write(account, move |tx| Box::pin(async move { tx.delete_model(id).await })).await.unwrap();
        assert_eq!(view.model(id).await.unwrap(), None);
        assert!(view.secret_names(SecretOwner::Model(id)).await.unwrap().is_empty());
    }

    async fn an_alias_is_taken_once_and_the_newest_default_is_the_only_one(store) {
        let account = store.owner("ann").await.account;
        let now = store.now();
        let (mut a, mut b, again) = (model("a", now), model("b", now), model("a", now));
        (a.is_default, b.is_default) = (true, true);
        store.write(account, move |tx| Box::pin(async move {
            tx.insert_model(&a).await?;
            tx.insert_model(&b).await
        })).await.unwrap();
        let refused = store.write(account, move |tx| Box::pin(async move { tx.insert_model(&again).await })).await;
        assert_eq!(refused.unwrap_err().to_string(), "another one has the same `alias`");
        let defaults: Vec<_> = store.account(account).models().await.unwrap().into_iter().map(|m| m.is_default).collect();
        assert_eq!(defaults, [false, true]);
    }

    async fn prices_and_budgets_come_back_as_they_were(store) {
        let account = store.owner("ann").await.account;
        let now = store.now();
        let (mut price, mut budget) = (price("openai/*", now), budget(BudgetSubject::Tag("a=b".to_owned()), now));
        let (p, b) = (price.clone(), budget.clone());
        store.write(account, move |tx| Box::pin(async move {
            tx.insert_price_override(&p).await?;
            tx.insert_budget(&b).await
        })).await.unwrap();
        let view = store.account(account);
        assert_eq!(view.price_overrides().await.unwrap(), [price.clone()]);
        assert_eq!(view.budgets().await.unwrap(), [budget.clone()]);

        price.rates = None;
        price.effective_until = Some(now);
        budget.soft = Some(5);
        budget.alerts.emails = vec!["ann@example.org".to_owned()];
        let (p, b) = (price.clone(), budget.clone());
        store.write(account, move |tx| Box::pin(async move {
            tx.update_price_override(&p).await?;
            tx.update_budget(&b).await
        })).await.unwrap();
        assert_eq!(view.price_override(price.id).await.unwrap(), Some(price.clone()));
        assert_eq!(view.budget(budget.id).await.unwrap(), Some(budget.clone()));

        store.write(account, move |tx| Box::pin(async move {
            tx.delete_price_override(price.id).await?;
            tx.delete_budget(budget.id).await
        })).await.unwrap();
        assert!(view.price_overrides().await.unwrap().is_empty());
        assert!(view.budgets().await.unwrap().is_empty());
    }

    async fn there_is_one_budget_of_a_kind_even_where_it_names_nobody(store) {
        let account = store.owner("ann").await.account;
        let now = store.now();
        for subject in [BudgetSubject::Account, BudgetSubject::Key(None), BudgetSubject::Key(Some(KeyId(Uuid::now_v7())))] {
            let (first, second) = (budget(subject.clone(), now), budget(subject.clone(), now));
            let mut other = budget(subject.clone(), now);
            other.model = Some(ModelPattern("fast".to_owned()));
            let mut in_tokens = budget(subject, now);
            in_tokens.unit = BudgetUnit::Tokens;
            store.write(account, move |tx| Box::pin(async move {
                tx.insert_budget(&first).await?;
                tx.insert_budget(&other).await?;
                tx.insert_budget(&in_tokens).await
            })).await.unwrap();
            let again = store.write(account, move |tx| Box::pin(async move { tx.insert_budget(&second).await })).await;
            assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
        }
    }

    async fn what_a_budget_counts_does_not_change(store) {
        let account = store.owner("ann").await.account;
        let made = budget(BudgetSubject::Account, store.now());
        let mut moved = made.clone();
        moved.unit = BudgetUnit::Requests;
        store.write(account, move |tx| Box::pin(async move { tx.insert_budget(&made).await })).await.unwrap();
        let refused = store.write(account, move |tx| Box::pin(async move { tx.update_budget(&moved).await })).await;
        assert!(matches!(refused, Err(Error::NotFound)));
    }

    async fn settings_of_models_are_the_defaults_until_someone_changes_them(store) {
        let account = store.owner("ann").await.account;
        let view = store.account(account);
        assert_eq!(view.model_settings().await.unwrap(), AccountModelSettings::default());
        let settings = AccountModelSettings {
            allowed_models: vec![ModelPattern("tag:cheap".to_owned())],
            on_unpriced: OnUnpriced::Warn,
            capture: Capture::Full,
            session_idle_minutes: 0,
            guardrails: Guardrails { deadline_ms: 250, ..Guardrails::default() },
        };
        let s = settings.clone();
        store.write(account, move |tx| Box::pin(async move { tx.put_model_settings(&s).await })).await.unwrap();
        assert_eq!(view.model_settings().await.unwrap(), settings);
    }
}
