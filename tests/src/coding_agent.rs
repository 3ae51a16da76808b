//! Coding agents as their users run them: installed from npm, configured in a home of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// How long an agent may take: a debug build under a busy machine is slow.
const PATIENCE: Duration = Duration::from_mins(3);

/// An agent that people use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodingAgent {
    /// Anthropic's, over Messages.
    ClaudeCode,
    /// OpenAI's, over Responses.
    Codex,
    /// Google's, over Gemini.
    GeminiCli,
    /// Over chat completions.
    OpenCode,
}

/// Where an agent finds models and tools.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// As OpenAI's SDK takes it.
    pub openai: String,
    /// As Anthropic's SDK takes it, without `/v1`.
    pub anthropic: String,
    /// As Google's SDK takes it, without a version.
    pub gemini: String,
    /// The MCP endpoint.
    pub mcp: String,
    /// The credential for all of them.
    pub key: String,
}

/// The folder whose `node_modules` holds the packages of `agents/package.json`, named by
/// `PRELOOP_TEST_AGENTS`. Without it a test is skipped aloud, or fails where
/// `PRELOOP_TEST_STRICT=1` says that nothing may be skipped.
pub fn coding_agents(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("PRELOOP_TEST_AGENTS").map(PathBuf::from);
    if folder.is_none() {
        let missing = format!("{test} needs PRELOOP_TEST_AGENTS; `cargo xtask test` sets it");
        assert!(std::env::var_os("PRELOOP_TEST_STRICT").is_none_or(|strict| strict != "1"), "{missing}");
        eprintln!("SKIPPED: {missing}");
    }
    folder
}

impl CodingAgent {
    /// All of them.
    pub const ALL: [CodingAgent; 4] =
        [CodingAgent::ClaudeCode, CodingAgent::Codex, CodingAgent::GeminiCli, CodingAgent::OpenCode];

    /// Gives it `prompt` and everything it printed until it ended, with its exit code. `model` is
    /// the only model it is told of; the MCP server is called `probe`. `node` runs those that need one.
    pub async fn run(self, packages: &Path, node: &Path, endpoints: &Endpoints, model: &str, prompt: &str) -> String {
        // Not below /tmp: some refuse to put helpers into a temporary directory.
        let home = TempDir::with_prefix_in("home-", packages).unwrap();
        let work = home.path().join("work");
        fs::create_dir(&work).unwrap();
        fs::write(work.join("README.md"), "# Nothing here\n").unwrap();
        let mut command = Command::new(packages.join("node_modules/.bin").join(self.program()));
        self.configure(&mut command, home.path(), endpoints, model, prompt);
        let folders =
            ["config", "local/share", "local/state", "cache"].map(|name| home.path().join(format!(".{name}")));
        let variables = ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"];
        // The packaged Node.js comes first for those that are scripts.
        let path = std::env::var("PATH").unwrap_or_default();
        let path = node.parent().map_or(path.clone(), |folder| format!("{}:{path}", folder.display()));
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", home.path())
            .envs(variables.into_iter().zip(folders))
            .envs([("TERM", "dumb"), ("NO_COLOR", "1"), ("NO_PROXY", "127.0.0.1,localhost")])
            .envs(self.environment(endpoints, model))
            .current_dir(&work)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let output = match tokio::time::timeout(PATIENCE, command.output()).await {
            Ok(output) => output.unwrap(),
            Err(_) => return format!("{self:?} did not end within {PATIENCE:?}"),
        };
        let [said, complained] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        format!("{said}\n{complained}\n{}", output.status)
    }

