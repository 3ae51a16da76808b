//! Limits that were reached: recorded and told once in a window, whichever node finds it first.

use std::sync::Arc;

use preloop_store::{Event, NoticeKind};
use preloop_types::{Budget, Entry, EntryKind, Subject};
use serde_json::{json, value::to_raw_value};

use super::{
    lease::Lease,
    refusal::{number, whose},
};
use crate::{Governor, Result};

impl Governor {
    /// Looks whether what was settled passed the soft limit.
    pub(super) fn note_soft(&self, budget: &Arc<Budget>, lease: &Arc<Lease>) {
        if budget.soft.is_some_and(|soft| lease.standing().settled >= soft) && lease.notes(NoticeKind::Soft) {
            self.note(budget, lease, NoticeKind::Soft);
        }
    }

    /// A call was refused because of the hard limit.
    pub(super) fn note_hard(&self, budget: &Arc<Budget>, lease: &Arc<Lease>) {
        if lease.notes(NoticeKind::Hard) {
            self.note(budget, lease, NoticeKind::Hard);
        }
    }

    fn note(&self, budget: &Arc<Budget>, lease: &Arc<Lease>, kind: NoticeKind) {
        let (governor, budget, lease) = (self.clone(), budget.clone(), lease.clone());
        tokio::spawn(async move {
            if let Err(error) = governor.write_note(&budget, &lease, kind).await {
                tracing::warn!(%error, budget = %budget.id, "a limit that was reached could not be recorded");
                lease.forget_note(kind);
            }
        });
    }

    async fn write_note(&self, budget: &Arc<Budget>, lease: &Arc<Lease>, kind: NoticeKind) -> Result<()> {
        let (budget, account, key, end) = (budget.clone(), lease.account, lease.key, lease.window.end);
        let life = self.store().life();
        let written = self.store().write(account, move |tx| {
            Box::pin(async move {
                let spent = tx.budget_spent(key, life).await?.settled;
                if !tx.note_budget(key, end, kind).await? {
                    return Ok(());
                }
                let body = json!({
                    "budget": budget.id,
                    "scope": budget.subject.kind(),
                    "subject": budget.subject.id(),
                    "whose": whose(&budget),
                    "period": budget.period.as_str(),
                    "unit": budget.unit.as_str(),
                    "window": key.start,
                    "reset_at": end,
                    "soft": budget.soft.map(|amount| number(budget.unit, amount)),
                    "hard": budget.hard.map(|amount| number(budget.unit, amount)),
                    "spent": number(budget.unit, spent),
                });
                tx.record(Entry {
                    account,
                    kind: match kind {
                        NoticeKind::Soft => EntryKind::BudgetSoftReached,
                        NoticeKind::Hard => EntryKind::BudgetHardReached,
                    },
                    call: None,
                    subject: Subject::default(),
                    body: to_raw_value(&body).unwrap_or_default(),
                    payload: None,
                });
                tx.emit(Event::BudgetReached { account, id: budget.id });
                Ok(())
            })
        });
        Ok(written.await?)
    }
}
