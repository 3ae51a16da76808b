//! Fresh databases of both kinds for tests, here and in the crates above.
//!
//! PostgreSQL comes from `TEST_DATABASE_URL` (a superuser's; every test gets a database of its own) or
//! from a throw-away cluster made of the binaries on this machine, once per test process. Where there
//! is neither, PostgreSQL tests say so and pass, or fail if `PRELOOP_TEST_STRICT=1`.

#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, OnceLock},
};

use preloop_types::{AccountId, Agent, AgentState, Timestamp, WriterId, config::RawJson};
use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{AgentRow, Keys, ManualClock, NewOwner, Owner, Result, Store, StoreOptions, SystemClock};

/// Runs each test against a fresh store of either kind.
///
/// ```ignore
/// each_store! {
///     async fn a_revoked_key_stays_revoked(store) { … }
/// }
/// ```
#[macro_export]
macro_rules! each_store {
    ($($(#[$meta:meta])* async fn $name:ident($store:ident) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn run_on($store: $crate::testing::TestStore) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                run_on($crate::testing::fresh_sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(store) = $crate::testing::fresh_postgres().await {
                    run_on(store).await;
                }
            }
        }
    )*};
}

/// When the clock of a fresh store stands: 2026-01-01.
pub const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);
/// The instance key of a fresh store.
pub const INSTANCE_KEY: &[u8] = b"an instance key for tests";

/// A store of its own; its database goes with it.
pub struct TestStore {
    store: Store,
    clock: Arc<ManualClock>,
    writer: WriterId,
    place: Arc<Place>,
}

/// Where the database is.
struct Place {
    url: String,
    _dir: Option<TempDir>,
    /// To be dropped at the end, from a server that is not thrown away.
    database: Option<(String, String)>,
}

impl TestStore {
    /// The clock the store runs by. Stands still until told otherwise.
    pub fn clock(&self) -> &Arc<ManualClock> {
        &self.clock
    }

    /// The database's URL.
    pub fn url(&self) -> &str {
        &self.place.url
    }

    /// Whether this is SQLite, where one process at a time has the database.
    pub fn is_sqlite(&self) -> bool {
        self.url().starts_with("sqlite:")
    }

    /// What the store was opened with.
    pub fn options(&self) -> StoreOptions {
        StoreOptions {
            url: self.url().to_owned(),
            keys: Keys::derive(INSTANCE_KEY),
            writer: self.writer,
            clock: self.clock.clone(),
        }
    }

    /// Closes the store and opens it again, as a restart does.
    pub async fn reopen(self) -> Self {
        self.store.close().await;
        let (options, Self { store, clock, writer, place }) = (self.options(), self);
        drop(store);
        Self { store: reopened(options).await, clock, writer, place }
    }

    /// Another node on the same database; PostgreSQL only.
    pub async fn another_node(&self) -> Store {
        let writer = WriterId(Uuid::now_v7());
        Store::open(StoreOptions { writer, ..self.options() }).await.expect("opens a second time")
    }

    /// The first account, or a further one: its owner is called `username`.
    pub async fn owner(&self, username: &str) -> Owner {
        let owner = NewOwner { username: username.to_owned(), email: None, full_name: None, key: None };
        self.store.create_account(owner).await.expect("an account is made")
    }

    /// Settles what nodes that are gone left open, as every node does from time to time; how many calls.
    pub async fn settle_dead_nodes(&self) -> Result<u64> {
        self.store.settle_orphans(&self.store.dead_nodes().await?).await
    }

    /// Lets the file grow by no more than `pages`; SQLite only. `None` lets it grow again.
    pub async fn fill_disk(&self, pages: Option<u32>) -> Result<()> {
        let work = self.store.write_any(move |tx| {
            Box::pin(async move {
                let (used,) = crate::db::fetch_optional!(tx.conn, (i64,), "PRAGMA page_count")?.unwrap_or_default();
                let most = pages.map_or(i64::from(u32::MAX) - 1, |pages| used + i64::from(pages));
                crate::db::execute!(tx.conn, AssertSqlSafe(format!("PRAGMA max_page_count = {most}"))).map(drop)
            })
        });
        work.await
    }

    /// Runs one statement behind the store's back.
    pub async fn tamper(&self, sql: &str) -> Result<u64> {
        let mut link = self.store.shared().db.link().await?;
        let mut conn = link.conn();
        let rows = crate::db::execute!(conn, AssertSqlSafe(sql))?;
        link.close().await;
        Ok(rows)
    }
}

impl std::ops::Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

/// Opens a store as soon as its last process has let go of it.
async fn reopened(options: StoreOptions) -> Store {
    for _ in 0..100 {
        match Store::open(options.clone()).await {
            Err(crate::Error::InUse(_)) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            opened => return opened.expect("the store opens again"),
        }
    }
    panic!("the store is still in use");
}

/// A fresh SQLite store.
pub async fn fresh_sqlite() -> TestStore {
    let dir = TempDir::new().expect("a temporary directory");
    let url = format!("sqlite://{}", dir.path().join("preloop.db").display());
    fresh(Place { url, _dir: Some(dir), database: None }).await
}

