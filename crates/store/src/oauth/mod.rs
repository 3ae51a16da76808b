//! What the authorization server keeps: clients, codes, and command lines that wait.
//!
//! Clients and waiting command lines come before anybody is known, so they belong to no account;
//! whatever a person answered does.

mod clients;
mod codes;
mod devices;

pub use clients::OAuthClient;
pub use codes::{OAuthCode, RedeemedCode};
pub use devices::{OAuthDevice, PolledDevice};
