//! How much processor time a decision over 100 rules of one tool takes when only the last matches.
//!
//! `cargo run --release -p preloop-policy --example decide_bench`

use std::{fs, hint::black_box, time::Instant};

use preloop_policy::{Facts, Ruleset, RulesetInput};
use preloop_types::{
    AccountId, CallId, Hash, KeyId, Principal, RuleId, ServerId, Timestamp, ToolConfigId, ToolRef, UserId,
    config::{
        AccessRule, Auth, Defaults, Language, RuleAction, Server, ServerSettings, ServerStatus, ToolConfig, ToolSource,
        Transport,
    },
};
use serde_json::value::RawValue;

const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);
const ROUNDS: u32 = 20_000;

fn main() -> Result<(), serde_json::Error> {
    let text = format!(
        r#"{{"amount": 50, "path": "/srv/data/reports/2026.csv", "tags": ["a", "b"], "note": "{}", "user": {{"id": 7}}}}"#,
        "lorem ipsum ".repeat(60)
    );
    let arguments = RawValue::from_string(text)?;
    for (name, language, condition) in [
        ("simple comparisons", Language::Simple, "args.amount > {n}"),
        ("CEL comparisons", Language::Cel, "args.amount > {n} && args.path.startsWith('/srv')"),
        ("CEL sizes", Language::Cel, "size(args.tags) > {n}"),
        ("CEL loops", Language::Cel, "args.tags.exists(t, t == 'x{n}')"),
        ("CEL arithmetic", Language::Cel, "args.amount * 2 > {n} + args.user.id"),
        ("CEL texts", Language::Cel, "args.path.lowerAscii().split('/')[1] == 'x{n}'"),
        ("CEL, interpreted", Language::Cel, "dyn(args.amount) > {n}"),
    ] {
        let rules = (0..100).map(|at| {
            // Every rule asks; only the last, without a condition, matches.
            rule(Some(condition.replace("{n}", &(1_000 + at).to_string())).filter(|_| at < 99), language)
        });
        let micros = measure(rules.collect(), &arguments);
        println!("{name:20} {micros:7.2} us a decision over 100 rules");
    }
    println!("{:20} {:7.2} us a decision", "no rules", measure(Vec::new(), &arguments));
    Ok(())
}

fn measure(rules: Vec<AccessRule>, arguments: &RawValue) -> f64 {
    let server = server();
    let config = ToolConfig {
        id: ToolConfigId::new(NOW),
        tool_name: "pay".to_owned(),
        source: ToolSource::Server(server.id),
        is_enabled: true,
        workflow: None,
        justification: None,
        description: None,
        custom_config: None,
        rules,
    };
    let tool = ToolRef {
        id: None,
        server_id: Some(server.id),
        server: "bank".into(),
        name: "pay".into(),
        exposed: "pay".into(),
        definition: Hash([0; 32]),
    };
    let ruleset = Ruleset::compile(&RulesetInput {
        version: 1,
        servers: &[server],
        configs: &[config],
        workflows: &[],
        defaults: &Defaults::default(),
        governance: &[],
    });
    assert_eq!(ruleset.problems(), []);
    let who = principal();
    let facts = Facts {
        who: &who,
        tool: &tool,
        arguments,
        justification: None,
        client: None,
        call: CallId::new(NOW),
        now: NOW,
        discovered_at: Some(NOW),
    };
    let run = || {
        let start = Clock::start();
        for _ in 0..ROUNDS {
            black_box(ruleset.decide(black_box(&facts)));
        }
        start.elapsed_micros() / f64::from(ROUNDS)
    };
    (0..3).map(|_| run()).fold(f64::INFINITY, f64::min)
}

/// Processor time of this thread where the system tells, else wall time.
struct Clock {
    wall: Instant,
    cpu_nanos: Option<f64>,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu_nanos: cpu_nanos() }
    }

    fn elapsed_micros(&self) -> f64 {
        match (self.cpu_nanos, cpu_nanos()) {
            (Some(start), Some(end)) => (end - start) / 1e3,
            _ => self.wall.elapsed().as_secs_f64() * 1e6,
        }
    }
}

fn cpu_nanos() -> Option<f64> {
    fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

fn rule(expression: Option<String>, language: Language) -> AccessRule {
    AccessRule {
        id: RuleId::new(NOW),
        action: RuleAction::Allow,
        expression,
        language,
        description: None,
        is_enabled: true,
        workflow: None,
        overridable: false,
        shadow: false,
    }
}

fn server() -> Server {
    Server {
        id: ServerId::new(NOW),
        slug: "bank".to_owned(),
        name: "bank".to_owned(),
        transport: Transport::StreamableHttp { url: "https://bank.example".to_owned() },
        auth: Auth::None,
        settings: ServerSettings::default(),
        status: ServerStatus::Active,
        last_scan_at: None,
        last_error: None,
        facts: None,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn principal() -> Principal {
    Principal {
        account: AccountId::new(NOW),
        user: UserId::new(NOW),
        username: "ann".to_owned(),
        key: KeyId::new(NOW),
        key_name: "laptop".to_owned(),
        credential: preloop_types::CredentialKind::ApiKey,
        permissions: preloop_types::PermissionSet::ALL,
        audience: preloop_types::Audience::Everything,
        impersonator: None,
        scopes: Vec::new(),
        agent: None,
        session: None,
        allowed_tools: None,
        allowed_servers: None,
    }
}
