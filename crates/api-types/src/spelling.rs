//! Schemas of the words that `preloop-types` owns: the document lists exactly what the parser
//! takes.

use preloop_types::{
    BudgetUnit, Period,
    config::{Capture, Justification, Language, OnUnpriced, PinMode, PinState, PrefixMode, RuleAction, ServerStatus},
};
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

fn words(words: impl Iterator<Item = &'static str>, nullable: bool) -> Object {
    let values = words.map(serde_json::Value::from).chain(nullable.then_some(serde_json::Value::Null));
    let kind = if nullable { SchemaType::from_iter([Type::String, Type::Null]) } else { SchemaType::new(Type::String) };
    ObjectBuilder::new().schema_type(kind).enum_values(Some(values.collect::<Vec<_>>())).build()
}

macro_rules! spellings {
    ($($name:ident = $word:ident $nullable:literal;)*) => {$(
        pub(crate) fn $name() -> Object {
            words($word::ALL.iter().map(|word| word.as_str()), $nullable)
        }
    )*};
}

spellings! {
    rule_action = RuleAction false;
    rule_action_or_null = RuleAction true;
    language = Language false;
    language_or_null = Language true;
    justification_or_null = Justification true;
    server_status = ServerStatus false;
    server_status_or_null = ServerStatus true;
    pin_state = PinState false;
    pin_state_or_null = PinState true;
    pin_mode_or_null = PinMode true;
    prefix_mode_or_null = PrefixMode true;
    period = Period false;
    period_or_null = Period true;
    budget_unit = BudgetUnit false;
    budget_unit_or_null = BudgetUnit true;
    on_unpriced = OnUnpriced false;
    on_unpriced_or_null = OnUnpriced true;
    capture = Capture false;
    capture_or_null = Capture true;
}
