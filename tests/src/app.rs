//! A running server and the data directory that outlives it.

use std::{net::SocketAddr, path::PathBuf, process::Stdio, sync::OnceLock, time::Duration};

use preloop_bench::{
    mock::Mock,
    process::{Process, free_port, preloop_binary},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Agent, Era, Owner};

/// How long a server may take to start: debug builds on a busy machine are slow.
const START: Duration = Duration::from_mins(1);

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Environment variables besides the harness's own.
    pub env: Vec<(String, String)>,
    /// What the process may use.
    pub limits: Limits,
}

/// What a server process may use.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Largest file it may write, in KiB: stands for a full disk.
    pub file_kib: Option<u64>,
}

/// A server, killed when dropped.
pub struct App {
    process: Process,
    addr: SocketAddr,
    key: String,
    setup: Setup,
    folder: TempDir,
}

impl App {
    /// Starts a server on an empty data directory.
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    /// Starts a server on an empty data directory, with `setup`.
    pub async fn start_with(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let key = format!("pl_{}", "owner0key".repeat(5));
        let process = spawn(&folder, &setup, addr, &key);
        let mut app = Self { process, addr, key, setup, folder };
        app.wait_until_ready().await;
        app
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Everything it printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it without a warning.
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Starts it again after [`App::kill`], on the same data and port.
    pub async fn revive(&mut self) {
        self.process = spawn(&self.folder, &self.setup, self.addr, &self.key);
        self.wait_until_ready().await;
    }

    /// The same with other limits.
    pub async fn revive_with(&mut self, limits: Limits) {
        self.setup.limits = limits;
        self.revive().await;
    }

    /// Ends it in order and starts it again.
    pub async fn restart(&mut self) {
        let status = self.process.stop().await.unwrap();
        assert!(status.success(), "asked to end, it ended with {status}\n{}", self.log());
        self.revive().await;
    }

    /// The owner, over REST.
    pub fn owner(&self) -> Owner {
        Owner::new(self.url(), self.key.clone())
    }

    /// Adds a mock as an upstream server and gives its slug.
    pub async fn add_mock(&self, name: &str, mock: &Mock) -> String {
        self.add_server(json!({ "name": name, "url": mock.url() })).await
    }

    /// Adds an upstream server and gives its slug. It may ask clients for anything and may be on
    /// loopback, unless `body` says otherwise.
    pub async fn add_server(&self, mut body: Value) -> String {
        let generous = json!({
            "allow_sampling": true, "allow_elicitation": true, "allow_roots": true, "allow_private_network": true,
        });
        let settings = body.as_object_mut().unwrap().entry("settings").or_insert_with(|| json!({}));
        for (name, value) in generous.as_object().unwrap() {
            settings.as_object_mut().unwrap().entry(name).or_insert_with(|| value.clone());
        }
        let server = self.owner().post("/api/v1/mcp-servers", body).await;
        assert_eq!(server["status"], "active", "{server:#}");
        server["slug"].as_str().unwrap().to_owned()
    }

    /// A new agent with a key of its own that may list and call tools.
    pub async fn agent(&self, era: Era) -> Agent {
        let key = self.owner().create_key(json!({ "scopes": ["mcp:read", "mcp:write"] })).await;
        Agent::connect(format!("{}/mcp/v1", self.url()), key, era).await
    }

    /// Runs a `preloop` command as the owner; whether it succeeded, and what it printed.
    pub async fn command(&self, arguments: &[&str]) -> (bool, String) {
        self.finish(Command::new(binary()).args(arguments)).await
    }

    /// Runs a shell script in which `preloop` is the binary, as the owner.
    pub async fn shell(&self, script: &str) -> (bool, String) {
        let preloop = format!("preloop() {{ '{}' \"$@\"; }}\n{script}", binary().display());
        self.finish(Command::new("bash").args(["-ec", &preloop])).await
    }

    async fn finish(&self, command: &mut Command) -> (bool, String) {
        let owner = [("PRELOOP_URL", self.url()), ("PRELOOP_TOKEN", self.key.clone())];
        let output = command.envs(owner).stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    async fn wait_until_ready(&mut self) {
        if let Err(error) = self.process.ready(self.addr, START).await {
            panic!("the server did not start: {error}\n{}", self.log());
        }
    }
}

/// The binary that `PRELOOP_TEST_BINARY` names, else one built beside the tests.
fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let named = || std::env::var_os("PRELOOP_TEST_BINARY").map(PathBuf::from).filter(|binary| binary.exists());
    BINARY.get_or_init(|| named().unwrap_or_else(|| preloop_binary(false).unwrap())).clone()
}

fn spawn(folder: &TempDir, setup: &Setup, addr: SocketAddr, key: &str) -> Process {
    let binary = binary();
    let listen = addr.to_string();
    let data_dir = folder.path().join("data");
    let serve = [binary.to_str().unwrap(), "serve", "--listen", &listen, "--data-dir", data_dir.to_str().unwrap()];
    let mut env = vec![("PRELOOP_BOOTSTRAP_KEY", key)];
    env.extend(setup.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let limited = setup.limits.file_kib.map(|kib| format!("ulimit -f {kib} && trap '' XFSZ && exec \"$@\""));
    let command: Vec<&str> = match &limited {
        Some(script) => ["bash", "-c", script, "bash"].into_iter().chain(serve).collect(),
        None => serve.to_vec(),
    };
    Process::start(None, &command, &env, &folder.path().join("log")).unwrap()
}
