//! P9: another tenant's id answers like one that does not exist, for every read and every mutation.

use std::fmt::Debug;

use preloop_store::{
    ApprovalFilter, Ballot, Claim, Error, Finding, KeyRow, NewDelivery, RecordFilter, Result, SecretOwner, VoteOutcome,
    each_store, testing::TestStore,
};
use preloop_types::{
    AccountId, ApprovalId, BudgetId, BudgetSubject, EntryKind, Hash, KeyId, ModelId, OutcomeStatus, PriceId, ServerId,
    Subject, Timestamp, ToolConfigId, ToolId, User, UserId, WorkflowId, WriterId,
    config::{Defaults, RawJson, ServerStatus, SubjectGovernance, SubjectRef, ToolConfig, ToolSource},
};
use uuid::Uuid;

use crate::{budget, entry, model, new_approval, price, raw, server, tool};

const START: Timestamp = preloop_store::testing::START;

/// Everything one tenant has.
#[derive(Debug, Clone, Copy)]
struct Ids {
    server: ServerId,
    tool: ToolId,
    config: ToolConfigId,
    workflow: WorkflowId,
    user: UserId,
    key: KeyId,
    approval: ApprovalId,
    policy: Uuid,
    delivery: Uuid,
    chain: WriterId,
    seq: u64,
    model: ModelId,
    price: PriceId,
    budget: BudgetId,
}

