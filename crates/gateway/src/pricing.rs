//! What a model costs and how much it can take, from whoever knows.

use preloop_govern::Snapshot;
use preloop_types::{CostBound, CostSource, Exposure, Model, Rates, Timestamp};

use crate::prices;

/// A price and who says so.
#[derive(Debug, Clone)]
pub(crate) struct Price {
    pub(crate) rates: Rates,
    pub(crate) source: CostSource,
}

/// What `model` costs now; `None` is unpriced.
pub(crate) fn price(model: &Model, snapshot: &Snapshot, now: Timestamp) -> Option<Price> {
    let (rates, source) = prices::at(model, &snapshot.price_overrides, now)?;
    Some(Price { rates, source })
}

/// The most a call can cost.
pub(crate) fn bound(price: Option<&Price>, exposure: Option<&Exposure>) -> CostBound {
    match (price, exposure) {
        (None, _) => CostBound::Unpriced,
        (Some(_), None) => CostBound::Unbounded,
        (Some(price), Some(exposure)) => CostBound::AtMost(price.rates.bound(exposure)),
    }
}
