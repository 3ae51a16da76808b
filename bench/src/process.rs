//! Processes under measurement and test: started on a core of their own, watched through `/proc`.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::process::{Child, Command};

/// Keeps whatever else the machine does from showing in the figures.
const PRIORITY: &str = "-15";

/// A port that was free a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The `preloop` binary beside the running executable, built first so that it is never stale.
/// `PRELOOP_BIN` names another one, which is taken as it is.
pub fn preloop_binary(release: bool) -> io::Result<PathBuf> {
    if let Some(named) = std::env::var_os("PRELOOP_BIN") {
        return Ok(named.into());
    }
    let mut build = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--package", "preloop-cli"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if release {
        build.arg("--release");
    }
    if !build.status()?.success() {
        return Err(io::Error::other("`cargo build --package preloop-cli` failed"));
    }
    // target/debug/deps/e2e-… or target/release/preloop-bench
    let here = std::env::current_exe()?;
    let binary = here.ancestors().skip(1).take(2).map(|folder| folder.join("preloop")).find(|file| file.exists());
    binary.ok_or_else(|| io::Error::other("no `preloop` beside this executable; name one in `PRELOOP_BIN`"))
}

/// A process, killed when dropped.
pub struct Process {
    child: Child,
    started: Instant,
}

impl Process {
    /// Starts a command; on `core` alone where one is given and `taskset` exists. What it prints
    /// goes to `log`.
    pub fn start(core: Option<u32>, command: &[&str], env: &[(&str, &str)], log: &Path) -> io::Result<Self> {
        let core = core.map(|core| core.to_string());
        let pinned: Vec<&str> = match &core {
            // Without the right to a higher priority `nice` says so and goes on.
            Some(core) if pinning() => {
                ["nice", "-n", PRIORITY, "taskset", "-c", core].iter().chain(command).copied().collect()
            }
            _ => command.to_vec(),
        };
        let out = std::fs::File::options().create(true).append(true).open(log)?;
        let started = Instant::now();
        let child = Command::new(pinned[0])
            .args(&pinned[1..])
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, started })
    }

    /// Its process id; `None` once it ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it accepts connections at `addr`, and says how long after its start that was.
    pub async fn ready(&mut self, addr: SocketAddr, within: Duration) -> io::Result<Duration> {
        loop {
            if tokio::net::TcpStream::connect(addr).await.is_ok() {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("ended before it was ready: {status}")));
            }
            if self.started.elapsed() > within {
                return Err(io::Error::other(format!("not ready after {within:?}")));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends it without a warning, as a crash or a power cut would.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Asks it to end, and waits.
    pub async fn stop(&mut self) -> io::Result<std::process::ExitStatus> {
        if let Some(id) = self.child.id() {
            Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        }
        self.child.wait().await
    }

    /// CPU time it has used, its ended threads included.
    pub fn cpu(&self) -> io::Result<Duration> {
        // Fields 14 and 15 of proc_pid_stat(5), in clock ticks, which Linux fixes at 100 a second
        // for everything it shows to programs. The name in field 2 may hold blanks.
        let stat = self.proc("stat")?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
        Ok(Duration::from_millis(ticks.sum::<u64>() * 10))
    }

    /// Resident memory, in bytes.
    pub fn resident(&self) -> io::Result<u64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        Ok(line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024)
    }

    fn proc(&self, file: &str) -> io::Result<String> {
        let id = self.id().ok_or_else(|| io::Error::other("the process ended"))?;
        std::fs::read_to_string(format!("/proc/{id}/{file}"))
    }
}

/// Whether a program is on `PATH`.
pub fn finds(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Whether processes can be pinned to cores.
pub fn pinning() -> bool {
    let quiet = |command: &mut std::process::Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    quiet(std::process::Command::new("taskset").args(["-c", "0", "true"]))
}

/// Keeps this whole process to `core`, at the priority of what it measures.
pub fn pin_self(core: u32) {
    let this = std::process::id().to_string();
    for command in [
        ["taskset", "-a", "-c", "-p", &core.to_string(), &this].as_slice(),
        ["renice", "-n", PRIORITY, "-p", &this].as_slice(),
    ] {
        let quiet = || Stdio::null();
        let _ = std::process::Command::new(command[0]).args(&command[1..]).stdout(quiet()).stderr(quiet()).status();
    }
}
