//! The simple language: one comparison of one argument.
//!
//! `amount > 5`, `args.customer.tier == 'gold'`, `path.contains('..')`, `path.matches('^/etc')`,
//! `true`. It never fails once parsed: a missing argument equals only `null`, and a comparison
//! across types is false, except that ordering reads numbers written as strings, so that sending
//! `"1000000"` for `1000000` evades no rule.

use std::cmp::Ordering;

use super::reading::Root;
use crate::{
    engine::{Pattern, SOURCE_BYTES_MAX, SyntaxError},
    json::Json,
};

/// A parsed simple condition.
#[derive(Debug)]
pub(crate) enum Simple {
    Constant(bool),
    Compare { path: Vec<String>, operator: Operator, value: Literal },
    Contains { path: Vec<String>, value: Literal },
    Matches { path: Vec<String>, pattern: Pattern },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Operator {
    /// Whether the operator accepts values that compare so.
    pub(crate) fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Operator::Equal => ordering.is_eq(),
            Operator::NotEqual => ordering.is_ne(),
            Operator::Less => ordering.is_lt(),
            Operator::LessEqual => ordering.is_le(),
            Operator::Greater => ordering.is_gt(),
            Operator::GreaterEqual => ordering.is_ge(),
        }
    }

    pub(crate) const fn is_ordering(self) -> bool {
        !matches!(self, Operator::Equal | Operator::NotEqual)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    String(String),
}

impl Simple {
    pub(crate) fn parse(text: &str) -> Result<Self, SyntaxError> {
        if text.len() > SOURCE_BYTES_MAX {
            return Err(SyntaxError::whole(format!("the expression is longer than {SOURCE_BYTES_MAX} bytes")));
        }
        let mut scanner = Scanner { text, at: 0 };
        let condition = scanner.condition()?;
        scanner.skip_space();
        if scanner.at < text.len() {
            return Err(scanner.error("a simple condition is one comparison"));
        }
        Ok(condition)
    }

    /// Its answer, if that depends on nothing.
    pub(crate) fn constant(&self) -> Option<bool> {
        if let Simple::Constant(answer) = self { Some(*answer) } else { None }
    }

    pub(crate) fn matches(&self, args: &Json<'_>) -> bool {
        match self {
            Simple::Constant(answer) => *answer,
            Simple::Compare { path, operator, value } => match args.at(path) {
                None => match operator {
                    Operator::Equal => *value == Literal::Null,
                    Operator::NotEqual => *value != Literal::Null,
                    _ => false,
                },
                Some(found) if operator.is_ordering() => {
                    order(found, value).is_some_and(|ordering| operator.accepts(ordering))
                }
                Some(found) => equal(found, value) == (*operator == Operator::Equal),
            },
            Simple::Contains { path, value } => match (args.at(path), value) {
                (Some(Json::String(text)), Literal::String(part)) => text.contains(part.as_str()),
                (Some(Json::List(items)), value) => items.iter().any(|item| equal(item, value)),
                _ => false,
            },
            Simple::Matches { path, pattern } => {
                matches!(args.at(path), Some(Json::String(text)) if pattern.is_match(text))
            }
        }
    }

    /// Whether, without `args.`, it starts with what is a variable in CEL.
    pub(super) fn means_variable(&self) -> bool {
        match self {
            Simple::Constant(_) => false,
            Simple::Compare { path, .. } | Simple::Contains { path, .. } | Simple::Matches { path, .. } => {
                match path.as_slice() {
                    [name] => name == Root::Justification.name(),
                    [name, ..] => Root::named(name).is_some_and(|root| root.fields().is_some()),
                    [] => false,
                }
            }
        }
    }
}

fn equal(found: &Json<'_>, value: &Literal) -> bool {
    match (found, value) {
        (Json::Null, Literal::Null) => true,
        (Json::Bool(a), Literal::Bool(b)) => a == b,
        (Json::String(a), Literal::String(b)) => a == b,
        (Json::Int(_) | Json::Uint(_) | Json::Double(_), Literal::Int(_) | Literal::Double(_)) => {
            order(found, value) == Some(Ordering::Equal)
        }
        _ => false,
    }
}

