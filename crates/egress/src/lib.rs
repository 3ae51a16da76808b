//! Outbound HTTP under guard: every URL a person or an agent can set is fetched through here.
//!
//! Without the guard, a server URL, a webhook or an OAuth discovery document could make this
//! process read the cloud's metadata service or the database next door. The rules:
//!
//! - `http` and `https` only, no user or password in the URL;
//! - names are resolved once, every address is checked, and the connection goes to a checked
//!   address: there is no second look-up that could answer differently;
//! - private, loopback, link-local, carrier, metadata, multicast and reserved addresses are
//!   refused unless both the instance and the [`Policy`] allow them, in every spelling;
//! - redirects are not followed, or a few times, to the same scheme, each checked again.
//!
//! [`Client`] is for everything, [`LeanClient`] for bodies that are forwarded as they are.

mod address;
mod client;
mod lean;
mod read;
mod resolver;
mod url_check;

pub use address::is_private;
pub use client::{Client, Egress, EgressOptions, Policy, Redirects};
pub use lean::{Chunks, LeanClient, SendError};
pub use read::{ReadError, read_capped};
pub use resolver::{Lookup, SystemLookup};
pub use url_check::{Refused, is_loopback, is_secure, refusal};
