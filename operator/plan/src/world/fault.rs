//! Something that could not be put in force, as status will say it.

/// What failed: a stable reason, and a sentence with the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A stable CamelCase word.
    pub reason: String,
    /// What failed and what to do next. Never a secret.
    pub message: String,
}

impl Fault {
    /// A fault.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }
}
