//! Putting URLs together so that no part of them leads elsewhere than its place.

use http::Uri;
use preloop_types::Model;

use super::{Profile, ProviderError, setting};

/// The base URL of `model`, without a slash at the end.
pub(super) fn base<'a>(model: &'a Model, profile: &Profile) -> Result<&'a str, ProviderError> {
    let endpoint = model.endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
    match (endpoint, profile.base_url) {
        (Some(endpoint), _) => checked_base("endpoint", endpoint),
        (None, Some(usual)) => Ok(usual),
        (None, None) => {
            Err(ProviderError::setting("endpoint", format!("is missing: `{}` has no URL of its own", profile.name)))
        }
    }
}

/// A base URL given under `name`.
pub(super) fn checked_base<'a>(name: &str, url: &'a str) -> Result<&'a str, ProviderError> {
    let plain = url.starts_with("https://") || url.starts_with("http://");
    if !plain || url.contains(['?', '#', '\\', '@']) || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ProviderError::setting(name, "is not an `http` or `https` URL without user, query or fragment"));
    }
    Ok(url.trim_end_matches('/'))
}

/// `text` as a URI.
pub(super) fn uri(text: String) -> Result<Uri, ProviderError> {
    Uri::from_maybe_shared(text).map_err(|error| ProviderError::setting("endpoint", format!("makes no URL: {error}")))
}

/// A model's name as one or more segments of a path, each of which stays where it is.
pub(super) fn segments(identifier: &str) -> Result<&str, ProviderError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@~+=,".contains(&byte);
    let segment = |text: &str| !text.is_empty() && text != "." && text != ".." && text.bytes().all(plain);
    let allowed = identifier.len() <= 512 && identifier.split('/').all(segment);
    if allowed { Ok(identifier) } else { Err(ProviderError::Identifier(identifier.to_owned())) }
}

/// A setting that becomes part of a host name or path: one plain word.
pub(super) fn word<'a>(model: &'a Model, name: &'static str) -> Result<Option<&'a str>, ProviderError> {
    let Some(value) = setting(model, name) else { return Ok(None) };
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    if plain && !value.contains("..") && !value.starts_with('.') {
        Ok(Some(value))
    } else {
        Err(ProviderError::setting(name, "may hold letters, digits and `-_.:` only"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_stays_in_its_place() {
        for good in ["gemini-2.5-pro", "tunedModels/x-1", "anthropic.claude-sonnet-4:0", "claude@20250219", "a/b/c"] {
            assert!(segments(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "a/../b", "a//b", "/a", "a/", "a?b", "a#b", "a%2fb", "a\\b", "a b", "a\n", "ä", "."] {
            assert!(segments(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_base_url_has_nothing_behind_its_path() {
        assert_eq!(checked_base("endpoint", "https://host/v1/"), Ok("https://host/v1"));
        for bad in ["ftp://host", "host", "https://host/?x=1", "https://host/#x", "https://ann@host/", "https://ho st/"]
        {
            assert!(checked_base("endpoint", bad).is_err(), "{bad}");
        }
    }
}
