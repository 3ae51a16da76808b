//! From the syntax tree to a [`Node`].

use ::cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};

use super::{Arithmetic, ClockPart, Convert, Node, Quantifier, Reshape, TextTest};
use crate::{
    condition::{
        reading::Root,
        simple::{Literal, Operator},
    },
    engine::Pattern,
    json::Json,
};

#[derive(Default)]
pub(super) struct Compiler<'a> {
    /// Loop variables, innermost last.
    locals: Vec<&'a str>,
}

impl<'a> Compiler<'a> {
    pub(super) fn node(&mut self, node: &'a IdedExpr) -> Node {
        if let Some(literal) = constant(node) {
            return Node::Constant(json(literal));
        }
        match &node.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => match self.node(&select.operand) {
                Node::Opaque => Node::Opaque,
                holder if select.test => Node::Has(Box::new(holder), select.field.clone()),
                holder => select_from(holder, select.field.clone()),
            },
            Expr::List(list) if list.optional_indices.is_empty() => {
                let constants: Option<Vec<_>> =
                    list.elements.iter().map(|element| constant(element).map(json)).collect();
                match constants {
                    Some(constants) => Node::Constant(Json::List(constants)),
                    None => all(self.each(&list.elements), Node::List),
                }
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            _ => Node::Opaque,
        }
    }

    fn each(&mut self, nodes: impl IntoIterator<Item = &'a IdedExpr>) -> Vec<Node> {
        nodes.into_iter().map(|node| self.node(node)).collect()
    }

    fn name(&self, name: &str) -> Node {
        if let Some(at) = self.locals.iter().rposition(|local| *local == name) {
            return Node::Local(self.locals.len() - 1 - at);
        }
        match Root::named(name) {
            // The time is no JSON.
            None | Some(Root::Now) => Node::Opaque,
            Some(root) => Node::Path(root, Vec::new()),
        }
    }

    fn call(&mut self, call: &'a CallExpr) -> Node {
        let name = call.func_name.as_str();
        if let (Some(part), Some(target), []) = (clock_part(name), call.target.as_deref(), call.args.as_slice()) {
            return if self.is_now(target) { Node::Clock(part) } else { Node::Opaque };
        }
        if name == "matches" {
            return self.matches(call);
        }
        // A method's target is its first operand.
        let operands = self.each(call.target.as_deref().into_iter().chain(&call.args));
        match (call.target.is_some(), operands.len()) {
            (false, 1) => one(operands, |operand| match name {
                operators::LOGICAL_NOT => Some(Node::Not(operand)),
                operators::NEGATE => Some(Node::Negate(operand)),
                "size" => Some(Node::Size(operand)),
                "int" => Some(Node::Convert(Convert::Int, operand)),
                "double" => Some(Node::Convert(Convert::Double, operand)),
                "string" => Some(Node::Convert(Convert::String, operand)),
                _ => None,
            }),
            (true, 1) => one(operands, |target| match name {
                "size" => Some(Node::Size(target)),
                "lowerAscii" => Some(Node::Reshape(Reshape::Lower, target)),
                "upperAscii" => Some(Node::Reshape(Reshape::Upper, target)),
                "trim" => Some(Node::Reshape(Reshape::Trim, target)),
                "hasValue" => Some(Node::HasValue(target)),
                _ => None,
            }),
            (false, 2) => logic(name, operands),
            (true, 2) => two(operands, |operands| match name {
                "startsWith" => Some(Node::TextTest(TextTest::StartsWith, operands)),
                "endsWith" => Some(Node::TextTest(TextTest::EndsWith, operands)),
                "contains" => Some(Node::TextTest(TextTest::Contains, operands)),
                "split" => Some(Node::Split(operands)),
                "indexOf" => Some(Node::IndexOf(operands)),
                "orValue" => Some(Node::OrValue(operands)),
                "substring" => {
                    let [text, start] = *operands;
                    Some(Node::Substring(Box::new(text), Box::new(start), None))
                }
                _ => None,
            }),
            (false, 3) if name == operators::CONDITIONAL => three(operands, |parts| Node::Conditional(Box::new(parts))),
            (true, 3) if name == "substring" => three(operands, |[text, start, end]| {
                Node::Substring(Box::new(text), Box::new(start), Some(Box::new(end)))
            }),
            _ => Node::Opaque,
        }
    }

