//! Hides secrets in JSON that people or programs are shown.

use serde_json::Value;

/// What stands in place of a secret.
pub const REDACTED: &str = "***REDACTED***";

const SECRET_WORDS: &[&[&str]] = &[
    &["password"],
    &["passwd"],
    &["pwd"],
    &["passphrase"],
    &["secret"],
    &["token"],
    &["apikey"],
    &["api", "key"],
    &["auth"],
    &["authorization"],
    &["credential"],
    &["credentials"],
    &["private", "key"],
    &["bearer"],
    &["key"],
    &["keys"],
    &["cookie"],
];

/// Whether a field of this name holds a secret. Matches whole words (`access_token`, `apiKey`,
/// `X-Auth`), so that `author`, `monkey` and `tokens_used` stay readable.
pub fn is_secret_name(name: &str) -> bool {
    let words = words(name);
    SECRET_WORDS.iter().any(|secret| {
        words.len() >= secret.len()
            && (words[..secret.len()].iter().eq(secret.iter())
                || words[words.len() - secret.len()..].iter().eq(secret.iter()))
    })
}

/// Replaces the values of secret fields, at any depth, and secrets recognisable by their shape
/// inside other strings.
pub fn redact(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if is_secret_name(name) && !member.is_null() {
                    *member = Value::String(REDACTED.to_owned());
                } else {
                    redact(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) => {
            if let Some(clean) = redact_text(text) {
                *text = clean;
            }
        }
        _ => {}
    }
}

/// Prefixes by which well-known credentials are recognised.
const SECRET_PREFIXES: &[&str] = &[
    "sk-",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "AIza",
    "pl_",
    "Bearer ",
    "eyJ",
];

/// Replaces credentials recognisable by their shape; `None` when there are none.
pub fn redact_text(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut at, mut kept) = (0, 0);
    while at < bytes.len() {
        // Prefixes are ASCII, so what begins with one is a boundary of characters.
        let Some(prefix) = SECRET_PREFIXES.iter().find(|prefix| bytes[at..].starts_with(prefix.as_bytes())) else {
            at += 1;
            continue;
        };
        let body = at + prefix.len();
        let length = bytes[body..].iter().take_while(|b| b.is_ascii_alphanumeric() || b"-_.~+/=".contains(b)).count();
        let starts_word = text[..at].chars().next_back().is_none_or(|c| !c.is_ascii_alphanumeric());
        if length >= 16 && starts_word {
            out.push_str(&text[kept..at]);
            out.push_str(REDACTED);
            kept = body + length;
        }
        at = body + length;
    }
    out.push_str(&text[kept..]);
    (kept > 0).then_some(out)
}

fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() {
            words.push(String::new());
            previous_lower = false;
            continue;
        }
        if c.is_uppercase() && previous_lower {
            words.push(String::new());
        }
        previous_lower = c.is_lowercase() || c.is_numeric();
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_hidden_by_name_and_by_shape() {
        let mut value = json!({
            "amount": 5, "api_key": "x", "apiKey": "y", "author": "ann", "monkey": 1, "tokens_used": 3,
            "nested": [{"X-Auth-Token": "z"}],
            "command": "curl -H 'Authorization: Bearer abcdefghijklmnopqrstuvwxyz' https://x",
        });
        redact(&mut value);
        assert_eq!(
            value,
            json!({
                "amount": 5, "api_key": REDACTED, "apiKey": REDACTED, "author": "ann", "monkey": 1, "tokens_used": 3,
                "nested": [{"X-Auth-Token": REDACTED}],
                "command": "curl -H 'Authorization: ***REDACTED***' https://x",
            })
        );
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        assert_eq!(redact_text("task-force sk-short pl_x eyJ"), None);
        assert_eq!(redact_text("é漢 eyJ🎉 Bearer é"), None);
    }
}
