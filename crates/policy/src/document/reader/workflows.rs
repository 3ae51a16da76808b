//! The section `approval_workflows`.

use preloop_types::{ReviewFallback, Reviewer, SEALED_CHANNELS, SealedChannel, config::RawJson};
use serde_json::{Value as Json, value::to_raw_value};

use super::{
    super::{
        fields::{Field, Object},
        model::{JsonObject, WorkflowEntry},
        names::Known,
        problem::Problem,
        tree::Value,
    },
    Reader, names_of,
};
use crate::suggest::nearest;

impl<'a> Reader<'a> {
    pub(super) fn workflow(&self, field: &Field<'a>) -> Option<WorkflowEntry> {
        let known = [
            "name",
            "description",
            "timeout_seconds",
            "timeout",
            "require_reason",
            "is_default",
            "workflow_type",
            "approvals_required",
            "required_approvals",
            "quorum",
            "approver_users",
            "approver_teams",
            "approvers",
            "escalation_users",
            "escalation_teams",
            "escalation_workflow",
            "escalation",
            "no_self_approval",
            "separation_of_duties",
            "allow_edits",
            "channel_configs",
            "approval_type",
            "ai_model",
            "ai_guidelines",
            "ai_context",
            "ai_confidence_threshold",
            "ai_fallback_behavior",
            "async_approval",
        ];
        let workflow = Object::of(self.notes, field.path.clone(), field.node, &known)?;
        let reviewer = self.reviewer(&workflow);
        let types = ["simple", "multi_stage", "consensus"].map(|word| (word, word));
        let workflow_type = workflow.word("workflow_type", &types, "simple");
        if workflow_type != "simple" {
            let path = format!("{}.workflow_type", workflow.path);
            self.notes.warn(Problem::new(path, format!("`{workflow_type}` is treated as `simple` in this version")));
        }
        let mut channel_configs = workflow.json("channel_configs");
        if let Some(channels) = &mut channel_configs {
            self.resolve_object(&workflow, "channel_configs", channels);
            Self::check_channels(&workflow, channels);
        }
        Some(WorkflowEntry {
            description: workflow.text("description"),
            timeout_seconds: workflow.integer(&["timeout_seconds", "timeout"], 300, 30..=86_400),
            require_reason: workflow.boolean("require_reason", false),
            is_default: workflow.boolean("is_default", false),
            workflow_type: workflow_type.to_owned(),
            approvals_required: workflow.integer(&["approvals_required", "required_approvals", "quorum"], 1, 1..=10),
            approver_users: self.users(&workflow, &["approver_users", "approvers"]),
            approver_teams: self.teams(&workflow, "approver_teams"),
            escalation_users: self.users(&workflow, &["escalation_users"]).or_else(|| self.escalate_to(&workflow)),
            escalation_teams: self.teams(&workflow, "escalation_teams"),
            escalation_workflow: workflow.text("escalation_workflow"),
            no_self_approval: workflow.boolean("no_self_approval", false),
            separation_of_duties: workflow.boolean("separation_of_duties", false),
            allow_edits: workflow.boolean("allow_edits", true),
            channel_configs,
            async_approval: workflow.boolean("async_approval", false),
            reviewer,
            ..WorkflowEntry::named(workflow.required("name")?)
        })
    }

    /// The model that looks first: `approval_type: ai_driven`, and what is said of it.
    fn reviewer(&self, workflow: &Object<'a>) -> Option<Reviewer> {
        let kinds = ["standard", "ai_driven"].map(|word| (word, word));
        if workflow.word("approval_type", &kinds, "standard") != "ai_driven" {
            for name in ["ai_model", "ai_guidelines", "ai_context", "ai_confidence_threshold", "ai_fallback_behavior"] {
                if workflow.says_something(name) {
                    let path = format!("{}.{name}", workflow.path);
                    self.notes
                        .warn(Problem::new(path, format!("`{name}` has no effect without `approval_type: ai_driven`")));
                }
            }
            return None;
        }
        let Some(model) = workflow.named("ai_model") else {
            let problem = Problem::new(&workflow.path, "`approval_type: ai_driven` needs an `ai_model`");
            self.notes.error(problem.help("name one of the account's models"));
            return None;
        };
        let fallbacks = ReviewFallback::ALL.iter().map(|fallback| (fallback.as_str(), *fallback)).collect::<Vec<_>>();
        let fallback = workflow.word("ai_fallback_behavior", &fallbacks, ReviewFallback::Escalate);
        if fallback == ReviewFallback::Escalate && !workflow.says_something("escalation_workflow") {
            let message = "there is no `escalation_workflow`: what the model is not sure about, this workflow's own \
                           approvers decide";
            self.notes.warn(Problem::new(&workflow.path, message));
        }
        let context = workflow.json("ai_context").and_then(|context| to_raw_value(&context).ok().map(RawJson));
        Some(Reviewer {
            guidelines: workflow.named("ai_guidelines"),
            context,
            threshold_permille: self.permille(workflow, "ai_confidence_threshold"),
            fallback,
            ..Reviewer::of(model)
        })
    }

