//! The real binary: what it prints, which files it makes, how it exits.

#![expect(clippy::unwrap_used, reason = "what does not work fails the test")]

mod login;
mod rig;

use std::fs;

use serde_json::Value;

use crate::rig::{Place, mode};

#[test]
fn the_first_start_makes_everything_for_its_owner_alone() {
    let place = Place::new();
    let server = place.serve(&[]);

    assert_eq!(mode(&place.data()), 0o700);
    assert_eq!(mode(&place.data().join("instance.key")), 0o600);
    assert_eq!(mode(&place.credentials()), 0o600);
    let key = server.first_key().unwrap();
    assert!(fs::read_to_string(place.credentials()).unwrap().contains(&key));

    let keys = place.run(&["keys", "list", "--json"]).succeeds().json();
    assert_eq!(keys[0]["name"], "owner", "commands on the same machine need no configuration");
}

#[test]
fn the_key_is_shown_once_and_never_again() {
    let place = Place::new();
    let key = place.serve(&[]).first_key().unwrap();

    let again = place.serve(&[]);

    assert_eq!(again.first_key(), None);
    again.stop();
    for file in fs::read_dir(place.data()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(key.len()).any(|window| window == key.as_bytes()), "the database holds hashes of keys");
    }
}

#[test]
fn a_preset_key_is_neither_printed_nor_kept() {
    let place = Place::new();
    let preset = "preset-key-of-the-operator";
    let server = place.serve(&[("PRELOOP_BOOTSTRAP_KEY", preset)]);

    assert!(!server.output().contains(preset));
    assert!(!place.credentials().exists());
    place.run_with(&["keys", "list"], &[("PRELOOP_URL", &server.url), ("PRELOOP_TOKEN", preset)]).succeeds();
}

#[test]
fn a_data_directory_serves_one_process_and_ends_in_order() {
    let place = Place::new();
    let server = place.serve(&[]);

    let second = place.run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", place.data().to_str().unwrap()]);
    assert_eq!(second.code, 1);
    assert!(second.errors.contains("another `preloop serve`"), "{}", second.errors);

    assert_eq!(server.stop(), Some(0));
}

#[test]
fn production_wants_its_own_key_and_mistyped_settings_are_named() {
    let place = Place::new();
    let data = place.data();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
    let refused = place.run_with(&serve, &[("ENVIRONMENT", "production"), ("PRELOOP_LISTN", "x")]);
    assert_eq!(refused.code, 1);
    assert!(refused.errors.contains("SECRET_KEY is required"), "{}", refused.errors);
    assert!(refused.errors.contains("`PRELOOP_LISTN`"), "{}", refused.errors);
}

#[test]
fn exit_codes_are_what_scripts_rely_on() {
    let place = Place::new();
    let nobody = place.run(&["keys", "list", "--url", "http://127.0.0.1:9"]);
    assert_eq!(nobody.code, 6, "{}", nobody.errors);
    assert!(nobody.errors.contains("help: is it running?"));

    let server = place.serve(&[]);
    assert_eq!(place.run(&["frobnicate"]).code, 2);
    assert_eq!(place.run(&["keys", "revoke", "nobody"]).code, 4);
    assert_eq!(place.run(&["approvals", "approve", "00000000-0000-7000-8000-000000000000"]).code, 4);
    assert_eq!(place.run(&["mcp", "scan", "nothing"]).code, 4);
    assert_eq!(place.run(&["policy", "apply", "missing.yaml"]).code, 4);
    let wrong = place.run_with(&["keys", "list"], &[("PRELOOP_TOKEN", "pl_wrong_wrong_wrong_wrong")]);
    assert_eq!(wrong.code, 3);
    assert!(!wrong.errors.contains("pl_wrong"), "{}", wrong.errors);
    let plain = place.run(&["keys", "list", "--url", "http://preloop.example", "--token", "x"]);
    assert_eq!(plain.code, 2, "a key does not travel in the clear");
    drop(server);
}

