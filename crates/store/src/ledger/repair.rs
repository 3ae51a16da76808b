//! Corrections of what calls cost, once a wrong price was repaired. Records stay as they are; what was added
//! up from them follows.

use preloop_types::{Subject, Timestamp, WriterId};

use super::{WindowKey, batch::HOUR, batch::subject_ids, shares::PAST};
use crate::{Event, Result, Tx, db::execute};

/// What changes in the sums that the record of one call was added to.
#[derive(Debug, Clone, Copy)]
pub struct UsageCorrection<'a> {
    /// The record's chain.
    pub chain: WriterId,
    /// When it was chained.
    pub at: Timestamp,
    /// Whose call it was.
    pub subject: Subject,
    /// The model's alias.
    pub model: &'a str,
    /// Who served it.
    pub provider: &'a str,
    /// How it ended.
    pub outcome: &'a str,
    /// How much more it costs, in nano-dollars; less where negative.
    pub cost: i64,
    /// Whether it has no price, whether its price is zero: what that adds.
    pub unpriced: i64,
    /// See `unpriced`.
    pub zero_priced: i64,
}

impl Tx<'_> {
    /// Until the end of this transaction nobody else repairs costs of the account.
    pub async fn repair_alone(&mut self) -> Result<()> {
        let account = self.account().0;
        self.lock(&[&b"repair"[..], account.as_bytes()].concat()).await
    }

    /// Corrects the sums of one call's hour.
    pub async fn correct_usage(&mut self, of: UsageCorrection<'_>) -> Result<()> {
        let Some(chain) = self.chain_id(of.chain).await? else { return Ok(()) };
        let sql = "UPDATE usage_rollups SET cost = cost + $1, unpriced = unpriced + $2, zero_priced = zero_priced + $3 \
                   WHERE account_id = $4 AND hour = $5 AND chain_id = $6 AND user_id = $7 AND key_id = $8 \
                   AND agent_id = $9 AND session_id = $10 AND model = $11 AND provider = $12 AND outcome = $13";
        let hour = of.at.micros() - of.at.micros().rem_euclid(HOUR);
        let [user, key, agent, session] = subject_ids(of.subject);
        let account = self.account().0;
        execute!(
            self.conn,
            sql,
            of.cost,
            of.unpriced,
            of.zero_priced,
            account,
            hour,
            chain,
            user,
            key,
            agent,
            session,
            of.model,
            of.provider,
            of.outcome
        )?;
        Ok(())
    }

    /// Adds to what is spent of a window, or takes from it, if the window is still kept. Nodes give back what
    /// they hold of the budget, so that the next calls are measured by the corrected sum.
    pub async fn correct_budget(&mut self, window: WindowKey, change: i64) -> Result<()> {
        self.lock_window(window).await?;
        let sql = "INSERT INTO budget_shares \
                   (budget_id, subject_id, window_start, life, account_id, writer_id, window_end, settled, leased) \
                   SELECT budget_id, subject_id, window_start, $4, account_id, $4, MAX(window_end), $6, 0 \
                   FROM budget_shares WHERE budget_id = $1 AND subject_id = $2 AND window_start = $3 \
                   AND account_id = $5 GROUP BY budget_id, subject_id, window_start, account_id \
                   ON CONFLICT (budget_id, subject_id, window_start, life) \
                   DO UPDATE SET settled = budget_shares.settled + excluded.settled";
        let account = self.account();
        let (budget, subject, start) = (window.budget.0, window.subject, window.start.micros());
        execute!(self.conn, sql, budget, subject, start, PAST, account.0, change)?;
        self.emit(Event::BudgetWanted { account, id: window.budget });
        Ok(())
    }
}
