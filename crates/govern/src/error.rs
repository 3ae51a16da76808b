use preloop_store::Error as StoreError;

/// Why a governed operation failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Not there, or another tenant's.
    #[error("{0} not found")]
    NotFound(String),
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The input is wrong; says what and how to mend it.
    #[error("{0}")]
    Invalid(String),
    /// An answer does not fit its form; says where and why.
    #[error("the answer does not fit the form: {}", said(.0))]
    Form(Vec<crate::FieldProblem>),
    /// The state does not allow it (any more).
    #[error("{0}")]
    Conflict(String),
    /// The store cannot be read or written now.
    #[error("the store is not available: {0}")]
    Store(String),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Error::NotFound("row".to_owned()),
            error => Error::Store(error.to_string()),
        }
    }
}

fn said(problems: &[crate::FieldProblem]) -> String {
    let said = |problem: &crate::FieldProblem| match problem.path.as_str() {
        "" => problem.message.clone(),
        path => format!("`{path}` {}", problem.message),
    };
    problems.iter().map(said).collect::<Vec<_>>().join("; ")
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
