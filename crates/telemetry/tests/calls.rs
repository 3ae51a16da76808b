//! Calls that really are admitted and settled, as an operator sees them: on `/metrics`, and at a
//! collector.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use preloop_govern::{Governor, GovernorOptions, ModelAdmission, ModelPermit};
use preloop_store::testing::{TestStore, fresh_sqlite};
use preloop_telemetry::{Gauge, OtlpOptions, Telemetry};
use preloop_types::{
    CallId, CostBound, CostSource, Exposure, Hash, KeyId, Model, ModelCall, ModelId, ModelOutcome, ModelSettings,
    ModelStatus, NanoUsd, Principal, Scope, Tokens, WriterId,
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

struct House {
    store: TestStore,
    governor: Governor,
    telemetry: Arc<Telemetry>,
    agent: Arc<Principal>,
}

impl House {
    async fn new(otlp: Option<OtlpOptions>) -> Self {
        let store = fresh_sqlite().await;
        let owner = store.owner("ann").await;
        let governor = Governor::new(
            store.clone(),
            GovernorOptions {
                writer: WriterId::new(store.now()),
                public_url: "http://localhost".to_owned(),
                email: false,
                approved_ttl: Duration::from_hours(1),
                claim_lease: Duration::from_mins(10),
            },
        );
        let telemetry = Telemetry::new(otlp, |provider| if provider == "xai" { "x_ai" } else { provider }).unwrap();
        governor.set_observer(telemetry.clone());
        let agent = Principal {
            account: owner.account,
            user: owner.user,
            username: "ann".to_owned(),
            key: KeyId::new(store.now()),
            key_name: "agent".to_owned(),
            credential: preloop_types::CredentialKind::ApiKey,
            permissions: preloop_types::PermissionSet::ALL,
            audience: preloop_types::Audience::Everything,
            impersonator: None,
            scopes: vec![Scope::GatewayInvoke],
            agent: None,
            session: None,
            allowed_tools: None,
            allowed_servers: None,
        };
        Self { store, governor, telemetry, agent: Arc::new(agent) }
    }

    fn call(&self, enabled: bool) -> ModelCall {
        let now = self.store.now();
        let model = Model {
            id: ModelId::new(now),
            alias: "fast".to_owned(),
            provider: "xai".to_owned(),
            identifier: "grok-4".to_owned(),
            description: None,
            endpoint: None,
            enabled,
            is_default: false,
            tags: Vec::new(),
            settings: ModelSettings::default(),
            pricing: None,
            created_at: now,
            updated_at: now,
        };
        ModelCall {
            id: CallId::new(now),
            dialect: "chat",
            operation: "generate",
            model: Arc::new(model),
            requested: "grok-4".into(),
            exposure: Some(Exposure::default()),
            bound: CostBound::AtMost(NanoUsd(1_000_000)),
            streamed: false,
            session: None,
            client: None,
            request_hash: Hash::of("a secret question"),
            request_bytes: 10,
        }
    }

    async fn granted(&self) -> ModelPermit {
        match self.governor.admit_model(&self.agent, self.call(true)).await {
            ModelAdmission::Granted(permit) => permit,
            ModelAdmission::Refused(refusal) => panic!("{refusal:?}"),
        }
    }

    fn metrics(&self) -> String {
        let gauge = Gauge { name: "gateway_price_catalog_age_seconds", help: "Age.", value: 60.0 };
        self.telemetry.render(&self.governor, &[gauge])
    }

    /// Until no call is under way.
    async fn quiet(&self) {
        while self.governor.model_calls_in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn answered() -> ModelOutcome {
    ModelOutcome {
        http_status: 200,
        tokens: Some(Tokens { input: 30, cache_read: 12, output: 20, ..Tokens::default() }),
        cost: Some(NanoUsd(1_500_000)),
        cost_source: Some(CostSource::Catalog),
        upstream_model: Some("grok-4-0709".to_owned()),
        stop: Some("stop".to_owned()),
        attempts: 2,
        ttfb_us: Some(300_000),
        upstream_us: 400_000,
        ..ModelOutcome::of(ModelStatus::Succeeded)
    }
}

#[tokio::test]
async fn what_calls_did_is_counted() {
    let house = House::new(None).await;
    let permit = house.granted().await;
    assert!(house.metrics().contains("\ngateway_inflight 1\n"));
    permit.settle(answered());
    let failed =
        ModelOutcome { error_code: Some("upstream_timeout".into()), ..ModelOutcome::of(ModelStatus::UpstreamTimeout) };
    house.granted().await.settle(failed);
    house.governor.admit_model(&house.agent, house.call(false)).await;
    house.quiet().await;

    let metrics = house.metrics();
    for line in [
        r#"gateway_requests_total{dialect="chat",provider="xai",model="fast",outcome="succeeded"} 1"#,
        r#"gateway_requests_total{dialect="chat",provider="xai",model="fast",outcome="upstream_timeout"} 1"#,
        r#"gateway_requests_total{dialect="chat",provider="xai",model="fast",outcome="denied"} 1"#,
        r#"gateway_refused_total{code="model_disabled"} 1"#,
        r#"gateway_tokens_total{type="input"} 30"#,
        r#"gateway_tokens_total{type="cache_read"} 12"#,
        r#"gateway_cost_usd_total{source="catalog"} 0.0015"#,
        r#"gateway_upstream_errors_total{provider="xai",code="upstream_timeout"} 1"#,
        r#"gateway_ttft_seconds_bucket{le="0.25"} 0"#,
        r#"gateway_ttft_seconds_bucket{le="0.5"} 1"#,
        "gateway_ttft_seconds_count 1",
        "gateway_request_duration_seconds_count 2",
        "gateway_retries_total 1",
        "gateway_inflight 0",
        "gateway_price_catalog_age_seconds 60",
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "`{line}` is missing in\n{metrics}");
    }
    let records = metrics.lines().find_map(|line| line.strip_prefix("journal_records_total ")).unwrap();
    assert!(records.parse::<u64>().unwrap() >= 3, "{records}");
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

/// A collector that hands on what it is sent.
async fn collector() -> (SocketAddr, mpsc::UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let told = told.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let told = told.clone();
                async move {
                    let asked = format!("{} {}", request.uri(), request.headers()["x-team"].to_str().unwrap());
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    told.send((asked, serde_json::from_slice(&body).unwrap())).unwrap();
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{}"))))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    (address, heard)
}

#[tokio::test]
async fn a_call_is_a_span_in_the_words_of_the_conventions() {
    let (address, mut heard) = collector().await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=a".to_owned()),
    ];
    let read = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let house = House::new(OtlpOptions::from_env(read).unwrap()).await;
    let shutdown = CancellationToken::new();
    let exporting = tokio::spawn({
        let (telemetry, shutdown) = (house.telemetry.clone(), shutdown.clone());
        async move { telemetry.run(shutdown).await }
    });

    let permit = house.granted().await;
    let id = permit.call().id;
    permit.settle(answered());
    house.quiet().await;
    shutdown.cancel();
    exporting.await.unwrap();

    let (asked, body) = heard.recv().await.unwrap();
    assert_eq!(asked, "/v1/traces a");
    let span = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    assert_eq!(span["name"], "chat grok-4");
    assert_eq!(span["traceId"], id.0.simple().to_string());
    assert_eq!(span["spanId"].as_str().unwrap().len(), 16);
    assert_eq!(span["startTimeUnixNano"], "1767225600000000000");
    let attribute = |key: &str| {
        let attributes = span["attributes"].as_array().unwrap();
        attributes.iter().find(|attribute| attribute["key"] == key).map(|attribute| attribute["value"].clone())
    };
    let text = |key: &str| attribute(key).unwrap()["stringValue"].as_str().unwrap().to_owned();
    assert_eq!(text("gen_ai.operation.name"), "chat");
    assert_eq!(text("gen_ai.provider.name"), "x_ai");
    assert_eq!(text("gen_ai.response.model"), "grok-4-0709");
    assert_eq!(text("preloop.cost_usd"), "0.0015");
    assert_eq!(attribute("gen_ai.usage.input_tokens").unwrap()["intValue"], "42", "with what a cache served");
    assert_eq!(attribute("error.type"), None);
    let resource = body["resourceSpans"][0]["resource"]["attributes"].to_string();
    assert!(resource.contains("service.name") && resource.contains("preloop"), "{resource}");
}
