//! The harness of the end-to-end tests: the real binary as a process, its owner over REST, agents
//! over MCP, and clients written by others.
//!
//! A failing step panics with what the server said: these are tests, not a library.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod agent;
mod app;
mod clients;
mod coding_agent;
mod gateway;
mod owner;
mod postgres;

pub use agent::{Agent, Answer, Era};
pub use app::{App, Limits, Setup};
pub use clients::{Clients, Language, node, python_and_node};
pub use coding_agent::{CodingAgent, Endpoints, coding_agents};
pub use gateway::{Ask, Family, Gateway, PROVIDER_KEY, cost, read_until, sdk_base, text_of};
pub use owner::Owner;
pub use postgres::fresh_database;

/// Waits until `look` finds what it looks for, for at most ten seconds.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(std::time::Instant::now() < until, "ten seconds passed without {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
