//! What the policy says, and nothing else.
//!
//! This crate turns an account's configuration into a [`Ruleset`] and answers one question with
//! it: may this principal make this call? It is a pure function of its arguments: it knows no
//! database, no network, no clock, and must never learn of them. There is one evaluator,
//! [`Ruleset::decide`]; every path that needs a decision takes it from there.

mod condition;
mod decide;
pub mod engine;
mod json;
mod ruleset;
mod suggest;

pub use ruleset::{Facts, RuleProblem, Ruleset, RulesetInput};