async fn furnish(store: &TestStore, account: AccountId, user: UserId) -> Ids {
    let now = store.now();
    let server = server("files", now);
    let tool = tool(server.id, "read", now);
    let (s, t) = (server.clone(), tool.clone());
    let workflow = store.account(account).workflows().await.unwrap()[0].id;
    let config = ToolConfigId(Uuid::now_v7());
    let key = KeyId(Uuid::now_v7());
    let new = new_approval(vec![user], 1, r#"{"a":1}"#);
    let approval = new.id;
    let (model, price, budget) = (model("fast", START), price("*", START), budget(BudgetSubject::Account, START));
    let of_models = (model.clone(), price.clone(), budget.clone());
    let policy = store
        .write(account, move |tx| {
            Box::pin(async move {
                tx.insert_server(&s).await?;
                tx.insert_tool(&t).await?;
                tx.record_tool_version(t.id, t.pinned_hash, &t.definition).await?;
                tx.replace_findings(t.id, &[a_finding(t.id)]).await?;
                tx.insert_tool_config(&a_config(config)).await?;
                tx.insert_key(&a_key(key, account, user)).await?;
                tx.put_secret(SecretOwner::Server(s.id), "token", &"hunter2".into()).await?;
                tx.insert_model(&of_models.0).await?;
                tx.put_secret(SecretOwner::Model(of_models.0.id), "api_key", &"hunter2".into()).await?;
                tx.insert_price_override(&of_models.1).await?;
                tx.insert_budget(&of_models.2).await?;
                tx.insert_or_join_approval(&new).await?;
                tx.add_approval_event(approval, "approval_requested", None, None, None).await?;
                tx.vote(approval, &Ballot::new(user, true, "api")).await?;
                tx.claim_approval(approval, WriterId(Uuid::now_v7()), now + std::time::Duration::from_secs(9)).await?;
                tx.enqueue(&a_delivery(Some(approval), now)).await?;
                let version = preloop_store::NewPolicyVersion {
                    yaml: "v".into(),
                    description: None,
                    tag: None,
                    active: true,
                    created_by: None,
                    counts: preloop_store::PolicyCounts::default(),
                };
                tx.insert_policy_version(&version).await.map(|version| version.id)
            })
        })
        .await
        .unwrap();
    let delivery = store.claim_deliveries("email", now, 10).await.unwrap().pop().unwrap().id;
    let mut entry = entry(account, EntryKind::CallIntent, None);
    entry.payload = Some(b"arguments".to_vec());
    let seq = store.append(entry).await.unwrap().seq;
    store.account(account).checkpoint().await.unwrap();
    let (server, tool, chain) = (server.id, tool.id, store.writer());
    let (model, price, budget) = (model.id, price.id, budget.id);
    Ids { server, tool, config, workflow, user, key, approval, policy, delivery, chain, seq, model, price, budget }
}

fn a_config(id: ToolConfigId) -> ToolConfig {
    ToolConfig {
        id,
        tool_name: "read".to_owned(),
        source: ToolSource::Builtin,
        is_enabled: true,
        workflow: None,
        justification: None,
        description: None,
        custom_config: None,
        rules: Vec::new(),
    }
}

fn a_key(id: KeyId, account: AccountId, user: UserId) -> KeyRow {
    KeyRow {
        id,
        account,
        user,
        kind: preloop_types::CredentialKind::ApiKey,
        grant: None,
        impersonator: None,
        name: "k".to_owned(),
        hash: Hash::of(id.to_string()),
        prefix: "pl".to_owned(),
        scopes: vec![],
        agent: None,
        session: None,
        allowed_tools: None,
        allowed_servers: None,
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        created_at: START,
    }
}

fn a_finding(tool: ToolId) -> Finding {
    let [kind, severity, detail, state] = ["injection", "high", "hidden text", "open"].map(str::to_owned);
    Finding { id: Uuid::now_v7(), tool, kind, severity, detail, state }
}

fn a_delivery(approval: Option<ApprovalId>, next_at: preloop_types::Timestamp) -> NewDelivery {
    NewDelivery { channel: "email".into(), recipient: "x".into(), approval, payload: b"p".to_vec(), next_at }
}

fn nothing() -> Ids {
    Ids {
        server: ServerId(Uuid::now_v7()),
        tool: ToolId(Uuid::now_v7()),
        config: ToolConfigId(Uuid::now_v7()),
        workflow: WorkflowId(Uuid::now_v7()),
        user: UserId(Uuid::now_v7()),
        key: KeyId(Uuid::now_v7()),
        approval: ApprovalId(Uuid::now_v7()),
        policy: Uuid::now_v7(),
        delivery: Uuid::now_v7(),
        chain: WriterId(Uuid::now_v7()),
        seq: 1,
        model: ModelId(Uuid::now_v7()),
        price: PriceId(Uuid::now_v7()),
        budget: BudgetId(Uuid::now_v7()),
    }
}

/// What an account is told about some ids, by every read and every mutation that takes one.
async fn answers(store: &TestStore, account: AccountId, ids: Ids) -> Vec<(&'static str, String)> {
    fn said<T: Debug>(name: &'static str, answer: &Result<T>) -> (&'static str, String) {
        (name, format!("{answer:?}"))
    }
    let view = store.account(account);
    let mut all = vec![
        said("server", &view.server(ids.server).await),
        said("secrets", &view.secrets(SecretOwner::Server(ids.server)).await),
        said("secret_names", &view.secret_names(SecretOwner::Server(ids.server)).await),
        said("model", &view.model(ids.model).await),
        said("secrets of a model", &view.secrets(SecretOwner::Model(ids.model)).await),
        said("price_override", &view.price_override(ids.price).await),
        said("budget", &view.budget(ids.budget).await),
        said("tool", &view.tool(ids.tool).await),
        said("tool_versions", &view.tool_versions(ids.tool).await),
        said("tool_findings", &view.tool_findings(Some(ids.tool)).await),
        said("tool_config", &view.tool_config(ids.config).await),
        said("workflow", &view.workflow(ids.workflow).await),
        said("user", &view.user(ids.user).await),
        said("key", &view.key(ids.key).await),
        said("approval", &view.approval(ids.approval).await),
        said("approval_events", &view.approval_events(ids.approval).await),
        said("policy_version", &view.policy_version(ids.policy).await.map(|found| found.is_some())),
        said("record_payload", &view.record_payload(ids.chain, ids.seq).await),
        said("inclusion", &view.inclusion(ids.chain, ids.seq).await.map(|found| found.is_some())),
    ];
    macro_rules! mutation {
        ($name:literal, $tx:ident, $ids:ident => $work:expr) => {{
            let answer = store.write(account, move |$tx| {
                Box::pin(async move {
                    let $ids = ids;
                    let answer: Result<_> = async { $work }.await;
                    // Whatever was answered, nothing of it is kept.
                    Err::<(), _>(Error::Invalid(format!("{answer:?}")))
                })
            });
            all.push(said($name, &answer.await));
        }};
    }
    mutation!("update_server", tx, ids => {
        let mut server = server("files", tx.now());
        server.id = ids.server;
        tx.update_server(&server).await
    });
    mutation!("delete_server", tx, ids => tx.delete_server(ids.server).await);
    mutation!("set_server_state", tx, ids => {
        tx.set_server_state(ids.server, ServerStatus::Disabled, None, None, None).await
    });
    mutation!("put_secret", tx, ids => {
        tx.put_secret(SecretOwner::Server(ids.server), "token", &"x".into()).await
    });
    mutation!("delete_secret", tx, ids => tx.delete_secret(SecretOwner::Server(ids.server), "token").await);
    mutation!("update_model", tx, ids => {
        let mut model = model("fast", START);
        model.id = ids.model;
        tx.update_model(&model).await
    });
    mutation!("delete_model", tx, ids => tx.delete_model(ids.model).await);
    mutation!("put_secret of a model", tx, ids => {
        tx.put_secret(SecretOwner::Model(ids.model), "api_key", &"x".into()).await
    });
    mutation!("update_price_override", tx, ids => {
        let mut price = price("*", START);
        price.id = ids.price;
        tx.update_price_override(&price).await
    });
    mutation!("delete_price_override", tx, ids => tx.delete_price_override(ids.price).await);
    mutation!("update_budget", tx, ids => {
        let mut budget = budget(BudgetSubject::Account, START);
        budget.id = ids.budget;
        tx.update_budget(&budget).await
    });
    mutation!("delete_budget", tx, ids => tx.delete_budget(ids.budget).await);
    mutation!("insert_tool", tx, ids => tx.insert_tool(&tool(ids.server, "new", tx.now())).await);
    mutation!("update_tool", tx, ids => {
        let mut tool = tool(ids.server, "read", tx.now());
        tool.id = ids.tool;
        tx.update_tool(&tool).await
    });
    mutation!("record_tool_version", tx, ids => {
        tx.record_tool_version(ids.tool, Hash::of("x"), &RawJson(raw("{}"))).await
    });
    mutation!("replace_findings", tx, ids => tx.replace_findings(ids.tool, &[]).await);
    mutation!("insert_tool_config", tx, ids => {
        let mut config = a_config(ToolConfigId(Uuid::now_v7()));
        config.source = ToolSource::Server(ids.server);
        tx.insert_tool_config(&config).await
    });
    mutation!("insert_tool_config with its workflow", tx, ids => {
        let mut config = a_config(ToolConfigId(Uuid::now_v7()));
        config.tool_name = "other".to_owned();
        config.workflow = Some(ids.workflow);
        tx.insert_tool_config(&config).await
    });
    mutation!("update_tool_config", tx, ids => tx.update_tool_config(&a_config(ids.config)).await);
    mutation!("delete_tool_config", tx, ids => tx.delete_tool_config(ids.config).await);
    mutation!("put_defaults", tx, ids => {
        tx.put_defaults(&Defaults { default_workflow: Some(ids.workflow), ..Defaults::default() }).await
    });
    mutation!("put_subject_governance", tx, ids => {
        tx.put_subject_governance(SubjectRef::Key(ids.key), &SubjectGovernance::default()).await
    });
    mutation!("delete_workflow", tx, ids => tx.delete_workflow(ids.workflow).await);
    mutation!("update_workflow", tx, ids => {
        let mut workflow = tx.workflows().await?.remove(0);
        workflow.id = ids.workflow;
        workflow.name = "taken over".to_owned();
        workflow.is_default = false;
        tx.update_workflow(&workflow).await
    });
    mutation!("update_user", tx, ids => {
        let username = "mallory".to_owned();
        let created_at = tx.now();
        tx.update_user(&User::new(ids.user, username, created_at)).await
    });
    mutation!("insert_key", tx, ids => {
        let key = a_key(KeyId(Uuid::from_u128(99)), tx.account(), ids.user);
        tx.insert_key(&KeyRow { name: "another".to_owned(), ..key }).await
    });
    mutation!("revoke_key", tx, ids => tx.revoke_key(ids.key).await);
    mutation!("vote", tx, ids => {
        let outcome = tx.vote(ids.approval, &Ballot::new(ids.user, true, "api")).await?;
        Ok::<_, Error>(matches!(outcome, VoteOutcome::NotFound))
    });
    mutation!("cancel_approval", tx, ids => tx.cancel_approval(ids.approval, None).await);
    mutation!("claim_approval", tx, ids => {
        let claim = tx.claim_approval(ids.approval, ids.chain, tx.now()).await?;
        Ok::<_, Error>(matches!(claim, Claim::NotFound))
    });
    mutation!("renew_claim", tx, ids => tx.renew_claim(ids.approval, 1, tx.now()).await);
    mutation!("finish_approval", tx, ids => {
        tx.finish_approval(ids.approval, 1, None, OutcomeStatus::Succeeded).await
    });
    mutation!("mark_delivered", tx, ids => tx.mark_delivered(ids.approval).await);
    mutation!("add_approval_event", tx, ids => {
        tx.add_approval_event(ids.approval, "viewed", None, None, None).await
    });
    mutation!("insert_approval_token", tx, ids => {
        tx.insert_approval_token(ids.approval, None, "x", &Hash::of("t")).await
    });
    mutation!("enqueue", tx, ids => {
        let delivery = NewDelivery { recipient: "new".into(), ..a_delivery(Some(ids.approval), tx.now()) };
        tx.enqueue(&delivery).await
    });
    mutation!("finish_delivery", tx, ids => tx.finish_delivery(ids.delivery).await);
    mutation!("retry_delivery", tx, ids => tx.retry_delivery(ids.delivery, tx.now(), "x").await);
    mutation!("dead_letter_delivery", tx, ids => tx.dead_letter_delivery(ids.delivery, "x").await);
    mutation!("erase_payload", tx, ids => tx.erase_payload(ids.chain, ids.seq, Subject::default()).await);
    all
}

each_store! {
    async fn p9_another_tenants_ids_answer_like_missing_ones(store) {
        let (ann, bob) = (store.owner("ann").await, store.owner("bob").await);
        furnish(&store, bob.account, bob.user).await;
        // A place in the journal is a chain and a number; this makes the number Ann's alone.
        for _ in 0..30 {
            store.append(entry(ann.account, EntryKind::CallRefused, None)).await.unwrap();
        }
        let anns = furnish(&store, ann.account, ann.user).await;

        let own = answers(&store, ann.account, anns).await;
        let (foreign, missing) =
            (answers(&store, bob.account, anns).await, answers(&store, bob.account, nothing()).await);
        assert_eq!(foreign, missing);
        for (own, missing) in own.iter().zip(&missing) {
            assert_ne!(own, missing, "a question whose answer does not tell the two apart");
        }
    }

    async fn p9_lists_hold_the_accounts_own_rows_only(store) {
        let (ann, bob) = (store.owner("ann").await, store.owner("bob").await);
        let anns = furnish(&store, ann.account, ann.user).await;
        let view = store.account(bob.account);
        assert!(view.tool_findings(None).await.unwrap().is_empty());
        assert!(view.checkpoints().await.unwrap().is_empty());
        assert!(view.servers().await.unwrap().is_empty());
        assert!(view.tools().await.unwrap().is_empty());
        assert!(view.models().await.unwrap().is_empty());
        assert!(view.price_overrides().await.unwrap().is_empty());
        assert!(view.budgets().await.unwrap().is_empty());
        assert!(view.tool_configs().await.unwrap().is_empty());
        assert!(view.keys().await.unwrap().is_empty());
        assert!(view.approvals(ApprovalFilter::default()).await.unwrap().is_empty());
        assert!(view.policy_versions().await.unwrap().is_empty());
        assert_eq!(view.users().await.unwrap().len(), 1);
        assert_eq!(view.workflows().await.unwrap().len(), 1);
        assert!(view.record_payload(anns.chain, anns.seq).await.unwrap().is_none());
        assert!(view.inclusion(anns.chain, anns.seq).await.unwrap().is_none());
        let records = view.records(RecordFilter::default()).await.unwrap();
        assert!(records.iter().all(|record| record.kind == EntryKind::ConfigChanged), "only how Bob began");
        let nobody = store.account(AccountId(Uuid::now_v7()));
        assert!(nobody.servers().await.unwrap().is_empty());
        assert!(nobody.records(RecordFilter::default()).await.unwrap().is_empty());
    }

    async fn p9_a_work_cannot_record_for_another_account(store) {
        let (ann, bob) = (store.owner("ann").await, store.owner("bob").await);
        let crossing = store.write(bob.account, move |tx| Box::pin(async move {
            tx.record(entry(ann.account, EntryKind::ConfigChanged, None));
            Ok(())
        })).await;
        assert!(matches!(crossing, Err(Error::Invalid(_))));
    }
}
