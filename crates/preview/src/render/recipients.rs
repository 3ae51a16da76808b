//! Who gets something.

use crate::{Level, Mark, call::Seen, draft::Draft, json::Json, names};

/// Words that members which hold recipients are called by.
const RECIPIENTS: &[&str] = &[
    "to",
    "cc",
    "bcc",
    "recipient",
    "recipients",
    "attendee",
    "attendees",
    "invitees",
    "reply_to",
    "email",
    "emails",
    "channel",
    "channels",
    "channel_id",
    "chat_id",
    "room",
    "room_id",
    "phone",
    "phone_number",
    "iban",
    "account_number",
    "payee",
    "beneficiary",
    "destination",
];
/// Members of an object that stands for a recipient.
const ADDRESSES: &[&str] = &["email", "address", "email_address", "id", "name", "phone"];
/// Words in the name of a tool that sends.
const SENDS: &[&str] = &[
    "send", "mail", "email", "post", "message", "notify", "invite", "share", "reply", "forward", "sms", "tweet",
    "publish", "transfer", "pay", "payment", "wire",
];
/// More recipients than this are many.
const MANY: usize = 10;
/// Most recipients listed.
const LISTED_MAX: usize = 100;

pub(crate) fn render(call: &Seen<'_>, draft: &mut Draft) {
    let sends = call.words.iter().any(|word| SENDS.contains(&word.as_str()));
    let mut found: Vec<(&str, String)> = Vec::new();
    for (name, value) in call.arguments.members() {
        if RECIPIENTS.iter().any(|known| names::same(name, known)) {
            addresses(value, name, &mut found);
        }
    }
    // `to` may be anything; an address or a tool that sends makes it a recipient.
    if found.is_empty() || (!sends && !found.iter().any(|(_, address)| address.contains('@'))) {
        return;
    }
    let list: Vec<_> = found.iter().take(3).map(|(_, address)| address.as_str()).collect();
    let more = if found.len() > 3 { format!(" and {} more", found.len() - 3) } else { String::new() };
    draft.headline(format!("{} to {}{more}", call.tool, list.join(", ")));
    let lines: Vec<_> = found.iter().map(|(role, address)| format!("{role}: {address}")).collect();
    draft.section("Recipients", lines.iter().take(LISTED_MAX).map(|line| (Mark::Plain, line.as_str())));
    if found.len() > LISTED_MAX {
        draft.incomplete = true;
    }
    draft.finding(Level::Caution, "what is sent cannot be called back");
    if found.len() > MANY {
        draft.finding(Level::Danger, &format!("it goes to {} recipients", found.len()));
    }
    if found.iter().any(|(role, _)| names::same(role, "bcc")) {
        draft.finding(Level::Caution, "some recipients are hidden from the others");
    }
    if let Some((_, address)) = found.iter().find(|(_, address)| address.contains('@') && !address.is_ascii()) {
        draft.finding(Level::Danger, &format!("an address holds letters that may look like others: `{address}`"));
    }
    let wide = ["everyone", "all", "@here", "@channel", "@all", "@everyone", "general"];
    if found.iter().any(|(_, address)| wide.contains(&address.trim_start_matches('#').to_lowercase().as_str())) {
        draft.finding(Level::Danger, "it goes to everyone");
    }
    let mut domains: Vec<_> = found
        .iter()
        .filter_map(|(_, address)| address.rsplit_once('@'))
        .map(|(_, domain)| domain.trim_end_matches('>').to_lowercase())
        .collect();
    domains.sort();
    domains.dedup();
    if !domains.is_empty() {
        draft.fact("Domains", &domains.join(", "));
    }
    if let Some(subject) = call.arguments.text(&["subject", "title"]) {
        draft.fact("Subject", subject);
    }
}

fn addresses<'a>(value: &'a Json<'_>, role: &'a str, found: &mut Vec<(&'a str, String)>) {
    match value {
        // Several in one text: `a@x, b@y`.
        Json::String(text) => {
            let parts = text.split([',', ';', '\n']).map(str::trim).filter(|part| !part.is_empty());
            found.extend(parts.map(|part| (role, part.to_owned())));
        }
        Json::Number(digits) => found.push((role, (*digits).to_owned())),
        Json::List(items) => items.iter().for_each(|item| addresses(item, role, found)),
        Json::Map(_) => {
            if let Some(address) = value.get(ADDRESSES) {
                found.push((role, address.shown()));
            }
        }
        Json::Null | Json::Bool(_) | Json::Secret(_) => {}
    }
}
