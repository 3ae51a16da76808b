//! A place with a home of its own, and servers and commands in it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_preloop");

/// Debug builds on a busy machine are slow.
const START: Duration = Duration::from_mins(1);

/// A folder that stands for a machine's home.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    pub(crate) fn credentials(&self) -> PathBuf {
        self.0.path().join("config/credentials.toml")
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Starts a server on a free port and waits until it says that it is ready.
    pub(crate) fn serve(&self, env: &[(&str, &str)]) -> Server {
        let data = self.data();
        let mut command =
            self.command(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()], env);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = Arc::<Mutex<String>>::default();
        for stream in
            [Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>, Box::new(child.stderr.take().unwrap())]
        {
            let output = Arc::clone(&output);
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let mut output = output.lock().unwrap();
                    output.push_str(&line);
                    output.push('\n');
                }
            });
        }
        let mut server = Server { child, output, url: String::new() };
        server.url = server.wait_for(|line| line.strip_prefix("Preloop is ready at ").map(str::to_owned));
        server
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    pub(crate) fn run_with(&self, arguments: &[&str], env: &[(&str, &str)]) -> Ran {
        let output = self.command(arguments, env).output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            output: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A command that sees nothing of the environment of the tests but what runs programs.
    fn command(&self, arguments: &[&str], env: &[(&str, &str)]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.0.path())
            .env("PRELOOP_CONFIG_DIR", self.0.path().join("config"))
            .envs(env.iter().copied())
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }
}

/// A running server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    output: Arc<Mutex<String>>,
    pub(crate) url: String,
}

impl Server {
    /// Everything it printed so far.
    pub(crate) fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// The owner's key, if it printed one.
    pub(crate) fn first_key(&self) -> Option<String> {
        self.output().lines().find_map(|line| Some(line.strip_prefix("  ")?.trim().to_owned()))
    }

    /// Asks it to end, and gives its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }

    fn wait_for<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = self.output().lines().find_map(&wanted) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && began.elapsed() < START,
                "the server did not start: {ended:?}\n{}",
                self.output()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.output, self.errors);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.output).unwrap_or_else(|error| panic!("{error}: {}", self.output))
    }
}

/// Who may do what with a file.
pub(crate) fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}
