//! Guardrails: what agents say to models, and models answer, is looked through and refused, redacted, held
//! for a person, or only noted. Off unless an account has rules.
//!
//! A check is a pure function over the texts of a body; only what is redacted changes, all other bytes stay
//! where they were. Media, names and signed thinking are not looked at: they cannot be changed without
//! breaking the call. A body that cannot be checked is refused.

mod detect;
mod stream;

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

pub use detect::{BadDetector, CARD, Finder, Place, REDACTED, SECRETS, finders, redact};
use preloop_dialects::{
    Dialect,
    texts::{self, Text},
};
use preloop_types::{GuardrailAction, GuardrailRule, GuardrailSide, Guardrails, OnTimeout};
pub use stream::{Stopped, StreamGuard};

/// The rules of an account, ready to be applied.
#[derive(Debug)]
pub struct Guard {
    rules: Vec<Rule>,
    deadline: Duration,
    on_timeout: OnTimeout,
}

#[derive(Debug)]
struct Rule {
    name: Arc<str>,
    side: GuardrailSide,
    action: GuardrailAction,
    workflow: Option<Arc<str>>,
    finders: Vec<Finder>,
}

/// What a check found and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What was found; never the text itself.
    pub findings: Vec<Finding>,
    /// What to do with the message.
    pub outcome: Outcome,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule that looked for it.
    pub rule: Arc<str>,
    /// What it is: `secret`, `email`, …
    pub kind: &'static str,
    /// What the rule demands.
    pub action: GuardrailAction,
    /// How often.
    pub count: u32,
}

/// What to do with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on as it is.
    Pass,
    /// This body goes on in its place. Facts read from the old one do not hold for it.
    Redacted(Vec<u8>),
    /// It waits for a person, and then goes on: as `redacted`, if that is given.
    Ask {
        /// Who is asked; the account's default workflow when absent.
        workflow: Option<Arc<str>>,
        /// The body that goes on.
        redacted: Option<Vec<u8>>,
    },
    /// It is refused, with this message for the agent.
    Refuse(String),
}

/// Most rules of an account.
const RULES_MAX: usize = 100;

/// Whether an account's rules can be used; for the moment a person saves them.
pub fn check(guardrails: &Guardrails) -> Result<(), String> {
    if guardrails.rules.len() > RULES_MAX {
        return Err(format!("`guardrails` has more than {RULES_MAX} rules"));
    }
    if let Some(rule) = guardrails.rules.iter().find(|rule| rule.action == GuardrailAction::Ask) {
        let name = &rule.name;
        return Err(format!("guardrail `{name}`: model calls cannot wait for a person yet; use `deny` or `redact`"));
    }
    Guard::compile(guardrails).map(drop).map_err(|error| error.to_string())
}

impl Guard {
    /// Compiles an account's rules; `None` if there are none.
    pub fn compile(guardrails: &Guardrails) -> Result<Option<Self>, BadDetector> {
        let rules = guardrails.rules.iter().map(Rule::compile).collect::<Result<Vec<_>, _>>()?;
        let guard = Self {
            rules,
            deadline: Duration::from_millis(guardrails.deadline_ms.into()),
            on_timeout: guardrails.on_timeout,
        };
        Ok((!guard.rules.is_empty()).then_some(guard))
    }

    /// Whether anything is looked for in messages that go this way.
    pub fn looks_at(&self, side: GuardrailSide) -> bool {
        self.rules(side).next().is_some()
    }

    /// Checks an agent's request.
    pub fn request(&self, dialect: Dialect, body: &[u8]) -> Checked {
        match texts::of_request(dialect, body) {
            Ok(texts) => self.check(GuardrailSide::Request, body, &texts),
            Err(error) => Checked::refused(Vec::new(), error.to_string()),
        }
    }

    /// Checks a model's whole answer.
    pub fn answer(&self, body: &[u8]) -> Checked {
        match texts::of_answer(body) {
            Some(texts) => self.check(GuardrailSide::Response, body, &texts),
            None => Checked::refused(Vec::new(), "the answer cannot be read, so it cannot be checked".to_owned()),
        }
    }

