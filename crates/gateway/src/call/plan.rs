//! Which models are asked, in which order.

use std::sync::Arc;

use preloop_types::{Model, WeightedModel};

/// Most models one call goes through.
const CANDIDATES_MAX: usize = 8;

/// The models to ask for a call of `model`: itself or, where it shares its calls, one of those it shares
/// them with (drawn by weight, the others behind it), then its fallbacks.
pub(super) fn candidates(models: &[Arc<Model>], model: &Arc<Model>) -> Vec<Arc<Model>> {
    let settings = &model.settings;
    if settings.targets.is_empty() && settings.fallbacks.is_empty() {
        return vec![model.clone()];
    }
    let find = |alias: &str| models.iter().find(|model| model.alias == alias && model.enabled).cloned();
    let mut chosen: Vec<Arc<Model>> = Vec::new();
    if settings.targets.is_empty() {
        chosen.push(model.clone());
    }
    let shared = drawn(&settings.targets, || rand::random_range(0..u64::MAX));
    for alias in shared.chain(settings.fallbacks.iter().map(String::as_str)) {
        if let Some(model) = find(alias)
            && model.settings.targets.is_empty()
            && chosen.iter().all(|before| before.id != model.id)
        {
            chosen.push(model);
        }
    }
    chosen.truncate(CANDIDATES_MAX);
    chosen
}

/// The targets in an order drawn by their weights. One without weight is only ever a fallback.
fn drawn(targets: &[WeightedModel], random: impl Fn() -> u64) -> impl Iterator<Item = &str> {
    let mut left: Vec<&WeightedModel> = targets.iter().collect();
    std::iter::from_fn(move || {
        let total: u64 = left.iter().map(|target| u64::from(target.weight)).sum();
        let mut place = if total == 0 { 0 } else { random() % total };
        let drawn = left.iter().position(|target| {
            let weight = u64::from(target.weight);
            let hit = place < weight;
            place = place.saturating_sub(weight);
            hit
        });
        let drawn = drawn.unwrap_or(0);
        (drawn < left.len()).then(|| left.remove(drawn).model.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_drawn_by_weight_and_each_once() {
        let target = |model: &str, weight| WeightedModel { model: model.to_owned(), weight };
        let targets = [target("a", 1), target("b", 3), target("spare", 0)];
        let order = |random: u64| drawn(&targets, move || random).collect::<Vec<_>>();

        assert_eq!(order(0), ["a", "b", "spare"]);
        assert_eq!(order(1)[0], "b");
        assert_eq!(order(3)[0], "b");
        assert_eq!(order(7).len(), 3);
    }
}
