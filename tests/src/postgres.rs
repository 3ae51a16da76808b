//! A database of its own on the PostgreSQL that the tests were given.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// The URL of a new, empty database on the server of `TEST_DATABASE_URL`. Without one a test is
/// skipped aloud, or fails where `PRELOOP_TEST_STRICT=1` says that nothing may be skipped.
pub async fn fresh_database(test: &str) -> Option<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = std::env::var("TEST_DATABASE_URL") else {
        let missing = format!("{test} needs TEST_DATABASE_URL; `cargo xtask test` sets it");
        assert!(std::env::var_os("PRELOOP_TEST_STRICT").is_none_or(|strict| strict != "1"), "{missing}");
        eprintln!("SKIPPED: {missing}");
        return None;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let name = format!("e2e_{now}_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&server).await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let (authority, _) = server.rsplit_once('/').unwrap();
    Some(format!("{authority}/{name}"))
}