    const fn program(self) -> &'static str {
        match self {
            CodingAgent::ClaudeCode => "claude",
            CodingAgent::Codex => "codex",
            CodingAgent::GeminiCli => "gemini",
            CodingAgent::OpenCode => "opencode",
        }
    }

    fn environment(self, endpoints: &Endpoints, model: &str) -> Vec<(&'static str, String)> {
        let Endpoints { anthropic, gemini, key, .. } = endpoints.clone();
        let model = model.to_owned();
        match self {
            CodingAgent::ClaudeCode => vec![
                ("ANTHROPIC_BASE_URL", anthropic),
                ("ANTHROPIC_AUTH_TOKEN", key),
                ("ANTHROPIC_MODEL", model.clone()),
                ("ANTHROPIC_SMALL_FAST_MODEL", model.clone()),
                ("ANTHROPIC_DEFAULT_HAIKU_MODEL", model),
                ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
            ],
            CodingAgent::Codex => vec![("GATEWAY_TOKEN", key)],
            CodingAgent::GeminiCli => vec![("GEMINI_API_KEY", key), ("GOOGLE_GEMINI_BASE_URL", gemini)],
            CodingAgent::OpenCode => Vec::new(),
        }
    }

    /// Writes the agent's own configuration and adds its arguments.
    fn configure(self, command: &mut Command, home: &Path, endpoints: &Endpoints, model: &str, prompt: &str) {
        let bearer = json!({ "Authorization": format!("Bearer {}", endpoints.key) });
        let put = |file: &str, text: String| {
            let path = home.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        match self {
            CodingAgent::ClaudeCode => {
                let server = json!({ "type": "http", "url": endpoints.mcp, "headers": bearer });
                let file = put("mcp.json", json!({ "mcpServers": { "probe": server } }).to_string());
                command.args(["-p", prompt, "--mcp-config"]).arg(file);
                command.args(["--strict-mcp-config", "--allowedTools", "mcp__probe", "--output-format", "json"]);
            }
            CodingAgent::Codex => {
                let Endpoints { openai, mcp, .. } = endpoints;
                let text = format!(
                    "model = \"{model}\"\nmodel_provider = \"gateway\"\n\
                     [model_providers.gateway]\nname = \"gateway\"\nbase_url = \"{openai}\"\n\
                     env_key = \"GATEWAY_TOKEN\"\nwire_api = \"responses\"\n\
                     [mcp_servers.probe]\nurl = \"{mcp}\"\nbearer_token_env_var = \"GATEWAY_TOKEN\"\n\
                     default_tools_approval_mode = \"approve\"\n"
                );
                put(".codex/config.toml", text);
                command.args(["exec", "--skip-git-repo-check", "--json", prompt]);
            }
            CodingAgent::GeminiCli => {
                let settings = json!({
                    "security": { "auth": { "selectedType": "gemini-api-key" }, "folderTrust": { "enabled": false } },
                    "privacy": { "usageStatisticsEnabled": false },
                    "mcpServers": { "probe": { "httpUrl": endpoints.mcp, "headers": bearer, "trust": true } },
                });
                put(".gemini/settings.json", settings.to_string());
                command.args(["-p", prompt, "--approval-mode", "yolo", "-m", model]);
            }
            CodingAgent::OpenCode => {
                let known: Value = json!({ model: { "name": model, "tool_call": true, "limit": { "context": 100_000, "output": 4_000 } } });
                let provider = json!({
                    "npm": "@ai-sdk/openai-compatible", "name": "gateway",
                    "options": { "baseURL": endpoints.openai, "apiKey": endpoints.key }, "models": known,
                });
                let named = format!("gateway/{model}");
                let server = json!({
                    "type": "remote", "url": endpoints.mcp, "enabled": true, "oauth": false, "headers": bearer,
                });
                let config = json!({
                    "$schema": "https://opencode.ai/config.json", "autoupdate": false, "share": "disabled",
                    "model": named, "small_model": named, "permission": "allow",
                    "provider": { "gateway": provider }, "mcp": { "probe": server },
                });
                put(".config/opencode/opencode.json", config.to_string());
                command.args(["run", "--model", &named, prompt]);
            }
        }
    }
}
