use std::time::Duration;

use chrono::DateTime;
use http::{HeaderMap, header};
use preloop_types::redact::redact_text;
use serde_json::Value;

/// Longest message for an agent, in characters.
const MESSAGE_CHARS_MAX: usize = 1000;
/// More of an error's body is not read.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What a provider says about a failure, in whichever of the field's shapes.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(super) message: Option<String>,
    pub(super) code: Option<String>,
    /// Codes, kinds and message together, in lower case: the signals are searched here.
    all: String,
    number: Option<u16>,
    retry_delay: Option<Duration>,
}

impl Told {
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let body = serde_json::from_slice::<Value>(&body[..body.len().min(BODY_BYTES_MAX)]).unwrap_or_default();
        let body = body.get(0).unwrap_or(&body);
        let error = match &body["error"] {
            Value::Object(_) => &body["error"],
            _ => body,
        };
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let messages =
            [&error["message"], &error["Message"], &body["error"], &body["detail"], &body["errors"][0]["message"]];
        let message = messages.into_iter().find_map(text);
        let amazon = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        let amazon = amazon.map(|kind| kind.split(':').next().unwrap_or(kind).to_owned());
        let codes: Vec<String> =
            [&error["code"], &error["type"], &error["status"], &body["__type"], &error["innererror"]["code"]]
                .into_iter()
                .filter_map(text)
                .chain(amazon)
                .collect();
        let reasons = error["details"].as_array().into_iter().flatten();
        let reason = |detail: &Value| {
            let quota = detail["violations"][0]["quotaId"].as_str().map(str::to_owned);
            text(&detail["reason"]).or(quota)
        };
        let reasons: Vec<String> = reasons.clone().filter_map(reason).collect();
        let delay = error["details"].as_array().into_iter().flatten().find_map(|detail| detail["retryDelay"].as_str());
        let delay = delay.and_then(|delay| delay.strip_suffix('s')).and_then(seconds);
        let mut all = [codes.join(" "), reasons.join(" "), message.clone().unwrap_or_default()].join(" ");
        all.make_ascii_lowercase();
        let number = error["code"].as_u64().and_then(|number| u16::try_from(number).ok());
        Self { message, code: codes.into_iter().next(), all, number, retry_delay: delay }
    }

    /// Whether it says one of these. Signals are in lower case.
    pub(super) fn says(&self, signals: &[&str]) -> bool {
        signals.iter().any(|signal| self.all.contains(signal))
    }

    /// Credit, balance, or a quota that a wait of minutes does not bring back.
    pub(super) fn is_about_money(&self) -> bool {
        self.says(&[
            "insufficient_quota",
            "exceeded_current_quota",
            "credit balance",
            "insufficient balance",
            "insufficient_balance",
            "billing_hard_limit",
            "perday",
        ])
    }

    /// The status an error stands for that came with one of success, if it says so.
    pub(super) fn implied_status(&self) -> Option<u16> {
        match self.number {
            Some(number @ 400..=599) => Some(number),
            _ if self.says(&["rate_limit"]) => Some(429),
            _ if self.says(&["overloaded"]) => Some(503),
            _ if self.says(&["authentication_error", "permission_error"]) => Some(401),
            _ if self.says(&["invalid_request"]) => Some(400),
            _ => None,
        }
    }

    pub(super) fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let millis = || text("retry-after-ms").and_then(|text| text.parse().ok()).map(Duration::from_millis);
        let after = || text("retry-after").and_then(|after| seconds(after).or_else(|| until(after, headers)));
        millis().or_else(after).or(self.retry_delay)
    }
}

fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// How far an HTTP date lies ahead of the answer's own: the other side's clock is the one it means.
fn until(date: &str, headers: &HeaderMap) -> Option<Duration> {
    let sent = headers.get(header::DATE)?.to_str().ok()?;
    let (date, sent) = (DateTime::parse_from_rfc2822(date).ok()?, DateTime::parse_from_rfc2822(sent).ok()?);
    (date - sent).to_std().ok()
}

/// A provider's words as an agent may see them.
pub(super) fn clean(message: &str) -> String {
    let message: String = message.chars().filter(|c| !c.is_control() || *c == '\n').take(MESSAGE_CHARS_MAX).collect();
    let message = redact_text(&message).unwrap_or(message);
    message.split(' ').map(|word| if names_an_account(word) { "***" } else { word }).collect::<Vec<_>>().join(" ")
}

/// Ids of organisations, projects and accounts of the field's providers.
fn names_an_account(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let digits = word.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() >= 12);
    digits || word.starts_with("org-") || word.starts_with("proj_") || word.starts_with("arn:")
}
