//! A store with one pending request, and a courier.

use std::{sync::Arc, time::Duration};

use preloop_egress::{Egress, EgressOptions};
use preloop_govern::{ApprovalNotice, Governor, GovernorOptions, Message, Notice, Occasion, Recipient};
use preloop_notify::{ChatDesk, ChatSettings, Courier, Settings, SmtpSettings, SmtpTls, WebPushKeys};
use preloop_store::{
    Approval, ApprovalEvent, ApprovalStatus, NewApproval, NewOwner, RecordFilter, Requester,
    testing::{TestStore, fresh_sqlite},
};
use preloop_types::{AccountId, ApprovalId, CallId, EntryKind, Hash, KeyId, ToolRef, UserId, config::RawJson};
use serde_json::{Value, json, value::RawValue};

pub(crate) struct Rig {
    pub(crate) store: TestStore,
    pub(crate) account: AccountId,
    pub(crate) approval: Approval,
    pub(crate) courier: Courier,
    pub(crate) owner: UserId,
    egress: Egress,
}

pub(crate) const PUBLIC_URL: &str = "https://preloop.example";
/// An upstream tool's name that tries everything.
pub(crate) const HOSTILE: &str = "pay\r\nBcc: thief@example.com\r\n\r\n<script>alert(1)</script>";

impl Rig {
    /// With an SMTP server on this port of this machine; private addresses may be reached.
    pub(crate) async fn new(smtp: Option<u16>) -> Self {
        let open = EgressOptions { allow_private_network: true, ..EgressOptions::default() };
        Self::with(smtp.map(|port| smtp_settings(port, SmtpTls::None)), open).await
    }

    pub(crate) async fn with(smtp: Option<SmtpSettings>, egress: EgressOptions) -> Self {
        Self::with_settings(smtp, egress, Settings::default()).await
    }

    /// With these settings, beside the SMTP server; private addresses may be reached.
    pub(crate) async fn set_up(settings: Settings) -> Self {
        let open = EgressOptions { allow_private_network: true, ..EgressOptions::default() };
        Self::with_settings(None, open, settings).await
    }

    async fn with_settings(smtp: Option<SmtpSettings>, egress: EgressOptions, settings: Settings) -> Self {
        let store = fresh_sqlite().await;
        let owner = NewOwner { username: "ann".to_owned(), email: None, full_name: None, key: None };
        let owner = store.bootstrap(owner).await.unwrap().unwrap();
        let workflow = store.account(owner.account).workflows().await.unwrap().remove(0);
        let now = store.now();
        let new = NewApproval {
            id: ApprovalId::new(now),
            call: CallId::new(now),
            workflow: workflow.id,
            workflow_name: workflow.name,
            tool: ToolRef {
                id: None,
                server_id: None,
                server: "bank".into(),
                name: "pay".into(),
                exposed: "pay".into(),
                definition: Hash::of("pay"),
            },
            requester: Requester { key: KeyId::new(now), user: owner.user, agent: None, session: None, client: None },
            args_hash: Hash::of("{}"),
            arguments: Arc::from(RawValue::from_string("{}".to_owned()).unwrap()),
            justification: None,
            approvals_required: 1,
            approvers: vec![owner.user],
            excluded: Vec::new(),
            escalate_to: Vec::new(),
            require_reason: false,
            async_mode: false,
            window: Duration::from_hours(24),
            execute_within: Duration::from_hours(1),
            policy_version: "1".to_owned(),
            rule_context: RawJson(RawValue::from_string("{}".to_owned()).unwrap()),
            shown_hash: None,
            preview: None,
        };
        let joined = store
            .write(owner.account, |tx| Box::pin(async move { tx.insert_or_join_approval(&new).await }))
            .await
            .unwrap();
        let egress = Egress::new(egress);
        let settings = Settings {
            smtp,
            web_push: Some(WebPushKeys::derive(b"an instance key").unwrap()),
            public_url: PUBLIC_URL.to_owned(),
            ..settings
        };
        let courier = Courier::new(store.clone(), &egress, &settings).unwrap();
        Self { account: owner.account, owner: owner.user, approval: joined.approval, courier, store, egress }
    }

