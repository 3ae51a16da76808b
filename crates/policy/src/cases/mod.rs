//! Tests of a policy: calls, who makes them and when, and what must be decided.
//!
//! A test file stands beside the policy and needs no server. Running it also says which rules, and
//! which sides of their conditions, no case has seen ([`Coverage`]).

mod coverage;
mod junit;
mod run;

use preloop_types::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

pub use self::{
    coverage::{BranchCoverage, Coverage, RuleCoverage, ToolCoverage},
    run::run,
};
pub use crate::document::read_cases as read;

/// A test file.
#[derive(Debug, Clone)]
pub struct Cases {
    /// The policy it is about, beside it; named like it without `.test` when absent.
    pub policy: Option<String>,
    /// Servers that the account has and the policy does not name.
    pub servers: Vec<String>,
    /// In order.
    pub cases: Vec<Case>,
}

/// A call and what must come of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// For people.
    pub name: Option<String>,
    /// Where it stands in its file, from 1.
    pub line: Option<usize>,
    /// The tool: `server/tool`.
    pub call: String,
    /// A JSON object.
    pub arguments: Box<RawValue>,
    /// Who calls.
    pub caller: Caller,
    /// When; the time of the run when absent.
    pub at: Option<Timestamp>,
    /// The reason the agent gives.
    pub justification: Option<String>,
    /// Whether the account saw the tool only after the policy was applied.
    pub new_tool: bool,
    /// What must come of it.
    pub expected: Expected,
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user's name.
    pub user: String,
    /// The API key's name.
    pub key: String,
    /// The managed agent's name; none when absent.
    pub agent_name: Option<String>,
    /// The managed agent's kind.
    pub agent_kind: String,
    /// The managed agent's labels.
    pub agent_tags: Vec<String>,
    /// What the client says of itself.
    pub client: Option<String>,
    /// The only tools the credential may call.
    pub tools: Option<Vec<String>>,
    /// The only servers the credential may reach.
    pub servers: Option<Vec<String>>,
}

impl Default for Caller {
    fn default() -> Self {
        Self {
            user: "tester".to_owned(),
            key: "test".to_owned(),
            agent_name: None,
            agent_kind: String::new(),
            agent_tags: Vec::new(),
            client: None,
            tools: None,
            servers: None,
        }
    }
}

/// What must come of a call. What is absent may be anything.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// `allow`, `deny` or `require_approval`.
    pub decision: Option<&'static str>,
    /// Who is asked: the workflow's name.
    pub workflow: Option<String>,
    /// Which rule decides.
    pub rule: Option<ExpectedRule>,
    /// A part of the reason.
    pub reason: Option<String>,
    /// Exactly the rules in shadow mode that match, by number.
    pub shadow: Option<Vec<u32>>,
}

/// Which rule decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedRule {
    /// None: a default does.
    None,
    /// The tool's rule of this number, from 1.
    Number(u32),
    /// The rule with this description or expression.
    Said(String),
}

/// What running a test file came to.
#[derive(Debug, Clone, Serialize)]
pub struct TestReport {
    /// Each case, in order.
    pub cases: Vec<CaseResult>,
    /// How many came out as expected.
    pub passed: usize,
    /// How many did not.
    pub failed: usize,
    /// What the cases saw of the policy.
    pub coverage: Coverage,
}

/// What came of one case.
#[derive(Debug, Clone, Serialize)]
pub struct CaseResult {
    /// Its name, or its call and what is expected.
    pub name: String,
    /// Where it stands in its file, from 1.
    pub line: Option<usize>,
    /// The tool.
    pub call: String,
    /// Whether everything is as expected.
    pub passed: bool,
    /// What is not.
    pub failures: Vec<String>,
    /// `allow`, `deny` or `require_approval`.
    pub decision: String,
    /// Who is asked.
    pub workflow: Option<String>,
    /// Which rule decided, from 1.
    pub rule: Option<u32>,
    /// Why.
    pub reason: String,
}

impl TestReport {
    /// As `JUnit` XML, which continuous integration shows.
    pub fn to_junit(&self, suite: &str) -> String {
        junit::write(self, suite)
    }
}