#[test]
fn an_agents_key_is_printed_alone_and_administers_nothing() {
    let place = Place::new();
    let server = place.serve(&[]);
    let made = place.run(&["keys", "create", "laptop", "--expires", "90d"]).succeeds();
    let key = made.output.trim();
    assert!(key.len() >= 40 && !key.contains(char::is_whitespace), "{}", made.output);

    assert_eq!(place.run_with(&["keys", "list"], &[("PRELOOP_TOKEN", key)]).code, 3);
    assert_eq!(place.run_with(&["approvals", "list"], &[("PRELOOP_TOKEN", key)]).code, 3);
    let called = place.run_with(&["tools", "call", "no_such_tool"], &[("PRELOOP_TOKEN", key)]);
    assert_eq!(called.code, 4, "{}", called.errors);

    assert_eq!(place.run(&["keys", "create", "laptop"]).code, 5, "a name is taken once");
    place.run(&["keys", "revoke", "laptop"]).succeeds();
    assert_eq!(place.run_with(&["tools", "call", "no_such_tool"], &[("PRELOOP_TOKEN", key)]).code, 3);
    drop(server);
}

#[test]
fn a_policy_is_tested_and_linted_without_a_server() {
    let place = Place::new();
    let limit = |amount: u32| {
        format!(
            "metadata: {{name: pay}}\ntools:\n  - name: pay\n    source: bank\n    conditions:\n      - expression: \
             args.amount > {amount}\n        action: deny\n"
        )
    };
    let policy = place.file("pay.yaml", &limit(200));
    let tests = place.file(
        "pay.test.yaml",
        "cases:\n  - {call: bank/pay, args: {amount: 5}, expect: allow}\n  - {call: bank/pay, args: {amount: 900}, expect: deny}\n",
    );
    let junit = place.path("report.xml");
    let tested = place.run(&["policy", "test", &policy, "--min-coverage", "100", "--junit", &junit]).succeeds();
    assert!(tested.output.contains("2 passed, 0 failed; 1 of 1 rules and 2 of 2 sides"), "{}", tested.output);
    assert!(fs::read_to_string(&junit).unwrap().contains("tests=\"2\" failures=\"0\""));

    let wider = place.file("wider.yaml", &limit(5000));
    let failed = place.run(&["policy", "test", &tests, "--policy", &wider, "--json"]);
    assert_eq!(failed.code, 7, "{}", failed.errors);
    assert_eq!(
        failed.json()[0]["cases"][1]["failures"][0],
        "expected `deny`, got `allow`: no rules matched (default allow)"
    );
    let few =
        place.file("few.test.yaml", "policy: pay.yaml\ncases: [{call: bank/pay, args: {amount: 5}, expect: allow}]\n");
    assert_eq!(place.run(&["policy", "test", &few, "--min-coverage", "90"]).code, 7);

    let linted = place.run(&["policy", "lint", &wider, "--against", &policy]).succeeds();
    assert!(linted.output.contains("warning [widening] `bank/pay` with {\"amount\":"), "{}", linted.output);
    assert_eq!(place.run(&["policy", "lint", &wider, "--against", &policy, "--strict"]).code, 7);
    place.run(&["policy", "lint", &policy, "--offline", "--strict"]).succeeds();
}

#[test]
fn a_policy_is_replayed_against_a_server_and_an_export() {
    let place = Place::new();
    let server = place.serve(&[]);
    let policy = place.file("p.yaml", "metadata: {name: p}\ndefaults: {unknown_tools: deny}\n");
    let live = place.run(&["policy", "replay", &policy, "--since", "1d", "--fail-on", "changed", "--json"]).succeeds();
    assert_eq!(live.json()["calls"], 0);
    let export = place.path("journal.jsonl");
    place.run(&["audit", "export", "--payloads", "-o", &export]).succeeds();
    server.stop();
    let offline = place.run(&["policy", "replay", &policy, "--export", &export]).succeeds();
    assert!(offline.output.contains("no recorded calls"), "{}", offline.output);
    assert_eq!(place.run(&["policy", "replay", &policy, "--export", &policy]).code, 7);
}

