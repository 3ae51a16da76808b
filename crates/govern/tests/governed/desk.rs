//! One account with a model and an agent that calls it, before a governor that runs.

use std::{sync::Arc, time::Duration};

use preloop_govern::{Governor, ModelAdmission, ModelPermit, ModelRefusal, SessionSignal};
use preloop_store::{
    Record, RecordFilter, Store,
    testing::{self, TestStore},
};
use preloop_types::{
    AccountId, Agent, AgentId, Budget, BudgetAlerts, BudgetId, BudgetSubject, BudgetUnit, CallId, CostBound,
    CostSource, EntryKind, Exposure, Halt, HaltScope, Hash, Model, ModelCall, ModelId, ModelOutcome, ModelSettings,
    ModelStatus, NanoUsd, Period, Principal, Scope, SessionId, Timestamp, Tokens, UsageSource,
    config::AccountModelSettings,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::house;

pub(crate) const CENT: i64 = 10_000_000;

pub(crate) struct Desk {
    pub(crate) store: TestStore,
    pub(crate) governor: Governor,
    pub(crate) account: AccountId,
    pub(crate) agent: Arc<Principal>,
    pub(crate) model: Arc<Model>,
    running: DropGuard,
}

impl Desk {
    pub(crate) async fn new(store: TestStore) -> Self {
        let owner = store.owner("ann").await;
        let now = store.now();
        let mut key = house::key(&store, owner.account, owner.user, "agent", vec![Scope::GatewayInvoke]);
        key.agent = Some(Agent {
            id: AgentId::new(now),
            name: "Claude Code".to_owned(),
            kind: "claude_code".to_owned(),
            tags: vec!["team=web".to_owned()],
        });
        let model = model(now, "fast");
        let row = key.agent.as_ref().map(|agent| testing::agent(owner.account, agent, now)).unwrap();
        let rows = (key, model.clone());
        let insert = store.write(owner.account, move |tx| {
            Box::pin(async move {
                tx.insert_agent(&row).await?;
                tx.insert_key(&rows.0).await?;
                tx.insert_model(&rows.1).await
            })
        });
        insert.await.unwrap();
        let governor = house::governor(&store);
        let agent = governor.identify("secret of agent").await.unwrap();
        let running = run(&governor);
        Self { store, governor, account: owner.account, agent, model: Arc::new(model), running }
    }

    /// The same desk after the process died: what was in memory is gone.
    pub(crate) async fn restarted(self) -> Self {
        drop(self.running);
        let store = self.store.reopen().await;
        let governor = house::governor(&store);
        let run = run(&governor);
        Self { governor, store, running: run, account: self.account, agent: self.agent, model: self.model }
    }

    /// Another node on the same database.
    pub(crate) async fn another_node(&self) -> (Store, Governor, DropGuard) {
        let store = self.store.another_node().await;
        let governor = house::governor_over(&store);
        let running = run(&governor);
        (store, governor, running)
    }

    /// Adds a budget of the account.
    pub(crate) async fn budget(&self, unit: BudgetUnit, hard: Option<i64>, soft: Option<i64>) -> BudgetId {
        self.budget_of(BudgetSubject::Account, Period::Daily, unit, hard, soft).await
    }

    pub(crate) async fn budget_of(
        &self,
        subject: BudgetSubject,
        period: Period,
        unit: BudgetUnit,
        hard: Option<i64>,
        soft: Option<i64>,
    ) -> BudgetId {
        let now = self.store.now();
        let budget = Budget {
            id: BudgetId::new(now),
            subject,
            model: None,
            period,
            unit,
            hard,
            soft,
            alerts: BudgetAlerts::default(),
            created_at: now,
            updated_at: now,
        };
        let id = budget.id;
        let insert = self.store.write(self.account, move |tx| Box::pin(async move { tx.insert_budget(&budget).await }));
        insert.await.unwrap();
        self.settled_down().await;
        id
    }

    pub(crate) async fn settings(&self, settings: AccountModelSettings) {
        let put =
            self.store.write(self.account, move |tx| Box::pin(async move { tx.put_model_settings(&settings).await }));
        put.await.unwrap();
        self.settled_down().await;
    }

    /// Somebody presses the kill switch.
    pub(crate) async fn halt(&self, scope: HaltScope) {
        let halt = Halt { scope, by: self.agent.user, username: "ann".to_owned(), at: self.store.now(), reason: None };
        let pressed =
            self.store.write(self.account, move |tx| Box::pin(async move { tx.insert_halt(&halt).await.map(drop) }));
        pressed.await.unwrap();
        self.settled_down().await;
    }

    /// Somebody lets agents go on.
    pub(crate) async fn resume(&self, scope: HaltScope) {
        let resumed =
            self.store.write(self.account, move |tx| Box::pin(async move { tx.delete_halt(scope).await.map(drop) }));
        resumed.await.unwrap();
        self.settled_down().await;
    }

    /// Until the governor has heard of what was just changed.
    pub(crate) async fn settled_down(&self) {
        tokio::time::sleep(Duration::from_millis(30)).await;
    }

    /// A call of the desk's model that can cost at most so much.
    pub(crate) fn call(&self, at_most: i64) -> ModelCall {
        call_of(self.store.now(), &self.model, at_most)
    }

    pub(crate) async fn granted(&self, call: ModelCall) -> ModelPermit {
        granted(&self.governor, &self.agent, call).await.unwrap()
    }

    pub(crate) async fn refused(&self, call: ModelCall) -> ModelRefusal {
        match self.governor.admit_model(&self.agent, call).await {
            ModelAdmission::Granted(_) => panic!("it was granted"),
            ModelAdmission::Refused(refusal) => refusal,
        }
    }

    pub(crate) async fn session(&self, signal: SessionSignal<'_>) -> SessionId {
        self.governor.sessions().of(&self.agent, &signal).await.unwrap()
    }

    pub(crate) async fn records(&self, call: CallId) -> Vec<Record> {
        let filter = RecordFilter { call: Some(call), ..RecordFilter::default() };
        let mut records = self.store.account(self.account).records(filter).await.unwrap();
        records.sort_by_key(|record| (record.chain, record.seq));
        records
    }

    pub(crate) async fn of_kind(&self, kind: EntryKind) -> Vec<Record> {
        let filter = RecordFilter { kinds: vec![kind], limit: 1000, ..RecordFilter::default() };
        self.store.account(self.account).records(filter).await.unwrap()
    }

    /// How a budget stands: consumed and held, over all its windows that are not over.
    pub(crate) async fn spent(&self, budget: BudgetId) -> (i64, i64) {
        let windows = self.store.account(self.account).budget_windows(Some(budget), self.store.now()).await.unwrap();
        windows.iter().fold((0, 0), |(settled, leased), window| (settled + window.settled, leased + window.leased))
    }

    pub(crate) async fn change_budget(&self, id: BudgetId, change: impl FnOnce(&mut Budget)) {
        let mut budget = self.store.account(self.account).budget(id).await.unwrap().unwrap();
        change(&mut budget);
        let update = self.store.write(self.account, move |tx| Box::pin(async move { tx.update_budget(&budget).await }));
        update.await.unwrap();
        self.settled_down().await;
    }

    /// Until every intent has an outcome.
    pub(crate) async fn quiet(&self) {
        self.quiet_but(0).await;
    }

    /// Until every intent but so many has an outcome.
    pub(crate) async fn quiet_but(&self, open: usize) {
        for _ in 0..500 {
            let intents = self.of_kind(EntryKind::ModelIntent).await.len();
            if intents <= self.of_kind(EntryKind::ModelOutcome).await.len() + open {
                // What follows from the last outcome.
                return tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("calls are not settled");
    }
}

fn run(governor: &Governor) -> DropGuard {
    let (governor, running) = (governor.clone(), CancellationToken::new());
    let until = running.clone();
    tokio::spawn(async move { governor.run(until).await });
    running.drop_guard()
}

pub(crate) async fn granted(
    governor: &Governor,
    who: &Arc<Principal>,
    call: ModelCall,
) -> Result<ModelPermit, ModelRefusal> {
    match governor.admit_model(who, call).await {
        ModelAdmission::Granted(permit) => Ok(permit),
        ModelAdmission::Refused(refusal) => Err(refusal),
    }
}

pub(crate) fn call_of(now: Timestamp, model: &Arc<Model>, at_most: i64) -> ModelCall {
    ModelCall {
        id: CallId::new(now),
        dialect: "chat",
        operation: "generate",
        model: model.clone(),
        requested: "fast".into(),
        exposure: Some(Exposure { input_tokens: 60, output_tokens: 40, ..Exposure::default() }),
        bound: CostBound::AtMost(NanoUsd(at_most)),
        streamed: false,
        session: None,
        client: None,
        request_hash: Hash::of("a question"),
        request_bytes: 10,
    }
}

pub(crate) fn model(now: Timestamp, alias: &str) -> Model {
    Model {
        id: ModelId::new(now),
        alias: alias.to_owned(),
        provider: "openai".to_owned(),
        identifier: format!("{alias}-1"),
        description: None,
        endpoint: None,
        enabled: true,
        is_default: false,
        tags: Vec::new(),
        settings: ModelSettings::default(),
        pricing: None,
        created_at: now,
        updated_at: now,
    }
}

/// The provider answered and charged this.
pub(crate) fn cost(nano: i64) -> ModelOutcome {
    ModelOutcome {
        http_status: 200,
        tokens: Some(Tokens { input: 30, output: 20, ..Tokens::default() }),
        usage_source: Some(UsageSource::Provider),
        cost: Some(NanoUsd(nano)),
        cost_source: Some(CostSource::Catalog),
        attempts: 1,
        ..ModelOutcome::of(ModelStatus::Succeeded)
    }
}
