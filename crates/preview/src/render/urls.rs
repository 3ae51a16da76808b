//! Where a call reaches.

use std::net::IpAddr;

use url::{Host, Url};

use crate::{Level, call::Seen, draft::Draft};

/// Most addresses looked at.
const URLS_MAX: usize = 64;
/// Schemes that are followed.
const SCHEMES: &[&str] = &["http://", "https://", "ftp://", "ssh://", "file://", "ws://", "wss://", "s3://", "git://"];

pub(crate) fn render(call: &Seen<'_>, draft: &mut Draft) {
    let mut hosts: Vec<String> = Vec::new();
    let mut seen = 0;
    for (_, leaf) in call.arguments.leaves() {
        let Some(text) = leaf.as_str() else { continue };
        for found in find(text) {
            seen += 1;
            if seen > URLS_MAX {
                draft.unread(Level::Caution, "it names more addresses than are looked at");
                return list(&hosts, draft);
            }
            match Url::parse(found) {
                Ok(url) => {
                    judge(&url, found, draft);
                    let host = url.host_str().unwrap_or(url.scheme()).to_owned();
                    if !hosts.contains(&host) {
                        hosts.push(host);
                    }
                }
                Err(_) => draft.finding(Level::Caution, "an address in it cannot be read"),
            }
        }
    }
    list(&hosts, draft);
}

fn list(hosts: &[String], draft: &mut Draft) {
    if !hosts.is_empty() {
        draft.fact("Hosts", &hosts.join(", "));
    }
}

/// The addresses in a text.
fn find(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("://").filter_map(|(at, _)| {
        let start =
            text[..at].rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |end| end + char_length(text, end));
        let rest = &text[start..];
        if !SCHEMES.iter().any(|scheme| rest.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)))
        {
            return None;
        }
        let rest = &rest[..rest.floor_char_boundary(2048)];
        let end = rest.find(|c: char| c.is_whitespace() || "\"'`<>|\\^{}),;".contains(c)).unwrap_or(rest.len());
        Some(&rest[..end])
    })
}

fn char_length(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(1, char::len_utf8)
}

fn judge(url: &Url, written: &str, draft: &mut Draft) {
    if !url.username().is_empty() || url.password().is_some() {
        draft.finding(Level::Danger, "an address carries a name or password before its host");
    }
    if url.scheme() == "file" {
        draft.finding(Level::Danger, "an address is a file of the machine that opens it");
    }
    match url.host() {
        Some(Host::Domain(name)) => {
            if name.split('.').any(|label| label.starts_with("xn--")) || !written.is_ascii() {
                draft.finding(
                    Level::Danger,
                    &format!("a host's name holds letters that may look like others: `{name}`"),
                );
            }
            let local = matches!(name.rsplit('.').next(), Some("localhost" | "local" | "internal"));
            if local {
                draft.finding(Level::Caution, &format!("it reaches into the local network: `{name}`"));
            } else if matches!(url.scheme(), "http" | "ws" | "ftp") {
                draft.finding(Level::Caution, &format!("it talks to `{name}` without encryption"));
            }
        }
        Some(Host::Ipv4(address)) => self::address(IpAddr::V4(address), draft),
        Some(Host::Ipv6(address)) => self::address(IpAddr::V6(address), draft),
        None => {}
    }
}

fn address(address: IpAddr, draft: &mut Draft) {
    let (private, link_local) = match address {
        IpAddr::V4(v4) => (v4.is_private() || v4.is_loopback() || v4.is_unspecified(), v4.is_link_local()),
        IpAddr::V6(v6) => (v6.is_loopback() || v6.is_unique_local() || v6.is_unspecified(), v6.is_unicast_link_local()),
    };
    if link_local {
        draft.finding(Level::Danger, &format!("it asks the machine's own metadata service: `{address}`"));
    } else if private {
        draft.finding(Level::Caution, &format!("it reaches into the local network: `{address}`"));
    } else {
        draft.finding(Level::Caution, &format!("it reaches a host that has a number and no name: `{address}`"));
    }
}
