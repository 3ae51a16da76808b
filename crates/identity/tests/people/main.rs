//! People register, join, sign in, forget passwords and carry second factors; and what must not work.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod factors;
mod house;
mod joining;
mod passkeys;
mod passwords;
mod signing_in;