    fn is_now(&self, node: &IdedExpr) -> bool {
        matches!(&node.expr, Expr::Ident(name) if name == Root::Now.name() && !self.locals.contains(&name.as_str()))
    }

    /// `text.matches('literal')`
    fn matches(&mut self, call: &'a CallExpr) -> Node {
        let mut operands = call.target.as_deref().into_iter().chain(&call.args);
        let (Some(text), Some(pattern), None) = (operands.next(), operands.next(), operands.next()) else {
            return Node::Opaque;
        };
        let (text, Some(Literal::String(source))) = (self.node(text), constant(pattern)) else { return Node::Opaque };
        match Pattern::compile(&source) {
            Ok(pattern) if !text.is_opaque() => Node::Matches(Box::new(text), Box::new(pattern)),
            _ => Node::Opaque,
        }
    }

    /// What a macro became, recognised by the step of its loop.
    fn comprehension(&mut self, c: &'a ComprehensionExpr) -> Node {
        if c.iter_var2.is_some() {
            return Node::Opaque;
        }
        let range = self.node(&c.iter_range);
        self.locals.push(&c.iter_var);
        let node = self.looped(c, range);
        self.locals.pop();
        node
    }

    fn looped(&mut self, c: &'a ComprehensionExpr, range: Node) -> Node {
        let is_accu = |node: &IdedExpr| matches!(&node.expr, Expr::Ident(name) if *name == c.accu_var);
        let Expr::Call(step) = &c.loop_step.expr else { return Node::Opaque };
        match (step.func_name.as_str(), step.args.as_slice()) {
            (operators::LOGICAL_AND, [accu, body]) if is_accu(accu) => self.quantify(Quantifier::All, range, body),
            (operators::LOGICAL_OR, [accu, body]) if is_accu(accu) => self.quantify(Quantifier::Exists, range, body),
            (operators::CONDITIONAL, [condition, taken, accu]) if is_accu(accu) => {
                let Expr::Call(sum) = &taken.expr else { return Node::Opaque };
                match (constant(&c.accu_init), sum.args.as_slice()) {
                    (Some(Literal::Int(0)), [accu, _]) if is_accu(accu) => {
                        self.quantify(Quantifier::ExistsOne, range, condition)
                    }
                    (None, _) => self.collect(c, range, Some(condition), sum),
                    _ => Node::Opaque,
                }
            }
            (operators::ADD, [_, _]) => self.collect(c, range, None, step),
            _ => Node::Opaque,
        }
    }

    fn quantify(&mut self, quantifier: Quantifier, range: Node, body: &'a IdedExpr) -> Node {
        two(vec![range, self.node(body)], |parts| Some(Node::Quantify(quantifier, parts)))
    }

    /// `sum` is `accumulator + [value]`.
    fn collect(
        &mut self,
        c: &'a ComprehensionExpr,
        range: Node,
        keep: Option<&'a IdedExpr>,
        sum: &'a CallExpr,
    ) -> Node {
        let is_empty_list = |node: &IdedExpr| matches!(&node.expr, Expr::List(list) if list.elements.is_empty());
        let [_, appended] = sum.args.as_slice() else { return Node::Opaque };
        let Expr::List(list) = &appended.expr else { return Node::Opaque };
        let ([value], true) = (list.elements.as_slice(), is_empty_list(&c.accu_init)) else { return Node::Opaque };
        let (keep, value) = (keep.map(|keep| self.node(keep)), self.node(value));
        if range.is_opaque() || value.is_opaque() || keep.as_ref().is_some_and(Node::is_opaque) {
            return Node::Opaque;
        }
        Node::Collect { range: Box::new(range), keep: keep.map(Box::new), value: Box::new(value) }
    }
}

fn select_from(holder: Node, field: String) -> Node {
    match holder {
        Node::Path(root, mut names) => {
            names.push(field);
            Node::Path(root, names)
        }
        holder => Node::Select(Box::new(holder), field),
    }
}

