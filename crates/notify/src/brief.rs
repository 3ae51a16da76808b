//! A notice in a few words, for devices and chats.
//!
//! Everything in it but its frame comes from an agent, an upstream server or a configuration: it is
//! cleaned of deceptive characters and shortened.

use preloop_govern::{Alert, ApprovalNotice, Message, Occasion};
use preloop_types::text::{one_line, shortened};
use serde_json::{Value, json};

const FACT_MAX: usize = 300;
const ARGUMENTS_MAX: usize = 150;
const WORDS_MAX: usize = 80;
/// What a chat shows of the arguments; the page shows all.
const CHAT_ARGUMENTS_MAX: usize = 2_500;

/// What a device shows. It holds no link and no token: whoever finds the phone may read it.
pub(crate) struct Brief {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) body: String,
    pub(crate) priority: &'static str,
    pub(crate) data: Value,
}

impl Brief {
    pub(crate) fn of(message: &Message) -> Self {
        match message {
            Message::Request(request) => Self::of_request(request),
            Message::Alert(Alert { subject, text }) => Self {
                title: fact(subject),
                subtitle: String::new(),
                body: fact(text),
                priority: "medium",
                data: json!({ "type": "alert" }),
            },
        }
    }

    fn of_request(request: &ApprovalNotice) -> Self {
        let (title, kind, priority) = match request.occasion {
            Occasion::Requested => ("New Approval Request", "new_approval_request", "medium"),
            Occasion::Escalated => ("Escalated Approval Request", "new_approval_request", "high"),
            Occasion::Reminder(_) => ("Approval Request Expiring Soon", "request_expiring_soon", "high"),
        };
        let arguments = one_line(&request.arguments.to_string());
        let mut body = shortened(&arguments, ARGUMENTS_MAX).into_owned();
        if let Some(words) = &request.justification {
            body = format!("{body} · {}", shortened(&one_line(words), WORDS_MAX));
        }
        Self {
            title: title.to_owned(),
            subtitle: fact(&request.tool),
            body,
            priority,
            data: json!({
                "type": kind,
                "approval_request_id": request.request,
                "tool_name": fact(&request.tool),
                "priority": priority,
                "expires_at": request.expires_at,
            }),
        }
    }
}

/// A text on one line, not too long.
pub(crate) fn fact(text: &str) -> String {
    shortened(&one_line(text), FACT_MAX).into_owned()
}

/// What a chat says of a request, line by line: name and value.
pub(crate) fn facts(request: &ApprovalNotice) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Server", fact(&request.server)),
        ("Requested by", fact(&request.requester)),
        ("Asked because", fact(&request.reason)),
    ];
    facts.extend(request.justification.as_deref().map(|words| ("Agent's words", fact(words))));
    facts.push(("Workflow", fact(&request.workflow)));
    facts.push(("Decide before", request.expires_at.to_datetime().format("%Y-%m-%d %H:%M:%S UTC").to_string()));
    facts
}

/// The headline of a request in a chat.
pub(crate) fn headline(request: &ApprovalNotice) -> String {
    format!("{}{} waits for a decision", request.occasion.prefix(), fact(&request.tool))
}

/// The arguments as a chat shows them.
pub(crate) fn arguments(request: &ApprovalNotice) -> String {
    let text = serde_json::to_string_pretty(&request.arguments).unwrap_or_default();
    shortened(&preloop_types::text::printable(&text), CHAT_ARGUMENTS_MAX).into_owned()
}
