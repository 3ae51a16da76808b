//! Names a document may use without defining them.

/// What the account already has, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its servers.
    pub servers: Vec<String>,
    /// Its approval workflows.
    pub workflows: Vec<String>,
    /// Its users, by user name.
    pub users: Vec<String>,
    /// Its teams.
    pub teams: Vec<String>,
    /// Whether it has a workflow that is used when nothing names another.
    pub has_default_workflow: bool,
}
