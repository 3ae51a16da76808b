//! Measures an expression, and rewrites it so that it pays for its work.

use std::collections::BTreeSet;

use ::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators,
};

use super::{
    Parsed, Program, SyntaxError,
    env::{CHARGE, FUNCTIONS, LEFT_OUT, MATCHES, Pattern, RANGE, SPLITTABLE},
    walk::children,
};
use crate::suggest::nearest;

/// Deepest expression tree.
const DEPTH_MAX: usize = 64;
/// Most loops inside each other.
const LOOPS_MAX: usize = 3;

const OPERATORS: &[&str] = &[
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::OPT_INDEX,
    operators::OPT_SELECT,
    operators::NOT_STRICTLY_FALSE,
    operators::IN,
];
const MACROS: &[&str] = &["has", "all", "exists", "exists_one", "map", "filter", "optMap", "optFlatMap"];
/// Names in front of a function's that are not variables.
const NAMESPACES: &[&str] = &["optional", "math", "base64", "strings"];

/// Refuses an expression that is too deep, loops too deep or calls what has no bound.
pub(super) fn measure(parsed: &Parsed) -> Result<(), SyntaxError> {
    let mut left = vec![(&parsed.expression, 1, 0)];
    while let Some((node, depth, loops)) = left.pop() {
        let at = |message: String| SyntaxError { message, span: parsed.span(node.id) };
        if depth > DEPTH_MAX {
            return Err(at(format!("the expression is deeper than {DEPTH_MAX} levels; split it into several rules")));
        }
        let mut loops = loops;
        match &node.expr {
            Expr::Call(call) if LEFT_OUT.contains(&full_name(call).as_str()) => {
                let message = format!("function `{}` is not offered: its result has no bound", call.func_name);
                return Err(SyntaxError { message, span: parsed.span_of(node.id, &call.func_name) });
            }
            Expr::Comprehension(c) if is_loop(c) => {
                loops += 1;
                if loops > LOOPS_MAX {
                    return Err(at(format!("loops are nested deeper than {LOOPS_MAX}")));
                }
            }
            Expr::Struct(message) => return Err(at(format!("there is no message type `{}` here", message.type_name))),
            _ => {}
        }
        left.extend(children(&node.expr).into_iter().map(|child| (child, depth + 1, loops)));
    }
    Ok(())
}

/// `optMap` binds a name with a comprehension over nothing; every other one is a loop.
fn is_loop(comprehension: &ComprehensionExpr) -> bool {
    !matches!(&comprehension.iter_range.expr, Expr::List(list) if list.elements.is_empty())
}

/// The function's full name, with its namespace.
fn full_name(call: &CallExpr) -> String {
    match namespace(call) {
        Some(namespace) => format!("{namespace}.{}", call.func_name),
        None => call.func_name.clone(),
    }
}

fn namespace(call: &CallExpr) -> Option<&str> {
    match &call.target.as_deref()?.expr {
        Expr::Ident(name) if NAMESPACES.contains(&name.as_str()) => Some(name),
        _ => None,
    }
}

/// Refuses a call of a function that is not there. CEL finds out when it evaluates; whoever writes
/// a condition wants to know before.
pub(crate) fn known_functions(parsed: &Parsed) -> Result<(), SyntaxError> {
    let mut left = vec![&parsed.expression];
    while let Some(node) = left.pop() {
        if let Expr::Call(call) = &node.expr {
            known_function(call)
                .map_err(|message| SyntaxError { message, span: parsed.span_of(node.id, &call.func_name) })?;
        }
        left.extend(children(&node.expr));
    }
    Ok(())
}

fn known_function(call: &CallExpr) -> Result<(), String> {
    if OPERATORS.contains(&call.func_name.as_str()) {
        return Ok(());
    }
    let name = full_name(call);
    if FUNCTIONS.contains(&name.as_str()) {
        return Ok(());
    }
    if MACROS.contains(&name.as_str()) {
        return Err(format!("`{name}` is called with the wrong arguments"));
    }
    Err(match nearest(&name, FUNCTIONS.iter().chain(MACROS).copied().filter(|known| !known.contains('@'))) {
        Some(known) => format!("there is no function `{name}`; did you mean `{known}`?"),
        None => format!("there is no function `{name}`"),
    })
}

