//! An account's own prices.

use preloop_store::Tx;
use preloop_types::{ModelPattern, PriceId, PriceOverride, Principal, Rates, Timestamp};

use super::{
    Config, ConfigError, Patch, Result, limits,
    record::{Actor, What},
};

/// What to change about a price; to make one, what it shall be.
#[derive(Debug, Clone, Default)]
pub struct PriceChange {
    /// Which models: an alias, a glob or `tag:<label>`.
    pub model: Option<String>,
    /// What they cost.
    pub rates: Patch<Rates>,
    /// How much less, in percent.
    pub discount_percent: Option<u8>,
    /// When it begins to hold.
    pub effective_from: Patch<Timestamp>,
    /// When it no longer holds.
    pub effective_until: Patch<Timestamp>,
    /// Why, for people.
    pub note: Patch<String>,
}

impl Config {
    /// Adds a price.
    pub async fn create_price(&self, who: &Principal, change: PriceChange) -> Result<PriceOverride> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                limits::room("price overrides", tx.price_overrides().await?.len(), limits::PRICES_MAX)?;
                let now = tx.now();
                let model = change.model.clone().ok_or_else(|| ConfigError::invalid("model", "is missing"))?;
                let blank = PriceOverride {
                    id: PriceId::new(now),
                    model: ModelPattern(model),
                    rates: None,
                    discount_percent: 0,
                    effective_from: None,
                    effective_until: None,
                    note: None,
                    created_at: now,
                    updated_at: now,
                };
                let price = changed(blank, change)?;
                tx.insert_price_override(&price).await?;
                by.changed(tx, What::PriceOverride, (price.id.0, &price.model.0), None::<&PriceOverride>, Some(&price));
                Ok(price)
            })
        })
        .await
    }

    /// Changes a price. What was charged already stays.
    pub async fn update_price(&self, who: &Principal, id: PriceId, change: PriceChange) -> Result<PriceOverride> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = find(tx, id).await?;
                let mut new = changed(old.clone(), change)?;
                if new != old {
                    new.updated_at = tx.now();
                    tx.update_price_override(&new).await?;
                    by.changed(tx, What::PriceOverride, (id.0, &new.model.0), Some(&old), Some(&new));
                }
                Ok(new)
            })
        })
        .await
    }

    /// Removes a price. What was charged already stays.
    pub async fn delete_price(&self, who: &Principal, id: PriceId) -> Result<()> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = find(tx, id).await?;
                tx.delete_price_override(id).await?;
                by.changed(tx, What::PriceOverride, (id.0, &old.model.0), Some(&old), None::<&PriceOverride>);
                Ok(())
            })
        })
        .await
    }
}

async fn find(tx: &mut Tx<'_>, id: PriceId) -> Result<PriceOverride> {
    tx.price_override(id).await?.ok_or(ConfigError::NotFound("price override"))
}

fn changed(mut price: PriceOverride, change: PriceChange) -> Result<PriceOverride> {
    if let Some(model) = change.model {
        price.model = ModelPattern(model);
    }
    limits::model_pattern("model", &price.model)?;
    if let Some(rates) = change.rates {
        price.rates = rates.map(|rates| limits::rates("rates", rates)).transpose()?;
    }
    price.discount_percent = change.discount_percent.unwrap_or(price.discount_percent);
    limits::range("discount_percent", price.discount_percent.into(), 0, 100)?;
    if price.rates.is_none() && price.discount_percent == 0 {
        return Err(ConfigError::invalid("rates", "are missing, and there is no `discount_percent` either"));
    }
    price.effective_from = change.effective_from.unwrap_or(price.effective_from);
    price.effective_until = change.effective_until.unwrap_or(price.effective_until);
    if let (Some(from), Some(until)) = (price.effective_from, price.effective_until)
        && until <= from
    {
        return Err(ConfigError::invalid("effective_until", "is not after `effective_from`"));
    }
    if let Some(note) = change.note {
        price.note = note.map(|note| limits::text("note", &note, limits::TEXT_MAX)).transpose()?;
    }
    Ok(price)
}
