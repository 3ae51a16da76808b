//! One rule's condition: compiled when the configuration changes, asked on every call.

pub(crate) mod quick;
mod reading;
pub(crate) mod simple;

use ::cel::common::ast::{Expr, IdedExpr};
use preloop_types::config::Language;

#[cfg(test)]
pub(crate) use self::reading::value;
pub(crate) use self::reading::{Reading, Variables};
use self::{quick::Quick, reading::Root, simple::Simple};
use crate::{
    engine::{
        BigStack, EvalError, Library, Parsed, Program, SyntaxError, free_variables, known_functions, parse,
        walk::children,
    },
    suggest::nearest,
};

/// When a rule matches.
#[derive(Debug)]
pub(crate) enum Condition {
    /// Always: the rule has no condition.
    Always,
    Simple(Simple),
    Cel(Box<Cel>),
    /// It does not compile; asking it is an error.
    Broken(String),
}

#[derive(Debug)]
pub(crate) struct Cel {
    program: Program,
    roots: Vec<Root>,
    /// Answers most conditions without the interpreter.
    quick: Option<Quick>,
}

impl Condition {
    /// Compiles a rule's condition and puts what it needs into `library`.
    pub(crate) fn compile(
        expression: Option<&str>,
        language: Language,
        library: &mut Library,
        stack: &BigStack,
    ) -> Result<Self, SyntaxError> {
        let Some(text) = expression.map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(Condition::Always);
        };
        match language {
            Language::Simple => Simple::parse(text).map(Condition::Simple),
            Language::Cel => Self::of_parsed(&parse_cel(text, stack)?, library),
        }
    }

    /// A CEL condition, or a part of one, that is parsed already.
    pub(crate) fn of_parsed(parsed: &Parsed, library: &mut Library) -> Result<Self, SyntaxError> {
        let program = parsed.compile()?;
        library.add(&program);
        let roots = program.variables().iter().filter_map(|name| Root::named(name)).collect();
        let quick = Quick::of(&parsed.expression);
        Ok(Condition::Cel(Box::new(Cel { program, roots, quick })))
    }

    /// Whether it holds for the call that `reading` reads.
    pub(crate) fn matches(&self, reading: &mut Reading<'_>) -> Result<bool, EvalError> {
        match self {
            Condition::Always => Ok(true),
            Condition::Broken(why) => Err(EvalError(why.clone())),
            Condition::Simple(simple) => match simple.constant() {
                Some(answer) => Ok(answer),
                None => Ok(simple.matches(reading.variable(Root::Args)?)),
            },
            Condition::Cel(cel) => {
                if let Some(answer) = cel.answer_quickly(reading)? {
                    return Ok(answer);
                }
                cel.program.matches(reading.bindings(&cel.roots)?)
            }
        }
    }
}

impl Cel {
    /// The answer, unless only the interpreter can tell. Fails where no rule can be evaluated on
    /// the arguments: `||` absorbs much, but not that.
    fn answer_quickly(&self, reading: &Reading<'_>) -> Result<Option<bool>, EvalError> {
        let Some(quick) = &self.quick else { return Ok(None) };
        if self.roots.contains(&Root::Args) {
            reading.variable(Root::Args)?;
        }
        Ok(quick.matches(&|root| reading.variable(root).ok(), reading.now()))
    }
}

/// Parses `text` as a CEL condition: an expression over the variables a call has.
pub(crate) fn parse_cel(text: &str, stack: &BigStack) -> Result<Parsed, SyntaxError> {
    let parsed = parse(text, stack)?;
    known_functions(&parsed)?;
    for (name, id) in free_variables(&parsed.expression) {
        if Root::named(&name).is_none() {
            let hint =
                nearest(&name, Root::NAMES.iter().copied()).map_or_else(|| format!("args.{name}"), str::to_owned);
            return Err(SyntaxError {
                message: format!("`{name}` is not known here; did you mean `{hint}`?"),
                span: parsed.span(id),
            });
        }
    }
    for (root, field, id) in root_fields(&parsed.expression) {
        let known = root.fields().unwrap_or_default();
        if root.fields().is_some() && !known.contains(&field) {
            let hint = nearest(field, known.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
            return Err(SyntaxError {
                message: format!("`{}` has no field `{field}`{}", root.name(), hint.unwrap_or_default()),
                span: parsed.span_of(id, &format!(".{field}")),
            });
        }
    }
    Ok(parsed)
}

/// The fields selected directly on variables.
fn root_fields(root: &IdedExpr) -> Vec<(Root, &str, u64)> {
    let (mut found, mut left) = (Vec::new(), vec![root]);
    while let Some(node) = left.pop() {
        if let Expr::Select(select) = &node.expr
            && let Expr::Ident(name) = &select.operand.expr
            && let Some(root) = Root::named(name)
        {
            found.push((root, select.field.as_str(), node.id));
        }
        left.extend(children(&node.expr));
    }
    found
}

/// The language of a condition that does not say: simple if it can be read so, else CEL.
pub fn infer_language(text: &str) -> Language {
    match Simple::parse(text.trim()) {
        // `user.id == "x"` is about the caller, not about an argument called `user`.
        Ok(simple) if text.trim_start().starts_with("args.") || !simple.means_variable() => Language::Simple,
        _ => Language::Cel,
    }
}