/// Names that are types, not variables.
const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "duration",
    "dyn",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "timestamp",
    "type",
    "uint",
    "google",
];

/// The free variables of `root` with the node that reads each: neither bound by a loop, nor types.
pub(crate) fn free_variables(root: &IdedExpr) -> Vec<(String, u64)> {
    let mut free = Vec::new();
    let mut left: Vec<(&IdedExpr, Vec<&str>)> = vec![(root, Vec::new())];
    while let Some((node, bound)) = left.pop() {
        match &node.expr {
            Expr::Ident(name)
                if !name.starts_with('@') && !bound.contains(&name.as_str()) && !TYPES.contains(&name.as_str()) =>
            {
                free.push((name.clone(), node.id));
            }
            Expr::Comprehension(c) => {
                left.push((&c.iter_range, bound.clone()));
                left.push((&c.accu_init, bound.clone()));
                let mut inner = bound;
                inner.extend([c.iter_var.as_str(), c.accu_var.as_str()]);
                inner.extend(c.iter_var2.as_deref());
                left.extend([&c.loop_cond, &c.loop_step, &c.result].map(|part| (part, inner.clone())));
            }
            Expr::Call(call) if namespace(call).is_some() => {
                left.extend(call.args.iter().map(|arg| (arg, bound.clone())));
            }
            other => left.extend(children(other).into_iter().map(|child| (child, bound.clone()))),
        }
    }
    free
}

/// Makes `parsed` runnable.
pub(super) fn compile(parsed: &Parsed) -> Result<Program, SyntaxError> {
    let variables: BTreeSet<String> = free_variables(&parsed.expression).into_iter().map(|(name, _)| name).collect();
    let mut rewrite = Rewrite { parsed, patterns: Vec::new() };
    let expression = rewrite.node(parsed.expression.clone(), false)?;
    Ok(Program { expression, variables, patterns: rewrite.patterns })
}

struct Rewrite<'a> {
    parsed: &'a Parsed,
    patterns: Vec<Pattern>,
}

impl Rewrite<'_> {
    /// Rewrites a node. In a loop everything that reads a value through is paid for; outside
    /// one, where it happens once, only what copies.
    fn node(&mut self, node: IdedExpr, looped: bool) -> Result<IdedExpr, SyntaxError> {
        let id = node.id;
        let expr = match node.expr {
            Expr::Call(call) => return self.call(id, call, looped),
            Expr::Select(mut select) => {
                *select.operand = self.node(std::mem::take(&mut *select.operand), looped)?;
                Expr::Select(select)
            }
            Expr::List(mut list) => {
                list.elements = self.each(list.elements, looped, paid)?;
                Expr::List(list)
            }
            Expr::Map(mut map) => {
                map.entries =
                    map.entries.into_iter().map(|entry| self.entry(entry, looped)).collect::<Result<_, _>>()?;
                Expr::Map(map)
            }
            Expr::Comprehension(c) => {
                let inside = looped || is_loop(&c);
                Expr::Comprehension(Box::new(ComprehensionExpr {
                    iter_range: call(RANGE, self.node(c.iter_range, looped)?),
                    accu_init: paid(self.node(c.accu_init, looped)?),
                    loop_cond: self.node(c.loop_cond, inside)?,
                    loop_step: self.node(c.loop_step, inside)?,
                    result: self.node(c.result, inside)?,
                    iter_var: c.iter_var,
                    iter_var2: c.iter_var2,
                    accu_var: c.accu_var,
                }))
            }
            other => other,
        };
        Ok(IdedExpr { id, expr })
    }

    fn each(
        &mut self,
        nodes: Vec<IdedExpr>,
        looped: bool,
        then: impl Fn(IdedExpr) -> IdedExpr,
    ) -> Result<Vec<IdedExpr>, SyntaxError> {
        nodes.into_iter().map(|node| self.node(node, looped).map(&then)).collect()
    }

    fn entry(&mut self, mut entry: IdedEntryExpr, looped: bool) -> Result<IdedEntryExpr, SyntaxError> {
        if let EntryExpr::MapEntry(member) = &mut entry.expr {
            member.key = paid(self.node(std::mem::take(&mut member.key), looped)?);
            member.value = paid(self.node(std::mem::take(&mut member.value), looped)?);
        }
        Ok(entry)
    }

    fn call(&mut self, id: u64, mut call_: CallExpr, looped: bool) -> Result<IdedExpr, SyntaxError> {
        if call_.func_name == "matches" {
            return self.matches(id, call_, looped);
        }
        let named = namespace(&call_).is_some();
        let charged = charged_operands(&call_, looped);
        let wrap = |node| if charged { paid(node) } else { node };
        if let Some(target) = call_.target.take() {
            call_.target = Some(Box::new(if named {
                *target
            } else if call_.func_name == "split" {
                call(SPLITTABLE, self.node(*target, looped)?)
            } else {
                wrap(self.node(*target, looped)?)
            }));
        }
        call_.args = self.each(call_.args, looped, wrap)?;
        // These copy what they select; the copy is paid for once it is known.
        let copies = [operators::OPT_SELECT, operators::OPT_INDEX].contains(&call_.func_name.as_str());
        let node = IdedExpr { id, expr: Expr::Call(call_) };
        Ok(if copies { call(CHARGE, node) } else { node })
    }

    /// `text.matches(pattern)` with the pattern compiled now, if it is a literal.
    fn matches(&mut self, id: u64, mut call_: CallExpr, looped: bool) -> Result<IdedExpr, SyntaxError> {
        let mut args: Vec<IdedExpr> = call_.target.take().map(|target| *target).into_iter().collect();
        args.append(&mut call_.args);
        if let Some(IdedExpr { id: at, expr }) = args.get_mut(1)
            && let Expr::Literal(LiteralValue::String(source)) = &*expr
        {
            let pattern = Pattern::compile(source.inner())
                .map_err(|message| SyntaxError { message, span: self.parsed.span(*at) })?;
            *expr = Expr::Ident(pattern.name());
            self.patterns.push(pattern);
        }
        let args = self.each(args, looped, |node| node)?;
        Ok(IdedExpr { id, expr: Expr::Call(CallExpr { func_name: MATCHES.to_owned(), target: None, args }) })
    }
}

