//! The tools of upstream servers: named once, pinned, watched for change.
//!
//! The rules are pure functions of what is known and what was listed ([`pin::plan`]), so they read
//! and test without a server or a store; [`store_scan`] and [`accept`] carry them out in one
//! transaction with their journal entries. A tool keeps its exposed name for ever, and is used
//! only as it was pinned: any later difference waits for a person.

mod definition;
mod diff;
mod facts;
pub(crate) mod header;
mod names;
mod pin;
mod poison;
mod save;

pub use definition::definition_hash;
pub use diff::diff;
pub use facts::{Facts, TaskSupport, ToolFacts, facts};
pub use header::HeaderParam;
pub use names::RESERVED;
pub use pin::ScanReport;
pub(crate) use save::{accept, note_failure, store_scan};
