use std::{borrow::Cow, fmt};

use preloop_types::{Hash, redact, text};
use serde::{Deserialize, Serialize};

/// What a call would do. The order of everything is fixed by the call alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// How much harm the call could do.
    pub risk: Level,
    /// The effect in one sentence.
    pub headline: Text,
    /// Why the risk is what it is, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Names and values worth knowing: the file, the amount, the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// Longer matter: a diff, a command in parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<Section>,
    /// Whether all of the call is accounted for; else a finding says what is not.
    pub complete: bool,
}

/// How much harm a call could do, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It only reads, and what it reads is no secret. Never said of a tool nobody knows.
    Low,
    /// It changes something, or nobody knows.
    Caution,
    /// It can destroy, pay, publish, take over rights, or hides what it does.
    Danger,
}

/// Why a call is not harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it weighs.
    pub level: Level,
    /// What it is.
    pub text: Text,
}

/// One name and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is.
    pub name: Text,
    /// What it says.
    pub value: Text,
}

/// Lines under a title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// What the lines are.
    pub title: Text,
    /// The lines.
    pub lines: Vec<Line>,
    /// How many more there are that are not shown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: usize,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// How it is set off.
    pub mark: Mark,
    /// What it says.
    pub text: Text,
}

/// How a line is set off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Not at all.
    Plain,
    /// Comes to be.
    Added,
    /// Ceases to be.
    Removed,
    /// Where it happens: a file, a place in it.
    Place,
    /// Look here.
    Warning,
}

/// Text for a person's eyes: one line, at most [`Text::BYTES_MAX`] bytes, nothing invisible, no secret.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(String);

impl Preview {
    /// The hash of what a person is shown, for the record of their decision.
    pub fn hash(&self) -> Hash {
        Hash::of(self.to_json())
    }

    /// The preview as it is stored and hashed.
    pub fn to_json(&self) -> String {
        // Structs of strings and numbers: there is nothing in them that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Level {
    /// The spelling in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Low => "low",
            Level::Caution => "caution",
            Level::Danger => "danger",
        }
    }

    /// The two words of `risk_level`, by which clients decide whether one tap may approve: whatever
    /// is not known to be harmless is `danger`.
    pub const fn risk_level(self) -> &'static str {
        match self {
            Level::Low => "low",
            Level::Caution | Level::Danger => "danger",
        }
    }
}

impl Text {
    /// Longest text, in bytes, but for the mark that says it goes on.
    pub const BYTES_MAX: usize = 400;

    /// Makes `raw` fit to be shown.
    pub fn of(raw: &str) -> Self {
        // A secret may begin inside what is shown and end outside: look a good deal further.
        let window = &raw[..raw.floor_char_boundary(Self::BYTES_MAX * 8)];
        let clean = redact::redact_text(window).map_or(Cow::Borrowed(window), Cow::Owned);
        Self(text::shortened(&text::one_line(&clean), Self::BYTES_MAX).into_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// As plain text, for mail and terminals.
impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (risk: {})", self.headline, self.risk.as_str())?;
        for finding in &self.findings {
            writeln!(f, "! {}", finding.text)?;
        }
        for fact in &self.facts {
            writeln!(f, "{}: {}", fact.name, fact.value)?;
        }
        for section in &self.sections {
            writeln!(f, "\n{}", section.title)?;
            for line in &section.lines {
                writeln!(f, "{}{}", line.mark.sign(), line.text)?;
            }
            if section.omitted > 0 {
                writeln!(f, "  … {} more lines", section.omitted)?;
            }
        }
        Ok(())
    }
}

impl Mark {
    /// What stands before the line in plain text.
    pub const fn sign(self) -> &'static str {
        match self {
            Mark::Plain => "  ",
            Mark::Added => "+ ",
            Mark::Removed => "- ",
            Mark::Place => "@ ",
            Mark::Warning => "! ",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}
