//! What a browser or program is called where people see a list of their sign-ins.

/// A few words for a `User-Agent`.
pub(crate) fn client_name(agent: Option<&str>) -> String {
    let Some(agent) = agent.map(str::trim).filter(|agent| !agent.is_empty()) else { return "unknown".to_owned() };
    let is = |word: &&(&str, &str)| agent.contains(word.0);
    let Some((_, browser)) = BROWSERS.iter().find(is) else {
        // A program: its own first word says it best.
        return agent.split_whitespace().next().unwrap_or("unknown").chars().take(60).collect();
    };
    match SYSTEMS.iter().find(is) {
        Some((_, system)) => format!("{browser} on {system}"),
        None => (*browser).to_owned(),
    }
}

/// The first that is found: browsers name the ones they descend from as well.
const BROWSERS: [(&str, &str); 6] = [
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("Mozilla/", "a browser"),
];

const SYSTEMS: [(&str, &str); 6] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

#[cfg(test)]
mod tests {
    use super::client_name;

    #[test]
    fn browsers_and_programs_have_names() {
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36 Edg/130.0";
        assert_eq!(client_name(Some(edge)), "Edge on Windows");
        let safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) Version/18.0 Mobile Safari/604";
        assert_eq!(client_name(Some(safari)), "Safari on iPhone");
        assert_eq!(client_name(Some("preloop/0.1.0 (linux)")), "preloop/0.1.0");
        assert_eq!(client_name(None), "unknown");
    }
}