    /// A number from 0 to 1, in thousandths.
    fn permille(&self, object: &Object<'a>, name: &str) -> u16 {
        let default = Reviewer::of("").threshold_permille;
        let Some(field) = object.get(name) else { return default };
        let number = match field.node.value {
            Value::Int(0) => Some(0.0),
            Value::Int(1) => Some(1.0),
            Value::Float(number) if (0.0..=1.0).contains(&number) => Some(number),
            _ => None,
        };
        let Some(number) = number else {
            self.notes.error(Problem::new(field.path, format!("`{name}` is a number from 0 to 1")));
            return default;
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
        let permille = (number * 1_000.0).round() as u16;
        permille
    }

    /// The shorthand `escalation: {escalate_to: [name]}`, and just a list of names.
    pub(super) fn escalate_to(&self, object: &Object<'a>) -> Option<Vec<String>> {
        let field = object.get("escalation")?;
        if !matches!(field.node.value, Value::Map(_)) {
            return self.users(object, &["escalation"]);
        }
        let escalation =
            Object::of(self.notes, field.path.clone(), field.node, &["enabled", "escalate_to", "escalation_delay"])?;
        if escalation.says_something("escalation_delay") {
            let message = "others are asked when `timeout_seconds` is over, for as long again; `escalation_delay` has no \
                           effect";
            self.notes.warn(Problem::new(format!("{}.escalation_delay", escalation.path), message));
        }
        let wanted = escalation.boolean("enabled", true);
        self.users(&escalation, &["escalate_to"]).map(|users| if wanted { users } else { Vec::new() })
    }

    /// People by user name.
    pub(super) fn users(&self, object: &Object<'a>, names: &[&str]) -> Option<Vec<String>> {
        self.known_names(object, names, "user", |known| &known.users)
    }

    fn teams(&self, object: &Object<'a>, name: &str) -> Option<Vec<String>> {
        self.known_names(object, &[name], "team", |known| &known.teams)
    }

    /// A list of names, each of which the account has to know.
    fn known_names(
        &self,
        object: &Object<'a>,
        keys: &[&str],
        kind: &str,
        of: impl Fn(&Known) -> &Vec<String>,
    ) -> Option<Vec<String>> {
        let field = object.get_any(keys)?;
        let names = object.texts(field.path.rsplit('.').next().unwrap_or_default())?;
        let Some(known) = self.options.known.map(of) else { return Some(names) };
        for (at, name) in names.iter().enumerate().filter(|(_, name)| !known.contains(name)) {
            let path = match field.node.value {
                Value::List(_) => format!("{}.{at}", field.path),
                _ => field.path.clone(),
            };
            let mut problem = Problem::new(path, format!("there is no {kind} `{name}`"));
            problem.value = Some(name.clone());
            problem.help = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => Some(format!("did you mean `{near}`?")),
                None if known.is_empty() => None,
                None => Some(format!("the {kind}s are {}", names_of(known))),
            };
            self.notes.error(problem);
        }
        Some(names)
    }

    pub(super) fn check_channels(workflow: &Object<'a>, channels: &JsonObject) {
        for (name, channel) in channels {
            let path = format!("channel_configs.{name}");
            match name.as_str() {
                "webhook" => {
                    if !channel.get("url").is_some_and(Json::is_string) {
                        workflow.error(&path, "a webhook needs a `url`");
                    }
                    for key in channel.as_object().into_iter().flat_map(JsonObject::keys) {
                        if !["url", "headers"].contains(&key.as_str()) {
                            workflow.error(&format!("{path}.{key}"), format!("unknown key `{key}`"));
                        }
                    }
                }
                "email" => {
                    if !channel.as_array().is_some_and(|list| list.iter().all(Json::is_string)) {
                        workflow.error(&path, "`email` is a list of addresses");
                    }
                }
                "elicitation" => {
                    if !channel.is_boolean() {
                        workflow.error(&path, "`elicitation` is `true` or `false`");
                    }
                }
                _ => {
                    if let Some(known) = SealedChannel::named(name) {
                        Self::check_sealed(workflow, &path, known, channel);
                        continue;
                    }
                    let known: Vec<_> = SEALED_CHANNELS.iter().map(|known| format!("`{}`", known.name)).collect();
                    let known = known.join(", ");
                    let message = format!("channel `{name}` is not one of `webhook`, `email`, `elicitation`, {known}");
                    workflow.error(&path, message);
                }
            }
        }
    }

    /// A channel whose fields are secrets: each a text, or the placeholder of an export.
    fn check_sealed(workflow: &Object<'a>, path: &str, known: &SealedChannel, channel: &Json) {
        let Some(given) = channel.as_object() else {
            return workflow.error(path, format!("`{}` needs `{}`", known.name, known.required.join("`, `")));
        };
        for field in known.required {
            if given.get(*field).is_none_or(Json::is_null) {
                workflow.error(path, format!("`{}` needs a `{field}`", known.name));
            }
        }
        for (key, value) in given {
            let path = format!("{path}.{key}");
            if !known.fields().any(|field| field == key) {
                workflow.error(&path, format!("unknown key `{key}`"));
            } else if !value.is_string() && value.get("redacted").is_none() && !value.is_null() {
                workflow.error(&path, format!("`{key}` is not a text"));
            }
        }
    }
}
