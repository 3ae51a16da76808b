//! Finds secrets and personal data in text. Local and without state: nothing leaves the process.

use std::{ops::Range, sync::LazyLock};

use preloop_types::Detector;
use regex::{Regex, RegexBuilder};

/// What stands in place of what was found.
pub const REDACTED: &str = "[REDACTED]";

/// Something to look for.
#[derive(Debug, Clone)]
pub struct Finder {
    /// What it is, for people: `secret`, `email`, a rule's own word.
    pub kind: &'static str,
    /// Its first group is what is found, or the whole match where it has none.
    pattern: Regex,
    /// What a match has to satisfy besides.
    check: fn(&str) -> bool,
}

/// A detector that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a usable pattern: {why}")]
pub struct BadDetector {
    /// As it was written.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What was found.
    pub found: Range<usize>,
    /// With what it was recognised by.
    pub whole: Range<usize>,
}

impl Finder {
    /// Appends where it is found.
    pub fn find(&self, text: &str, places: &mut Vec<Place>) {
        places.extend(self.pattern.captures_iter(text).filter_map(|groups| {
            let whole = groups.get(0)?;
            let found = groups.get(1).unwrap_or(whole);
            let counts = !found.is_empty() && (self.check)(found.as_str());
            counts.then(|| Place { found: found.range(), whole: whole.range() })
        }));
    }
}

/// What a detector of the configuration looks for.
pub fn finders(detector: &Detector) -> Result<Vec<Finder>, BadDetector> {
    let own = |pattern: &str| {
        let built = RegexBuilder::new(pattern).size_limit(1 << 20).build();
        built
            .map(|pattern| vec![Finder { kind: "pattern", pattern, check: always }])
            .map_err(|error| BadDetector { pattern: pattern.to_owned(), why: error.to_string() })
    };
    match detector {
        Detector::Secrets => Ok(SECRETS.clone()),
        Detector::Email => Ok(EMAIL.clone()),
        Detector::Phone => Ok(PHONE.clone()),
        Detector::PaymentCard => Ok(CARD.clone()),
        Detector::Iban => Ok(IBAN.clone()),
        Detector::Ssn => Ok(SSN.clone()),
        Detector::Pattern(pattern) => own(pattern),
        Detector::Words(words) => {
            let words: Vec<String> =
                words.iter().filter(|word| !word.is_empty()).map(|word| regex::escape(word)).collect();
            if words.is_empty() { Ok(Vec::new()) } else { own(&format!("(?i:{})", words.join("|"))) }
        }
    }
}

/// Credentials that can be recognised by their shape or by what is written before them.
pub static SECRETS: LazyLock<Vec<Finder>> = LazyLock::new(|| {
    [
        // The end may be missing, for a text that is still being written.
        r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"\bgh[pousr]_[A-Za-z0-9]{20,}",
        r"\bgithub_pat_[A-Za-z0-9_]{20,}",
        r"\bglpat-[A-Za-z0-9_-]{20,}",
        r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
        r"\bsk-[A-Za-z0-9_-]{20,}",
        r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
        r"\bAIza[0-9A-Za-z_-]{35}",
        r"\bpl_[A-Za-z0-9]{20,}",
        r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+",
        r"(?i)\bbearer +([A-Za-z0-9._~+/=-]{16,})",
        r#"(?i)(?:api[_-]?key|secret|token|password|passwd)["']?\s*[=:]\s*["']?([^\s"'<>{}$]{8,})"#,
        r"\b[a-z][a-z0-9+.-]*://[^\s:@/]+:([^\s@/]+)@",
    ]
    .into_iter()
    .filter_map(|pattern| finder("secret", pattern, always))
    .collect()
});

