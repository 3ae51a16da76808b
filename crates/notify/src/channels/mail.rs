//! Writes the mail that asks one person for a decision, or tells them of something.
//!
//! Everything in a notice but the link comes from an agent, an upstream server or a configuration:
//! it is cleaned of deceptive characters, shortened, and escaped where it meets HTML.

use lettre::{
    Message,
    message::{
        Mailbox, MessageBuilder, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use minijinja::{Environment, UndefinedBehavior, context};
use preloop_govern::{Alert, ApprovalNotice};
use preloop_types::text::{one_line, printable, shortened};

use crate::SendError;

const SUBJECT_MAX: usize = 160;
const FACT_MAX: usize = 500;
const TEXT_MAX: usize = 4_000;
const ARGUMENTS_MAX: usize = 16_000;

/// The mail for `notice` to the mailbox `address`.
pub(crate) fn compose(
    from: &Mailbox,
    address: &str,
    name: Option<&str>,
    notice: &ApprovalNotice,
) -> Result<Message, SendError> {
    if notice.link.is_none() {
        return Err(SendError::permanent("the notice has no link to decide by".to_owned()));
    }
    let message = message(from, address, name)?;
    let (text, html) = render(notice).map_err(|error| SendError::permanent(format!("the mail: {error}")))?;
    message
        .subject(subject(notice))
        .multipart(MultiPart::alternative_plain_html(text, html))
        .map_err(|error| SendError::permanent(format!("the mail: {error}")))
}

/// The mail of an alert.
pub(crate) fn compose_alert(
    from: &Mailbox,
    address: &str,
    name: Option<&str>,
    alert: &Alert,
) -> Result<Message, SendError> {
    let subject = shortened(&one_line(&alert.subject), SUBJECT_MAX).into_owned();
    let text = shortened(&printable(&alert.text), TEXT_MAX).into_owned();
    let html = alert_html(&subject, &text).map_err(|error| SendError::permanent(format!("the mail: {error}")))?;
    message(from, address, name)?
        .subject(subject)
        .multipart(MultiPart::alternative_plain_html(text, html))
        .map_err(|error| SendError::permanent(format!("the mail: {error}")))
}

/// The same in HTML: a paragraph that is nothing but a link becomes a button.
fn alert_html(subject: &str, text: &str) -> Result<String, minijinja::Error> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_template("alert.html", include_str!("templates/alert.html"))?;
    let paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
    let paragraphs: Vec<String> = paragraphs.map(str::to_owned).collect();
    templates.get_template("alert.html")?.render(context! { subject, paragraphs })
}

/// A mail to `address` that nobody is to answer.
fn message(from: &Mailbox, address: &str, name: Option<&str>) -> Result<MessageBuilder, SendError> {
    let address = address
        .parse()
        .map_err(|error| SendError::permanent(format!("`{}` is not a mail address: {error}", one_line(address))))?;
    let name = name.map(|name| shortened(&one_line(name), FACT_MAX).into_owned());
    let no_reply = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    Ok(Message::builder().from(from.clone()).to(Mailbox::new(name, address)).raw_header(no_reply).message_id(None))
}

fn subject(notice: &ApprovalNotice) -> String {
    format!("{}Tool Approval Required: {}", notice.occasion.prefix(), shortened(&one_line(&notice.tool), SUBJECT_MAX))
}

fn render(notice: &ApprovalNotice) -> Result<(String, String), minijinja::Error> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_template("approval.txt", include_str!("templates/approval.txt"))?;
    templates.add_template("approval.html", include_str!("templates/approval.html"))?;

    let fact = |text: &str| shortened(&one_line(text), FACT_MAX).into_owned();
    let arguments = serde_json::to_string_pretty(&notice.arguments).unwrap_or_default();
    let facts = context! {
        subject => subject(notice),
        tool => fact(&notice.tool),
        server => fact(&notice.server),
        requester => fact(&notice.requester),
        reason => fact(&notice.reason),
        workflow => fact(&notice.workflow),
        justification => notice.justification.as_deref().map(|text| shortened(&printable(text), TEXT_MAX).into_owned()),
        arguments => shortened(&printable(&arguments), ARGUMENTS_MAX).into_owned(),
        expires_at => notice.expires_at.to_datetime().format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        link => notice.link.as_deref().unwrap_or_default(),
    };
    Ok((
        templates.get_template("approval.txt")?.render(&facts)?,
        templates.get_template("approval.html")?.render(&facts)?,
    ))
}