fn order(found: &Json<'_>, value: &Literal) -> Option<Ordering> {
    let right = match value {
        Literal::Int(number) => Some(Number::Int((*number).into())),
        Literal::Double(number) => Some(Number::Double(*number)),
        Literal::String(text) => number(text),
        Literal::Null | Literal::Bool(_) => return None,
    };
    let left = match found {
        Json::Int(number) => Some(Number::Int((*number).into())),
        Json::Uint(number) => Some(Number::Int((*number).into())),
        Json::Double(number) => Some(Number::Double(*number)),
        Json::String(text) => number(text),
        _ => return None,
    };
    match (left, right, found, value) {
        (Some(left), Some(right), ..) => left.order(right),
        (_, _, Json::String(text), Literal::String(other)) => Some((**text).cmp(other)),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Number {
    Int(i128),
    Double(f64),
}

impl Number {
    fn order(self, other: Number) -> Option<Ordering> {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
            (Number::Int(a), Number::Double(b)) => order_mixed(a, b),
            (Number::Double(a), Number::Int(b)) => order_mixed(b, a).map(Ordering::reverse),
            (Number::Double(a), Number::Double(b)) => a.partial_cmp(&b),
        }
    }
}

/// Compares an integer with a double exactly, as CEL does.
pub(crate) fn order_mixed(int: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // Beyond 2^100 no integer of ours reaches; within it `as` is exact on the whole part.
    if double.abs() >= 1e30 {
        return Some(if double > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    #[expect(clippy::cast_possible_truncation, reason = "the whole part fits, checked above")]
    let whole = double.trunc() as i128;
    Some(int.cmp(&whole).then_with(|| 0.0.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal)))
}

/// A number written as text, in the spellings that tools read as numbers.
fn number(text: &str) -> Option<Number> {
    let text = text.trim().replace('_', "");
    let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        // `inf`, `nan` and their like order with nothing.
        return None;
    }
    text.parse().map(Number::Int).or_else(|_| text.parse().map(Number::Double)).ok()
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterEqual),
    ("<=", Operator::LessEqual),
    (">", Operator::Greater),
    ("<", Operator::Less),
];

impl<'a> Scanner<'a> {
    fn condition(&mut self) -> Result<Simple, SyntaxError> {
        let mut path = self.path()?;
        self.skip_space();
        if let [word] = path.as_slice()
            && self.at == self.text.len()
            && let Some(answer) = boolean(word)
        {
            return Ok(Simple::Constant(answer));
        }
        if self.take("(") {
            let function = path.pop().unwrap_or_default();
            let value = self.literal()?;
            self.skip_space();
            if !self.take(")") {
                return Err(self.error("expected `)`"));
            }
            let path = strip_args(path).ok_or_else(|| self.error("expected an argument before the function"))?;
            return match (function.as_str(), value) {
                ("contains", value) => Ok(Simple::Contains { path, value }),
                ("matches", Literal::String(source)) => {
                    let pattern = Pattern::compile(&source).map_err(SyntaxError::whole)?;
                    Ok(Simple::Matches { path, pattern })
                }
                ("matches", _) => Err(self.error("`matches` takes a quoted pattern")),
                (other, _) => {
                    Err(self.error(&format!("simple conditions know `contains` and `matches`, not `{other}`")))
                }
            };
        }
        let Some((_, operator)) = OPERATORS.into_iter().find(|(spelling, _)| self.take(spelling)) else {
            return Err(self.error("expected one of `==`, `!=`, `>`, `<`, `>=`, `<=`"));
        };
        let path = strip_args(path).ok_or_else(|| self.error("expected an argument before the operator"))?;
        let value = self.literal()?;
        if operator.is_ordering() && matches!(value, Literal::Null | Literal::Bool(_)) {
            return Err(self.error("only numbers and texts have an order"));
        }
        Ok(Simple::Compare { path, operator, value })
    }

