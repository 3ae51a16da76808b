//! A throw-away PostgreSQL for one run, from whatever server programs the machine has.

use std::{
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::steps::Missing;

use super::{answer, is_root};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Stops the server when its standard input ends, so that it goes when we go, however we go.
const LEASH: &str = r#""$@" & server=$!; cat > /dev/null; kill -INT "$server"; wait "$server""#;

/// A running server; stops and vanishes when dropped.
pub(crate) struct Postgres {
    url: String,
    server: Option<(Child, PathBuf)>,
}

impl Postgres {
    /// Starts one, unless `TEST_DATABASE_URL` names one already.
    pub(crate) fn start() -> Result<Self, Missing> {
        if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
            println!("   using the one of TEST_DATABASE_URL");
            return Ok(Self { url, server: None });
        }
        let Some(programs) = programs() else {
            return Err(Missing::Tool("PostgreSQL's `initdb` and `postgres` were not found".to_owned()));
        };
        Ok(Self::start_with(&programs)?)
    }

    fn start_with(programs: &Path) -> Result<Self> {
        let owner = Owner::choose()?;
        let folder = std::env::temp_dir().join(format!("preloop-test-pg-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        owner.own(&folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();

        let data = folder.join("data");
        let made = owner
            .command(&programs.join("initdb"))
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
            .current_dir(&folder)
            .output()
            .context("cannot start `initdb`")?;
        ensure!(made.status.success(), "`initdb` failed: {}", String::from_utf8_lossy(&made.stderr));

        let log = std::fs::File::create(folder.join("log")).context("cannot make the log")?;
        let mut command = owner.command(Path::new("/bin/sh"));
        command.args(["-c", LEASH, "sh"]).arg(programs.join("postgres")).arg("-D").arg(&data).arg("-k").arg(&folder);
        for setting in [
            &format!("port={port}"),
            "listen_addresses=127.0.0.1",
            "max_connections=300",
            "shared_buffers=64MB",
            // The data dies with the run; what the tests say about durability is about our own order of writes.
            "fsync=off",
            "full_page_writes=off",
        ] {
            command.args(["-c", setting]);
        }
        let child = command
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start `postgres`")?;
        let started =
            Self { url: format!("postgres://postgres@127.0.0.1:{port}/postgres"), server: Some((child, folder)) };
        started.wait_until_ready(programs, port)?;
        println!("   listening on port {port}");
        Ok(started)
    }

    /// Where tests find it: the maintenance database, in which they make their own.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn wait_until_ready(&self, programs: &Path, port: u16) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        let ready = || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
                && answer(Command::new(programs.join("pg_isready")).args(["-h", "127.0.0.1", "-p", &port.to_string()]))
                    .is_some()
        };
        while !ready() {
            if Instant::now() > deadline {
                let log = self.server.as_ref().and_then(|(_, folder)| std::fs::read_to_string(folder.join("log")).ok());
                bail!("PostgreSQL was not ready within {READY_WITHIN:?}: {}", log.unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some((mut server, folder)) = self.server.take() {
            drop(server.stdin.take());
            let _ = server.wait();
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// The folder with `initdb` and `postgres`: the newest of those that the usual packages make.
pub(super) fn programs() -> Option<PathBuf> {
    let asked = answer(Command::new("pg_config").arg("--bindir")).map(PathBuf::from);
    let mut packaged: Vec<PathBuf> = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"]
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path().join("bin")))
        .collect();
    packaged.sort();
    let has = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file());
    packaged.into_iter().rev().chain(asked).find(has)
}

/// Whom the server runs as: it refuses to be root.
enum Owner {
    Ourselves,
    User { uid: u32, gid: u32 },
}

impl Owner {
    fn choose() -> Result<Self> {
        if !is_root() {
            return Ok(Owner::Ourselves);
        }
        let id = |flag| answer(Command::new("id").args([flag, "postgres"])).and_then(|id| id.parse().ok());
        match (id("-u"), id("-g")) {
            (Some(uid), Some(gid)) => Ok(Owner::User { uid, gid }),
            _ => bail!("PostgreSQL refuses to run as root, and there is no user `postgres`"),
        }
    }

    fn own(&self, folder: &Path) -> Result<()> {
        match self {
            Owner::Ourselves => Ok(()),
            Owner::User { uid, gid } => std::os::unix::fs::chown(folder, Some(*uid), Some(*gid))
                .with_context(|| format!("cannot give `{}` away", folder.display())),
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Owner::User { uid, gid } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throw_away_server_vanishes_when_dropped() {
        let Some(programs) = programs() else {
            println!("skipped: PostgreSQL is not installed");
            return;
        };
        let server = Postgres::start_with(&programs).unwrap();
        let address = server.url().split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
        let folder = server.server.as_ref().unwrap().1.clone();
        assert!(TcpStream::connect(&address).is_ok());

        drop(server);

        assert!(TcpStream::connect(&address).is_err());
        assert!(!folder.exists());
    }
}
