//! The governed model call: allowed, within its limits, reserved, its intent durable, settled.

mod admit;
mod permit;
mod records;
mod refusal;
mod traffic;

pub use admit::ModelAttempt;
pub use permit::ModelPermit;
pub(crate) use refusal::Refused;
pub use refusal::{ModelRefusal, ModelRefusalKind};
pub use traffic::Halt;
pub(crate) use traffic::{Stops, Traffic, Unwritten};

/// The answer to a model call.
pub enum ModelAdmission {
    /// Send it.
    Granted(ModelPermit),
    /// No.
    Refused(ModelRefusal),
}
