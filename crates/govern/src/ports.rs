//! What `govern` needs of the floors above it.

use async_trait::async_trait;

use crate::Permit;

/// Carries out a call whose agent does not wait, and settles its permit.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Runs the call to its end.
    async fn execute(&self, permit: Permit);
}
