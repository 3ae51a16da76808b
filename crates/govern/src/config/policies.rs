//! The configuration as one document.

/// Which environment variables a policy document may read.
#[derive(Debug, Clone, Default)]
pub struct EnvAllowList {
    /// Names listed by the operator, besides those that start with `PRELOOP_POLICY_`.
    pub names: Vec<String>,
}