/// An operator with two operands. `&&` and `||` need only one of them to be known.
fn logic(name: &str, operands: Vec<Node>) -> Node {
    let is_logical = [operators::LOGICAL_AND, operators::LOGICAL_OR].contains(&name);
    if is_logical && operands.iter().any(|operand| !operand.is_opaque()) {
        let Ok(operands) = <[Node; 2]>::try_from(operands) else { return Node::Opaque };
        let operands = Box::new(operands);
        return if name == operators::LOGICAL_AND { Node::And(operands) } else { Node::Or(operands) };
    }
    two(operands, |operands| {
        if let Some(operator) = operator(name) {
            return Some(Node::Compare(operator, operands));
        }
        Some(match name {
            operators::IN => Node::In(operands),
            operators::ADD => Node::Arithmetic(Arithmetic::Add, operands),
            operators::SUBSTRACT => Node::Arithmetic(Arithmetic::Subtract, operands),
            operators::MULTIPLY => Node::Arithmetic(Arithmetic::Multiply, operands),
            operators::DIVIDE => Node::Arithmetic(Arithmetic::Divide, operands),
            operators::MODULO => Node::Arithmetic(Arithmetic::Remainder, operands),
            operators::INDEX | operators::OPT_SELECT | operators::OPT_INDEX => match *operands {
                // `args['a-b']`
                [holder, Node::Constant(Json::String(key))] if name == operators::INDEX => {
                    select_from(holder, key.into_owned())
                }
                [holder, Node::Constant(Json::String(key))] => Node::OptionalSelect(Box::new(holder), key.into_owned()),
                operands if name == operators::INDEX => Node::Index(Box::new(operands)),
                _ => return None,
            },
            _ => return None,
        })
    })
}

fn all(nodes: Vec<Node>, then: impl FnOnce(Vec<Node>) -> Node) -> Node {
    if nodes.iter().any(Node::is_opaque) { Node::Opaque } else { then(nodes) }
}

fn one(nodes: Vec<Node>, then: impl FnOnce(Box<Node>) -> Option<Node>) -> Node {
    all(nodes, |nodes| nodes.into_iter().next().and_then(|node| then(Box::new(node))).unwrap_or(Node::Opaque))
}

fn two(nodes: Vec<Node>, then: impl FnOnce(Box<[Node; 2]>) -> Option<Node>) -> Node {
    all(nodes, |nodes| {
        <[Node; 2]>::try_from(nodes).ok().and_then(|nodes| then(Box::new(nodes))).unwrap_or(Node::Opaque)
    })
}

fn three(nodes: Vec<Node>, then: impl FnOnce([Node; 3]) -> Node) -> Node {
    all(nodes, |nodes| <[Node; 3]>::try_from(nodes).map_or(Node::Opaque, then))
}

fn clock_part(name: &str) -> Option<ClockPart> {
    Some(match name {
        "getFullYear" => ClockPart::Year,
        "getMonth" => ClockPart::Month,
        "getDate" => ClockPart::Date,
        "getDayOfMonth" => ClockPart::DayOfMonth,
        "getDayOfWeek" => ClockPart::DayOfWeek,
        "getHours" => ClockPart::Hours,
        "getMinutes" => ClockPart::Minutes,
        "getSeconds" => ClockPart::Seconds,
        _ => return None,
    })
}

pub(crate) fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::EQUALS => Operator::Equal,
        operators::NOT_EQUALS => Operator::NotEqual,
        operators::LESS => Operator::Less,
        operators::LESS_EQUALS => Operator::LessEqual,
        operators::GREATER => Operator::Greater,
        operators::GREATER_EQUALS => Operator::GreaterEqual,
        _ => return None,
    })
}

/// The operator with its operands swapped.
pub(crate) fn mirrored(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessEqual => Operator::GreaterEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterEqual => Operator::LessEqual,
        same => same,
    }
}

/// A constant of a type JSON has.
pub(crate) fn constant(node: &IdedExpr) -> Option<Literal> {
    let Expr::Literal(literal) = &node.expr else { return None };
    Some(match literal {
        LiteralValue::Boolean(truth) => Literal::Bool(*truth.inner()),
        LiteralValue::Double(number) => Literal::Double(*number.inner()),
        LiteralValue::Int(number) => Literal::Int(*number.inner()),
        LiteralValue::Null => Literal::Null,
        LiteralValue::String(text) => Literal::String(text.inner().to_owned()),
        LiteralValue::UInt(_) | LiteralValue::Bytes(_) => return None,
    })
}

fn json(literal: Literal) -> Json<'static> {
    match literal {
        Literal::Null => Json::Null,
        Literal::Bool(truth) => Json::Bool(truth),
        Literal::Int(number) => Json::Int(number),
        Literal::Double(number) => Json::Double(number),
        Literal::String(text) => Json::String(text.into()),
    }
}
