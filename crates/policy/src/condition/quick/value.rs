//! The values of an evaluation: JSON where it lies, and what was made of it.

use std::{borrow::Cow, cell::Cell, cmp::Ordering, rc::Rc};

use crate::{
    condition::simple::order_mixed,
    json::{Json, member},
};

/// What one evaluation may do before it is left to the interpreter, whose budget is counted: steps
/// of a loop, values looked at, and 64 bytes of text each.
const WORK_MAX: usize = 20_000;

/// What is left of an evaluation's work.
pub(super) struct Work(Cell<usize>);

impl Work {
    pub(super) fn new() -> Self {
        Self(Cell::new(WORK_MAX))
    }

    /// Takes `units`, if there are so many.
    pub(super) fn pay(&self, units: usize) -> Option<()> {
        self.0.set(self.0.get().checked_sub(units)?);
        Some(())
    }

    /// Takes what reading `text` once costs.
    pub(super) fn pay_for(&self, text: &str) -> Option<()> {
        if text.len() < 64 { Some(()) } else { self.pay(text.len() / 64) }
    }
}

/// What a node came to.
#[derive(Debug, Clone)]
pub(super) enum Value<'e> {
    /// JSON of a call, or of the condition itself.
    Json(&'e Json<'e>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'e, str>),
    List(Rc<Vec<Value<'e>>>),
}

/// A value as it is read: the same whether it was found or made.
#[derive(Debug, Clone, Copy)]
pub(super) enum View<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(&'v str),
    List(Items<'v>),
    Map(&'v [(Cow<'v, str>, Json<'v>)]),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Items<'v> {
    Found(&'v [Json<'v>]),
    Made(&'v [Value<'v>]),
}

impl<'e> Value<'e> {
    pub(super) fn view(&self) -> View<'_> {
        match self {
            Value::Json(json) => View::of(json),
            Value::Bool(truth) => View::Bool(*truth),
            Value::Int(number) => View::Int(*number),
            Value::Double(number) => View::Double(*number),
            Value::Text(text) => View::Text(text),
            Value::List(items) => View::List(Items::Made(items)),
        }
    }

    pub(super) fn text(self) -> Option<Cow<'e, str>> {
        match self {
            Value::Text(text) => Some(text),
            Value::Json(Json::String(text)) => Some(Cow::Borrowed(text)),
            _ => None,
        }
    }

    /// The member called `name`, if this is an object that has one.
    pub(super) fn member(&self, name: &str) -> Option<Value<'e>> {
        if let Value::Json(json) = self { json.get(name).map(Value::Json) } else { None }
    }

    /// How many items a list has.
    pub(super) fn len(&self) -> Option<usize> {
        if let View::List(items) = self.view() { Some(items.len()) } else { None }
    }

    /// A list's item.
    pub(super) fn item(&self, at: usize) -> Option<Value<'e>> {
        match self {
            Value::Json(Json::List(items)) => items.get(at).map(Value::Json),
            Value::List(items) => items.get(at).cloned(),
            _ => None,
        }
    }
}

impl<'v> View<'v> {
    pub(super) fn of(json: &'v Json<'v>) -> Self {
        match json {
            Json::Null => View::Null,
            Json::Bool(truth) => View::Bool(*truth),
            Json::Int(number) => View::Int(*number),
            Json::Uint(number) => View::Uint(*number),
            Json::Double(number) => View::Double(*number),
            Json::String(text) => View::Text(text),
            Json::List(items) => View::List(Items::Found(items)),
            Json::Map(members) => View::Map(members),
        }
    }

    /// The member called `name`, if this is an object that has one.
    pub(super) fn get(self, name: &str) -> Option<&'v Json<'v>> {
        if let View::Map(members) = self { member(members, name) } else { None }
    }

    pub(super) fn text(self) -> Option<&'v str> {
        if let View::Text(text) = self { Some(text) } else { None }
    }
}

impl<'v> Items<'v> {
    pub(super) fn len(self) -> usize {
        match self {
            Items::Found(items) => items.len(),
            Items::Made(items) => items.len(),
        }
    }

    pub(super) fn views(self) -> impl Iterator<Item = View<'v>> {
        let (found, made): (&[_], &[_]) = match self {
            Items::Found(items) => (items, &[]),
            Items::Made(items) => (&[], items),
        };
        found.iter().map(View::of).chain(made.iter().map(Value::view))
    }
}

/// CEL's equality, which knows no error: values of different types are unequal. `None`: too much
/// work.
pub(super) fn equal(a: View<'_>, b: View<'_>, work: &Work) -> Option<bool> {
    Some(match (a, b) {
        (View::Null, View::Null) => true,
        (View::Bool(a), View::Bool(b)) => a == b,
        (View::Text(a), View::Text(b)) => {
            if a.len() == b.len() {
                work.pay_for(a)?;
            }
            a == b
        }
        (View::Map(a), View::Map(b)) => {
            work.pay(a.len())?;
            if a.len() != b.len() {
                return Some(false);
            }
            // Both are sorted by key.
            for ((key, value), (other_key, other)) in a.iter().zip(b) {
                if key != other_key || !equal(View::of(value), View::of(other), work)? {
                    return Some(false);
                }
            }
            true
        }
        (View::List(a), View::List(b)) => {
            work.pay(a.len())?;
            if a.len() != b.len() {
                return Some(false);
            }
            for (a, b) in a.views().zip(b.views()) {
                if !equal(a, b, work)? {
                    return Some(false);
                }
            }
            true
        }
        _ => numbers(a, b) == Some(Ordering::Equal),
    })
}

/// How two values of an ordered type compare; `None` where CEL has an error.
pub(super) fn order(a: View<'_>, b: View<'_>) -> Option<Ordering> {
    match (a, b) {
        (View::Text(a), View::Text(b)) => Some(a.cmp(b)),
        (View::Bool(a), View::Bool(b)) => Some(a.cmp(&b)),
        _ => numbers(a, b),
    }
}

fn numbers(a: View<'_>, b: View<'_>) -> Option<Ordering> {
    let whole = |value| match value {
        View::Int(number) => Some(i128::from(number)),
        View::Uint(number) => Some(i128::from(number)),
        _ => None,
    };
    match (a, b) {
        (View::Int(a), View::Int(b)) => Some(a.cmp(&b)),
        (View::Double(a), View::Double(b)) => a.partial_cmp(&b),
        (View::Double(a), b) => order_mixed(whole(b)?, a).map(Ordering::reverse),
        (a, View::Double(b)) => order_mixed(whole(a)?, b),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    }
}
