//! An approver changes the arguments before approving: the vote is about the call as changed, which the
//! policy decides anew now and once more before it runs.

use std::sync::Arc;

use preloop_store::{Approval, NewEdit};
use preloop_types::{ApprovalId, Hash, UserId, Verdict, canonical_json, redact::REDACTED, redact::redact};
use serde::Serialize;
use serde_json::{Value, value::RawValue, value::to_raw_value};

use super::{
    Approvals,
    question::Enquiry,
    shown::{Change, Shown, call_as_asked, call_with, changes},
};
use crate::{Error, Result};

/// Longest arguments, in bytes.
const BYTES_MAX: usize = 1024 * 1024;

/// A change of arguments that may be made.
pub(super) struct Edited {
    pub(super) new: NewEdit,
    pub(super) changes: Vec<Change>,
}

/// The record of a change.
#[derive(Serialize)]
pub(super) struct Record<'a> {
    pub(super) approval: ApprovalId,
    pub(super) by: UserId,
    pub(super) from: Hash,
    pub(super) to: Hash,
    pub(super) changes: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<&'a str>,
}

impl Approvals<'_> {
    /// The arguments that `by` wants instead, if they differ from those there are and may run.
    pub(super) async fn edited(
        &self,
        approval: &Approval,
        by: UserId,
        saw: Option<Hash>,
        wanted: &RawValue,
    ) -> Result<Option<Edited>> {
        let refused = |text: String| Err(Error::Invalid(text));
        let now: Value = parsed(approval.arguments_to_run()?.get())?;
        if Enquiry::of(&approval.tool, &now).is_some() {
            return refused("a question has no arguments to change: answer it".to_owned());
        }
        let snapshot = self.governor.snapshot(approval.account).await?;
        let allowed = snapshot.workflows.get(&approval.workflow).is_some_and(|workflow| workflow.settings.allow_edits);
        if !allowed {
            return Err(Error::Forbidden(format!(
                "workflow `{}` does not let approvers change arguments: decline and say what should change",
                approval.workflow_name
            )));
        }
        if wanted.get().len() > BYTES_MAX {
            return refused(format!("the arguments are longer than {BYTES_MAX} bytes"));
        }
        let mut edited = parsed(wanted.get())?;
        if !edited.is_object() {
            return refused("the arguments have to be a JSON object".to_owned());
        }
        let mut seen = now.clone();
        redact(&mut seen);
        unhide(&mut edited, &seen, &now);
        if holds_mark(&edited) && !holds_mark(&now) {
            return refused(format!("`{REDACTED}` stands for a value you were not shown; leave it where it was"));
        }
        // What is spelled the same stays as it came, numbers included.
        if edited == now {
            return Ok(None);
        }
        let raw: Arc<RawValue> =
            Arc::from(to_raw_value(&edited).map_err(|error| Error::Invalid(format!("the arguments: {error}")))?);
        let args_hash = match canonical_json(raw.get()) {
            Ok(canonical) => Hash::of(canonical),
            Err(error) => return refused(format!("the arguments: {error}")),
        };
        let call = call_with(approval, raw.clone());
        let Some(who) = self.requester(approval).await? else {
            return Err(Error::Conflict("the credential that asked is not valid any more".to_owned()));
        };
        let at = self.governor.now();
        let asked = snapshot.decide(&who, &call_as_asked(approval)?, at);
        let decision = snapshot.decide(&who, &call, at);
        if let Some(why) = refuses(asked.verdict, decision.verdict) {
            return refused(format!("with these arguments {why}: {}", decision.reason));
        }
        let original: Value = parsed(approval.arguments()?.get())?;
        let changes = changes(&original, &edited);
        let shown = Shown::of(&call, &decision.reason, None, &changes);
        let new = NewEdit {
            by,
            saw: saw.or(approval.shown_hash),
            arguments: raw.get().to_owned(),
            args_hash,
            preview: shown.preview,
            shown_hash: shown.hash,
        };
        Ok(Some(Edited { new, changes }))
    }

    /// What an approver changed about a call, secrets hidden; nothing if nobody did.
    pub fn changes_of(approval: &Approval) -> Result<Vec<Change>> {
        if approval.edit.is_none() {
            return Ok(Vec::new());
        }
        Ok(changes(&parsed(approval.arguments()?.get())?, &parsed(approval.arguments_to_run()?.get())?))
    }
}

/// Why a call that was changed may not run on the approval of those who were asked about the original, if so: it is
/// denied, or others would have been asked.
pub(super) fn refuses(original: Verdict, changed: Verdict) -> Option<&'static str> {
    match (original, changed) {
        (_, Verdict::Deny) => Some("the policy denies the call"),
        (_, Verdict::Allow) => None,
        (original, changed) if original == changed => None,
        (_, Verdict::Ask(_)) => Some("other approvers have to be asked"),
    }
}

fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Error::Invalid(format!("the arguments are not JSON: {error}")))
}

/// Puts back what the approver was not shown and left as it was.
fn unhide(edited: &mut Value, seen: &Value, real: &Value) {
    match (edited, seen, real) {
        (Value::Object(edited), Value::Object(seen), Value::Object(real)) => {
            for (name, value) in edited {
                if let (Some(seen), Some(real)) = (seen.get(name), real.get(name)) {
                    unhide(value, seen, real);
                }
            }
        }
        (Value::Array(edited), Value::Array(seen), Value::Array(real)) => {
            for ((value, seen), real) in edited.iter_mut().zip(seen).zip(real) {
                unhide(value, seen, real);
            }
        }
        (edited, seen, real) if edited == seen && seen != real => *edited = real.clone(),
        _ => {}
    }
}

fn holds_mark(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(REDACTED),
        Value::Array(items) => items.iter().any(holds_mark),
        Value::Object(members) => members.values().any(holds_mark),
        _ => false,
    }
}
