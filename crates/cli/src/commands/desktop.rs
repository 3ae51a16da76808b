//! Tells whoever watches of a new request: the desktop's own notices, or a program of theirs. What an agent
//! wrote reaches neither a shell nor a program's options.

use std::process::Stdio;

use preloop_api_types::approval_requests::ApprovalRequest;
use preloop_types::text::{one_line, shortened};
use tokio::process::Command;

use crate::{
    failure::{Failure, Result},
    output::warn,
};

/// How the desktop is told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Desktop {
    /// The freedesktop program.
    NotifySend,
    /// The one of macOS.
    Osascript,
}

/// How a new request is told, besides the line that is printed.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    pub(crate) bell: bool,
    pub(crate) desktop: Option<Desktop>,
    pub(crate) exec: Option<String>,
}

impl Desktop {
    /// The one this machine has.
    pub(crate) fn find() -> Result<Self> {
        let on_path = |program: &str| {
            let folders = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
        };
        if on_path("notify-send") {
            return Ok(Self::NotifySend);
        }
        if on_path("osascript") {
            return Ok(Self::Osascript);
        }
        Err(Failure::usage("this machine shows no desktop notices: neither `notify-send` nor `osascript` is installed")
            .help("`--bell` rings the terminal's bell, `--exec` runs a program of yours"))
    }

    fn command(self, title: &str, body: &str) -> Command {
        match self {
            Self::NotifySend => {
                let mut command = Command::new("notify-send");
                command.args(["--app-name=Preloop", "--", title, &markup(body)]);
                command
            }
            Self::Osascript => {
                let mut command = Command::new("osascript");
                let script = "display notification (item 2 of argv) with title (item 1 of argv)";
                command.args(["-e", "on run argv", "-e", script, "-e", "end run", title, body]);
                command
            }
        }
    }
}

impl Telling {
    /// Tells of one request. What cannot be started is said and stops nothing.
    pub(crate) fn tell(&self, request: &ApprovalRequest) {
        if self.bell {
            eprint!("\u{7}");
        }
        if let Some(desktop) = self.desktop {
            let title = format!("{} waits for your decision", shortened(&one_line(&request.tool_name), 80));
            let body = one_line(&request.tool_args.to_string());
            start("the desktop", desktop.command(&title, &shortened(&body, 200)));
        }
        if let Some(program) = &self.exec {
            let mut command = Command::new(program);
            command
                .env("PRELOOP_REQUEST_ID", request.id.to_string())
                .env("PRELOOP_REQUEST_TOOL", one_line(&request.tool_name))
                .env_remove("PRELOOP_TOKEN");
            start(program, command);
        }
    }
}

fn start(what: &str, mut command: Command) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(mut child) => {
            // Waited for, so that nothing is left of it.
            tokio::spawn(async move { child.wait().await });
        }
        Err(error) => warn(&format!("{what} could not be told: {error}")),
    }
}

/// Desktops read a little markup in a notice's body.
fn markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
