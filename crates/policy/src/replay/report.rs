//! What a replay found.

use std::collections::BTreeMap;

use preloop_types::{CallId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Asks;

/// What would be decided otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Recorded calls that a policy decided.
    pub calls: u64,
    /// Those that would be decided as they were.
    pub unchanged: u64,
    /// Those that would not.
    pub changed: u64,
    /// Of the changed: more would pass (denied or asked about then, less strict now).
    pub loosened: u64,
    /// Of the changed: less would pass.
    pub tightened: u64,
    /// Those whose arguments are erased.
    pub erased: u64,
    /// Of the erased: those that cannot be decided without them.
    pub undecidable: u64,
    /// Records that are no decisions of a policy, by reason.
    pub left_out: BTreeMap<String, u64>,
    /// When the first of the calls was made.
    pub since: Option<Timestamp>,
    /// When the last of the calls was made.
    pub until: Option<Timestamp>,
    /// By `server/tool`.
    pub tools: BTreeMap<String, ToolCounts>,
    /// Who would have been asked, by workflow.
    pub asked: BTreeMap<String, Asked>,
    /// Changes one by one; not all, if there are very many.
    pub changes: Vec<Change>,
}

/// Calls of one tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCounts {
    /// How many.
    pub calls: u64,
    /// How many would be decided otherwise.
    pub changed: u64,
    /// As it was.
    pub before: Verdicts,
    /// As it would be.
    pub after: Verdicts,
    /// How many cannot be decided anew.
    pub undecidable: u64,
}

/// How many calls came to which decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    /// Carried out.
    pub allow: u64,
    /// Put before a person.
    pub require_approval: u64,
    /// Refused.
    pub deny: u64,
}

/// What a workflow's approvers would have been asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who may decide; the account's owner when empty.
    pub approvers: Vec<String>,
    /// About how many calls.
    pub calls: u64,
    /// Of those, about how many nobody was asked then.
    pub newly: u64,
}

/// One call that would be decided otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The call; its arguments are in the journal.
    pub call: CallId,
    /// When it was made.
    pub at: Timestamp,
    /// `server/tool`.
    pub tool: String,
    /// The credential's name.
    pub key: String,
    /// Whose credential, where known.
    pub user: Option<String>,
    /// What was decided: `allow`, `deny` or `require_approval`.
    pub before: String,
    /// Why.
    pub before_reason: String,
    /// What would be.
    pub after: String,
    /// Why.
    pub after_reason: String,
    /// The rule that would decide, from 1.
    pub rule: Option<u32>,
    /// The workflow that would ask.
    pub workflow: Option<String>,
    /// Whom it would ask; the account's owner when empty.
    pub approvers: Vec<String>,
}

/// Verdicts by how much they let through.
fn strictness(verdict: &str) -> u8 {
    match verdict {
        "allow" => 0,
        "require_approval" => 1,
        _ => 2,
    }
}

impl Verdicts {
    fn add(&mut self, verdict: &str) {
        let count = match verdict {
            "allow" => &mut self.allow,
            "require_approval" => &mut self.require_approval,
            _ => &mut self.deny,
        };
        *count += 1;
    }

    fn merge(&mut self, other: &Verdicts) {
        self.allow += other.allow;
        self.require_approval += other.require_approval;
        self.deny += other.deny;
    }
}

impl Report {
    /// Counts one call; `is` is `None` if that cannot be told.
    pub(super) fn count(&mut self, tool: String, was: &str, is: Option<&str>, at: Timestamp) {
        self.calls += 1;
        self.since = Some(self.since.map_or(at, |since| since.min(at)));
        self.until = Some(self.until.map_or(at, |until| until.max(at)));
        let counts = self.tools.entry(tool).or_default();
        counts.calls += 1;
        counts.before.add(was);
        let Some(is) = is else {
            counts.undecidable += 1;
            self.undecidable += 1;
            return;
        };
        counts.after.add(is);
        if was == is {
            self.unchanged += 1;
            return;
        }
        counts.changed += 1;
        self.changed += 1;
        if strictness(is) < strictness(was) {
            self.loosened += 1;
        } else {
            self.tightened += 1;
        }
    }

    pub(super) fn ask(&mut self, asks: &Asks, was: &str) {
        if !self.asked.contains_key(&asks.workflow) {
            let asked = Asked { approvers: asks.approvers.clone(), ..Asked::default() };
            self.asked.insert(asks.workflow.clone(), asked);
        }
        if let Some(asked) = self.asked.get_mut(&asks.workflow) {
            asked.calls += 1;
            asked.newly += u64::from(was != "require_approval");
        }
    }

    pub(super) fn change(&mut self, change: impl FnOnce() -> Change, max: usize) {
        if self.changes.len() < max {
            self.changes.push(change());
        }
    }

    pub(super) fn leave_out(&mut self, why: &str) {
        match self.left_out.get_mut(why) {
            Some(count) => *count += 1,
            None => drop(self.left_out.insert(why.to_owned(), 1)),
        }
    }

    /// Takes in what another part of the same replay found. Lists at most `changes_max` changes.
    pub fn merge(&mut self, other: Report, changes_max: usize) {
        self.calls += other.calls;
        self.unchanged += other.unchanged;
        self.changed += other.changed;
        self.loosened += other.loosened;
        self.tightened += other.tightened;
        self.erased += other.erased;
        self.undecidable += other.undecidable;
        for (why, count) in other.left_out {
            *self.left_out.entry(why).or_default() += count;
        }
        self.since = [self.since, other.since].into_iter().flatten().min();
        self.until = self.until.max(other.until);
        for (tool, counts) in other.tools {
            let mine = self.tools.entry(tool).or_default();
            mine.calls += counts.calls;
            mine.changed += counts.changed;
            mine.undecidable += counts.undecidable;
            mine.before.merge(&counts.before);
            mine.after.merge(&counts.after);
        }
        for (workflow, asked) in other.asked {
            let mine = self.asked.entry(workflow).or_default();
            mine.approvers = asked.approvers;
            mine.calls += asked.calls;
            mine.newly += asked.newly;
        }
        let room = changes_max.saturating_sub(self.changes.len());
        self.changes.extend(other.changes.into_iter().take(room));
    }
}
