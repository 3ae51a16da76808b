//! The functions of the language, and the budget they are paid from.
//!
//! The interpreter copies values deeply (a loop variable, a list's element, an operand of `+`),
//! so work is paid for by the size of the values it touches. [`guard`](super::guard) puts
//! `@charge` around what is copied or scanned and `@range` around what is looped over; both take
//! from the evaluation's budget and fail when it is spent.

use std::{
    cell::Cell,
    sync::{Arc, LazyLock},
};

use ::cel::{
    Context, Env, ExecutionError,
    common::{
        types::{CelBool, CelBytes, CelList, CelMap, CelOptional, CelString, DYN_TYPE, STRING_TYPE, Type},
        value::{CowVal, StaticVal, Val},
    },
    extensions,
};
use regex::{Regex, RegexBuilder};

/// What one evaluation may spend. One unit is some 20 ns of work, or 64 bytes of text.
const BUDGET: u64 = 250_000;
/// What one turn of a loop costs, besides its element.
const TURN: u64 = 10;
/// What compiling a pattern that is not a literal costs.
const PATTERN: u64 = 5_000;
/// Largest compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 256 * 1024;
/// Longest pattern, in bytes.
const PATTERN_SOURCE_MAX: usize = 512;

/// Names that only [`guard`](super::guard) can write.
pub(super) const CHARGE: &str = "@charge";
pub(super) const RANGE: &str = "@range";
pub(super) const MATCHES: &str = "@matches";
pub(super) const SPLITTABLE: &str = "@splittable";

/// Functions of the extension libraries whose result can be much larger than their arguments.
pub(super) const LEFT_OUT: &[&str] = &["replace", "join", "format", "strings.quote"];

/// The functions conditions may call, besides operators and macros.
pub(crate) const FUNCTIONS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "bytes",
    "type",
    "dyn",
    "duration",
    "timestamp",
    "getFullYear",
    "getMonth",
    "getDayOfYear",
    "getDayOfMonth",
    "getDate",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "charAt",
    "indexOf",
    "lastIndexOf",
    "lowerAscii",
    "upperAscii",
    "trim",
    "substring",
    "split",
    "reverse",
    "hasValue",
    "value",
    "or",
    "orValue",
    "optional.of",
    "optional.none",
    "optional.ofNonZeroValue",
    "math.greatest",
    "math.least",
    "math.abs",
    "math.ceil",
    "math.floor",
    "math.round",
    "math.trunc",
    "math.sign",
    "math.isNaN",
    "math.isInf",
    "math.isFinite",
    "math.@max",
    "math.@min",
    "base64.encode",
    "base64.decode",
];

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

pub(super) fn refill_budget() {
    LEFT.set(BUDGET);
}

pub(super) fn budget_is_spent() -> bool {
    LEFT.get() == 0
}

fn pay(units: u64) -> Result<(), ExecutionError> {
    let left = LEFT.get().saturating_sub(units);
    LEFT.set(left);
    if left == 0 { Err(ExecutionError::function_error(CHARGE, "budget spent")) } else { Ok(()) }
}

/// Pays for reading or copying `value` whole. Measuring it is work too, and stops where the
/// budget ends: after that, each further attempt fails at once.
fn pay_for(value: &dyn Val) -> Result<(), ExecutionError> {
    let mut left = LEFT.get();
    measure(value, &mut left);
    pay(LEFT.get() - left)
}

/// The language's functions.
pub(super) fn shared() -> &'static Arc<Env> {
    static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(build()));
    &ENV
}

/// The root of every scope.
pub(super) fn root() -> &'static Context<'static, 'static> {
    static ROOT: LazyLock<Context<'static, 'static>> = LazyLock::new(|| Context::with_env(Arc::clone(shared())));
    &ROOT
}

#[expect(clippy::expect_used, reason = "the declarations are constant; a clash fails every test")]
fn build() -> Env {
    let mut env = Env::stdlib().with_optional_support(true);
    env.add_extension(extensions::strings).expect("strings are declared once");
    env.add_extension(extensions::math).expect("math is declared once");
    env.add_extension(extensions::encoders).expect("encoders are declared once");
    env.add_overload(CHARGE, CHARGE, vec![DYN_TYPE], charge).expect("`@charge` is declared once");
    env.add_overload(RANGE, RANGE, vec![DYN_TYPE], range).expect("`@range` is declared once");
    env.add_overload(SPLITTABLE, SPLITTABLE, vec![DYN_TYPE], splittable).expect("`@splittable` is declared once");
    env.add_overload(MATCHES, "@matches_literal", vec![STRING_TYPE, PATTERN_TYPE.to_owned()], matches_literal)
        .expect("`@matches` is declared once");
    env.add_overload(MATCHES, "@matches_dynamic", vec![STRING_TYPE, STRING_TYPE], matches_dynamic)
        .expect("`@matches` is declared once for each pattern type");
    env
}

