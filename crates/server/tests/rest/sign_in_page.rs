//! The sign-in page, as a browser without scripts meets it.

use std::collections::BTreeMap;

use reqwest::Method;

use crate::{
    app::{App, Reply},
    sign_in::{PASSWORD, with_password},
};

/// A browser: it keeps cookies and fills in forms.
pub(crate) struct Browser<'a> {
    app: &'a App,
    cookies: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(app: &'a App) -> Self {
        Self { app, cookies: BTreeMap::new() }
    }

    async fn send(&mut self, method: Method, path: &str, form: &[(&str, &str)], origin: &str) -> Reply {
        let nobody = self.app.nobody();
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = nobody.request(method.clone(), path).header("cookie", cookies.join("; "));
        if method == Method::POST {
            request = request.form(form).header("origin", origin);
        }
        let reply = nobody.send(request).await;
        for line in reply.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            assert!(line.contains("HttpOnly") && line.contains("SameSite=Lax") && line.contains("Path=/"), "{line}");
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        reply
    }

    pub(crate) async fn open(&mut self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], "").await
    }

    /// Fills in the form of `page` that goes to `path`: its hidden fields as they are.
    pub(crate) async fn submit(&mut self, page: &Reply, path: &str, fields: &[(&str, &str)]) -> Reply {
        let origin = self.app.url.clone();
        self.submit_from(&origin, page, path, fields).await
    }

    async fn submit_from(&mut self, origin: &str, page: &Reply, path: &str, fields: &[(&str, &str)]) -> Reply {
        let form = page.text.split("<form").find(|form| form.contains(&format!("action=\"{path}\"")));
        let form = form.unwrap_or_else(|| panic!("no form to {path}: {}", page.text));
        let hidden = form.split("<input type=\"hidden\" name=\"").skip(1).map(|field| {
            let (name, rest) = field.split_once('"').unwrap();
            (
                name,
                rest.split_once("value=\"")
                    .unwrap()
                    .1
                    .split_once('"')
                    .unwrap()
                    .0
                    .replace("&#x2f;", "/")
                    .replace("&amp;", "&"),
            )
        });
        let hidden: Vec<(&str, String)> = hidden.collect();
        let mut all: Vec<(&str, &str)> = hidden.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.extend(fields);
        self.send(Method::POST, path, &all, origin).await
    }
}

fn goes_to(reply: &Reply) -> &str {
    assert_eq!(reply.status, 303, "{}", reply.text);
    reply.headers["location"].to_str().unwrap()
}

#[tokio::test]
async fn a_person_signs_in_goes_on_and_signs_out() {
    let app = App::start().await;
    with_password(&app).await;
    let mut browser = Browser::new(&app);
    assert_eq!(goes_to(&browser.open("/account?x=1&y=2").await), "/sign-in?next=%2Faccount%3Fx%3D1%26y%3D2");
    let page = browser.open("/sign-in?next=%2Faccount%3Fx%3D1%26y%3D2").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(policy.contains("form-action 'self'"), "{policy}");
    assert_eq!(
        (&page.headers["x-frame-options"], &page.headers["cache-control"]),
        (&"DENY".parse().unwrap(), &"no-store".parse().unwrap())
    );
    // With `no-referrer` browsers would call their own form foreign.
    assert_eq!(page.headers["referrer-policy"], "same-origin");

    let wrong = browser.submit(&page, "/sign-in", &[("username", "<b>ann"), ("password", "wrong horse")]).await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text.contains("is wrong") && wrong.text.contains("&lt;b&gt;ann"), "{}", wrong.text);
    assert!(!wrong.text.contains("wrong horse"));
    let done = browser.submit(&wrong, "/sign-in", &[("username", "ann"), ("password", PASSWORD)]).await;
    assert_eq!(goes_to(&done), "/account?x=1&y=2");

    let account = browser.open("/account").await;
    assert!(account.status == 200 && account.text.contains("ann"), "{}", account.text);
    // The REST API does not know cookies.
    browser.open("/api/v1/auth/users/me").await.fails(401);
    let session = browser.cookies["preloop"].clone();
    assert_eq!(goes_to(&browser.submit(&account, "/sign-out", &[]).await), "/sign-in");
    browser.cookies.insert("preloop".to_owned(), session);
    assert!(goes_to(&browser.open("/account").await).starts_with("/sign-in"));
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let app = App::start().await;
    with_password(&app).await;
    for next in ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/%09/evil"] {
        let mut browser = Browser::new(&app);
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let page = browser.open(&format!("/sign-in?next={next}")).await;
        let done = browser.submit(&page, "/sign-in", &[("username", "ann"), ("password", PASSWORD)]).await;
        let to = goes_to(&done);
        assert!(to == "/account" || to.starts_with("/%09"), "{next}: {to}");
    }
}

#[tokio::test]
async fn forms_of_other_pages_are_refused() {
    let app = App::start().await;
    with_password(&app).await;
    let mut browser = Browser::new(&app);
    let fields = [("username", "ann"), ("password", PASSWORD)];
    let page = browser.open("/sign-in").await;
    for origin in ["https://evil.example", "null"] {
        let refused = browser.submit_from(origin, &page, "/sign-in", &fields).await;
        assert_eq!(refused.status, 403, "{origin}");
        assert!(!refused.headers.contains_key("set-cookie"));
    }
    // A token of another browser, or none.
    let mut another = Browser::new(&app);
    another.open("/sign-in").await;
    assert_eq!(another.submit(&page, "/sign-in", &fields).await.status, 403);
    let bare = browser.send(Method::POST, "/sign-in", &fields, &app.url).await;
    assert_eq!(bare.status, 403);
    assert_eq!(goes_to(&browser.submit(&page, "/sign-in", &fields).await), "/account");
    // The form from before signing in belongs to nobody who is signed in.
    assert_eq!(browser.submit(&page, "/sign-in", &fields).await.status, 403);
}

#[tokio::test]
async fn only_sign_ins_are_sessions() {
    let app = App::start().await;
    for credential in [app.owner.key.clone(), app.agent().await.key, "pla_forged".to_owned()] {
        let mut browser = Browser::new(&app);
        browser.cookies.insert("preloop".to_owned(), credential);
        assert!(goes_to(&browser.open("/account").await).starts_with("/sign-in"));
    }
}
