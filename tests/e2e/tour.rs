//! The tour in the README works as it is written.

use std::{fmt::Write, os::unix::fs::PermissionsExt};

use preloop_e2e::{App, Setup, node, python_and_node};

#[tokio::test]
async fn the_tour_of_the_readme_works_as_written() {
    let Some(clients) = python_and_node("the tour") else { return };
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();

    // The tour starts its server with `npx`, which would ask a registry; this one knows where it lies.
    let server = clients.module("@modelcontextprotocol/server-filesystem/dist/index.js");
    let npx =
        format!("#!/bin/sh\nshift 2\nexec '{}' '{}' \"$@\"\n", node(&clients.node_folder).display(), server.display());
    let shims = folder.path().join("bin");
    std::fs::create_dir(&shims).unwrap();
    std::fs::write(shims.join("npx"), npx).unwrap();
    std::fs::set_permissions(shims.join("npx"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", shims.display(), std::env::var("PATH").unwrap());
    let env = vec![("PATH".to_owned(), path)];
    let app = App::start_with(Setup { env, ..Setup::default() }).await;

    let script = script().replace("/tmp/", &format!("{home}/"));
    let (passed, said) = app.shell(&script).await;

    assert!(passed, "{said}\n--- script:\n{script}\n--- server:\n{}", app.log());
    let written = std::fs::read_to_string(folder.path().join("tour/hello.txt"));
    assert_eq!(written.unwrap_or_default(), "hi", "{said}");
}

/// The commands of the tour, in order, as one script.
fn script() -> String {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let (_, tour) = readme.split_once("## A five-minute tour").unwrap();
    let (tour, _) = tour.split_once("\n## ").unwrap();
    let mut script = String::new();
    for block in tour.split("```sh\n").skip(1) {
        let (commands, _) = block.split_once("```").unwrap();
        for line in commands.lines() {
            let _ = match line {
                // What a reader does in another way: a shell function, and an agent of their own.
                line if line.starts_with("alias ") || line.starts_with("claude ") => Ok(()),
                line if line.contains("# finds it") => writeln!(script, "! {{ {}; }}", line.replace("# finds it", "")),
                line => writeln!(script, "{line}"),
            };
            // A reader takes longer than this script to look at what a call in the background did.
            if line.ends_with('&') {
                script.push_str("until preloop approvals list | grep -q write_file; do sleep 0.2; done\n");
            }
            if line.starts_with("preloop approvals approve") {
                script.push_str("wait\n");
            }
        }
    }
    script
}