    /// A desk for clicks over the same store.
    pub(crate) fn desk(&self, settings: ChatSettings) -> ChatDesk {
        let options = GovernorOptions {
            writer: self.store.writer(),
            public_url: PUBLIC_URL.to_owned(),
            email: false,
            approved_ttl: Duration::from_hours(1),
            claim_lease: Duration::from_mins(1),
        };
        ChatDesk::new(Governor::new((*self.store).clone(), options), &self.egress, settings).unwrap()
    }

    pub(crate) fn notice(&self, to: &Recipient) -> ApprovalNotice {
        let id = self.approval.id;
        ApprovalNotice {
            request: id,
            tool: "pay".to_owned(),
            server: "bank".to_owned(),
            requester: "laptop (claude-code/2.1)".to_owned(),
            justification: Some("the invoice is due".to_owned()),
            arguments: json!({ "amount": 5, "memo": "<b>hi</b>" }),
            reason: "payments need a human".to_owned(),
            workflow: "Default".to_owned(),
            requested_at: self.approval.requested_at,
            expires_at: self.approval.expires_at,
            occasion: Occasion::Requested,
            link: to.device.is_none().then(|| format!("{PUBLIC_URL}/approval/{id}?token=token-of-{}", to.label)),
        }
    }

    /// Puts a notice into the outbox, as the governor does.
    pub(crate) async fn announce(&self, to: Recipient, request: ApprovalNotice) {
        self.put(Notice { to, what: Message::Request(Box::new(request)) }).await;
    }

    pub(crate) async fn announce_to(&self, to: Recipient) {
        let request = self.notice(&to);
        self.announce(to, request).await;
    }

    pub(crate) async fn put(&self, notice: Notice) {
        let delivery = notice.delivery(self.store.now());
        let enqueued = self.store.write(self.account, |tx| Box::pin(async move { tx.enqueue(&delivery).await }));
        assert!(enqueued.await.unwrap());
    }

    /// Where the request stands.
    pub(crate) async fn status(&self) -> ApprovalStatus {
        self.store.account(self.account).approval(self.approval.id).await.unwrap().unwrap().status
    }

    /// Attempts what is due; lets `later` pass first.
    pub(crate) async fn deliver_after(&self, later: Duration) -> usize {
        self.store.clock().advance(later);
        self.courier.deliver_due().await.unwrap()
    }

    pub(crate) async fn deliver(&self) -> usize {
        self.deliver_after(Duration::ZERO).await
    }

    /// What the request's history says about notices.
    pub(crate) async fn history(&self) -> Vec<ApprovalEvent> {
        let events = self.store.account(self.account).approval_events(self.approval.id).await.unwrap();
        events.into_iter().filter(|event| event.event_type.starts_with("notification")).collect()
    }

    /// What the journal says about notices.
    pub(crate) async fn journal(&self) -> Vec<Value> {
        let filter = RecordFilter { kinds: vec![EntryKind::ApprovalNotified], ..RecordFilter::default() };
        let records = self.store.account(self.account).records(filter).await.unwrap();
        records.iter().map(|record| serde_json::from_str(record.body.get()).unwrap()).collect()
    }
}

pub(crate) fn smtp_settings(port: u16, tls: SmtpTls) -> SmtpSettings {
    SmtpSettings {
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        username: None,
        password: None,
        from: "Preloop <preloop@example.com>".to_owned(),
        tls,
    }
}

pub(crate) fn mailbox(address: &str) -> Recipient {
    Recipient::email(address.to_owned(), Some("Ann".to_owned()))
}

pub(crate) fn webhook(url: &str) -> Recipient {
    Recipient::webhook(url, &[], Some("whsec"))
}
