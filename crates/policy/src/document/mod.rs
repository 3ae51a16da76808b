//! The policy document: an account's configuration as one YAML text.
//!
//! [`read`] turns a text into a [`Document`] or into everything that is wrong with it;
//! [`Document::from_rows`](crate::export) and back is a round trip. A document names things;
//! it knows no ids. It may hold secrets, which its `Debug` form never shows.

mod cases;
mod fields;
mod model;
mod names;
mod problem;
mod reader;
mod schema;
mod source;
mod tree;

pub use cases::read_cases;
pub use model::{
    DefaultsEntry, Document, JsonObject, Metadata, RuleEntry, ServerEntry, ToolEntry, ToolOrigin, VERSION,
    WorkflowEntry,
};
pub use names::Known;
pub use problem::{Place, Problem};
pub use reader::{LookUp, Options, Report, read};
pub use schema::schema;
pub use source::Source;
