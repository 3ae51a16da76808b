//! Budgets as they are configured. What was spent of them is the ledger's.

use preloop_types::{Budget, BudgetId, BudgetSubject, BudgetUnit, ModelPattern, Period};
use uuid::Uuid;

use crate::{
    Error, Result, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, from_json, json, row, word},
};

row! {
    struct BudgetRow {
        id: Uuid, subject_type: String, subject_id: String, model: String, period: String, unit: String,
        hard: Option<i64>, soft: Option<i64>, alerts: String, created_at: i64, updated_at: i64,
    }
}

impl BudgetRow {
    fn into_budget(self) -> Result<Budget> {
        let id = (!self.subject_id.is_empty()).then_some(self.subject_id.as_str());
        let subject = BudgetSubject::parse(&self.subject_type, id)
            .ok_or_else(|| Error::Damaged(format!("a budget of unknown subject `{}`", self.subject_type)))?;
        Ok(Budget {
            id: BudgetId(self.id),
            subject,
            model: (!self.model.is_empty()).then_some(ModelPattern(self.model)),
            period: word(Period::parse, &self.period)?,
            unit: word(BudgetUnit::parse, &self.unit)?,
            hard: self.hard,
            soft: self.soft,
            alerts: from_json(&self.alerts)?,
            created_at: at(self.created_at),
            updated_at: at(self.updated_at),
        })
    }
}

impl View<'_> {
    /// Every budget, oldest first.
    pub async fn budgets(&mut self) -> Result<Vec<Budget>> {
        let account = self.account().0;
        let sql = "SELECT * FROM budgets WHERE account_id = $1 ORDER BY created_at, id";
        fetch_all!(self.conn, BudgetRow, sql, account)?.into_iter().map(BudgetRow::into_budget).collect()
    }

    /// One budget.
    pub async fn budget(&mut self, id: BudgetId) -> Result<Option<Budget>> {
        let account = self.account().0;
        let sql = "SELECT * FROM budgets WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, BudgetRow, sql, account, id.0)?.map(BudgetRow::into_budget).transpose()
    }
}

impl Tx<'_> {
    /// Adds a budget.
    pub async fn insert_budget(&mut self, budget: &Budget) -> Result<()> {
        let sql = "INSERT INTO budgets (account_id, id, subject_type, subject_id, model, period, unit, hard, soft, \
                   alerts, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        self.put_budget(sql, budget).await.map(drop)
    }

    /// Replaces a budget's limits and alerts. What it counts stays: another count is another budget.
    pub async fn update_budget(&mut self, budget: &Budget) -> Result<()> {
        let sql = "UPDATE budgets SET hard = $8, soft = $9, alerts = $10, updated_at = $12 \
                   WHERE account_id = $1 AND id = $2 AND subject_type = $3 AND subject_id = $4 AND model = $5 \
                   AND period = $6 AND unit = $7 AND created_at = $11";
        found(self.put_budget(sql, budget).await?)
    }

    async fn put_budget(&mut self, sql: &'static str, budget: &Budget) -> Result<u64> {
        self.config_changed();
        let account = self.account().0;
        execute!(
            self.conn,
            sql,
            account,
            budget.id.0,
            budget.subject.kind(),
            budget.subject.id().unwrap_or_default(),
            budget.model.as_ref().map_or("", |model| &model.0),
            budget.period.as_str(),
            budget.unit.as_str(),
            budget.hard,
            budget.soft,
            json(&budget.alerts)?,
            budget.created_at.micros(),
            budget.updated_at.micros()
        )
    }

    /// Removes a budget.
    pub async fn delete_budget(&mut self, id: BudgetId) -> Result<()> {
        self.config_changed();
        let account = self.account().0;
        let sql = "DELETE FROM budgets WHERE account_id = $1 AND id = $2";
        found(execute!(self.conn, sql, account, id.0)?)
    }
}
