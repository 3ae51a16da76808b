//! CEL without the interpreter: most of what conditions are made of, evaluated on borrowed JSON.
//!
//! The interpreter boxes every value and copies much; over a hundred rules that is what a decision
//! costs. [`Quick`] knows comparisons, logic, arithmetic, texts, lists, `has`, `?.` and the loops,
//! and copies nothing it can borrow. It gives the answer CEL specifies or none: whatever could be
//! an error (a missing argument, a type that does not fit, too much work) and whatever it does not
//! know is left to the interpreter, which has the last word. Numbers are compared exactly, where
//! the interpreter rounds integers beyond 2^53.

mod compile;
mod eval;
#[cfg(test)]
mod tests;
mod value;

use ::cel::common::ast::IdedExpr;
use preloop_types::Timestamp;

pub(crate) use self::compile::{constant, mirrored, operator};
use self::{compile::Compiler, eval::Scope, value::Work};
use super::{reading::Root, simple::Operator};
use crate::{engine::Pattern, json::Json};

/// A condition that can often be answered without the interpreter.
#[derive(Debug)]
pub(crate) struct Quick(Node);

impl Quick {
    /// The quick form of `root`, if there is anything in it that can be answered quickly.
    pub(crate) fn of(root: &IdedExpr) -> Option<Self> {
        let node = Compiler::default().node(root);
        (!node.is_opaque()).then_some(Self(node))
    }

    /// The answer, unless only the interpreter can tell.
    pub(crate) fn matches<'e>(
        &'e self,
        variable: &dyn Fn(Root) -> Option<&'e Json<'e>>,
        now: Timestamp,
    ) -> Option<bool> {
        eval::test(&self.0, &Scope::new(variable, now, &Work::new()))
    }
}

/// An expression. A node answers or it does not; [`Node::Opaque`] never does.
#[derive(Debug)]
enum Node {
    /// Only the interpreter knows.
    Opaque,
    Constant(Json<'static>),
    /// A variable, and the names selected below it.
    Path(Root, Vec<String>),
    /// The variable of the loop so many loops further out.
    Local(usize),
    Clock(ClockPart),
    Select(Box<Node>, String),
    /// `a[i]`
    Index(Box<[Node; 2]>),
    /// `a.?b`: an optional, which only [`Node::HasValue`] and [`Node::OrValue`] read.
    OptionalSelect(Box<Node>, String),
    OrValue(Box<[Node; 2]>),
    Not(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    /// `a ? b : c`
    Conditional(Box<[Node; 3]>),
    Has(Box<Node>, String),
    HasValue(Box<Node>),
    Compare(Operator, Box<[Node; 2]>),
    In(Box<[Node; 2]>),
    Arithmetic(Arithmetic, Box<[Node; 2]>),
    Negate(Box<Node>),
    Size(Box<Node>),
    TextTest(TextTest, Box<[Node; 2]>),
    Matches(Box<Node>, Box<Pattern>),
    Reshape(Reshape, Box<Node>),
    /// `text.split(separator)`
    Split(Box<[Node; 2]>),
    /// `text.indexOf(part)`
    IndexOf(Box<[Node; 2]>),
    /// `text.substring(start, end)`
    Substring(Box<Node>, Box<Node>, Option<Box<Node>>),
    Convert(Convert, Box<Node>),
    List(Vec<Node>),
    /// `range.all(x, body)` and its like.
    Quantify(Quantifier, Box<[Node; 2]>),
    /// `range.filter(x, keep)`, `range.map(x, value)`, `range.map(x, keep, value)`
    Collect {
        range: Box<Node>,
        keep: Option<Box<Node>>,
        value: Box<Node>,
    },
}

impl Node {
    fn is_opaque(&self) -> bool {
        matches!(self, Node::Opaque)
    }
}

#[derive(Debug, Clone, Copy)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy)]
enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

/// A text from a text.
#[derive(Debug, Clone, Copy)]
enum Reshape {
    Lower,
    Upper,
    Trim,
}

#[derive(Debug, Clone, Copy)]
enum Convert {
    Int,
    Double,
    String,
}

#[derive(Debug, Clone, Copy)]
enum Quantifier {
    All,
    Exists,
    ExistsOne,
}

/// What is read of the time, in UTC.
#[derive(Debug, Clone, Copy)]
enum ClockPart {
    Year,
    /// From 0, as CEL counts.
    Month,
    /// From 1.
    Date,
    /// From 0.
    DayOfMonth,
    /// From Sunday, 0.
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
}
