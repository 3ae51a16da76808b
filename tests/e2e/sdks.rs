//! The official SDK clients in front of real servers: through Preloop they must see exactly what
//! they see without it.

use std::path::Path;

use preloop_bench::process::{Process, free_port};
use preloop_e2e::{App, Clients, node, python_and_node};
use serde_json::{Value, json};

/// Tools that Preloop offers besides the servers' own.
const BUILT_IN: [&str; 3] = ["get_approval_status", "request_approval", "ask_user"];

/// What a real server is asked to do.
struct Subject {
    name: &'static str,
    /// How it is reached, in the words of the plan and of the REST API alike.
    target: Value,
    calls: Value,
}

/// How a client connects: which SDK, and the mode of its plan.
const CLIENTS: [(&str, &str); 5] = [
    ("python", "legacy"),
    ("python", "2026-07-28"),
    ("typescript", "sdk-1"),
    ("typescript", "legacy"),
    ("typescript", "2026-07-28"),
];

#[tokio::test]
async fn sdk_clients_see_through_preloop_what_they_see_directly() {
    let Some(clients) = python_and_node("SDK clients and real servers") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (_http, subjects) = subjects(&clients, folder.path()).await;
    let app = App::start().await;
    for subject in subjects {
        let mut body = subject.target.clone();
        body["name"] = json!(subject.name);
        // These clients declare nothing, and a server may offer more to one that does.
        body["settings"] = json!({ "allow_sampling": false, "allow_elicitation": false, "allow_roots": false });
        if body.get("command").is_some() {
            body["transport"] = json!("stdio");
        }
        let slug = app.add_server(body).await;
        let key = app.owner().create_key(json!({})).await;
        let url = format!("{}/mcp/v1/servers/{slug}", app.url());
        let through = json!({ "url": url, "headers": { "Authorization": format!("Bearer {key}") } });

        for (sdk, mode) in CLIENTS {
            // Most real servers speak the legacy era only, so that is how all are asked directly.
            let direct_mode = if mode == "2026-07-28" { "legacy" } else { mode };
            let direct = ask(&clients, sdk, direct_mode, &subject.target, &subject.calls).await;
            let governed = ask(&clients, sdk, mode, &through, &subject.calls).await;
            let case = format!("{} by {sdk} {mode}", subject.name);
            let mut offered = by_name(&direct);
            if (sdk, mode) == ("typescript", "2026-07-28") {
                // This client drops what its revision does not know.
                for tool in offered.as_object_mut().unwrap().values_mut() {
                    tool.as_object_mut().unwrap().remove("execution");
                }
            }
            assert_same(&case, "tools", offered, by_name(&governed));
            assert_same(&case, "results", direct["results"].clone(), governed["results"].clone());
        }
    }
}

async fn ask(clients: &Clients, sdk: &str, mode: &str, target: &Value, calls: &Value) -> Value {
    let plan = json!({ "target": target, "mode": mode, "calls": calls });
    match sdk {
        "python" => clients.python_sdk(&plan).await,
        _ => clients.typescript_sdk(&plan).await,
    }
}

/// The tools by name, without ours. The order of tools means nothing.
fn by_name(answer: &Value) -> Value {
    let tools = answer["tools"].as_array().unwrap().iter();
    let named = tools.map(|tool| (tool["name"].as_str().unwrap().to_owned(), tool.clone()));
    let sorted: std::collections::BTreeMap<_, _> =
        named.filter(|(name, _)| !BUILT_IN.contains(&name.as_str())).collect();
    json!(sorted)
}

/// Compares two answers, leaving out what belongs to a connection and not to what it carried.
fn assert_same(case: &str, what: &str, mut direct: Value, mut governed: Value) {
    for value in [&mut direct, &mut governed] {
        if let Some(results) = value.as_array_mut() {
            for result in results.iter_mut().filter_map(|each| each["result"].as_object_mut()) {
                result.remove("resultType");
                if let Some(meta) = result.get_mut("_meta").and_then(Value::as_object_mut) {
                    meta.retain(|key, _| !key.starts_with("io.modelcontextprotocol/") && !key.contains("preloop"));
                }
                if result.get("_meta").is_some_and(|meta| meta == &json!({})) {
                    result.remove("_meta");
                }
                // The default of one era, spelled out in the other.
                if result.get("isError") == Some(&json!(false)) {
                    result.remove("isError");
                }
            }
        }
    }
    let mut found = Vec::new();
    differences(what, &direct, &governed, &mut found);
    assert!(found.is_empty(), "{case}:\n{}", found.join("\n"));
}