/// A fresh PostgreSQL store; `None` where there is no PostgreSQL.
pub async fn fresh_postgres() -> Option<TestStore> {
    let (server, throw_away) = match std::env::var("TEST_DATABASE_URL") {
        Ok(url) => (url, false),
        Err(_) => (tokio::task::spawn_blocking(cluster).await.expect("starts PostgreSQL")?, true),
    };
    let database = format!("preloop_test_{}", Uuid::now_v7().simple());
    let mut admin = PgConnection::connect(&server).await.expect("connects to PostgreSQL");
    let create = format!("CREATE DATABASE {database}");
    sqlx::query(AssertSqlSafe(create)).execute(&mut admin).await.expect("makes a database");
    let url = with_database(&server, &database);
    Some(fresh(Place { url, _dir: None, database: (!throw_away).then_some((server, database)) }).await)
}

async fn fresh(place: Place) -> TestStore {
    let (clock, writer) = (Arc::new(ManualClock::new(START)), WriterId(Uuid::now_v7()));
    let keys = Keys::derive(INSTANCE_KEY);
    let options = StoreOptions { url: place.url.clone(), keys, writer, clock: clock.clone() };
    let store = Store::open(options).await.expect("a fresh store opens");
    TestStore { store, clock, writer, place: Arc::new(place) }
}

/// Options over an existing database, by the system's clock, for processes that a test kills.
pub fn options(url: &str, writer: WriterId) -> StoreOptions {
    let keys = Keys::derive(INSTANCE_KEY);
    StoreOptions { url: url.to_owned(), keys, writer, clock: Arc::new(SystemClock) }
}

fn with_database(server: &str, database: &str) -> String {
    let (base, query) = server.split_once('?').map_or((server, None), |(base, query)| (base, Some(query)));
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base[authority..].find('/').map_or(base.len(), |at| authority + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{database}{query}", &base[..end])
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((server, database)) = self.database.take() else { return };
        let drop_database = async move {
            let mut admin = PgConnection::connect(&server).await?;
            let sql = format!("DROP DATABASE {database} WITH (FORCE)");
            sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await
        };
        let dropped = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(drop_database))
        });
        let _ = dropped.join();
    }
}

/// The throw-away cluster's URL; started by whoever asks first.
fn cluster() -> Option<String> {
    static CLUSTER: OnceLock<Option<(String, Child)>> = OnceLock::new();
    let running = CLUSTER.get_or_init(|| {
        let Some(bin) = postgres_binaries() else {
            assert!(
                std::env::var("PRELOOP_TEST_STRICT").as_deref() != Ok("1"),
                "no PostgreSQL: install Debian's `postgresql`, or set `TEST_DATABASE_URL`"
            );
            eprintln!("SKIPPED: no PostgreSQL here; install Debian's `postgresql`, or set `TEST_DATABASE_URL`");
            return None;
        };
        Some(start_cluster(&bin))
    });
    running.as_ref().map(|(url, _)| url.clone())
}

/// Lives as long as its standard input is open, which is as long as this process lives, however it ends.
/// A managed agent that is active, as a row.
pub fn agent(account: AccountId, agent: &Agent, now: Timestamp) -> AgentRow {
    AgentRow {
        id: agent.id,
        account,
        name: agent.name.clone(),
        kind: agent.kind.clone(),
        source_type: agent.kind.clone(),
        source_id: agent.id.to_string(),
        reference: None,
        enrolled_via: "api_key".to_owned(),
        tags: agent.tags.clone(),
        owner: None,
        state: AgentState::Active,
        state_reason: None,
        state_changed_at: None,
        model_bindings: RawJson(RawValue::from_string("[]".to_owned()).expect("a list is JSON")),
        last_seen_at: now,
        created_at: now,
        updated_at: now,
    }
}

const CLUSTER_SCRIPT: &str = r#"
set -e
bin=$1
dir=$(mktemp -d /tmp/preloop-postgres.XXXXXX)
trap 'rm -rf "$dir"' EXIT
"$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-sync >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
"$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off -c full_page_writes=off \
    -c max_connections=300 -c shared_buffers=32MB >>"$dir/log" 2>&1 &
pid=$!
until "$bin/pg_isready" -q -h "$dir"; do
    kill -0 $pid 2>/dev/null || { cat "$dir/log" >&2; exit 1; }
    sleep 0.05
done
echo "$dir"
cat >/dev/null
kill -QUIT $pid
wait $pid || true
"#;

fn start_cluster(bin: &Path) -> (String, Child) {
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0");
    let mut command = if root {
        // PostgreSQL refuses to run as root.
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.args(["-c", CLUSTER_SCRIPT, "sh"]).arg(bin).current_dir("/tmp");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts a shell");
    let mut dir = String::new();
    let output = child.stdout.take().expect("its output is a pipe");
    BufReader::new(output).read_line(&mut dir).expect("reads its output");
    assert!(!dir.is_empty(), "PostgreSQL did not start");
    (format!("postgres://postgres@localhost/postgres?host={}", dir.trim()), child)
}

fn postgres_binaries() -> Option<PathBuf> {
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = packaged.map(|entry| entry.path().join("bin")).collect();
    found.sort();
    found.reverse();
    found.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    found.into_iter().find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
}
