//! What the page says.

use std::sync::LazyLock;

use axum::response::Response;
use http::StatusCode;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, value::Serde};
use preloop_govern::Item;
use preloop_preview::Preview;
use preloop_store::{Approval, ApprovalStatus, ExecutionState};
use preloop_types::{OutcomeStatus, Timestamp, redact, text};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    App,
    api::{preview_of, question, shown_arguments},
};

const STYLE: &str = include_str!("style.css");
const TEMPLATE: &str = include_str!("page.html");

/// What just happened.
pub(super) enum Notice {
    /// Nothing: the page was opened.
    None,
    /// The visitor decided.
    Done {
        /// How.
        approve: bool,
    },
    /// The visitor's decision was not taken.
    Problem(String),
}

/// Everything the template shows. All of it is text; the template escapes it.
#[derive(Default, Serialize)]
pub(super) struct View {
    title: String,
    style: &'static str,
    message: Option<String>,
    request: Option<Request>,
    /// How it stands: a word that also picks the colour.
    state: &'static str,
    headline: String,
    explanation: String,
    problem: Option<String>,
    /// Whether the form is shown.
    open: bool,
    token: String,
}

#[derive(Serialize)]
struct Request {
    id: String,
    tool: String,
    server: String,
    requester: String,
    justification: Option<String>,
    reason: Option<String>,
    arguments: String,
    args_hash: String,
    workflow: String,
    requested_at: String,
    deadline: String,
    time_left: String,
    votes: String,
    require_reason: bool,
    comment: Option<String>,
    preview: Option<String>,
    shown_hash: String,
    /// Of a question.
    options: Vec<String>,
    free_text: bool,
    form: Option<String>,
    items: Option<String>,
}

impl View {
    pub(super) async fn of(app: &App, approval: &Approval, token: &str, notice: Notice) -> Self {
        let now = app.store().now();
        let left = approval.expires_at.since(now);
        let late = approval.status == ApprovalStatus::Pending && left.is_zero();
        let open = approval.status == ApprovalStatus::Pending && !late;
        let (state, headline, explanation) = standing(approval, &notice, late);
        let problem = match notice {
            Notice::Problem(problem) => Some(problem),
            Notice::None | Notice::Done { .. } => None,
        };
        Self {
            title: format!("{headline} · Preloop"),
            style: STYLE,
            message: None,
            request: Some(Request::of(app, approval).await),
            state,
            headline,
            explanation,
            problem,
            open,
            token: token.to_owned(),
        }
    }

    pub(super) fn page(&self, status: StatusCode) -> Response {
        super::answer(status, render(self))
    }
}

impl Request {
    async fn of(app: &App, approval: &Approval) -> Self {
        let keys = app.store().account(approval.account).key(approval.requester.key).await;
        let key = keys.ok().flatten().map_or_else(|| "an API key".to_owned(), |key| key.name);
        let requester = match &approval.requester.client {
            Some(client) => format!("{key} ({client})"),
            None => key,
        };
        let question = question(approval);
        let preview = preview_of(approval).and_then(|shown| serde_json::from_value::<Preview>(shown).ok());
        let preview = preview.map(|preview| preview.to_string());
        let arguments = shown_arguments(approval);
        let arguments = serde_json::to_string_pretty(&arguments).unwrap_or_default();
        let rule: serde_json::Value = serde_json::from_str(approval.rule_context.0.get()).unwrap_or_default();
        let reason =
            ["reason", "description", "rule_name", "expression"].iter().find_map(|name| rule.get(*name)?.as_str());
        let approvals = approval.votes.iter().filter(|vote| vote.approve).count();
        Self {
            id: approval.id.to_string(),
            tool: text::one_line(&approval.tool.exposed),
            server: text::one_line(&approval.tool.server),
            requester: text::one_line(&clean(&requester)),
            justification: approval.justification.as_deref().map(clean),
            reason: reason.map(clean),
            arguments: text::printable(&arguments).into_owned(),
            args_hash: approval.args_hash.to_string(),
            workflow: text::one_line(&approval.workflow_name),
            requested_at: clock(approval.requested_at),
            deadline: clock(approval.expires_at),
            time_left: duration(approval.expires_at.since(app.store().now()).as_secs()),
            votes: match approval.approvals_required {
                0 | 1 => String::new(),
                needed => format!("{approvals} of {needed} approvals"),
            },
            require_reason: approval.require_reason,
            comment: approval.comment.as_deref().map(clean),
            preview: preview.map(|preview| text::printable(&preview).into_owned()),
            shown_hash: approval.shown_hash.map(|hash| hash.to_string()).unwrap_or_default(),
            options: question.as_ref().map(|question| question.options.clone()).unwrap_or_default(),
            free_text: question
                .as_ref()
                .is_some_and(|asked| asked.wants_answer && asked.allow_free_text && !asked.has_form()),
            items: question.as_ref().filter(|asked| !asked.items.is_empty()).map(|asked| {
                let line = |item: &Item| format!("{}: {}\n{}", item.id, item.title, item.description);
                text::printable(&asked.items.iter().map(line).collect::<Vec<_>>().join("\n")).into_owned()
            }),
            form: question.and_then(|asked| Some(blank_form(&asked.schema?))),
        }
    }
}

