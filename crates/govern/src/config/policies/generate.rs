//! A document written by a model: from a person's words, or from what agents did.
//!
//! What comes back is checked like any document and never applied: a person reads it first. What the
//! model is shown of the account holds no secrets, and what agents sent is fenced as data.

mod observed;

use std::{fmt::Write as _, sync::Arc};

use preloop_policy::{document, lint::Linted};
use preloop_types::{Principal, Timestamp};

use super::{Config, ConfigError, LintRequest, OwnedRows, PolicyProblem, Result};
use crate::{Models, Question};

use observed::Observed;

/// Longest document a model may write.
const OUTPUT_TOKENS_MAX: u32 = 8_192;
/// Longest prompt of a person.
const PROMPT_MAX: usize = 20_000;
/// Most tools of the account that the model is told of.
const TOOLS_MAX: usize = 300;

/// What to generate from.
#[derive(Debug, Clone)]
pub enum GenerateFrom {
    /// What a person wants.
    Prompt {
        /// In their words.
        text: String,
        /// Show the model the account's configuration, without secrets.
        with_current: bool,
    },
    /// Calls that were recorded.
    Recorded {
        /// Calls from then on.
        since: Option<Timestamp>,
        /// Calls before then.
        until: Option<Timestamp>,
    },
    /// Calls somebody brings: a JSON array.
    Calls(String),
}

/// A document nobody has applied.
#[derive(Debug, Clone)]
pub struct Generated {
    /// The document.
    pub yaml: String,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

impl Config {
    /// Has the account's model write a document. It is valid, and nothing is applied.
    pub async fn generate_policy(
        &self,
        models: &dyn Models,
        who: &Arc<Principal>,
        from: GenerateFrom,
    ) -> Result<Generated> {
        let rows = self.rows(who.account).await?;
        let model = self.generator(who).await?;
        let mut task = match from {
            GenerateFrom::Prompt { text, .. } if text.trim().is_empty() || text.len() > PROMPT_MAX => {
                return Err(ConfigError::invalid("prompt", format!("is empty or longer than {PROMPT_MAX} bytes")));
            }
            GenerateFrom::Prompt { text, with_current } => {
                let current = if with_current { self.current(&rows) } else { String::new() };
                format!("Write a policy for this:\n\n{text}\n{current}")
            }
            GenerateFrom::Recorded { since, until } => observed::task(&self.observed(who, since, until).await?),
            GenerateFrom::Calls(json) => observed::task(&Observed::read(&json)?),
        };
        let system = self.instructions(who, &rows).await?;
        let mut wrong = None;
        // Models mend most of what they are told of; what they do not mend once they seldom do later.
        for _ in 0..2 {
            let question = Question {
                part: "policy-generator",
                model: Some(model.clone()),
                system: system.clone(),
                text: task.clone(),
                output_tokens_max: OUTPUT_TOKENS_MAX,
            };
            let reply = models.ask(who.clone(), question).await;
            let reply = reply.map_err(|why| ConfigError::Refused(format!("model `{model}` gave no answer: {why}")))?;
            let yaml = unfenced(&reply.text).to_owned();
            match self.judged(who, &yaml).await {
                Ok(warnings) => return Ok(Generated { yaml, warnings }),
                Err(errors) => {
                    let _ =
                        write!(task, "\n\nYour last answer was:\n\n{yaml}\n\nIt is not valid:\n{}", listed(&errors));
                    task.push_str("\nAnswer with the whole corrected policy.");
                    wrong = Some(errors);
                }
            }
        }
        let errors = wrong.unwrap_or_default();
        Err(ConfigError::Refused(format!("model `{model}` wrote no valid policy in two attempts: {}", listed(&errors))))
    }

    /// Which model writes: the account's default, else its newest.
    async fn generator(&self, who: &Principal) -> Result<String> {
        let models = self.store.account(who.account).models().await?;
        let enabled = || models.iter().filter(|model| model.enabled);
        let newest = || enabled().max_by_key(|model| model.created_at);
        let chosen = enabled().find(|model| model.is_default).or_else(newest);
        chosen.map(|model| model.alias.clone()).ok_or_else(|| {
            ConfigError::Refused(
                "the account has no model to write policies with; `preloop models add` adds one".into(),
            )
        })
    }

