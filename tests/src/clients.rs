//! Clients and servers written by others, where `cargo xtask test` put them.

use std::{path::PathBuf, process::Stdio};

use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command};

/// Where the clients are.
#[derive(Debug, Clone)]
pub struct Clients {
    /// A Python with the packages of `clients/requirements.txt`.
    pub python: PathBuf,
    /// The folder whose `node_modules` holds the packages of `clients/package.json`.
    pub node_folder: PathBuf,
}

/// The clients named by `PRELOOP_TEST_PYTHON` and `PRELOOP_TEST_NODE_MODULES`. Without them a test
/// is skipped aloud, or fails where `PRELOOP_TEST_STRICT=1` says that nothing may be skipped.
pub fn python_and_node(test: &str) -> Option<Clients> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let (Some(python), Some(node_folder)) = (named("PRELOOP_TEST_PYTHON"), named("PRELOOP_TEST_NODE_MODULES")) {
        return Some(Clients { python, node_folder });
    }
    let missing =
        format!("{test} needs PRELOOP_TEST_PYTHON and PRELOOP_TEST_NODE_MODULES; `cargo xtask test` sets them");
    assert!(std::env::var_os("PRELOOP_TEST_STRICT").is_none_or(|strict| strict != "1"), "{missing}");
    eprintln!("SKIPPED: {missing}");
    None
}

/// The language of an SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Python.
    Python,
    /// TypeScript, on Node.js.
    TypeScript,
}

impl Clients {
    /// A file of `tests/clients`.
    pub fn script(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
    }

    /// A file inside an npm package.
    pub fn module(&self, file: &str) -> PathBuf {
        self.node_folder.join("node_modules").join(file)
    }

    /// A program that a Python package brought.
    pub fn python_program(&self, name: &str) -> PathBuf {
        self.python.with_file_name(name)
    }

    /// Runs `sdk_client.py` with a plan.
    pub async fn python_sdk(&self, plan: &Value) -> Value {
        run(Command::new(&self.python).arg(Self::script("sdk_client.py")), plan).await
    }

    /// Runs `model_sdk.py` or `model_sdk.mjs` with a plan; what each step gave.
    pub async fn model_sdk(&self, language: Language, plan: &Value) -> Vec<Value> {
        let answers = match language {
            Language::Python => run(Command::new(&self.python).arg(Self::script("model_sdk.py")), plan).await,
            Language::TypeScript => {
                let mut command = Command::new(node(&self.node_folder));
                command.arg(Self::script("model_sdk.mjs")).env("PRELOOP_TEST_NODE_MODULES", &self.node_folder);
                run(&mut command, plan).await
            }
        };
        answers.as_array().unwrap().clone()
    }

    /// Runs `sdk_client.mjs` with a plan.
    pub async fn typescript_sdk(&self, plan: &Value) -> Value {
        let mut command = Command::new(node(&self.node_folder));
        command.arg(Self::script("sdk_client.mjs")).env("PRELOOP_TEST_NODE_MODULES", &self.node_folder);
        run(&mut command, plan).await
    }
}

/// The Node.js among the npm packages, which is new enough for the conformance suite.
pub fn node(folder: &std::path::Path) -> PathBuf {
    let packaged = folder.join("node_modules/.bin/node");
    if packaged.exists() { packaged } else { "node".into() }
}

async fn run(command: &mut Command, plan: &Value) -> Value {
    let mut child = command
        .env("NO_PROXY", "127.0.0.1,localhost")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(plan.to_string().as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{plan:#}\n{said}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}