/// The form's fields, to be filled in.
fn blank_form(schema: &serde_json::Value) -> String {
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    let blank = |field: &serde_json::Value| match field.get("type").and_then(serde_json::Value::as_str) {
        Some("boolean") => serde_json::json!(false),
        Some("number" | "integer") => serde_json::json!(0),
        Some("array") => serde_json::json!([]),
        Some("object") => serde_json::json!({}),
        _ => serde_json::json!(""),
    };
    let fields: serde_json::Map<_, _> =
        properties.into_iter().flatten().map(|(name, field)| (name.clone(), blank(field))).collect();
    serde_json::to_string_pretty(&fields).unwrap_or_default()
}

/// Words an agent or its client chose.
fn clean(words: &str) -> String {
    text::printable(&redact::redact_text(words).unwrap_or_else(|| words.to_owned())).into_owned()
}

/// How the request stands: a word, a headline, and what it means.
fn standing(approval: &Approval, notice: &Notice, late: bool) -> (&'static str, String, String) {
    let tool = text::one_line(&approval.tool.exposed);
    let server = text::one_line(&approval.tool.server);
    let done = matches!(notice, Notice::Done { .. });
    let (state, headline, explanation) = match approval.status {
        ApprovalStatus::Pending if late => {
            ("expired", "Expired".to_owned(), "Nobody decided in time, so the call is not carried out.".to_owned())
        }
        ApprovalStatus::Pending => match notice {
            Notice::Done { approve } => {
                let what = if *approve { "approval" } else { "decline" };
                ("voted", "Thank you".to_owned(), format!("Your {what} is counted. More people have to decide."))
            }
            _ => (
                "pending",
                format!("Allow {tool}?"),
                format!("An agent wants to make this call on {server}. It waits for you."),
            ),
        },
        ApprovalStatus::Approved => ("approved", "Approved".to_owned(), execution(approval)),
        ApprovalStatus::Declined => {
            ("declined", "Declined".to_owned(), "The call is not carried out and the agent is told so.".to_owned())
        }
        ApprovalStatus::Expired => {
            ("expired", "Expired".to_owned(), "Nobody decided in time, so the call is not carried out.".to_owned())
        }
        ApprovalStatus::Cancelled => {
            ("cancelled", "Cancelled".to_owned(), "The request was withdrawn. The call is not carried out.".to_owned())
        }
    };
    let settled = approval.status != ApprovalStatus::Pending && !done;
    let explanation = if settled { format!("This is decided already. {explanation}") } else { explanation };
    (state, headline, explanation)
}

/// What became of an approved call.
fn execution(approval: &Approval) -> String {
    let text = match (approval.execution.state, approval.execution.outcome) {
        (ExecutionState::None, _) => "The call is carried out now, exactly as shown.",
        (ExecutionState::Claimed, _) => "The call is being carried out.",
        (ExecutionState::Finished, Some(OutcomeStatus::Succeeded) | None) => "The call was carried out.",
        (ExecutionState::Finished, Some(OutcomeStatus::NotSent)) => "The call could not be sent to its server.",
        (ExecutionState::Finished, Some(_)) => "The call was carried out and its server answered with an error.",
        (ExecutionState::Unknown, _) => "The call was begun; how it ended is not known. It is not run again.",
    };
    text.to_owned()
}

/// A page that only says something.
pub(super) fn message(title: &str, message: &str) -> String {
    render(&View {
        title: format!("{title} · Preloop"),
        style: STYLE,
        message: Some(message.to_owned()),
        state: "gone",
        headline: title.to_owned(),
        ..View::default()
    })
}

/// Nothing but our own style sheet, and a form that only posts here.
pub(super) fn content_security_policy() -> String {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        use base64::{Engine, prelude::BASE64_STANDARD};
        let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'"
        )
    });
    POLICY.clone()
}

fn render(view: &View) -> String {
    static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
        let mut templates = Environment::new();
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        #[expect(clippy::expect_used, reason = "the template is part of the binary and every test renders it")]
        templates.add_template("page", TEMPLATE).expect("the page is a template");
        templates
    });
    let rendered = TEMPLATES.get_template("page").and_then(|page| page.render(Serde(view)));
    rendered.unwrap_or_else(|error| {
        tracing::error!(%error, "the approval page cannot be rendered");
        "The page cannot be shown. Nothing was decided.".to_owned()
    })
}

fn clock(at: Timestamp) -> String {
    at.to_datetime().format("%-d %B %Y, %H:%M:%S UTC").to_string()
}

fn duration(seconds: u64) -> String {
    match seconds {
        0 => "no time".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}
