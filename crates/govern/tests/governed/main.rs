//! The governed call, through `Governor`, on both stores.

mod approvals;
mod calls;
mod house;
