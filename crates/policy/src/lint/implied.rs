//! Whether one condition holds whenever another does, as far as that can be read off them.
//!
//! A condition is taken as alternatives, each a list of parts that must all hold. Parts that compare
//! an argument with a constant are compared by value; others only by how they are written.

use ::cel::common::ast::{Expr, IdedExpr, operators};
use preloop_types::config::Language;

use super::where_parsing;
use crate::{
    check::uses::{Segment, Wants, uses_of},
    condition::{
        self,
        simple::{Literal, Operator},
    },
    document::RuleEntry,
    engine::{BigStack, Parsed},
};

/// Most alternatives of one condition that are looked at.
const ALTERNATIVES_MAX: usize = 16;

/// Whether `earlier` takes every call that `later` would match.
pub(super) fn hides(earlier: &RuleEntry, later: &RuleEntry) -> bool {
    let (Some(wide), Some(narrow)) = (&earlier.expression, &later.expression) else { return false };
    where_parsing(|stack| {
        let wide = alternatives(wide, earlier.language, stack)?;
        let narrow = alternatives(narrow, later.language, stack)?;
        Some(narrow.iter().all(|narrow| wide.iter().any(|wide| implies(narrow, wide))))
    })
    .unwrap_or(false)
}

/// Parts that must all hold.
type All = Vec<Part>;

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Comparison {
        path: Vec<Segment>,
        operator: Operator,
        value: Literal,
    },
    /// Anything else, as it is written.
    Text(String),
}

fn alternatives(expression: &str, language: Language, stack: &BigStack) -> Option<Vec<All>> {
    match language {
        Language::Simple => Some(vec![vec![part(expression, language, stack)]]),
        Language::Cel => {
            let parsed = condition::parse_cel(expression, stack).ok()?;
            let found = of_node(&parsed, &parsed.expression, stack);
            (found.len() <= ALTERNATIVES_MAX).then_some(found)
        }
    }
}

fn of_node(parsed: &Parsed, node: &IdedExpr, stack: &BigStack) -> Vec<All> {
    if let Expr::Call(call) = &node.expr
        && let [left, right] = call.args.as_slice()
    {
        let both = || (of_node(parsed, left, stack), of_node(parsed, right, stack));
        match call.func_name.as_str() {
            operators::LOGICAL_OR => {
                let (mut left, right) = both();
                left.extend(right);
                left.truncate(ALTERNATIVES_MAX + 1);
                return left;
            }
            operators::LOGICAL_AND => {
                let (left, right) = both();
                let join = |a: &All, b: &All| a.iter().chain(b).cloned().collect::<All>();
                let joined = left.iter().flat_map(|a| right.iter().map(move |b| join(a, b)));
                return joined.take(ALTERNATIVES_MAX + 1).collect();
            }
            _ => {}
        }
    }
    vec![vec![part(&parsed.text_of(node), Language::Cel, stack)]]
}

fn part(text: &str, language: Language, stack: &BigStack) -> Part {
    let mut uses = uses_of(text, language, stack);
    if let [only] = uses.as_mut_slice()
        && !only.path.contains(&Segment::Item)
        && only.is_whole
        && let Wants::Comparison(operator, value) = &only.wants
    {
        return Part::Comparison { path: only.path.clone(), operator: *operator, value: value.clone() };
    }
    Part::Text(text.split_whitespace().collect())
}

/// Whether what `narrow` lists can only hold if all that `wide` lists does.
fn implies(narrow: &All, wide: &All) -> bool {
    wide.iter().all(|wide| narrow.iter().any(|narrow| part_implies(narrow, wide)))
}

fn part_implies(narrow: &Part, wide: &Part) -> bool {
    match (narrow, wide) {
        (Part::Comparison { path, operator: a, value: x }, Part::Comparison { path: other, operator: b, value: y }) => {
            path == other && comparison_implies((*a, x), (*b, y))
        }
        (narrow, wide) => narrow == wide,
    }
}

fn comparison_implies((a, x): (Operator, &Literal), (b, y): (Operator, &Literal)) -> bool {
    if let (Some(x), Some(y)) = (number(x), number(y)) {
        let holds = |operator: Operator, value: f64, bound: f64| {
            value.partial_cmp(&bound).is_some_and(|ordering| operator.accepts(ordering))
        };
        // Both change their answer only at their bounds: a value at, between and beyond them stands
        // for all values.
        let values = [x, y, f64::midpoint(x, y), x.min(y) - 1.0, x.max(y) + 1.0];
        return values.iter().all(|value| !holds(a, *value, x) || holds(b, *value, y));
    }
    match (a, b) {
        _ if a == b && x == y => true,
        (Operator::Equal, Operator::NotEqual) => std::mem::discriminant(x) == std::mem::discriminant(y) && x != y,
        _ => false,
    }
}

fn number(value: &Literal) -> Option<f64> {
    match value {
        // Beyond 2^53 neighbours would be taken for equal.
        Literal::Int(number) if number.unsigned_abs() < 1 << 53 =>
        {
            #[expect(clippy::cast_precision_loss, reason = "exact, checked above")]
            Some(*number as f64)
        }
        Literal::Double(number) => Some(*number),
        _ => None,
    }
}
