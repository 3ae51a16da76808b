use preloop_types::Timestamp;

use crate::{Level, Mark, Preview, Text, draft::Draft, json::Json, names, render};

/// A call somebody is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The tool, by the name its server gives it.
    pub tool: &'a str,
    /// The tool's server: its slug, `builtin`, or `agent` for a tool the agent itself carries out.
    pub server: &'a str,
    /// The arguments as they came: a JSON object.
    pub arguments: &'a str,
    /// The least risk there is, whatever the arguments look like: what a rule says, or what the tool
    /// says of itself where that is worse.
    pub floor: Level,
    /// The last call of the same tool that was approved.
    pub earlier: Option<Earlier<'a>>,
}

/// A call that was approved before.
#[derive(Debug, Clone, Copy)]
pub struct Earlier<'a> {
    /// Its arguments.
    pub arguments: &'a str,
    /// When it was approved.
    pub at: Timestamp,
}

/// A call as renderers see it.
pub(crate) struct Seen<'a> {
    pub(crate) tool: &'a str,
    pub(crate) arguments: Json<'a>,
    pub(crate) kind: names::Kind,
    /// The words of the tool's name.
    pub(crate) words: Vec<String>,
    pub(crate) earlier: Option<Earlier<'a>>,
}

/// What `call` would do.
pub fn preview(call: &Call<'_>) -> Preview {
    let mut draft = Draft::default();
    let kind = names::kind(call.server, call.tool);
    names::judge(call.server, call.tool, kind, &mut draft);
    match Json::parse(call.arguments) {
        Ok(arguments) => {
            let words = names::words(call.tool);
            let seen = Seen { tool: call.tool, arguments, kind, words, earlier: call.earlier };
            for render in render::RENDERERS {
                render(&seen, &mut draft);
            }
        }
        Err(why) => {
            draft.unread(Level::Danger, &format!("the arguments cannot be read: {why}"));
            let beginning = &call.arguments[..call.arguments.floor_char_boundary(Text::BYTES_MAX)];
            draft.section("Arguments", [(Mark::Warning, beginning)]);
        }
    }
    finish(call, kind, draft)
}

fn finish(call: &Call<'_>, kind: names::Kind, mut draft: Draft) -> Preview {
    let known = match kind {
        names::Kind::Reads => Level::Low,
        names::Kind::Shell if draft.understood => Level::Low,
        _ => Level::Caution,
    };
    draft.findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let worst = draft.findings.first().map_or(Level::Low, |finding| finding.level);
    let unseen = if draft.incomplete { Level::Caution } else { Level::Low };
    let headline = draft.headline.unwrap_or_else(|| format!("Calls {} on {}", call.tool, call.server));
    Preview {
        risk: call.floor.max(known).max(worst).max(unseen),
        headline: Text::of(&headline),
        findings: draft.findings,
        facts: draft.facts,
        sections: draft.sections,
        complete: !draft.incomplete,
    }
}
