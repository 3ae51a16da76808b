//! How large configuration may get. Every text a person can set passes through here.

use preloop_types::{ModelPattern, NanoUsd, RateLimit, Rates};
use url::Url;

use super::{ConfigError, Result};

pub(super) const NAME_MAX: usize = 100;
pub(super) const TEXT_MAX: usize = 2_000;
pub(super) const URL_MAX: usize = 1_024;
pub(super) const SECRET_MAX: usize = 16 * 1_024;
pub(super) const JSON_BYTES_MAX: usize = 64 * 1_024;
pub(super) const ITEMS_MAX: usize = 100;
pub(super) const SERVERS_MAX: usize = 500;
pub(super) const TOOL_CONFIGS_MAX: usize = 10_000;
pub(super) const RULES_MAX: usize = 500;
pub(super) const WORKFLOWS_MAX: usize = 500;
pub(super) const KEYS_MAX: usize = 10_000;
pub(super) const PEOPLE_MAX: usize = 10_000;
pub(super) const TEAMS_MAX: usize = 1_000;
pub(super) const INVITATIONS_MAX: usize = 1_000;
pub(super) const MODELS_MAX: usize = 2_000;
pub(super) const PRICES_MAX: usize = 2_000;
pub(super) const BUDGETS_MAX: usize = 2_000;
pub(super) const MODEL_NAME_MAX: usize = 256;

/// A name: trimmed, not empty, one line, at most [`NAME_MAX`] characters.
pub(super) fn name(field: &str, value: &str) -> Result<String> {
    named(field, value, NAME_MAX)
}

/// A name of at most `max` characters.
pub(super) fn named(field: &str, value: &str, max: usize) -> Result<String> {
    let value = value.trim();
    if value.is_empty() {
        return Err(ConfigError::invalid(field, "is empty"));
    }
    if value.chars().any(char::is_control) {
        return Err(ConfigError::invalid(field, "holds a control character"));
    }
    text(field, value, max)
}

/// A text of at most `max` characters.
pub(super) fn text(field: &str, value: &str, max: usize) -> Result<String> {
    if value.contains('\0') {
        return Err(ConfigError::invalid(field, "holds a NUL character"));
    }
    match value.chars().count() {
        length if length > max => {
            Err(ConfigError::invalid(field, format!("is {length} characters long; at most {max} are allowed")))
        }
        _ => Ok(value.to_owned()),
    }
}

/// At most `max` items.
pub(super) fn count(field: &str, length: usize, max: usize) -> Result<()> {
    if length > max {
        return Err(ConfigError::invalid(field, format!("has {length} items; at most {max} are allowed")));
    }
    Ok(())
}

/// A number between two others.
pub(super) fn range(field: &str, value: u64, min: u64, max: u64) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::invalid(field, format!("`{value}` is not between {min} and {max}")))
}

/// The account has room for one more.
pub(super) fn room(what: &str, have: usize, max: usize) -> Result<()> {
    if have >= max {
        return Err(ConfigError::Refused(format!("an account holds at most {max} {what}; remove some first")));
    }
    Ok(())
}

