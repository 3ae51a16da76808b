//! What the policy says, and nothing else.
//!
//! This crate turns an account's configuration into a [`Ruleset`] and answers one question with
//! it: may this principal make this call? It is a pure function of its arguments: it knows no
//! database, no network, no clock, and must never learn of them. There is one evaluator,
//! [`Ruleset::decide`]; every path that needs a decision takes it from there.
//!
//! The configuration also has a written form, the policy [`document`]: read it, [`check`] it
//! against what tools take, see what it would change ([`diff`]), turn it into rows ([`plan`]) and
//! back ([`export`]).
//!
//! Before it is applied, a document can be asked what it would do: [`lint`] finds rules that do
//! nothing and rules that let more through than before, [`cases`] are its tests, [`replay`] decides
//! recorded calls anew.

pub mod cases;
pub mod check;
mod condition;
mod decide;
pub mod diff;
pub mod document;
pub mod engine;
pub mod export;
mod json;
pub mod lint;
pub mod plan;
pub mod replay;
mod ruleset;
mod sandbox;
mod standing;
mod suggest;

pub use condition::infer_language;
pub use ruleset::{Facts, RuleProblem, Ruleset, RulesetInput};
pub use sandbox::{Asks, Sandbox};
pub use standing::StandingRules;
