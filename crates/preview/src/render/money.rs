//! Amounts of money.

use crate::{Level, call::Seen, draft::Draft, json::Json, names};

/// Last words of members that hold an amount.
const AMOUNTS: &[&str] = &["amount", "price", "total", "subtotal", "fee", "cost", "payment", "refund", "budget", "sum"];
/// Members beside it that say of which currency.
const CURRENCIES: &[&str] = &["currency", "currency_code", "ccy", "asset", "unit"];
/// Words that say money moves.
const MOVES: &[&str] = &[
    "pay",
    "payment",
    "payout",
    "charge",
    "refund",
    "transfer",
    "wire",
    "withdraw",
    "invoice",
    "buy",
    "purchase",
    "order",
    "checkout",
    "donate",
    "trade",
    "sell",
    "subscribe",
];
/// Most amounts listed.
const AMOUNTS_MAX: usize = 16;

pub(crate) fn render(call: &Seen<'_>, draft: &mut Draft) {
    let mut shown = Vec::new();
    collect(&call.arguments, None, &mut shown);
    if shown.is_empty() {
        return;
    }
    if shown.len() > AMOUNTS_MAX {
        draft.unread(Level::Danger, &format!("it names {} amounts, more than are listed", shown.len()));
    }
    for (name, amount) in shown.iter().take(AMOUNTS_MAX) {
        draft.fact(name, amount);
    }
    if let Some(word) = call.words.iter().find(|word| MOVES.contains(&word.as_str())) {
        draft.headline(format!("Money: {} {}", call.tool, shown[0].1));
        draft.finding(Level::Danger, &format!("money moves: the tool's name says `{word}`"));
    } else {
        draft.finding(Level::Caution, "it names an amount of money");
    }
}

/// Every amount, with its currency where one stands beside it or above.
fn collect(value: &Json<'_>, outer: Option<&str>, shown: &mut Vec<(String, String)>) {
    let beside = CURRENCIES.iter().find_map(|name| value.text(&[name]));
    let currency = beside.or(outer);
    for (name, member) in value.members() {
        let words = names::words(name);
        let minor = words.last().is_some_and(|word| matches!(word.as_str(), "cents" | "pence" | "minor"));
        let amount = minor || words.last().is_some_and(|word| AMOUNTS.contains(&word.as_str()));
        let digits = match member {
            Json::Number(digits) => Some((*digits).to_owned()),
            Json::String(text) if text.len() <= 40 && text.contains(|c: char| c.is_ascii_digit()) => {
                Some(text.to_string())
            }
            _ => None,
        };
        match digits {
            Some(digits) if amount => {
                let currency = currency.map_or(String::new(), |currency| format!(" {currency}"));
                let minor = if minor { " (in the currency's smallest unit)" } else { "" };
                shown.push((name.to_string(), format!("{digits}{currency}{minor}")));
            }
            _ => collect(member, currency, shown),
        }
    }
    for item in value.items() {
        collect(item, currency, shown);
    }
}
