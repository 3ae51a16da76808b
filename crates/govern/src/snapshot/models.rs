//! Which models a caller may use. What lists models and what calls them ask the same.

use std::{borrow::Cow, sync::Arc};

use preloop_types::{
    Model, ModelPattern, PriceSource, Principal, Rates, Timestamp,
    config::{SubjectGovernance, SubjectRef},
};

use super::Snapshot;

impl Snapshot {
    /// What narrows `who`, from the wider to the narrower: its agent, then its key.
    pub fn narrowing(&self, who: &Principal) -> impl Iterator<Item = (SubjectRef, &SubjectGovernance)> {
        let agent = who.agent.as_ref().map(|agent| SubjectRef::Agent(agent.id));
        let subjects = agent.into_iter().chain([SubjectRef::Key(who.key)]);
        subjects.filter_map(|subject| Some((subject, self.governance.get(&subject)?)))
    }

    /// The scope whose list does not name `model`: `account`, `agent` or `key`. `None`: `who` may use
    /// it. `requested` is what the caller called it.
    pub fn forbidden_by(&self, who: &Principal, model: &Model, requested: Option<&str>) -> Option<&'static str> {
        let account = ("account", &self.model_settings.allowed_models);
        let narrower = self.narrowing(who).map(|(subject, governance)| (scope(subject), &governance.allowed_models));
        let mut lists = std::iter::once(account).chain(narrower);
        lists.find(|(_, list)| !names(list, model, requested)).map(|(scope, _)| scope)
    }

    /// Whether every list that is about `who` names `model`, or is empty. Says nothing of whether the
    /// model is enabled.
    pub fn may_use(&self, who: &Principal, model: &Model, requested: Option<&str>) -> bool {
        self.forbidden_by(who, model, requested).is_none()
    }

    /// The models `who` may know of, by alias.
    pub fn visible_models(&self, who: &Principal) -> Vec<Arc<Model>> {
        let visible = self.models.iter().filter(|model| model.enabled && self.may_use(who, model, None));
        visible.cloned().collect()
    }

    /// What `model` costs now and who says so, where `catalogue` says what it costs usually; `None` is
    /// unpriced.
    pub fn rates<'r>(
        &'r self,
        model: &'r Model,
        catalogue: Option<&'r Rates>,
        at: Timestamp,
    ) -> Option<(Cow<'r, Rates>, PriceSource)> {
        Rates::of(model, &self.price_overrides, catalogue, at)
    }
}

const fn scope(subject: SubjectRef) -> &'static str {
    match subject {
        SubjectRef::Agent(_) => "agent",
        SubjectRef::Key(_) => "key",
    }
}

fn names(list: &[ModelPattern], model: &Model, requested: Option<&str>) -> bool {
    let named = |pattern: &ModelPattern| {
        pattern.matches(model) || requested.is_some_and(|requested| pattern.matches_name(requested))
    };
    list.is_empty() || list.iter().any(named)
}