    fn check(&self, side: GuardrailSide, body: &[u8], texts: &[Text]) -> Checked {
        let end = Instant::now() + self.deadline;
        let mut findings = Vec::new();
        let mut changed = Vec::new();
        for place in texts {
            if Instant::now() > end {
                return self.out_of_time(findings);
            }
            let text = texts::decode(&body[place.span.clone()]);
            let mut redactions = Vec::new();
            for found in self.find(side, &text) {
                note(&mut findings, found.rule, found.kind);
                if found.rule.action == GuardrailAction::Redact {
                    redactions.push(found.place.found);
                }
            }
            if !redactions.is_empty() {
                changed.push((place.span.clone(), texts::encode(&redact(&text, redactions))));
            }
        }
        let redacted = (!changed.is_empty()).then(|| splice(body, &changed));
        let strictest = findings.iter().max_by_key(|finding| finding.action);
        let outcome = match (strictest.map(|finding| finding.action), redacted) {
            (Some(GuardrailAction::Deny), _) => return Checked::denied(findings),
            (Some(GuardrailAction::Ask), redacted) => Outcome::Ask { workflow: self.workflow(&findings), redacted },
            (_, Some(body)) => Outcome::Redacted(body),
            (_, None) => Outcome::Pass,
        };
        Checked { findings, outcome }
    }

    fn rules(&self, side: GuardrailSide) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.side == side || rule.side == GuardrailSide::Both)
    }

    /// Everything that is found in `text`.
    fn find(&self, side: GuardrailSide, text: &str) -> Vec<Found<'_>> {
        let mut found = Vec::new();
        let mut places = Vec::new();
        for rule in self.rules(side) {
            for finder in &rule.finders {
                finder.find(text, &mut places);
                found.extend(places.drain(..).map(|place| Found { rule, kind: finder.kind, place }));
            }
        }
        found
    }

    fn workflow(&self, findings: &[Finding]) -> Option<Arc<str>> {
        let asks = |rule: &&Rule| rule.action == GuardrailAction::Ask && findings.iter().any(|f| f.rule == rule.name);
        self.rules.iter().find(asks).and_then(|rule| rule.workflow.clone())
    }

    fn out_of_time(&self, findings: Vec<Finding>) -> Checked {
        match self.on_timeout {
            OnTimeout::Allow => Checked { findings, outcome: Outcome::Pass },
            OnTimeout::Deny => {
                let message = format!("the message could not be checked within {} ms", self.deadline.as_millis());
                Checked::refused(findings, message)
            }
        }
    }
}

/// Something found in a text.
#[derive(Debug)]
struct Found<'a> {
    rule: &'a Rule,
    kind: &'static str,
    place: Place,
}

impl Rule {
    fn compile(rule: &GuardrailRule) -> Result<Self, BadDetector> {
        let finders = rule.detect.iter().map(finders).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            name: rule.name.as_str().into(),
            side: rule.on,
            action: rule.action,
            workflow: rule.workflow.as_deref().map(Into::into),
            finders: finders.into_iter().flatten().collect(),
        })
    }
}

impl Checked {
    fn denied(findings: Vec<Finding>) -> Self {
        let by = findings.iter().find(|finding| finding.action == GuardrailAction::Deny);
        let (rule, kind) = by.map_or(("", ""), |finding| (&*finding.rule, finding.kind));
        let message = format!("the guardrail `{rule}` refuses this message because of what it contains ({kind})");
        Self::refused(findings, message)
    }

    fn refused(findings: Vec<Finding>, message: String) -> Self {
        Self { findings, outcome: Outcome::Refuse(message) }
    }
}

fn note(findings: &mut Vec<Finding>, rule: &Rule, kind: &'static str) {
    match findings.iter_mut().find(|finding| finding.rule == rule.name && finding.kind == kind) {
        Some(finding) => finding.count = finding.count.saturating_add(1),
        None => findings.push(Finding { rule: rule.name.clone(), kind, action: rule.action, count: 1 }),
    }
}

/// `body` with each span replaced; spans ascend.
fn splice(body: &[u8], changed: &[(Range<usize>, String)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut at = 0;
    for (span, text) in changed {
        out.extend_from_slice(&body[at..span.start]);
        out.extend_from_slice(text.as_bytes());
        at = span.end;
    }
    out.extend_from_slice(&body[at..]);
    out
}
