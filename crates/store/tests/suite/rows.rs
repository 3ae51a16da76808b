use std::collections::BTreeMap;

use preloop_store::{
    Error, Event, KeyRow, McpSession, NewKey, NewOwner, NewPolicyVersion, PolicyCounts, RecordFilter, each_store,
};
use preloop_types::{
    Agent, AgentId, Hash, KeyId, ModelPattern, RateLimit, RuleId, Scope, ToolConfigId, User, UserId, WorkflowId,
    config::{
        AccessRule, Defaults, Justification, Language, RawJson, RuleAction, ServerFacts, ServerStatus,
        SubjectGovernance, SubjectRef, ToolConfig, ToolSource, WebhookChannel,
    },
};
use preloop_types::{EntryKind, Timestamp};
use uuid::Uuid;

use crate::{raw, server, tool};

fn rule(action: RuleAction) -> AccessRule {
    AccessRule {
        id: RuleId(Uuid::now_v7()),
        action,
        expression: Some("args.amount > 5".to_owned()),
        language: Language::Cel,
        description: None,
        is_enabled: true,
        workflow: None,
        overridable: true,
        shadow: true,
    }
}

each_store! {
    async fn the_first_account_is_made_once(store) {
        let owner = NewOwner {
            username: "ann".to_owned(),
            email: Some("ann@example.org".to_owned()),
            full_name: None,
            key: Some(NewKey {
                name: "first".to_owned(),
                hash: Hash::of("pl_secret"),
                prefix: "pl_secr".to_owned(),
                scopes: vec![Scope::Admin],
            }),
        };
        let attempts = futures::future::join_all((0..8).map(|_| store.bootstrap(owner.clone()))).await;
        let made: Vec<_> = attempts.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(made.len(), 1);

        let account = store.account(made[0].account);
        assert_eq!(account.owner().await.unwrap().unwrap().username, "ann");
        let workflows = account.workflows().await.unwrap();
        assert_eq!((workflows.len(), workflows[0].is_default), (1, true));
        assert_eq!(workflows[0].approvers, [made[0].user]);
        let found = store.find_key(&Hash::of("pl_secret")).await.unwrap().unwrap();
        assert_eq!((Some(found.key.id), found.user.username.as_str()), (made[0].key, "ann"));
        assert!(store.find_key(&Hash::of("other")).await.unwrap().is_none());
        let kinds: Vec<_> = account.records(RecordFilter::default()).await.unwrap().iter().map(|r| r.kind).collect();
        assert!(kinds.contains(&EntryKind::KeyChanged) && kinds.contains(&EntryKind::ConfigChanged));
        assert_eq!(store.accounts().await.unwrap(), [made[0].account]);
    }

    async fn servers_and_tools_come_back_as_they_were(store) {
        let account = store.owner("ann").await.account;
        let now = store.now();
        let mut server = server("files", now);
        let mut tool = tool(server.id, "read", now);
        let (s, t) = (server.clone(), tool.clone());
        store.write(account, move |tx| Box::pin(async move {
            tx.insert_server(&s).await?;
            tx.insert_tool(&t).await?;
            tx.record_tool_version(t.id, t.definition_hash, &t.definition).await
        })).await.unwrap();
        let view = store.account(account);
        assert_eq!(view.server(server.id).await.unwrap().as_ref(), Some(&server));
        assert_eq!(view.tools().await.unwrap(), [tool.clone()]);

        let facts = ServerFacts {
            protocol_version: "2025-11-25".to_owned(),
            server_info: RawJson(raw(r#"{"name" : "x"}"#)),
            capabilities: RawJson(raw("{}")),
            instructions: None,
        };
        tool.drifted_definition = Some(RawJson(raw(r#"{"name":"read","extra":12345678901234567890123}"#)));
        tool.definition_hash = Hash::of("newer");
        tool.removed_at = Some(now);
        server.name = "Files".to_owned();
        let (s, t, f) = (server.clone(), tool.clone(), facts.clone());
        store.write(account, move |tx| Box::pin(async move {
            tx.update_server(&s).await?;
            tx.update_tool(&t).await?;
            tx.set_server_state(s.id, ServerStatus::Error, Some("down"), Some(&f), Some(Timestamp::from_micros(5))).await?;
            tx.set_server_state(s.id, ServerStatus::Error, Some("still down"), None, None).await
        })).await.unwrap();
        assert_eq!(view.tool(tool.id).await.unwrap(), Some(tool.clone()));
        let read = view.server(server.id).await.unwrap().unwrap();
        assert_eq!((read.name.as_str(), read.status, read.facts), ("Files", ServerStatus::Error, Some(facts)));
        assert_eq!((read.last_error.as_deref(), read.last_scan_at), (Some("still down"), Some(Timestamp::from_micros(5))));

        store.clock().advance(std::time::Duration::from_secs(1));
        let t = tool.clone();
        store.write(account, move |tx| Box::pin(async move {
            tx.record_tool_version(t.id, Hash::of("newer"), t.drifted_definition.as_ref().unwrap()).await?;
            tx.record_tool_version(t.id, t.pinned_hash, &t.definition).await
        })).await.unwrap();
        let versions = view.tool_versions(tool.id).await.unwrap();
        assert_eq!(versions.iter().map(|v| v.hash).collect::<Vec<_>>(), [Hash::of("newer"), tool.pinned_hash]);
        assert!(versions[1].last_seen > versions[1].first_seen);

        let id = server.id;
        store.write(account, move |tx| Box::pin(async move { tx.delete_server(id).await })).await.unwrap();
        assert!(view.tools().await.unwrap().is_empty(), "tools go with their server");
        assert!(view.tool_versions(tool.id).await.unwrap().is_empty());
    }

    async fn unique_values_are_refused_by_name(store) {
        let account = store.owner("ann").await.account;
        let now = store.now();
        let (a, b) = (server("files", now), server("files", now));
        store.write(account, move |tx| Box::pin(async move { tx.insert_server(&a).await })).await.unwrap();
        let mut b = b;
        b.name = "other".to_owned();
        let refused = store.write(account, move |tx| Box::pin(async move { tx.insert_server(&b).await })).await;
        assert_eq!(refused.unwrap_err().to_string(), "another one has the same `slug`");
        assert_eq!(store.account(account).servers().await.unwrap().len(), 1);
    }

    async fn tool_configurations_keep_their_rules_in_order(store) {
        let account = store.owner("ann").await.account;
        let workflow = store.account(account).workflows().await.unwrap()[0].id;
        let mut config = ToolConfig {
            id: ToolConfigId(Uuid::now_v7()),
            tool_name: "pay".to_owned(),
            source: ToolSource::AnyServer,
            is_enabled: false,
            workflow: Some(workflow),
            justification: Some(Justification::Required),
            description: Some("Pays".to_owned()),
            custom_config: Some(RawJson(raw(r#"{"a" : 1}"#))),
            rules: vec![rule(RuleAction::Deny), rule(RuleAction::Allow), rule(RuleAction::RequireApproval)],
        };
        let c = config.clone();
        store.write(account, move |tx| Box::pin(async move { tx.insert_tool_config(&c).await })).await.unwrap();
        let view = store.account(account);
        assert_eq!(view.tool_configs().await.unwrap(), [config.clone()]);

        config.rules.reverse();
        config.rules.pop();
        let c = config.clone();
        store.write(account, move |tx| Box::pin(async move { tx.update_tool_config(&c).await })).await.unwrap();
        assert_eq!(view.tool_config(config.id).await.unwrap(), Some(config.clone()));

        let (mut twin, id) = (config.clone(), config.id);
        twin.id = ToolConfigId(Uuid::now_v7());
        twin.rules.clear();
        let twice = store.write(account, move |tx| Box::pin(async move { tx.insert_tool_config(&twin).await })).await;
        assert!(matches!(twice, Err(Error::Conflict(_))), "one configuration per tool and source");
        store.write(account, move |tx| Box::pin(async move { tx.delete_tool_config(id).await })).await.unwrap();
        assert!(view.tool_configs().await.unwrap().is_empty());
    }

    async fn one_workflow_is_the_default(store) {
        let account = store.owner("ann").await.account;
        let view = store.account(account);
        let first = view.workflows().await.unwrap().remove(0);
        let mut second = first.clone();
        second.id = WorkflowId(Uuid::now_v7());
        second.name = "second".to_owned();
        second.channels.webhook =
            Some(WebhookChannel { url: "https://example.org".to_owned(), headers: vec!["X-Team".to_owned()] });
        second.extra = BTreeMap::from([("workflow_type".to_owned(), RawJson(raw("\"simple\"")))]);
        let w = second.clone();
        store.write(account, move |tx| Box::pin(async move { tx.insert_workflow(&w).await })).await.unwrap();
        assert_eq!(view.workflow(second.id).await.unwrap(), Some(second.clone()));
        assert!(!view.workflow(first.id).await.unwrap().unwrap().is_default);

        let id = second.id;
        store.write(account, move |tx| Box::pin(async move { tx.delete_workflow(id).await })).await.unwrap();
        assert_eq!(view.workflows().await.unwrap().len(), 1);
        assert!(view.workflow(id).await.unwrap().unwrap().deleted_at.is_some(), "its history stays");
    }

    async fn defaults_and_subject_rules_come_back_as_they_were(store) {
        let owner = store.owner("ann").await;
        let view = store.account(owner.account);
        assert_eq!(view.defaults().await.unwrap(), Defaults::default());
        let defaults = Defaults {
            unknown_tools: RuleAction::Deny,
            require_approval_for_new_tools: true,
            default_workflow: Some(view.workflows().await.unwrap()[0].id),
            new_tools_since: Some(store.now()),
        };
        let subject = SubjectRef::Agent(AgentId(Uuid::now_v7()));
        let rules = SubjectGovernance {
            tool_rules: BTreeMap::from([("pay".to_owned(), vec![rule(RuleAction::Deny)])]),
            tool_enabled_overrides: BTreeMap::from([("read".to_owned(), false)]),
            allowed_models: vec![ModelPattern("anthropic/*".to_owned())],
            rate_limit: RateLimit { requests_per_minute: Some(60), ..RateLimit::default() },
            native_tool_approvals: Some(preloop_types::NativeApprovals::Off),
            approval_workflow: None,
        };
        let (d, r) = (defaults.clone(), rules.clone());
        store.write(owner.account, move |tx| Box::pin(async move {
            tx.put_defaults(&d).await?;
            tx.put_subject_governance(subject, &r).await
        })).await.unwrap();
        assert_eq!(view.defaults().await.unwrap(), defaults);
        assert_eq!(view.subject_governance().await.unwrap(), [(subject, rules)]);
    }

    async fn keys_are_revoked_for_good_and_their_use_is_noted(store) {
        let owner = store.owner("ann").await;
        let key = KeyRow {
            id: KeyId(Uuid::now_v7()),
            account: owner.account,
            user: owner.user,
            kind: preloop_types::CredentialKind::ApiKey,
            grant: None,
            impersonator: None,
            name: "agent".to_owned(),
            hash: Hash::of("k"),
            prefix: "pl_k".to_owned(),
            scopes: vec![Scope::McpRead, Scope::McpWrite],
            agent: Some(Agent { id: AgentId(Uuid::now_v7()), name: "cc".into(), kind: "claude_code".into(), tags: vec![] }),
            session: None,
            allowed_tools: Some(vec![]),
            allowed_servers: None,
            expires_at: Some(store.now()),
            last_used_at: None,
            revoked_at: None,
            created_at: store.now(),
        };
        let (k, id) = (key.clone(), key.id);
        let agent = preloop_store::testing::agent(owner.account, key.agent.as_ref().unwrap(), store.now());
        store.write(owner.account, move |tx| Box::pin(async move {
            tx.insert_agent(&agent).await?;
            tx.insert_key(&k).await
        })).await.unwrap();
        assert_eq!(store.find_key(&key.hash).await.unwrap().unwrap().key, key);

        let mut events = store.events();
        let revoke = || store.write(owner.account, move |tx| Box::pin(async move { tx.revoke_key(id).await }));
        assert!(revoke().await.unwrap());
        assert_eq!(events.recv().await.unwrap(), Event::KeysChanged(owner.account));
        assert!(!revoke().await.unwrap());
        store.touch_key(id);
        let store = store.reopen().await;
        let read = store.account(owner.account).key(id).await.unwrap().unwrap();
        assert_eq!((read.revoked_at, read.last_used_at), (Some(store.now()), Some(store.now())));
    }

    async fn people_can_be_added_and_changed(store) {
        let account = store.owner("ann").await.account;
        let mut bob = User::new(UserId(Uuid::now_v7()), "bob", store.now());
        let b = bob.clone();
        store.write(account, move |tx| Box::pin(async move { tx.insert_user(&b).await })).await.unwrap();
        bob.is_active = false;
        bob.email = Some("bob@example.org".to_owned());
        let b = bob.clone();
        store.write(account, move |tx| Box::pin(async move { tx.update_user(&b).await })).await.unwrap();
        assert_eq!(store.account(account).user(bob.id).await.unwrap(), Some(bob));
    }

    async fn policy_versions_count_up_and_one_is_active(store) {
        let owner = store.owner("ann").await;
        let add = |yaml: &str, tag: Option<&str>| {
            let (yaml, tag) = (yaml.to_owned(), tag.map(str::to_owned));
            store.write(owner.account, move |tx| Box::pin(async move {
                let active = true;
                let created_by = Some(owner.user);
                tx.insert_policy_version(&NewPolicyVersion {
                    yaml,
                    description: None,
                    tag,
                    active,
                    created_by,
                    counts: PolicyCounts { servers: 1, workflows: 2, tools: 3 },
                }).await
            }))
        };
        let first = add("version: '1.0' # first", Some("good")).await.unwrap();
        let second = add("version: '1.0'", Some("good")).await.unwrap();
        assert_eq!((first.number, second.number), (1, 2));
        let view = store.account(owner.account);
        let read = view.policy_version(first.id).await.unwrap().unwrap();
        assert_eq!((read.yaml.as_str(), read.active, read.tag), ("version: '1.0' # first", false, None));
        let listed = view.policy_versions().await.unwrap();
        assert_eq!(listed[0].counts, PolicyCounts { servers: 1, workflows: 2, tools: 3 });
        assert_eq!(listed.iter().map(|v| (v.number, v.active, v.yaml.as_str())).collect::<Vec<_>>(), [(2, true, ""), (1, false, "")]);
    }

    async fn mcp_sessions_survive_a_restart(store) {
        let owner = store.owner("ann").await;
        let session = McpSession {
            id: "abc".to_owned(),
            account: owner.account,
            key: KeyId(Uuid::now_v7()),
            client_info: Some(RawJson(raw(r#"{"name":"codex"}"#))),
            version: "2025-11-25".to_owned(),
            capabilities: None,
            created_at: store.now(),
            last_seen_at: store.now(),
        };
        store.put_mcp_session(&session).await.unwrap();
        let store = store.reopen().await;
        assert_eq!(store.get_mcp_session(owner.account, "abc").await.unwrap(), Some(session));
        let later = store.now() + std::time::Duration::from_secs(1);
        assert_eq!(store.delete_stale_mcp_sessions(later).await.unwrap(), 1);
        assert_eq!(store.get_mcp_session(owner.account, "abc").await.unwrap(), None);
    }

    async fn a_failed_work_leaves_nothing_and_harms_nobody(store) {
        let account = store.owner("ann").await.account;
        let now = store.now();
        let before = store.account(account).records(RecordFilter::default()).await.unwrap().len();
        let works = (0..40).map(|i| {
            let server = server(&format!("s{i}"), now);
            store.write(account, move |tx| Box::pin(async move {
                tx.insert_server(&server).await?;
                tx.record(crate::entry(tx.account(), EntryKind::ConfigChanged, None));
                match i % 4 {
                    0 => Err(Error::Invalid("no".to_owned())),
                    1 => panic!("a work that panics"),
                    _ => Ok(()),
                }
            }))
        });
        let done = futures::future::join_all(works).await;
        for (i, done) in done.iter().enumerate() {
            match i % 4 {
                0 => assert!(matches!(done, Err(Error::Invalid(_)))),
                1 => assert!(matches!(done, Err(Error::Aborted(_)))),
                _ => assert!(done.is_ok(), "{done:?}"),
            }
        }
        let view = store.account(account);
        assert_eq!(view.servers().await.unwrap().len(), 20);
        assert_eq!(view.records(RecordFilter::default()).await.unwrap().len(), before + 20);
        assert!(view.verify_journal().await.unwrap().ok);
    }
}
