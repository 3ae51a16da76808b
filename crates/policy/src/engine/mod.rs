//! CEL with a bound on everything.
//!
//! The interpreter underneath has neither a stack nor a cost limit, and conditions are typed by
//! people (and models) while the values they read come from agents. So a text is scanned before
//! it is parsed ([`scan`]), parsed on a stack of known size ([`on_big_stack`]), measured and
//! rewritten so that it pays for its work ([`guard`]), and evaluated on a budget ([`env`]).
//! An expression that passed all of that may be evaluated on any thread.

mod env;
mod guard;
mod scan;
#[cfg(test)]
mod tests;
pub(crate) mod walk;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use ::cel::{
    Context, ExecutionError, Value,
    common::{
        ast::{IdedExpr, SourceInfo},
        value::Val,
    },
};

pub(crate) use env::Pattern;
pub(crate) use guard::{free_variables, known_functions};
pub(crate) use scan::SOURCE_BYTES_MAX;

/// A stack on which anything that [`scan`] lets through can be parsed.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Proof of standing on the big stack.
pub struct BigStack(());

/// Runs `work` where expressions may be parsed: on a thread of its own with a large stack.
pub fn on_big_stack<R: Send>(work: impl FnOnce(&BigStack) -> R + Send) -> Result<R, String> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("policy-compile".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || work(&BigStack(())))
            .map_err(|error| format!("no thread to compile expressions on: {error}"))?
            .join()
            .map_err(|_| "the compiler failed on an expression".to_owned())
    })
}

/// Why a text is not an expression, or not one that may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// The characters of the source it is about, from 0, where known.
    pub span: Option<(usize, usize)>,
}

impl SyntaxError {
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None }
    }
}

/// Why an evaluation gave no answer. Quotes no value: those may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvalError(pub String);

/// An expression as it was written: what static checks look at.
#[derive(Debug)]
pub struct Parsed {
    pub(crate) expression: IdedExpr,
    positions: SourceInfo,
}

impl Parsed {
    /// The characters of the source that node `id` was written as, from 0.
    pub(crate) fn span(&self, id: u64) -> Option<(usize, usize)> {
        let (start, stop) = self.positions.offset_for(id)?;
        Some((start as usize, stop as usize + 1))
    }

    /// The characters in which node `id` spells `text`: just before its position (a call's is its
    /// bracket), or from it on. Its position, if it does not.
    pub(crate) fn span_of(&self, id: u64, text: &str) -> Option<(usize, usize)> {
        let (start, stop) = self.span(id)?;
        let (source, length): (Vec<char>, _) = (self.positions.source.chars().collect(), text.chars().count());
        let spells =
            |from: usize| source.get(from..from + length).is_some_and(|part| part.iter().copied().eq(text.chars()));
        let found =
            start.checked_sub(length).filter(|from| spells(*from)).or_else(|| Some(start).filter(|from| spells(*from)));
        Some(found.map_or((start, stop), |from| (from, from + length)))
    }

    /// A part of an expression, to be compiled by itself. Its errors have no place.
    pub(crate) fn part(node: &IdedExpr) -> Parsed {
        Parsed { expression: node.clone(), positions: SourceInfo::default() }
    }

    /// What `node` was written as, for people: nearly always to the character.
    pub(crate) fn text_of(&self, node: &IdedExpr) -> String {
        let source: Vec<char> = self.positions.source.chars().collect();
        let (mut start, mut end) = (source.len(), 0);
        let mut left = vec![node];
        while let Some(node) = left.pop() {
            if let Some((from, to)) = self.span(node.id) {
                (start, end) = (start.min(from), end.max(to.min(source.len())));
            }
            left.extend(walk::children(&node.expr));
        }
        if start >= end {
            return self.positions.source.clone();
        }
        // Positions are those of names, operators and opening brackets; closing ones belong to it, too.
        let count = |part: &[char], bracket: char| part.iter().filter(|c| **c == bracket).count();
        for (open, close) in [('(', ')'), ('[', ']')] {
            while end < source.len() && count(&source[start..end], open) > count(&source[start..end], close) {
                end += 1;
            }
            while start > 0 && count(&source[start..end], open) < count(&source[start..end], close) {
                start -= 1;
            }
        }
        // What stands before a bracket is the name of a macro: its expansion has no position for it.
        let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        while source[start] == '(' && start > 0 && is_name(&source[start - 1]) {
            start -= source[..start].iter().rev().take_while(|c| is_name(c)).count();
        }
        source[start..end].iter().collect()
    }

    /// Makes it runnable. Fails when it is too deep, loops too deep or has a bad pattern.
    pub fn compile(&self) -> Result<Program, SyntaxError> {
        guard::compile(self)
    }
}

/// Parses `source` if it is safe to.
pub fn parse(source: &str, _: &BigStack) -> Result<Parsed, SyntaxError> {
    scan::scan(source).map_err(SyntaxError::whole)?;
    let parser = || env::shared().parser().enable_ident_escape_syntax(true);
    let (expression, positions) = catch_unwind(|| parser().parse_with_source_info(source))
        .map_err(|_| SyntaxError::whole("the parser failed on this expression"))?
        .map_err(|errors| syntax_error(source, &errors))?;
    let parsed = Parsed { expression, positions };
    guard::measure(&parsed)?;
    Ok(parsed)
}

