//! Who people are: signing in, second factors, single sign-on, and consent to clients.
//!
//! Whatever a person signs in with ends in a [`Grant`](preloop_store::Grant): under it short-lived
//! access tokens are given out, each renewed with a refresh token that works once ([`tokens`]). What
//! a bearer of one may do is `preloop-govern`'s to know, as for any other credential.

mod attempts;
mod error;
mod factors;
mod fetch;
mod identity;
mod join;
mod mail;
pub mod oauth;
pub mod one_time;
mod passkeys;
mod password;
mod record;
mod recover;
pub mod scim;
mod sign_in;
pub mod sso;
pub mod tokens;
mod totp;

pub use error::{Error, Result};
pub use factors::{Factors, TotpEnrolment};
pub use fetch::FetchError;
pub use identity::{Client, Identity, Options};
pub use join::{Invitation, NewPerson};
pub use password::{PASSWORD_MIN, PasswordCost};
pub use recover::{PasswordLink, RESET_WITHIN, SET_UP_WITHIN};
pub use sign_in::{Method, SecondFactor, Step};
