//! Budgets.

use preloop_store::Tx;
use preloop_types::{Budget, BudgetAlerts, BudgetId, BudgetSubject, BudgetUnit, ModelPattern, Period, Principal};

use super::{
    Config, ConfigError, Patch, Result, limits,
    record::{Actor, What},
};

/// A budget to be made.
#[derive(Debug, Clone)]
pub struct NewBudget {
    /// Whose calls it counts.
    pub subject: BudgetSubject,
    /// Calls of which models.
    pub model: Option<ModelPattern>,
    /// How long it lasts before it begins anew.
    pub period: Period,
    /// What it counts.
    pub unit: BudgetUnit,
    /// Calls that could pass it are refused.
    pub hard: Option<i64>,
    /// Passing it is reported.
    pub soft: Option<i64>,
    /// Who is told.
    pub alerts: BudgetAlerts,
}

/// What to change about a budget. What it counts stays: another count is another budget.
#[derive(Debug, Clone, Default)]
pub struct BudgetChange {
    /// Calls that could pass it are refused.
    pub hard: Patch<i64>,
    /// Passing it is reported.
    pub soft: Patch<i64>,
    /// Who is told.
    pub alerts: Option<BudgetAlerts>,
}

impl Config {
    /// Makes a budget. It counts from now on; what was spent before in its window is not known to it.
    pub async fn create_budget(&self, who: &Principal, new: NewBudget) -> Result<Budget> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let budgets = tx.budgets().await?;
                limits::room("budgets", budgets.len(), limits::BUDGETS_MAX)?;
                exists(tx, &new.subject).await?;
                let NewBudget { subject, model, period, unit, hard, soft, alerts } = new;
                let now = tx.now();
                let id = BudgetId::new(now);
                let budget =
                    Budget { id, subject, model, period, unit, hard, soft, alerts, created_at: now, updated_at: now };
                check(&budget)?;
                if budgets.iter().any(|other| counted(other) == counted(&budget)) {
                    return Err(ConfigError::Refused("a budget that counts the same already exists; change it".into()));
                }
                tx.insert_budget(&budget).await?;
                by.changed(tx, What::Budget, (id.0, &name(&budget)), None::<&Budget>, Some(&budget));
                Ok(budget)
            })
        })
        .await
    }

    /// Changes a budget's limits. Calls that are running keep what they reserved.
    pub async fn update_budget(&self, who: &Principal, id: BudgetId, change: BudgetChange) -> Result<Budget> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = find(tx, id).await?;
                let mut new = old.clone();
                new.hard = change.hard.unwrap_or(new.hard);
                new.soft = change.soft.unwrap_or(new.soft);
                new.alerts = change.alerts.unwrap_or(new.alerts);
                check(&new)?;
                if new != old {
                    new.updated_at = tx.now();
                    tx.update_budget(&new).await?;
                    by.changed(tx, What::Budget, (id.0, &name(&new)), Some(&old), Some(&new));
                }
                Ok(new)
            })
        })
        .await
    }

    /// Removes a budget.
    pub async fn delete_budget(&self, who: &Principal, id: BudgetId) -> Result<()> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = find(tx, id).await?;
                tx.delete_budget(id).await?;
                by.changed(tx, What::Budget, (id.0, &name(&old)), Some(&old), None::<&Budget>);
                Ok(())
            })
        })
        .await
    }
}

async fn find(tx: &mut Tx<'_>, id: BudgetId) -> Result<Budget> {
    tx.budget(id).await?.ok_or(ConfigError::NotFound("budget"))
}

/// What makes two budgets the same.
fn counted(budget: &Budget) -> impl PartialEq {
    (budget.subject.clone(), budget.model.clone(), budget.period, budget.unit)
}

/// How the journal calls it: `daily usd of key`.
fn name(budget: &Budget) -> String {
    format!("{} {} of {}", budget.period.as_str(), budget.unit.as_str(), budget.subject.kind())
}

fn check(budget: &Budget) -> Result<()> {
    if let Some(model) = &budget.model {
        limits::model_pattern("model", model)?;
    }
    for (field, limit) in [("hard_limit", budget.hard), ("soft_limit", budget.soft)] {
        if limit.is_some_and(|limit| limit < 0) {
            return Err(ConfigError::invalid(field, "is negative"));
        }
    }
    match (budget.hard, budget.soft) {
        (None, None) => Err(ConfigError::invalid("hard_limit", "is missing, and there is no `soft_limit` either")),
        (Some(hard), Some(soft)) if soft > hard => {
            Err(ConfigError::invalid("soft_limit", "is above `hard_limit`, so it would never be reached"))
        }
        _ => Ok(()),
    }?;
    limits::count("notification_emails", budget.alerts.emails.len(), limits::ITEMS_MAX)?;
    budget.alerts.emails.iter().try_for_each(|email| limits::email("notification_emails", email).map(drop))
}

/// The subject is one of this account. Runs of agents come and go: one that is gone counts nothing.
async fn exists(tx: &mut Tx<'_>, subject: &BudgetSubject) -> Result<()> {
    let exists = match subject {
        BudgetSubject::User(Some(id)) => tx.user(*id).await?.is_some(),
        BudgetSubject::Team(id) => tx.team(*id).await?.is_some(),
        BudgetSubject::Key(Some(id)) => tx.key(*id).await?.is_some(),
        BudgetSubject::Agent(Some(id)) => tx.agent(*id).await?.is_some(),
        BudgetSubject::Tag(tag) => {
            limits::name("subject_id", tag)?;
            true
        }
        _ => true,
    };
    if exists {
        return Ok(());
    }
    Err(ConfigError::invalid("subject_id", format!("there is no such {} in this account", subject.kind())))
}
