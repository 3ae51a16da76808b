use std::{error::Error, net::IpAddr};

use url::{Host, Url};

use crate::is_private;

/// Why a URL may not be fetched. The text says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a URL.
    #[error("`{url}` is not a URL: {reason}")]
    Syntax {
        /// The text.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither `http` nor `https`.
    #[error("URL scheme `{0}` is not allowed: use `http` or `https`")]
    Scheme(String),
    /// A user or password in the URL.
    #[error("a URL must not hold a user or password: store the credential as a secret instead")]
    UserInfo,
    /// No host.
    #[error("the URL has no host")]
    NoHost,
    /// The host is, or resolves to, an address that is not public.
    #[error(
        "`{host}` leads to the private address `{address}`: set `allow_private_network` (for this target, and for the instance) if that is intended"
    )]
    Private {
        /// The host as written.
        host: String,
        /// Where it leads.
        address: IpAddr,
    },
    /// A redirect that changes the scheme.
    #[error("redirect from `{from}` to `{to}` changes the scheme: configure the final URL instead")]
    SchemeChange {
        /// Scheme before.
        from: String,
        /// Scheme after.
        to: String,
    },
}

/// Checks everything that can be told from the URL itself: scheme, user info, literal addresses.
/// The parser has already turned decimal, octal and hexadecimal spellings into addresses.
pub(crate) fn check(url: &Url, allow_private: bool) -> Result<(), Refused> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refused::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::UserInfo);
    }
    let address = match url.host() {
        None | Some(Host::Domain("")) => return Err(Refused::NoHost),
        Some(Host::Domain(name)) if is_local_name(name) => IpAddr::from([127, 0, 0, 1]),
        Some(Host::Domain(_)) => return Ok(()),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
    };
    if !allow_private && is_private(address) {
        return Err(Refused::Private { host: url.host_str().unwrap_or_default().to_owned(), address });
    }
    Ok(())
}

/// Names that mean this machine everywhere (RFC 6761), so that saving one is refused at once.
fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

/// The refusal behind a failed request, if the guard refused it.
pub fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refused> {
    cause(error)
}

/// The first error of type `T` among `error` and its causes.
pub(crate) fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Whether a URL names this machine itself.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether codes, secrets and tokens may go there: over TLS, or without leaving this machine.
pub fn is_secure(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}
