use preloop_preview::{
    Call,
    Level::{Caution, Danger},
    preview,
};
use serde_json::json;

use crate::desk::{after, fact, lines, of, says};

#[test]
fn money_keeps_its_digits_and_its_currency() {
    let call = Call {
        tool: "create_payment",
        server: "bank",
        arguments: r#"{"payment": {"amount": 10000000000000000.01, "fee_cents": 250}, "currency": "EUR"}"#,
        floor: preloop_preview::Level::Low,
        earlier: None,
    };
    let said = preview(&call);
    assert_eq!(fact(&said, "amount"), "10000000000000000.01 EUR");
    assert_eq!(fact(&said, "fee_cents"), "250 EUR (in the currency's smallest unit)");
    assert_eq!(said.risk, Danger);
    assert!(says(&said, "money moves"));
}

#[test]
fn recipients_are_listed_whoever_they_are() {
    let said = of(
        "gmail",
        "send_email",
        &json!({
            "to": ["ann@example.org", {"email": "bob@example.net"}], "bcc": "eve@example.com, x@example.org", "subject": "Hi",
        }),
    );
    insta::assert_snapshot!(said, @"
    send_email to ann@example.org, bob@example.net, eve@example.com and 1 more (risk: caution)
    ! what this tool does is known only from its server and its arguments
    ! what is sent cannot be called back
    ! some recipients are hidden from the others
    Domains: example.com, example.net, example.org
    Subject: Hi

    Recipients
      to: ann@example.org
      to: bob@example.net
      bcc: eve@example.com
      bcc: x@example.org
    ");
    let many: Vec<_> = (0..11).map(|n| format!("u{n}@example.org")).collect();
    assert!(says(&of("gmail", "send_email", &json!({ "to": many })), "it goes to 11 recipients"));
    assert!(says(&of("slack", "post_message", &json!({"channel": "#general", "text": "x"})), "it goes to everyone"));
    assert_eq!(of("mail", "send", &json!({"to": "\u{430}nn@example.org"})).risk, Danger);
}

#[test]
fn addresses_say_where_a_call_reaches() {
    for (url, text) in [
        ("http://169.254.169.254/latest/meta-data", "metadata service"),
        ("https://user:pass@x.example/", "name or password before its host"),
        ("https://xn--pypal-4ve.com/", "letters that may look like others"),
        ("file:///etc/passwd", "a file of the machine"),
    ] {
        let said = of("web", "fetch", &json!({ "url": url }));
        assert_eq!(said.risk, Danger, "{url}");
        assert!(says(&said, text), "{url}: {said}");
    }
    assert!(says(&of("web", "fetch", &json!({"url": "http://x.example/"})), "without encryption"));
}

#[test]
fn what_changed_since_the_last_approval_is_said() {
    let before = json!({"to": "ann@example.org", "amount": 5, "api_key": "one", "note": "x"});
    let now = json!({"to": "eve@example.org", "amount": 5, "api_key": "two", "memo": "y"});
    let said = after(&before, "bank", "transfer", &now);
    assert_eq!(
        lines(&said, "Differs"),
        [
            "  to: ann@example.org → eve@example.org",
            "  api_key: ***REDACTED*** → ***REDACTED***",
            "+ memo: y",
            "- note: x",
        ]
    );
    assert!(fact(&said, "Last approved call").ends_with("this one differs in to, api_key, memo and 1 more"));
    let same = after(&before, "bank", "transfer", &before);
    assert!(fact(&same, "Last approved call").starts_with("the same arguments"));
    assert_eq!(same.risk, Danger, "what was approved once is no less dangerous");
}

#[test]
fn names_only_ever_make_a_call_look_worse() {
    assert_eq!(of("crm", "get_contacts", &json!({})).risk, Caution);
    assert_eq!(of("crm", "deleteContact", &json!({})).risk, Danger);
    assert_eq!(of("prod-db", "list", &json!({})).risk, Danger);
    let floor = Call { tool: "search", server: "builtin", arguments: "{}", floor: Danger, earlier: None };
    assert_eq!(preview(&floor).risk, Danger, "what a rule says is never made less");
    assert_eq!(preview(&Call { floor: preloop_preview::Level::Low, ..floor }).risk.risk_level(), "low");
    assert_eq!(Caution.risk_level(), "danger");
}

#[test]
fn the_same_call_reads_the_same_and_another_does_not() {
    let (a, b) = (
        of("s", "t", &json!({"x": 1, "url": "https://a.example"})),
        of("s", "t", &json!({"x": 1, "url": "https://b.example"})),
    );
    assert_eq!(a.hash(), of("s", "t", &json!({"x": 1, "url": "https://a.example"})).hash());
    assert_ne!(a.hash(), b.hash());
    let stored: preloop_preview::Preview = serde_json::from_str(&a.to_json()).unwrap();
    assert_eq!(stored, a);
}
