use preloop_types::{ModelPattern, PriceId, PriceOverride};
use uuid::Uuid;

use crate::{
    Error, Result, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, micros, opt_from_json, opt_json, row},
};

row! {
    struct PriceRow {
        id: Uuid, model: String, rates: Option<String>, discount_percent: i64, effective_from: Option<i64>,
        effective_until: Option<i64>, note: Option<String>, created_at: i64, updated_at: i64,
    }
}

impl PriceRow {
    fn into_override(self) -> Result<PriceOverride> {
        let percent = u8::try_from(self.discount_percent);
        Ok(PriceOverride {
            id: PriceId(self.id),
            model: ModelPattern(self.model),
            rates: opt_from_json(self.rates.as_deref())?,
            discount_percent: percent.map_err(|_| Error::Damaged("a discount beyond 100 percent".to_owned()))?,
            effective_from: self.effective_from.map(at),
            effective_until: self.effective_until.map(at),
            note: self.note,
            created_at: at(self.created_at),
            updated_at: at(self.updated_at),
        })
    }
}

impl View<'_> {
    /// The account's own prices, oldest first.
    pub async fn price_overrides(&mut self) -> Result<Vec<PriceOverride>> {
        let account = self.account().0;
        let sql = "SELECT * FROM price_overrides WHERE account_id = $1 ORDER BY created_at, id";
        fetch_all!(self.conn, PriceRow, sql, account)?.into_iter().map(PriceRow::into_override).collect()
    }

    /// One of the account's own prices.
    pub async fn price_override(&mut self, id: PriceId) -> Result<Option<PriceOverride>> {
        let account = self.account().0;
        let sql = "SELECT * FROM price_overrides WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, PriceRow, sql, account, id.0)?.map(PriceRow::into_override).transpose()
    }
}

impl Tx<'_> {
    /// Adds a price.
    pub async fn insert_price_override(&mut self, price: &PriceOverride) -> Result<()> {
        let sql = "INSERT INTO price_overrides (account_id, id, model, rates, discount_percent, effective_from, \
                   effective_until, note, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        self.put_price_override(sql, price).await.map(drop)
    }

    /// Replaces a price.
    pub async fn update_price_override(&mut self, price: &PriceOverride) -> Result<()> {
        let sql = "UPDATE price_overrides SET model = $3, rates = $4, discount_percent = $5, effective_from = $6, \
                   effective_until = $7, note = $8, updated_at = $10 \
                   WHERE account_id = $1 AND id = $2 AND created_at = $9";
        found(self.put_price_override(sql, price).await?)
    }

    async fn put_price_override(&mut self, sql: &'static str, price: &PriceOverride) -> Result<u64> {
        self.config_changed();
        let account = self.account().0;
        execute!(
            self.conn,
            sql,
            account,
            price.id.0,
            &price.model.0[..],
            opt_json(price.rates.as_ref())?,
            i64::from(price.discount_percent),
            micros(price.effective_from),
            micros(price.effective_until),
            price.note.as_deref(),
            price.created_at.micros(),
            price.updated_at.micros()
        )
    }

    /// Removes a price.
    pub async fn delete_price_override(&mut self, id: PriceId) -> Result<()> {
        self.config_changed();
        let account = self.account().0;
        let sql = "DELETE FROM price_overrides WHERE account_id = $1 AND id = $2";
        found(execute!(self.conn, sql, account, id.0)?)
    }
}
