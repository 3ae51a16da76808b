//! Small things every command needs: finding by name, reading and writing times.

use std::time::Duration;

use preloop_api_types::{DateTime, Utc, Uuid};
use preloop_types::text::one_line;

use crate::failure::{Exit, Failure, Result};

/// The one item that `wanted` names: by id, else by one of its names.
pub(crate) fn find<'a, T>(
    kind: &str,
    items: &'a [T],
    wanted: &str,
    id: impl Fn(&T) -> Uuid,
    names: impl for<'n> Fn(&'n T) -> Vec<&'n str>,
) -> Result<&'a T> {
    if let Some(item) = wanted.parse().ok().and_then(|wanted: Uuid| items.iter().find(|item| id(item) == wanted)) {
        return Ok(item);
    }
    let found: Vec<&T> = items.iter().filter(|item| names(item).contains(&wanted)).collect();
    match found.as_slice() {
        [item] => Ok(item),
        [] => Err(not_found(kind, wanted, items.iter().filter_map(|item| names(item).first().map(|n| one_line(n))))),
        several => {
            let ids = several.iter().map(|item| id(item).to_string()).collect::<Vec<_>>().join(", ");
            Err(Failure::usage(format!("`{wanted}` names more than one {kind}"))
                .help(format!("name it by its id: {ids}")))
        }
    }
}

/// Nothing has that name; says which names there are.
pub(crate) fn not_found(kind: &str, wanted: &str, there: impl Iterator<Item = String>) -> Failure {
    let mut there: Vec<String> = there.collect();
    there.sort();
    there.dedup();
    let more = there.len().saturating_sub(10);
    there.truncate(10);
    let failure = Failure::new(Exit::NotFound, format!("there is no {kind} `{wanted}`"));
    match (there.is_empty(), more) {
        (true, _) => failure,
        (false, 0) => failure.help(format!("there are: {}", there.join(", "))),
        (false, more) => failure.help(format!("there are: {} and {more} more", there.join(", "))),
    }
}

pub(crate) fn from_environment(name: &str) -> Result<String> {
    match std::env::var(name) {
        Ok(value) if !value.trim().is_empty() => Ok(value.trim().to_owned()),
        Ok(_) => Err(Failure::usage(format!("the environment variable `{name}` is empty"))),
        // The text may be a secret that was given in place of a variable's name, so it is not shown whole.
        Err(_) if name.len() > 40 => Err(Failure::usage("there is no environment variable of the name given")),
        Err(_) => Err(Failure::usage(format!("there is no environment variable `{name}`"))
            .help("the option takes the name of a variable, not the secret itself")),
    }
}

/// Reads `90d`, `12h`, `30m`, `45s`.
pub(crate) fn duration(text: &str) -> std::result::Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time span like `90d`, `12h` or `30m`");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    match number.checked_mul(seconds).filter(|seconds| (1..=100 * 365 * 86_400).contains(seconds)) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err(format!("`{text}` is not between one second and a hundred years")),
    }
}

/// Reads a point in time: RFC 3339, or a span before now (`2h`).
pub(crate) fn moment(text: &str) -> std::result::Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.with_timezone(&Utc));
    }
    let span =
        duration(text).map_err(|_| format!("`{text}` is neither a time (2026-01-31T12:00:00Z) nor a span (2h)"))?;
    Ok(Utc::now() - span)
}

/// A time for people.
pub(crate) fn at(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A time for people, or nothing.
pub(crate) fn maybe_at(time: Option<DateTime<Utc>>) -> String {
    time.map(at).unwrap_or_default()
}

/// How long until then, for people.
pub(crate) fn time_left(until: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (until - now).num_seconds();
    match seconds {
        ..=0 => "over".to_owned(),
        1..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        assert_eq!(duration("90d"), Ok(Duration::from_hours(90 * 24)));
        assert_eq!(duration("30m"), Ok(Duration::from_mins(30)));
        for wrong in ["", "d", "90", "-1d", "1w", "0s", "99999999999999999999d", "9999999d", "1é"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_must_be_someones_and_only_ones() {
        let items = [(Uuid::from_u128(1), "a"), (Uuid::from_u128(2), "a"), (Uuid::from_u128(3), "b")];
        let find = |wanted: &str| find("thing", &items, wanted, |item| item.0, |item| vec![item.1]).map(|item| item.0);
        assert_eq!(find("b").unwrap(), items[2].0);
        assert_eq!(find(&items[0].0.to_string()).unwrap(), items[0].0);
        assert_eq!(find("a").unwrap_err().exit, Exit::Usage);
        let missing = find("c").unwrap_err();
        assert_eq!((missing.exit, missing.help.as_deref()), (Exit::NotFound, Some("there are: a, b")));
    }
}