#[test]
fn a_policy_goes_in_and_comes_out() {
    let place = Place::new();
    let server = place.serve(&[]);
    let good = place.file(
        "good.yaml",
        "version: \"1.0\"\nmetadata: {name: test}\napproval_workflows:\n  - name: Careful\n    timeout_seconds: 600\n",
    );
    let bad = place.file("bad.yaml", "version: \"1.0\"\nmetadata: {name: test}\ntols: []\n");

    let invalid = place.run(&["policy", "validate", &bad]);
    assert_eq!(invalid.code, 7, "{}", invalid.errors);
    assert!(invalid.errors.contains("bad.yaml:3:"), "{}", invalid.errors);
    assert!(invalid.errors.contains("3 | tols: []"), "{}", invalid.errors);
    assert_eq!(place.run(&["policy", "apply", &good, &bad]).code, 7);
    assert_eq!(
        place.run(&["policy", "diff", &good, "--exit-code"]).code,
        1,
        "nothing was applied beside an invalid one"
    );

    place.run(&["policy", "apply", &good, "--dry-run"]).succeeds();
    let applied = place.run(&["policy", "apply", &good, "--json"]).succeeds().json();
    assert_eq!(applied[0]["policies_created"], 1, "{applied}");

    let out = place.path("export.yaml");
    place.run(&["policy", "export", "-o", &out]).succeeds();
    place.run(&["policy", "diff", &out, "--exit-code"]).succeeds();
    assert_eq!(place.run(&["policy", "apply", "--prune", &good, &out]).code, 2);
    drop(server);
}

#[test]
fn the_journal_verifies_without_the_server_until_somebody_touches_it() {
    let place = Place::new();
    let server = place.serve(&[]);
    place.run(&["keys", "create", "laptop"]).succeeds();
    assert!(
        !place
            .run(&["audit", "list", "--kind", "key.changed", "--json"])
            .succeeds()
            .json()
            .as_array()
            .unwrap()
            .is_empty()
    );
    let live = place.run(&["audit", "verify", "--json"]).succeeds().json();
    assert_eq!(live["ok"], true, "{live}");
    let out = place.path("journal.jsonl");
    place.run(&["audit", "export", "-o", &out]).succeeds();
    server.stop();

    let whole = place.run(&["audit", "verify", &out, "--json"]).succeeds().json();
    let key = whole["public_key"].as_str().unwrap().to_owned();
    place.run(&["audit", "verify", &out, "--key", &key]).succeeds();
    assert_eq!(place.run(&["audit", "verify", &out, "--key", &"00".repeat(32)]).code, 7);

    let text = fs::read_to_string(&out).unwrap();
    assert!(text.contains("laptop"));
    let tampered = place.file("tampered.jsonl", &text.replacen("laptop", "desktop", 1));
    let broken = place.run(&["audit", "verify", &tampered]);
    assert_eq!(broken.code, 7);
    assert!(broken.errors.contains("broken at line"), "{}", broken.errors);
}

#[test]
fn a_server_that_does_not_start_is_kept_and_reported() {
    let place = Place::new();
    let server = place.serve(&[]);
    let added = place.run(&["mcp", "add", "broken", "--", "/does/not/exist"]);
    assert_eq!(added.code, 1);
    assert!(added.errors.contains("preloop mcp scan broken"), "{}", added.errors);

    let listed = place.run(&["mcp", "list", "--json"]).succeeds().json();
    assert_eq!(listed[0]["status"], "error");
    place.run(&["mcp", "remove", "broken"]).succeeds();
    assert_eq!(place.run(&["mcp", "list", "--json"]).succeeds().json(), Value::Array(Vec::new()));
    drop(server);
}

#[test]
fn the_doctor_sees_what_others_could_read() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let server = place.serve(&[]);
    let data = place.data();
    let doctor = ["doctor", "--data-dir", data.to_str().unwrap(), "--json"];
    let healthy = place.run(&doctor).succeeds().json();
    assert!(healthy.as_array().unwrap().iter().all(|finding| finding["state"] == "ok"), "{healthy:#}");

    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();

    let sick = place.run(&doctor);
    assert_eq!(sick.code, 1);
    let problem = sick.json().as_array().unwrap().iter().find(|finding| finding["state"] == "problem").unwrap().clone();
    assert_eq!(problem["check"], "data directory");
    drop(server);
}

#[test]
fn every_format_prints_the_same_data() {
    let place = Place::new();
    let server = place.serve(&[]);
    let json = place.run(&["keys", "list", "--json"]).succeeds().json();
    let yaml = place.run(&["keys", "list", "--yaml"]).succeeds().output;
    let table = place.run(&["keys", "list"]).succeeds().output;
    let id = json[0]["id"].as_str().unwrap();
    assert!(yaml.contains(id) && table.contains(id));
    assert!(table.starts_with("NAME"), "{table}");
    assert!(place.run(&["completions", "bash"]).succeeds().output.contains("_preloop"));
    drop(server);
}
