//! What our pages look like around what they say. Everything that is filled in is escaped.

use std::{fmt::Write as _, sync::LazyLock};

use axum::response::{Html, IntoResponse, Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue, StatusCode, header};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use sha2::{Digest, Sha256};

/// Every page, by the name it is rendered by. They extend `shell.html`.
const TEMPLATES: &[(&str, &str)] = &[
    ("shell.html", include_str!("people/shell.html")),
    ("message.html", include_str!("people/message.html")),
    ("sign_in.html", include_str!("people/sign_in.html")),
    ("second_factor.html", include_str!("people/second_factor.html")),
    ("forgot_password.html", include_str!("people/forgot_password.html")),
    ("set_password.html", include_str!("people/set_password.html")),
    ("verify_email.html", include_str!("people/verify_email.html")),
    ("join.html", include_str!("people/join.html")),
    ("totp.html", include_str!("people/totp.html")),
    ("recovery_codes.html", include_str!("people/recovery_codes.html")),
    ("account.html", include_str!("people/account.html")),
    ("consent.html", include_str!("people/consent.html")),
    ("refused.html", include_str!("people/refused.html")),
    ("device.html", include_str!("people/device.html")),
];

const STYLE: &str = concat!(include_str!("style.css"), include_str!("people/form.css"));

/// A page. Its forms post to ourselves only; `csrf` is what they carry.
pub(crate) fn page(status: StatusCode, template: &str, csrf: &str, said: Value) -> Response {
    let mut response = (status, Html(render(template, csrf, said))).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, content_security_policy("form-action 'self'; "));
    // With `no-referrer` browsers would send forms with `Origin: null`.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow"));
    response
}

/// Lets a form of this page end on another server: browsers hold what a form leads to against the page's policy,
/// redirects included.
pub(crate) fn may_lead_elsewhere(response: &mut Response) {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, content_security_policy(""));
}

/// Lets a form of this page end at `place`, which is in the words of the policy.
pub(crate) fn form_may_lead_to(response: &mut Response, place: &str) {
    let policy = content_security_policy(&format!("form-action 'self' {place}; "));
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
}

/// Nothing but our own style sheet and script, never in a frame.
fn content_security_policy(form_action: &str) -> HeaderValue {
    static STYLE_HASH: LazyLock<String> = LazyLock::new(|| BASE64_STANDARD.encode(Sha256::digest(STYLE)));
    let mut policy = String::from("default-src 'none'; ");
    let _ = write!(policy, "style-src 'sha256-{}'; img-src data:; {form_action}", *STYLE_HASH);
    policy.push_str("script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

fn render(template: &str, csrf: &str, said: Value) -> String {
    static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        for (name, source) in TEMPLATES {
            if let Err(error) = environment.add_template(name, source) {
                tracing::error!(%error, template = name, "a page is no template");
            }
        }
        environment
    });
    let filled = context! { style => STYLE, csrf => csrf, ..said };
    let rendered = ENVIRONMENT.get_template(template).and_then(|page| page.render(filled));
    rendered.unwrap_or_else(|error| {
        tracing::error!(%error, template, "a page cannot be rendered");
        "This page cannot be shown. Nothing was changed.".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_a_template() {
        for (name, _) in TEMPLATES {
            let page = render(name, "token", context! {});
            assert!(page.starts_with("<!doctype html>"), "{name}: {page}");
        }
    }
}