static EMAIL: LazyLock<Vec<Finder>> =
    LazyLock::new(|| one("email", r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b", always));
static PHONE: LazyLock<Vec<Finder>> = LazyLock::new(|| one("phone", r"\+[1-9](?:[ ().-]{0,2}\d){7,14}\b", always));
/// Numbers of payment cards.
pub static CARD: LazyLock<Vec<Finder>> =
    LazyLock::new(|| one("payment_card", r"\b[2-6]\d{3}(?:[ -]?\d){8,15}\b", has_luhn_digit));
static IBAN: LazyLock<Vec<Finder>> =
    LazyLock::new(|| one("iban", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b", has_iban_digits));
static SSN: LazyLock<Vec<Finder>> = LazyLock::new(|| one("ssn", r"\b\d{3}-\d{2}-\d{4}\b", is_ssn));

fn one(kind: &'static str, pattern: &str, check: fn(&str) -> bool) -> Vec<Finder> {
    finder(kind, pattern, check).into_iter().collect()
}

/// The patterns above are constants; a test builds each.
fn finder(kind: &'static str, pattern: &str, check: fn(&str) -> bool) -> Option<Finder> {
    Regex::new(pattern).ok().map(|pattern| Finder { kind, pattern, check })
}

fn always(_: &str) -> bool {
    true
}

/// The check digit of payment cards (ISO/IEC 7812).
fn has_luhn_digit(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match digit * if place % 2 == 1 { 2 } else { 1 } {
            doubled @ 10.. => doubled - 9,
            digit => digit,
        })
        .sum();
    (12..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

/// The check digits of bank accounts (ISO 13616).
fn has_iban_digits(text: &str) -> bool {
    let compact: String = text.chars().filter(|c| *c != ' ').collect();
    if !(15..=34).contains(&compact.len()) {
        return false;
    }
    let remainder = compact[4..]
        .chars()
        .chain(compact[..4].chars())
        .filter_map(|c| c.to_digit(36))
        .fold(0_u32, |sum, digit| (sum * if digit > 9 { 100 } else { 10 } + digit) % 97);
    remainder == 1
}

fn is_ssn(text: &str) -> bool {
    !text.starts_with("000")
        && !text.starts_with("666")
        && !text.starts_with('9')
        && &text[4..6] != "00"
        && !text.ends_with("0000")
}

/// `text` with what was found replaced; ranges may overlap, and come in any order.
pub fn redact(text: &str, mut found: Vec<Range<usize>>) -> String {
    found.sort_by_key(|range| range.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in found {
        if range.start >= at {
            out.push_str(&text[at..range.start]);
            out.push_str(REDACTED);
        }
        at = at.max(range.end);
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(detector: &Detector, text: &str) -> Vec<String> {
        let mut places = Vec::new();
        finders(detector).unwrap().iter().for_each(|finder| finder.find(text, &mut places));
        let mut found: Vec<_> = places.into_iter().map(|place| text[place.found].to_owned()).collect();
        found.dedup();
        found
    }

    #[test]
    fn every_built_in_pattern_is_a_pattern() {
        assert_eq!(SECRETS.len(), 14);
        for finders in [&EMAIL, &PHONE, &CARD, &IBAN, &SSN] {
            assert_eq!(finders.len(), 1);
        }
    }

    #[test]
    fn secrets_are_found_by_their_shape() {
        for (text, secret) in [
            ("key AKIAIOSFODNN7EXAMPLE.", "AKIAIOSFODNN7EXAMPLE"),
            ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
            ("use sk-abcdefghij0123456789klmnop now", "sk-abcdefghij0123456789klmnop"),
            ("Authorization: Bearer abcdef0123456789abcdef", "abcdef0123456789abcdef"),
            ("export DB_PASSWORD='hunter2hunter2'", "hunter2hunter2"),
            ("{\"api_key\": \"0123456789\"}", "0123456789"),
            ("postgres://bob:s3cr3t@db/x", "s3cr3t"),
            (
                "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----",
                "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----",
            ),
        ] {
            assert_eq!(found(&Detector::Secrets, text), [secret], "{text}");
        }
        for text in ["task-force sk-short", "token: $TOKEN_FROM_ENV", "a secret: no", "https://x.org:443/", "monkey"] {
            assert!(found(&Detector::Secrets, text).is_empty(), "{text}");
        }
    }

    #[test]
    fn personal_data_is_held_against_its_check_digits() {
        for (detector, text, expected) in [
            (Detector::Email, "to ann.b+c@mail.example.org, ok", Some("ann.b+c@mail.example.org")),
            (Detector::Email, "git@host", None),
            (Detector::Phone, "call +49 (0)30 1234567!", Some("+49 (0)30 1234567")),
            (Detector::Phone, "1+2345", None),
            (Detector::PaymentCard, "4111 1111 1111 1111", Some("4111 1111 1111 1111")),
            (Detector::PaymentCard, "4111 1111 1111 1112", None),
            (Detector::Iban, "DE89 3704 0044 0532 0130 00", Some("DE89 3704 0044 0532 0130 00")),
            (Detector::Iban, "DE88370400440532013000", None),
            (Detector::Ssn, "078-05-1120", Some("078-05-1120")),
            (Detector::Ssn, "000-05-1120", None),
            (Detector::Words(vec!["Project X".to_owned(), String::new()]), "on project x.", Some("project x")),
            (Detector::Pattern("[0-9]{3}".to_owned()), "a 123", Some("123")),
        ] {
            assert_eq!(found(&detector, text), expected.into_iter().collect::<Vec<_>>(), "{text}");
        }
        assert!(
            finders(&Detector::Pattern("(".to_owned()))
                .unwrap_err()
                .to_string()
                .starts_with("`(` is not a usable pattern")
        );
    }

    #[test]
    fn overlapping_finds_are_replaced_once() {
        assert_eq!(redact("abcdef", vec![3..5, 1..4, 1..2]), "a[REDACTED]f");
    }
}
