//! Where a browser may be sent back to.
//!
//! A redirect URI is compared whole, character by character, with those the client registered. The
//! one exception is RFC 8252's: programs on the person's own machine listen on whatever port is free.

use preloop_egress::is_loopback;
use url::{Host, Url};

const BYTES_MAX: usize = 2048;

/// Schemes that browsers and systems act on by themselves: none of them is some program's own.
const NOT_PRIVATE: [&str; 24] = [
    "about",
    "android-app",
    "blob",
    "chrome",
    "chrome-extension",
    "content",
    "data",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "jar",
    "javascript",
    "mailto",
    "ms-settings",
    "resource",
    "sms",
    "tel",
    "urn",
    "vbscript",
    "view-source",
    "ws",
    "wss",
    "x-apple.systempreferences",
];

/// Whether a client may register `text`, or why not.
pub fn check(text: &str) -> Result<Url, String> {
    let refuse = |why: &str| Err(format!("redirect URI `{}` {why}", text.escape_debug()));
    if text.len() > BYTES_MAX {
        return Err(format!("a redirect URI has more than {BYTES_MAX} bytes"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['\\', '"', '<', '>', '`', '{', '}', '|']) {
        return refuse("holds characters that URIs do not have");
    }
    if text.contains('#') {
        return refuse("has a fragment");
    }
    if text.contains('*') {
        return refuse("has a wildcard; register each URI whole");
    }
    let Ok(url) = Url::parse(text) else { return refuse("is not an absolute URI") };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("holds a user or password");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => refuse("is plain http to a host other than this machine; use https"),
        scheme if NOT_PRIVATE.contains(&scheme) => refuse("has a scheme that is no program's own"),
        _ => Ok(url),
    }
}

/// Whether `asked` is one of the `registered` URIs; a loopback URI may differ in its port.
pub fn is_registered(registered: &[String], asked: &str) -> bool {
    registered.iter().any(|one| one == asked || differ_in_port_only(one, asked))
}

fn differ_in_port_only(registered: &str, asked: &str) -> bool {
    let (Ok(mut registered), Ok(mut asked)) = (check(registered), check(asked)) else { return false };
    if registered.scheme() != "http" || asked.scheme() != "http" || !is_loopback(&registered) {
        return false;
    }
    registered.set_port(None).is_ok() && asked.set_port(None).is_ok() && registered == asked
}

/// Where it leads, for people: a host, or the scheme that opens a program.
pub fn place(url: &Url) -> String {
    match url.host_str() {
        Some(_) if is_loopback(url) => "a program on this computer".to_owned(),
        Some(host) if url.scheme() == "https" => host.to_owned(),
        _ => format!("the program that opens `{}:` links", url.scheme()),
    }
}

/// Where a form may lead by way of a redirect, in the words of a content security policy.
pub fn form_action(url: &Url) -> String {
    match url.host() {
        // The grammar of policies has no IPv6 addresses.
        Some(Host::Ipv6(_)) | None => format!("{}:", url.scheme()),
        Some(_) if matches!(url.scheme(), "http" | "https") => url.origin().ascii_serialization(),
        Some(_) => format!("{}:", url.scheme()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_registered() {
        for good in [
            "https://app.example/callback",
            "https://app.example:8443/callback?tenant=1",
            "http://127.0.0.1/callback",
            "http://127.0.0.1:33418",
            "http://[::1]:8080/cb",
            "http://localhost:6274/oauth/callback",
            "com.example.app:/oauth2redirect",
            "cursor://anysphere.cursor-retrieval/oauth/callback",
            "vscode://vscode.github-authentication/did-authenticate",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_must_not_be_registered() {
        for bad in [
            "",
            "/relative",
            "app.example/callback",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "java\tscript:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:https://app.example/1",
            "view-source:https://app.example",
            "intent://x#Intent;end",
            "urn:ietf:wg:oauth:2.0:oob",
            "http://app.example/callback",
            "http://127.0.0.1.evil.example/cb",
            "http://localhost.evil.example/cb",
            "http://localhost@evil.example/cb",
            "https://ann:secret@app.example/cb",
            "https://app.example/cb#fragment",
            "https://app.example/cb#",
            "https://*.example/cb",
            "https://app.example/*",
            "https://app.example/ cb",
            "https://app.example\\@evil.example/cb",
            "https://app.example/cb\r\nSet-Cookie: a=b",
            "https:///cb",
        ] {
            // `https:///cb` is a host `cb` to browsers; it is refused or that host, never another.
            let url = check(bad);
            assert!(url.is_err() || bad == "https:///cb", "{bad}: {url:?}");
        }
        assert!(check(&format!("https://app.example/{}", "a".repeat(BYTES_MAX))).is_err());
    }

    #[test]
    fn a_redirect_uri_is_compared_whole_but_for_the_port_of_this_machine() {
        let registered = |uri: &str, asked: &str| is_registered(&[uri.to_owned()], asked);
        assert!(registered("https://a.example/cb", "https://a.example/cb"));
        for other in [
            "https://a.example/cb/",
            "https://a.example/cb?x=1",
            "https://a.example/cb/../cb",
            "https://a.example:444/cb",
            "https://A.example/cb",
            "https://a.example/CB",
            "https://a.example.evil.example/cb",
            "http://a.example/cb",
        ] {
            assert!(!registered("https://a.example/cb", other), "{other}");
        }
        assert!(registered("http://127.0.0.1/cb", "http://127.0.0.1:51000/cb"));
        assert!(registered("http://127.0.0.1:1/cb", "http://127.0.0.1:51000/cb"));
        assert!(registered("http://[::1]/cb", "http://[::1]:51000/cb"));
        assert!(registered("http://localhost:1/cb", "http://localhost:2/cb"));
        assert!(!registered("http://127.0.0.1/cb", "http://127.0.0.1:51000/other"));
        assert!(!registered("http://127.0.0.1/cb", "http://localhost:51000/cb"));
        assert!(!registered("http://127.0.0.1/cb", "https://127.0.0.1:51000/cb"));
        assert!(!registered("http://127.0.0.1/cb", "http://127.0.0.1:51000@evil.example/cb"));
        assert!(!registered("com.example.app:/cb", "com.example.app:/cb2"));
    }

    #[test]
    fn people_and_browsers_are_told_where_it_leads() {
        let (place, action) = (|uri: &str| place(&check(uri).unwrap()), |uri: &str| form_action(&check(uri).unwrap()));
        assert_eq!(place("https://app.example/cb"), "app.example");
        assert_eq!(place("http://127.0.0.1:1/cb"), "a program on this computer");
        assert_eq!(place("cursor://x/cb"), "the program that opens `cursor:` links");
        assert_eq!(action("https://app.example/cb;x"), "https://app.example");
        assert_eq!(action("http://127.0.0.1:1/cb"), "http://127.0.0.1:1");
        assert_eq!(action("http://[::1]:1/cb"), "http:");
        assert_eq!(action("cursor://x/cb"), "cursor:");
    }
}