/// An `http` or `https` URL without credentials in it. Where it leads to is checked when it is
/// fetched, since names may change their addresses.
pub(super) fn url(field: &str, value: &str) -> Result<String> {
    let value = named(field, value, URL_MAX)?;
    let url = Url::parse(&value).map_err(|error| ConfigError::invalid(field, format!("is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(ConfigError::invalid(field, format!("scheme `{}` is not `http` or `https`", url.scheme())));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(ConfigError::invalid(field, "names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ConfigError::invalid(field, "holds credentials; put them into `auth_config`"));
    }
    if url.fragment().is_some() {
        return Err(ConfigError::invalid(field, "has a fragment"));
    }
    Ok(value)
}

/// A header name that may be set on requests to an upstream or a webhook.
pub(super) fn header_name(field: &str, value: &str) -> Result<String> {
    const OURS: &[&str] = &[
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "accept",
        "mcp-session-id",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "last-event-id",
    ];
    let value = named(field, value, NAME_MAX)?;
    let token = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if !token {
        return Err(ConfigError::invalid(field, format!("`{value}` is not a header name")));
    }
    if OURS.contains(&value.to_ascii_lowercase().as_str()) {
        return Err(ConfigError::invalid(field, format!("header `{value}` is set by Preloop itself")));
    }
    Ok(value)
}

/// An e-mail address, roughly: what mail servers say decides.
pub(super) fn email(field: &str, value: &str) -> Result<String> {
    let value = named(field, value, 254)?;
    let plausible = value.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && (domain.contains('.') || domain == "localhost") && !domain.contains('@')
    }) && !value.chars().any(char::is_whitespace);
    if plausible { Ok(value) } else { Err(ConfigError::invalid(field, format!("`{value}` is not an e-mail address"))) }
}

/// Names of models: aliases, globs, labels.
pub(super) fn model_patterns(field: &str, patterns: &[ModelPattern]) -> Result<()> {
    count(field, patterns.len(), 1_000)?;
    patterns.iter().try_for_each(|pattern| model_pattern(field, pattern))
}

/// A name of a model or several.
pub(super) fn model_pattern(field: &str, pattern: &ModelPattern) -> Result<()> {
    let name = named(field, &pattern.0, MODEL_NAME_MAX)?;
    if name != pattern.0 {
        return Err(ConfigError::invalid(field, "begins or ends with white space"));
    }
    Ok(())
}

/// An alias or a provider's name of a model. It becomes part of paths upstream, and lists name it.
pub(super) fn model_name(field: &str, value: &str) -> Result<String> {
    let value = named(field, value, MODEL_NAME_MAX)?;
    if let Some(odd) = value.chars().find(|c| c.is_whitespace() || "%?#\\*".contains(*c)) {
        return Err(ConfigError::invalid(field, format!("holds `{odd}`, which a model's name cannot")));
    }
    if value.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(ConfigError::invalid(field, format!("`{value}` has an empty segment or one of dots")));
    }
    if value.starts_with("tag:") {
        return Err(ConfigError::invalid(field, "begins with `tag:`, which names labels"));
    }
    Ok(value)
}

/// Rates that can be charged: no negative ones, tiers in order and only one deep.
pub(super) fn rates(field: &str, rates: Rates) -> Result<Rates> {
    let flat = |field: &str, rates: &Rates| {
        if rates.per_request < NanoUsd::ZERO || rates.per_web_search < NanoUsd::ZERO {
            return Err(ConfigError::invalid(field, "holds a negative price"));
        }
        Ok(())
    };
    flat(field, &rates)?;
    count(&format!("{field}.tiers"), rates.tiers.len(), ITEMS_MAX)?;
    if !rates.tiers.is_sorted_by(|a, b| a.context_over < b.context_over) {
        return Err(ConfigError::invalid(format!("{field}.tiers"), "are not in ascending order of `context_over`"));
    }
    for tier in &rates.tiers {
        flat(&format!("{field}.tiers"), &tier.rates)?;
        if !tier.rates.tiers.is_empty() {
            return Err(ConfigError::invalid(format!("{field}.tiers"), "a tier has no tiers of its own"));
        }
    }
    Ok(rates)
}

/// Limits that let something through: none is zero.
pub(super) fn rate(field: &str, limit: RateLimit) -> Result<()> {
    let given = [
        ("requests_per_minute", limit.requests_per_minute.map(u64::from)),
        ("tokens_per_minute", limit.tokens_per_minute),
        ("concurrent", limit.concurrent.map(u64::from)),
    ];
    for (name, value) in given {
        if value == Some(0) {
            let message = "is zero, which would stop everything; leave it out for no limit";
            return Err(ConfigError::invalid(format!("{field}.{name}"), message));
        }
    }
    Ok(())
}
