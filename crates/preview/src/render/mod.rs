//! The renderers: each looks for one kind of effect in a call and says what it finds.

mod command;
mod earlier;
mod edit;
mod money;
mod patch;
mod recipients;
mod statement;
mod urls;

use crate::{call::Seen, draft::Draft};

/// Looks for one kind of effect. It must be bounded whatever the call holds.
pub(crate) type Renderer = fn(&Seen<'_>, &mut Draft);

/// Every renderer, in the order their matter is shown; the first that has a headline has the word.
pub(crate) const RENDERERS: &[Renderer] = &[
    command::render,
    patch::render,
    edit::render,
    statement::render,
    money::render,
    recipients::render,
    urls::render,
    earlier::render,
];
