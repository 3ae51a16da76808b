//! Limits that were reached: recorded and told once in a window, whichever node finds it first.

use std::sync::Arc;

use preloop_store::{Event, NoticeKind};
use preloop_types::{AccountId, Budget, Entry, EntryKind, Subject, Timestamp};
use serde_json::{json, value::to_raw_value};

use super::{
    lease::Lease,
    refusal::{number, shown, whose},
};
use crate::{Alert, Governor, Message, Notice, Recipient, Result};

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
        let addressees = self.addressees(account, &budget, kind).await?;
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
                let alert = alert(&budget, end, kind, spent);
                for (address, name) in addressees {
                    let notice = Notice { to: Recipient::email(address, name), what: Message::Alert(alert.clone()) };
                    match tx.enqueue(&notice.delivery(tx.now())).await {
                        // The outbox is full; the journal says it all the same.
                        Err(preloop_store::Error::Busy) => tracing::warn!("an alert could not be queued"),
                        queued => drop(queued?),
                    }
                }
                Ok(())
            })
        });
        Ok(written.await?)
    }

    /// Who is told by mail: the budget's addresses, else the account's owner.
    async fn addressees(
        &self,
        account: AccountId,
        budget: &Budget,
        kind: NoticeKind,
    ) -> Result<Vec<(String, Option<String>)>> {
        let wanted = match kind {
            NoticeKind::Soft => budget.alerts.on_soft,
            NoticeKind::Hard => budget.alerts.on_hard,
        };
        if !wanted || !self.inner().options().email {
            return Ok(Vec::new());
        }
        if !budget.alerts.emails.is_empty() {
            return Ok(budget.alerts.emails.iter().map(|address| (address.clone(), None)).collect());
        }
        let snapshot = self.snapshot(account).await?;
        let owners = snapshot.owners();
        let owners = owners.iter().filter_map(|id| snapshot.users.get(id));
        Ok(owners.filter_map(|user| Some((user.email.clone()?, user.full_name.clone()))).collect())
    }
}

fn alert(budget: &Budget, reset: Option<Timestamp>, kind: NoticeKind, spent: i64) -> Alert {
    let name = format!("{} budget of the {}", budget.period.as_str(), whose(budget));
    let (limit, happened) = match kind {
        NoticeKind::Soft => (budget.soft, "passed its soft limit; calls go on"),
        NoticeKind::Hard => (budget.hard, "refuses calls that could pass its hard limit"),
    };
    let subject = match kind {
        NoticeKind::Soft => format!("Budget warning: the {name}"),
        NoticeKind::Hard => format!("Budget reached: the {name}"),
    };
    let reset = reset.map_or_else(|| "It does not begin anew.".to_owned(), |at| format!("It begins anew at {at}."));
    let text = format!(
        "The {name} {happened}.\n\nLimit: {}\nSpent: {}\n\n{reset} Whoever manages budgets can change it.\n",
        shown(budget.unit, limit.unwrap_or_default()),
        shown(budget.unit, spent),
    );
    Alert { subject, text }
}
