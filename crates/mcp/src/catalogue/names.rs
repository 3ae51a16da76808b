use std::collections::HashSet;

use preloop_types::{
    Hash, ServerId,
    config::{PrefixMode, Server},
};

/// Names of built-in tools, which no server's tool may take.
pub const RESERVED: &[&str] =
    &["get_approval_status", "request_approval", "search_tools", "describe_tool", "call_tool"];

/// Longest name model APIs accept for a function.
const NAME_MAX: usize = 64;

/// The name agents will call a tool by, decided when it is first seen: bare if it is free, else
/// `{slug}__{name}`, else made distinct by a hash. `None` if the server insists on the bare name
/// and it is taken.
pub(super) fn expose(server: &Server, name: &str, taken: &HashSet<String>) -> Option<String> {
    let free = |candidate: &String| !taken.contains(candidate) && !RESERVED.contains(&candidate.as_str());
    let bare = fit(name, server.id, name);
    let prefixed = fit(&format!("{}__{name}", server.slug), server.id, name);
    match server.settings.prefix {
        PrefixMode::Never => return Some(bare).filter(free),
        PrefixMode::Auto if free(&bare) => return Some(bare),
        PrefixMode::Auto | PrefixMode::Always => {}
    }
    // Two names of one server may differ only in characters that were replaced.
    let distinct = distinguish(&spell(&format!("{}__{name}", server.slug)), server.id, name);
    [prefixed, distinct].into_iter().find(free)
}

/// `^[A-Za-z_][A-Za-z0-9_-]{0,63}$`, which every model API accepts.
fn fit(wanted: &str, server: ServerId, name: &str) -> String {
    let spelled = spell(wanted);
    if spelled.len() <= NAME_MAX { spelled } else { distinguish(&spelled, server, name) }
}

fn spell(wanted: &str) -> String {
    let mut spelled: String =
        wanted.chars().map(|c| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '_' }).collect();
    if !spelled.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        spelled.insert(0, '_');
    }
    spelled
}

fn distinguish(spelled: &str, server: ServerId, name: &str) -> String {
    let hash = Hash::of_parts(&[server.to_string().as_bytes(), name.as_bytes()]).to_string();
    // All ASCII after `spell`.
    format!("{}_{}", &spelled[..spelled.len().min(NAME_MAX - 9)], &hash[..8])
}

#[cfg(test)]
mod tests {
    use super::super::pin::tests::server;
    use super::*;

    fn taken(names: &[&str]) -> HashSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_is_bare_if_free_and_prefixed_if_not() {
        let mut server = server("git-hub");
        assert_eq!(expose(&server, "search", &taken(&[])).unwrap(), "search");
        assert_eq!(expose(&server, "search", &taken(&["search"])).unwrap(), "git-hub__search");
        assert_eq!(expose(&server, "call_tool", &taken(&[])).unwrap(), "git-hub__call_tool");
        server.settings.prefix = PrefixMode::Always;
        assert_eq!(expose(&server, "search", &taken(&[])).unwrap(), "git-hub__search");
        server.settings.prefix = PrefixMode::Never;
        assert_eq!(expose(&server, "search", &taken(&[])).unwrap(), "search");
        assert_eq!(expose(&server, "search", &taken(&["search"])), None);
    }

    #[test]
    fn every_name_fits_model_apis_and_stays_distinct() {
        let server = server("9lives");
        let mut names = HashSet::new();
        for name in ["a.b", "a/b", "a b", "日本", "1st", &"x".repeat(100), &format!("{}y", "x".repeat(100)), "-dash"]
        {
            let exposed = expose(&server, name, &names).unwrap();
            assert!(
                exposed.len() <= 64 && exposed.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'),
                "{exposed}"
            );
            assert!(exposed.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'), "{exposed}");
            assert!(names.insert(exposed));
        }
    }
}