fn syntax_error(source: &str, errors: &::cel::ParseErrors) -> SyntaxError {
    let Some(first) = errors.errors.first() else { return SyntaxError::whole("not a CEL expression") };
    let (line, column) = (usize::try_from(first.pos.0).unwrap_or(0), usize::try_from(first.pos.1).unwrap_or(0));
    let before: usize = source.split_inclusive('\n').take(line.saturating_sub(1)).map(|l| l.chars().count()).sum();
    let at = (before + column.saturating_sub(1)).min(source.chars().count());
    // The parser lists every token it would have taken; people want to know what it tripped on.
    let message = first.msg.split(" expecting ").next().unwrap_or_default().trim();
    SyntaxError { message: format!("not a CEL expression: {message}"), span: Some((at, at + 1)) }
}

/// A guarded expression, ready to run.
#[derive(Debug)]
pub struct Program {
    expression: IdedExpr,
    variables: BTreeSet<String>,
    patterns: Vec<env::Pattern>,
}

impl Program {
    /// The free variables it reads.
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.variables
    }

    /// Whether it holds. Anything but a boolean is an error.
    pub(crate) fn matches(&self, bindings: &Bindings<'_>) -> Result<bool, EvalError> {
        // `resolve_val` would spare a copy, but it is compiled where it is called: unoptimised in
        // development, where each level of an expression would then take 30 KB of stack.
        match on_budget(|| Value::resolve(&self.expression, &bindings.0))? {
            Value::Bool(answer) => Ok(answer),
            other => Err(EvalError(format!("the expression is a {}, not a bool", other.type_of()))),
        }
    }

    /// Evaluates it, to any value, on the big stack: for conformance tests.
    pub fn inspect<R>(
        &self,
        bindings: &Bindings<'_>,
        _: &BigStack,
        read: impl FnOnce(&dyn Val) -> R,
    ) -> Result<R, EvalError> {
        on_budget(|| Value::resolve_val(&self.expression, &bindings.0).map(|value| read(value.as_ref())))
    }
}

/// Runs one evaluation on a fresh budget.
fn on_budget<R>(evaluate: impl FnOnce() -> Result<R, ExecutionError>) -> Result<R, EvalError> {
    env::refill_budget();
    // A bug in the interpreter is an evaluation error like any other: it denies this call.
    let outcome = catch_unwind(AssertUnwindSafe(evaluate));
    // CEL absorbs errors (`error || true`); running out of budget is not absorbed.
    if env::budget_is_spent() {
        return Err(EvalError("the expression does too much work on these arguments".to_owned()));
    }
    match outcome {
        Ok(result) => result.map_err(|error| describe(&error)),
        Err(_) => Err(EvalError("the interpreter failed on this expression".to_owned())),
    }
}

/// Keeps what compiled programs share: their patterns.
pub struct Library(Context<'static, 'static>);

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Library")
    }
}

impl Default for Library {
    fn default() -> Self {
        Self(env::root().new_inner_scope())
    }
}

impl Library {
    /// Takes in what `program` needs to run.
    pub fn add(&mut self, program: &Program) {
        for pattern in &program.patterns {
            self.0.add_variable_as_val(pattern.name(), Box::new(pattern.clone()));
        }
    }

    /// A scope for one decision.
    pub fn open(&self) -> Bindings<'_> {
        Bindings(self.0.new_inner_scope())
    }
}

/// The variables of one decision.
pub struct Bindings<'b>(Context<'b, 'b>);

impl<'b> Bindings<'b> {
    /// Binds `name`.
    pub fn bind(&mut self, name: &str, value: Box<dyn Val + 'b>) {
        self.0.add_variable_as_val(name, value);
    }
}

/// What went wrong, without the values it went wrong on.
fn describe(error: &ExecutionError) -> EvalError {
    EvalError(match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: `{}`", short(key)),
        ExecutionError::UndeclaredReference(name) => format!("`{}` is not known here", short(name)),
        ExecutionError::NoSuchOverload(overload) => short(&overload.to_string()),
        ExecutionError::UnexpectedType { got, want } => format!("expected {}, got {}", short(want), short(got)),
        ExecutionError::FunctionError { function, .. } => format!("`{}` failed on its argument", short(function)),
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("expected {expected} arguments, got {actual}")
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::IndexOutOfBounds(_) => "index out of range".to_owned(),
        ExecutionError::DuplicateKey(_) => "a map repeats a key".to_owned(),
        ExecutionError::UnsupportedKeyType(_) => "a value of this type cannot be a map key".to_owned(),
        ExecutionError::ValuesNotComparable(..) => "values of these types cannot be compared".to_owned(),
        _ => "an operator met a value of the wrong type".to_owned(),
    })
}

fn short(text: &str) -> String {
    text.chars().take(120).collect()
}
