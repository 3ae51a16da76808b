//! Standing grants: an approver's leave to make a call again, compiled like a rule and asked where a rule
//! would ask a person. They are never consulted for a call that is denied.

use preloop_types::{
    GrantedArguments, Hash, StandingGrant, WorkflowId, canonical_json,
    config::{Language, SubjectRef},
};

use crate::{
    condition::{Condition, Reading, Variables},
    engine::{Library, on_big_stack},
    ruleset::Facts,
};

/// The standing grants of an account, ready to be asked.
#[derive(Debug, Default)]
pub struct StandingRules {
    grants: Vec<Compiled>,
    library: Library,
}

#[derive(Debug)]
struct Compiled {
    grant: StandingGrant,
    /// `None` where the arguments have to be the same.
    condition: Option<Condition>,
}

impl StandingRules {
    /// Compiles those that can be compiled; one that cannot covers nothing.
    pub fn compile(grants: Vec<StandingGrant>) -> Self {
        let mut library = Library::default();
        let compiled = on_big_stack(|stack| {
            grants
                .into_iter()
                .filter_map(|grant| {
                    let condition = match &grant.arguments {
                        GrantedArguments::Same(_) => None,
                        GrantedArguments::Where(text) => {
                            Some(Condition::compile(Some(text), Language::Cel, &mut library, stack).ok()?)
                        }
                    };
                    Some(Compiled { grant, condition })
                })
                .collect()
        });
        // Without a stack to compile on nothing is covered, and people are asked.
        Self { grants: compiled.unwrap_or_default(), library }
    }

    /// Those that cover a call about which `workflow` would be asked, oldest first. Whether there is room left in
    /// one is its row's to say.
    pub fn covering(&self, facts: &Facts<'_>, workflow: WorkflowId) -> Vec<&StandingGrant> {
        let candidates = self.grants.iter().filter(|compiled| {
            let grant = &compiled.grant;
            grant.workflow == workflow
                && grant.is_live(facts.now)
                && grant.is_about(facts.tool)
                && is_of(grant.subject, facts)
        });
        let mut candidates = candidates.peekable();
        if candidates.peek().is_none() {
            return Vec::new();
        }
        let hash = canonical_json(facts.arguments.get()).ok().map(Hash::of);
        let variables = Variables::new(facts);
        let mut reading = Reading::new(&variables, &self.library);
        let mut covers = |compiled: &Compiled| match (&compiled.grant.arguments, &compiled.condition) {
            (GrantedArguments::Same(same), _) => hash == Some(*same),
            // A condition that cannot be evaluated covers nothing: a person is asked.
            (_, Some(condition)) => condition.matches(&mut reading).unwrap_or(false),
            (GrantedArguments::Where(_), None) => false,
        };
        candidates.filter(|compiled| covers(compiled)).map(|compiled| &compiled.grant).collect()
    }
}

/// Whether the grant was given to who calls.
fn is_of(subject: SubjectRef, facts: &Facts<'_>) -> bool {
    match subject {
        SubjectRef::Key(key) => facts.who.key == key,
        SubjectRef::Agent(agent) => facts.who.agent.as_ref().is_some_and(|of| of.id == agent),
    }
}
