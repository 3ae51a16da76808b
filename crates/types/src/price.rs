//! An account's own prices.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Model, ModelPattern, PerMillion, PriceId, Rates, Tier, Timestamp};

/// What some models cost this account, whatever the catalogue says: a negotiated price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceOverride {
    /// Its id.
    pub id: PriceId,
    /// Which models.
    pub model: ModelPattern,
    /// What they cost; as they would cost otherwise when absent.
    pub rates: Option<Rates>,
    /// How much less, in percent (0 to 100).
    pub discount_percent: u8,
    /// When it begins to hold.
    pub effective_from: Option<Timestamp>,
    /// When it no longer holds.
    pub effective_until: Option<Timestamp>,
    /// Why, for people.
    pub note: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

words! {
    /// Who says what a model costs.
    PriceSource {
        /// A price override of the account.
        Override = "override",
        /// The model itself.
        ModelConfig = "model_config",
        /// The catalogue that comes with Preloop.
        Catalog = "catalog",
    }
}

impl PriceOverride {
    /// Whether it is about `model` at that time.
    pub fn holds(&self, model: &Model, at: Timestamp) -> bool {
        self.effective_from.is_none_or(|from| from <= at)
            && self.effective_until.is_none_or(|until| at < until)
            && self.model.matches(model)
    }

    /// The one among `overrides` that is about `model` most precisely; of equals the newest.
    pub fn for_model<'o>(overrides: &'o [PriceOverride], model: &Model, at: Timestamp) -> Option<&'o PriceOverride> {
        let holding = overrides.iter().filter(|price| price.holds(model, at));
        holding.max_by_key(|price| (price.model.precision(), price.effective_from, price.created_at))
    }
}

impl Rates {
    /// What `model` costs, and who says so: the account's override, the model itself, the `catalogue`.
    /// `None` is unpriced.
    pub fn of<'r>(
        model: &'r Model,
        overrides: &'r [PriceOverride],
        catalogue: Option<&'r Rates>,
        at: Timestamp,
    ) -> Option<(Cow<'r, Rates>, PriceSource)> {
        let own = model.pricing.as_ref().map(|rates| (rates, PriceSource::ModelConfig));
        let usual = own.or_else(|| catalogue.map(|rates| (rates, PriceSource::Catalog)));
        let Some(price) = PriceOverride::for_model(overrides, model, at) else {
            return usual.map(|(rates, source)| (Cow::Borrowed(rates), source));
        };
        let rates = price.rates.as_ref().or(usual.map(|(rates, _)| rates))?;
        let rates = match price.discount_percent {
            0 => Cow::Borrowed(rates),
            percent => Cow::Owned(rates.discounted(percent)),
        };
        Some((rates, PriceSource::Override))
    }

    /// The same rates, lower by `percent`; fractions of a nano-dollar are rounded up.
    #[must_use]
    pub fn discounted(&self, percent: u8) -> Rates {
        let share = 100 - u64::from(percent.min(100));
        let less = |rate: PerMillion| {
            let scaled = (u128::from(rate.0) * u128::from(share)).div_ceil(100);
            PerMillion(u64::try_from(scaled).unwrap_or(u64::MAX))
        };
        let fixed = |amount: crate::NanoUsd| {
            let scaled = less(PerMillion(u64::try_from(amount.0).unwrap_or_default()));
            crate::NanoUsd(i64::try_from(scaled.0).unwrap_or(i64::MAX))
        };
        Rates {
            input: less(self.input),
            output: less(self.output),
            cache_read: self.cache_read.map(less),
            cache_write_5m: self.cache_write_5m.map(less),
            cache_write_1h: self.cache_write_1h.map(less),
            reasoning: self.reasoning.map(less),
            input_audio: self.input_audio.map(less),
            output_audio: self.output_audio.map(less),
            input_image: self.input_image.map(less),
            output_image: self.output_image.map(less),
            per_request: fixed(self.per_request),
            per_web_search: fixed(self.per_web_search),
            tiers: self
                .tiers
                .iter()
                .map(|tier| Tier { context_over: tier.context_over, rates: Box::new(tier.rates.discounted(percent)) })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelId, ModelSettings};

    const NOON: Timestamp = Timestamp::from_micros(1_000_000);

    fn rates(input: &str) -> Rates {
        Rates { input: input.parse().unwrap(), output: "9".parse().unwrap(), ..Rates::default() }
    }

    fn model(pricing: Option<Rates>) -> Model {
        Model {
            id: ModelId::new(NOON),
            alias: "openai/gpt-x".to_owned(),
            provider: "openai".to_owned(),
            identifier: "gpt-x".to_owned(),
            description: None,
            endpoint: None,
            enabled: true,
            is_default: false,
            tags: Vec::new(),
            settings: ModelSettings::default(),
            pricing,
            created_at: NOON,
            updated_at: NOON,
        }
    }

    fn price(model: &str, rates: Option<Rates>, discount_percent: u8) -> PriceOverride {
        PriceOverride {
            id: PriceId::new(NOON),
            model: ModelPattern(model.to_owned()),
            rates,
            discount_percent,
            effective_from: None,
            effective_until: None,
            note: None,
            created_at: NOON,
            updated_at: NOON,
        }
    }

    fn input(model: &Model, overrides: &[PriceOverride], catalogue: Option<&Rates>) -> Option<(String, PriceSource)> {
        Rates::of(model, overrides, catalogue, NOON).map(|(rates, source)| (rates.input.to_string(), source))
    }

    #[test]
    fn the_nearest_word_about_a_price_counts() {
        let (catalogue, negotiated) = (rates("4"), [price("openai/*", Some(rates("2")), 0)]);
        let said = |text: &str, source| Some((text.to_owned(), source));

        assert_eq!(input(&model(None), &[], None), None);
        assert_eq!(input(&model(None), &[], Some(&catalogue)), said("4", PriceSource::Catalog));
        assert_eq!(input(&model(Some(rates("3"))), &[], Some(&catalogue)), said("3", PriceSource::ModelConfig));
        assert_eq!(input(&model(Some(rates("3"))), &negotiated, Some(&catalogue)), said("2", PriceSource::Override));
    }

    #[test]
    fn a_discount_is_off_whatever_it_costs_otherwise_and_of_nothing_when_nothing_is_known() {
        let discount = [price("*", None, 25)];
        assert_eq!(input(&model(None), &discount, Some(&rates("4"))), Some(("3".to_owned(), PriceSource::Override)));
        assert_eq!(input(&model(None), &discount, None), None);
        assert_eq!(rates("0.000000001").discounted(50).input.to_string(), "0.000000001", "rounded up");
    }

    #[test]
    fn the_narrowest_override_that_holds_now_wins() {
        let mut over = price("gpt-x", Some(rates("1")), 0);
        over.effective_until = Some(NOON);
        let overrides = [price("openai/gpt-x", Some(rates("5")), 0), price("*", Some(rates("6")), 0), over];
        assert_eq!(input(&model(None), &overrides, None), Some(("5".to_owned(), PriceSource::Override)));
    }
}