/// Where two values differ.
fn differences(path: &str, direct: &Value, governed: &Value, found: &mut Vec<String>) {
    let keys = |value: &Value| -> Vec<String> {
        match value {
            Value::Object(members) => members.keys().cloned().collect(),
            Value::Array(items) => (0..items.len()).map(|n| n.to_string()).collect(),
            _ => Vec::new(),
        }
    };
    let at = |value: &Value, key: &str| match value {
        Value::Array(items) => key.parse::<usize>().ok().and_then(|n| items.get(n).cloned()),
        value => value.get(key).cloned(),
    };
    let mut names = keys(direct);
    names.extend(keys(governed).into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
    if direct != governed && names.is_empty() {
        found.push(format!("{path}: direct {direct}, governed {governed}"));
    }
    for name in names {
        match (at(direct, &name), at(governed, &name)) {
            (Some(direct), Some(governed)) => differences(&format!("{path}.{name}"), &direct, &governed, found),
            (direct, governed) => found.push(format!("{path}.{name}: direct {direct:?}, governed {governed:?}")),
        }
    }
}

/// The real servers: over stdio, and one over streamable HTTP.
async fn subjects(clients: &Clients, folder: &Path) -> (Process, Vec<Subject>) {
    let text = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let node = text(node(&clients.node_folder));
    let everything = text(clients.module("@modelcontextprotocol/server-everything/dist/index.js"));
    let filesystem = text(clients.module("@modelcontextprotocol/server-filesystem/dist/index.js"));
    let git = text(clients.python_program("mcp-server-git"));

    let files = folder.join("files");
    std::fs::create_dir_all(files.join("inner")).unwrap();
    std::fs::write(files.join("a.txt"), "naïve text\n").unwrap();
    let files = text(files.canonicalize().unwrap());
    let repository = text(make_repository(folder));

    let port = free_port().unwrap();
    let command = [node.as_str(), &everything, "streamableHttp"];
    let env = [("PORT", port.to_string())];
    let env = [(env[0].0, env[0].1.as_str())];
    let mut http = Process::start(None, &command, &env, &folder.join("everything.log")).unwrap();
    http.ready(([127, 0, 0, 1], port).into(), std::time::Duration::from_secs(30)).await.unwrap();

    let everything_calls = json!([
        { "name": "echo", "arguments": { "message": "grüße" } },
        { "name": "get-sum", "arguments": { "a": 1, "b": 2.5 } },
        { "name": "get-tiny-image", "arguments": {} },
        { "name": "get-structured-content", "arguments": { "location": "Chicago" } },
        { "name": "get-annotated-message", "arguments": { "messageType": "error", "includeImage": true } },
        { "name": "get-resource-links", "arguments": { "count": 3 } },
    ]);
    let subjects = vec![
        Subject {
            name: "everything",
            target: json!({ "command": node, "args": [everything, "stdio"] }),
            calls: everything_calls.clone(),
        },
        Subject {
            name: "everything over http",
            target: json!({ "url": format!("http://127.0.0.1:{port}/mcp") }),
            calls: everything_calls,
        },
        Subject {
            name: "filesystem",
            target: json!({ "command": node, "args": [filesystem, files] }),
            calls: json!([
                { "name": "list_directory", "arguments": { "path": files } },
                { "name": "read_text_file", "arguments": { "path": format!("{files}/a.txt") } },
                { "name": "directory_tree", "arguments": { "path": files } },
                { "name": "read_text_file", "arguments": { "path": "/etc/passwd" } },
            ]),
        },
        Subject {
            name: "git",
            target: json!({ "command": git, "args": ["--repository", repository] }),
            calls: json!([
                { "name": "git_log", "arguments": { "repo_path": repository } },
                { "name": "git_status", "arguments": { "repo_path": repository } },
                { "name": "git_branch", "arguments": { "repo_path": repository, "branch_type": "local" } },
            ]),
        },
    ];
    (http, subjects)
}

fn make_repository(folder: &Path) -> std::path::PathBuf {
    let repository = folder.join("repository");
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=e2e", "-c", "user.email=e2e@example.org"];
        let mut command = std::process::Command::new("git");
        assert!(command.args(identity).args(arguments).status().unwrap().success(), "git {arguments:?}");
    };
    let path = repository.to_str().unwrap();
    git(&["init", "--quiet", "--initial-branch", "main", path]);
    git(&["-C", path, "commit", "--quiet", "--allow-empty", "--message", "first"]);
    repository.canonicalize().unwrap()
}