    fn path(&mut self) -> Result<Vec<String>, SyntaxError> {
        self.skip_space();
        let mut path = Vec::new();
        loop {
            let name = self.run(|c| c.is_alphanumeric() || c == '_' || c == '-');
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
                return Err(self.error("expected the name of an argument"));
            }
            path.push(name.to_owned());
            if !self.take(".") {
                return Ok(path);
            }
        }
    }

    fn literal(&mut self) -> Result<Literal, SyntaxError> {
        self.skip_space();
        let rest = &self.text[self.at..];
        if let Some(quote) = rest.chars().next().filter(|c| *c == '\'' || *c == '"') {
            return self.quoted(quote);
        }
        let word = self.run(|c| c.is_alphanumeric() || "_-+.".contains(c));
        if let Some(answer) = boolean(word) {
            return Ok(Literal::Bool(answer));
        }
        if matches!(word, "null" | "none" | "Null" | "None") {
            return Ok(Literal::Null);
        }
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+' || c == '.') {
            if let Ok(int) = word.parse() {
                return Ok(Literal::Int(int));
            }
            return match word.parse::<f64>() {
                // An integer that does not fit would be compared rounded.
                Ok(double) if double.abs() < 9e15 => Ok(Literal::Double(double)),
                Ok(_) => Err(self.error("the number is too large to compare exactly")),
                Err(_) => Err(self.error("not a number")),
            };
        }
        if word.is_empty() || word.contains('.') || word.contains('+') {
            return Err(self.error("expected a quoted text, a number, `true`, `false` or `null`"));
        }
        Ok(Literal::String(word.to_owned()))
    }

    fn quoted(&mut self, quote: char) -> Result<Literal, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let mut value = String::new();
        let mut chars = self.text[self.at..].char_indices();
        while let Some((offset, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += offset + 1;
                    return Ok(Literal::String(value));
                }
                '\\' => match chars.next() {
                    Some((_, escaped)) if escaped == quote || escaped == '\\' => value.push(escaped),
                    // A pattern's own escapes (`\d`) stay as they are.
                    Some((_, other)) => value.extend(['\\', other]),
                    None => break,
                },
                c => value.push(c),
            }
        }
        self.at = start;
        Err(self.error("the quoted text is not closed"))
    }

    fn skip_space(&mut self) {
        self.run(char::is_whitespace);
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.text[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn run(&mut self, part: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn error(&self, message: &str) -> SyntaxError {
        let at = self.text[..self.at].chars().count();
        SyntaxError { message: format!("not a simple condition: {message}"), span: Some((at, at + 1)) }
    }
}

/// The path below `args`; the prefix is optional.
fn strip_args(mut path: Vec<String>) -> Option<Vec<String>> {
    if path.len() > 1 && path[0] == "args" {
        path.remove(0);
    }
    (!path.is_empty()).then_some(path)
}

fn boolean(word: &str) -> Option<bool> {
    match word {
        "true" | "True" => Some(true),
        "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Simple;
    use crate::json::Json;

    fn matches(condition: &str, args: &str) -> bool {
        Simple::parse(condition).unwrap().matches(&Json::parse(args).unwrap())
    }

    #[test]
    fn one_argument_is_compared() {
        for (condition, args, answer) in [
            ("amount > 5", r#"{"amount": 6}"#, true),
            ("args.amount > 5", r#"{"amount": 5}"#, false),
            ("args.amount >= 5", r#"{"amount": 5.0}"#, true),
            ("args.a.b == 'x'", r#"{"a": {"b": "x"}}"#, true),
            ("priority == critical", r#"{"priority": "critical"}"#, true),
            ("priority != critical", r#"{"priority": "low"}"#, true),
            ("dry_run == true", r#"{"dry_run": true}"#, true),
            ("path.contains('..')", r#"{"path": "../x"}"#, true),
            ("tags.contains('b')", r#"{"tags": ["a", "b"]}"#, true),
            ("ids.contains(2)", r#"{"ids": [1, 2.0]}"#, true),
            (r"path.matches('^/etc/\w+$')", r#"{"path": "/etc/passwd"}"#, true),
            ("true", "{}", true),
            ("false", "{}", false),
            ("name == 'it\\'s'", r#"{"name": "it's"}"#, true),
            ("amount == 9007199254740993", r#"{"amount": 9007199254740992}"#, false),
        ] {
            assert_eq!(matches(condition, args), answer, "{condition} on {args}");
        }
    }

    #[test]
    fn a_missing_argument_equals_only_null() {
        for (condition, answer) in [
            ("x == null", true),
            ("x != null", false),
            ("x == 1", false),
            ("x != 1", true),
            ("x > 1", false),
            ("x <= 1", false),
            ("x.contains('a')", false),
        ] {
            assert_eq!(matches(condition, "{}"), answer, "{condition}");
        }
    }

    #[test]
    fn a_number_sent_as_text_evades_no_ordering() {
        for sent in ["\"1000000\"", "\" 1000000 \"", "\"1_000_000\"", "\"1e6\"", "\"+1000000\"", "1000000.0"] {
            assert!(matches("amount > 300", &format!("{{\"amount\": {sent}}}")), "{sent}");
        }
        for sent in ["\"much\"", "true", "null", "[1000000]", "\"nan\""] {
            assert!(!matches("amount > 300", &format!("{{\"amount\": {sent}}}")), "{sent}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for condition in [
            "",
            "amount",
            "amount >",
            "amount > 5 && x == 1",
            "args.a == args.b",
            "size(args.a) > 1",
            "amount = 5",
            "args.a[0] == 1",
            "path.startsWith('/')",
            "x > true",
            "x == 'open",
            "a.matches('(')",
            "1 == 1",
            "x == 99999999999999999999",
        ] {
            assert!(Simple::parse(condition).is_err(), "{condition}");
        }
    }
}