/// Whether the operands of `call` are paid for.
fn charged_operands(call: &CallExpr, looped: bool) -> bool {
    let literal = |node: &IdedExpr| matches!(node.expr, Expr::Literal(_));
    let number = |node: &IdedExpr| matches!(&node.expr, Expr::Literal(literal) if !matches!(literal, LiteralValue::String(_) | LiteralValue::Bytes(_)));
    match call.func_name.as_str() {
        // The accumulator of a loop; the interpreter appends to it in place.
        operators::ADD if call.args.iter().any(is_internal) => false,
        // Adds numbers or fails: nothing to copy.
        operators::ADD if call.args.iter().any(number) => looped,
        // `base64.encode` makes more of its argument, too, and calls of it can be nested.
        operators::ADD | "encode" => true,
        operators::LOGICAL_AND
        | operators::LOGICAL_OR
        | operators::LOGICAL_NOT
        | operators::CONDITIONAL
        | operators::NOT_STRICTLY_FALSE => false,
        operators::EQUALS | operators::NOT_EQUALS => looped && !call.args.iter().any(literal),
        // The error for an index that is no index quotes the whole list.
        operators::INDEX | operators::OPT_SELECT | operators::OPT_INDEX => {
            looped && !call.args.last().is_some_and(|index| literal(index) && !is_double(index))
        }
        _ => looped,
    }
}

fn is_double(node: &IdedExpr) -> bool {
    matches!(node.expr, Expr::Literal(LiteralValue::Double(_)))
}

fn is_internal(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Ident(name) if name.starts_with('@'))
}

/// `node`, paid for, unless it is a constant or the interpreter's own.
fn paid(node: IdedExpr) -> IdedExpr {
    let free = match &node.expr {
        Expr::Literal(_) => true,
        Expr::List(list) => list.elements.is_empty(),
        _ => is_internal(&node),
    };
    if free { node } else { call(CHARGE, node) }
}

fn call(function: &str, argument: IdedExpr) -> IdedExpr {
    let id = argument.id;
    let call = CallExpr { func_name: function.to_owned(), target: None, args: vec![argument] };
    IdedExpr { id, expr: Expr::Call(call) }
}
