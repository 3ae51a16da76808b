//! The model gateway: any dialect in, any provider out, every call governed.
//!
//! An agent asks in the API it knows; [`Gateway::router`] serves them all. A call is identified,
//! decided and its cost reserved by `preloop-govern` before a provider hears of it, and settled however
//! it ends. Where agent and provider speak alike, bytes are forwarded as they are; else the call is
//! translated by `preloop-dialects`. This crate knows no policy and no database table.

#![expect(clippy::result_large_err, reason = "a failure is no larger than the response it stands in for")]

mod cache;
mod call;
pub mod capture;
mod carrier;
mod failure;
mod gateway;
pub mod guard;
pub mod models;
mod ours;
pub mod prices;
mod pricing;
pub mod providers;
mod relay;
mod secrets;
mod serve;

pub use gateway::Gateway;