    fn current(&self, rows: &OwnedRows) -> String {
        let current = document::Document::from_rows(&rows.borrow(), "current", self.store.now());
        format!("\nThe account's configuration now; keep what is not to change:\n\n{}", current.to_yaml(None))
    }

    async fn instructions(&self, who: &Principal, rows: &OwnedRows) -> Result<String> {
        let mut text = format!(
            "You write policies for Preloop, which decides which tool calls of AI agents are allowed, denied or need \
             a person's approval. Answer with one YAML document and nothing else: no explanation, no code fence.\n\
             Conditions are CEL over `args`, `agent`, `user`, `tool`, `context`, `now`. The first condition of a tool \
             that matches decides; without one the call is allowed. Use only tools, servers, users and workflows that \
             are listed here or that the document defines. Prefer requiring approval over allowing.\n\
             JSON Schema of the document:\n{}\n",
            document::schema()
        );
        let names = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "Servers: {}", names(&mut rows.servers.iter().map(|server| server.name.as_str())));
        let _ = writeln!(text, "Users: {}", names(&mut rows.users.iter().map(|(_, name)| name.as_str())));
        let _ = writeln!(text, "Workflows: {}", names(&mut rows.workflows.iter().map(|flow| flow.name.as_str())));
        text.push_str("Tools, as `server/tool` with the schema of their arguments:\n");
        for tool in self.tools(who.account, &rows.servers).await?.iter().take(TOOLS_MAX) {
            let schema = tool.schema().map_or("{}", |schema| schema.schema.get());
            let short: String = schema.chars().take(1_000).collect();
            let _ = writeln!(text, "- {}/{}: {short}", tool.server, tool.tool.upstream_name);
        }
        Ok(text)
    }

    /// Whether a document could be applied; its warnings, what would get further than now among them.
    async fn judged(&self, who: &Principal, yaml: &str) -> Result<Vec<String>, Vec<PolicyProblem>> {
        let judging = self.validate_policy(who, yaml, true).await;
        let told = |error: ConfigError| {
            vec![PolicyProblem { path: "$".into(), message: error.to_string(), line: None, column: None, help: None }]
        };
        let (errors, mut warnings) = judging.map_err(told)?;
        if !errors.is_empty() {
            return Err(errors);
        }
        let request = LintRequest { text: yaml.to_owned(), against_active: true, prune: false };
        let findings: Vec<Linted> = self.lint_policy(who, request).await.map_err(told)?;
        let own = ["widening", "conflict", "shadowed", "never_asked"];
        let new = findings.into_iter().filter(|finding| own.contains(&finding.code.as_str()));
        warnings.extend(new.map(|finding| match finding.line {
            Some(line) => format!("line {line}: {}", finding.message),
            None => finding.message,
        }));
        Ok(warnings)
    }
}

fn listed(errors: &[PolicyProblem]) -> String {
    let line = |error: &PolicyProblem| match error.line {
        Some(line) => format!("- line {line}: {}", error.message),
        None => format!("- {}: {}", error.path, error.message),
    };
    errors.iter().take(20).map(line).collect::<Vec<_>>().join("\n")
}

/// The document inside a code fence, if a model put it into one.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let Some((_, rest)) = text.split_once("```") else { return text };
    let inner = rest.split_once('\n').map_or(rest, |(_, inner)| inner);
    inner.split("```").next().unwrap_or(inner).trim()
}

#[cfg(test)]
mod tests {
    use super::unfenced;

    #[test]
    fn fences_are_taken_off() {
        let yaml = "metadata: {name: x}\ntools: []";
        for text in [
            yaml.to_owned(),
            format!("```yaml\n{yaml}\n```"),
            format!("Here it is:\n\n```\n{yaml}\n```\nEnjoy."),
            format!("  ```yml\n{yaml}"),
        ] {
            assert_eq!(unfenced(&text), yaml);
        }
    }
}