/// Pays for a value that is about to be copied or read through.
fn charge<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = args.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?;
    pay_for(value.as_ref())?;
    Ok(value)
}

/// Pays for a whole loop before it starts: each turn and a copy of each element.
fn range<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = args.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?;
    let turns = value.as_sizer().map_or(0, |sizer| u64::try_from(*sizer.size().inner()).unwrap_or(0));
    pay(turns.saturating_mul(TURN))?;
    pay_for(value.as_ref())?;
    Ok(value)
}

/// Pays for a text that is about to be split: every byte may become a value.
fn splittable<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = args.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?;
    pay(value.downcast_ref::<CelString>().map_or(1, |text| 1 + text.inner().len() as u64))?;
    Ok(value)
}

/// Takes the size of a value, in budget units, from `left`.
fn measure(value: &dyn Val, left: &mut u64) {
    let bytes = |length: usize| (length / 64) as u64;
    *left = left.saturating_sub(1);
    if let Some(text) = value.downcast_ref::<CelString>() {
        *left = left.saturating_sub(bytes(text.inner().len()));
    } else if let Some(data) = value.downcast_ref::<CelBytes>() {
        *left = left.saturating_sub(bytes(data.inner().len()));
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        list.inner().iter().take_while(|item| spend(item.as_ref(), left)).for_each(drop);
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        *left = left.saturating_sub(map.inner().len() as u64);
        map.inner().values().take_while(|member| spend(member.as_ref(), left)).for_each(drop);
    } else if let Some(inner) = value.downcast_ref::<CelOptional>().and_then(CelOptional::option) {
        measure(inner, left);
    }
}

fn spend(value: &dyn Val, left: &mut u64) -> bool {
    measure(value, left);
    *left > 0
}

/// A pattern compiled with its expression. Linear in the text it reads.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// Compiles `source`, within bounds.
    pub(crate) fn compile(source: &str) -> Result<Self, String> {
        if source.len() > PATTERN_SOURCE_MAX {
            return Err(format!("the pattern is longer than {PATTERN_SOURCE_MAX} bytes"));
        }
        RegexBuilder::new(source)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .build()
            .map(Self)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => "the pattern is too large when compiled".to_owned(),
                // The last line says what is wrong; those before it draw a picture.
                other => {
                    let text = other.to_string();
                    let reason = text.lines().last().unwrap_or_default();
                    format!("not a regular expression: {}", reason.strip_prefix("error: ").unwrap_or(reason))
                }
            })
    }

    /// Whether it is found anywhere in `text`.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// Whether it is found in `text`, unless that would take much of an evaluation's budget.
    pub(crate) fn is_match_within_budget(&self, text: &str) -> Option<bool> {
        (cost_of_search(text) < BUDGET / 10).then(|| self.is_match(text))
    }

    /// The variable a program finds it under; no source text can spell it.
    pub(super) fn name(&self) -> String {
        format!("@pattern:{}", self.0.as_str())
    }
}

static PATTERN_TYPE: Type = Type::new_unspecified_type("@pattern");

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN_TYPE
    }

    fn cel_type() -> &'static Type {
        &PATTERN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

#[expect(clippy::needless_pass_by_value, reason = "the interpreter's signature")]
fn matches_literal<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, pattern] = args.as_slice() else { return Err(ExecutionError::MissingArgumentOrTarget) };
    let (Some(text), Some(pattern)) = (text.downcast_ref::<CelString>(), pattern.downcast_ref::<Pattern>()) else {
        return Err(ExecutionError::MissingArgumentOrTarget);
    };
    search(text.inner(), pattern)
}

#[expect(clippy::needless_pass_by_value, reason = "the interpreter's signature")]
fn matches_dynamic<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, pattern] = args.as_slice() else { return Err(ExecutionError::MissingArgumentOrTarget) };
    let (Some(text), Some(pattern)) = (text.downcast_ref::<CelString>(), pattern.downcast_ref::<CelString>()) else {
        return Err(ExecutionError::MissingArgumentOrTarget);
    };
    pay(PATTERN)?;
    let pattern =
        Pattern::compile(pattern.inner()).map_err(|error| ExecutionError::function_error("matches", error))?;
    search(text.inner(), &pattern)
}

fn search<'b, 'v>(text: &str, pattern: &Pattern) -> Result<CowVal<'b, 'v>, ExecutionError> {
    pay(cost_of_search(text))?;
    Ok(CowVal::owned(CelBool::from(pattern.is_match(text))))
}

/// The slowest of the linear engines reads some 10 MB a second: eight bytes a unit.
const fn cost_of_search(text: &str) -> u64 {
    1 + (text.len() / 8) as u64
}
