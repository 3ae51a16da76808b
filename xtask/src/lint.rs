//! `cargo xtask lint`: everything that can be said about the code without running it.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::{cargo, env, root, steps::Steps};

pub(crate) fn run() -> ExitCode {
    let mut steps = Steps::new(false);
    checks(&mut steps);
    if env::finds("cargo-deny") {
        steps.check("licences, bans and sources", &mut cargo(&["deny", "check", "licenses", "bans", "sources"]));
    } else {
        steps.skip("licences, bans and sources", "install it with `cargo install cargo-deny`");
    }
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    steps.check("documentation links", doc.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"));
    steps.finish()
}

/// The checks that `cargo xtask test` makes too.
pub(crate) fn checks(steps: &mut Steps) {
    steps.check("formatting", &mut cargo(&["fmt", "--all", "--check"]));
    steps.check(
        "lints",
        &mut cargo(&["clippy", "--workspace", "--all-targets", "--keep-going", "--", "-D", "warnings"]),
    );
    steps.run("banned crates", banned_crates);
}

/// Holds the dependency tree against the bans of `deny.toml`; needs neither cargo-deny nor a network.
fn banned_crates() -> Result<()> {
    let path = root().join("deny.toml");
    let deny = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let bans: Vec<&str> = deny
        .lines()
        .filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.split_once('"').map(|(name, _)| name))
        .collect();
    ensure!(!bans.is_empty(), "`deny.toml` bans nothing; has its layout changed?");

    let mut tree: Command = cargo(&["tree", "--workspace", "--edges", "normal,build", "--prefix", "none"]);
    let output = tree.output().context("cannot start `cargo tree`")?;
    ensure!(output.status.success(), "`cargo tree` failed: {}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8_lossy(&output.stdout);
    let found: Vec<&str> =
        bans.into_iter().filter(|ban| tree.lines().any(|line| line.split(' ').next() == Some(ban))).collect();
    ensure!(
        found.is_empty(),
        "the dependency tree holds {}; `cargo tree -i {}` shows through whom",
        found.join(", "),
        found.first().unwrap_or(&"")
    );
    Ok(())
}
