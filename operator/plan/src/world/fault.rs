//! A failure, in the form in which status reports it.

use subrosa_crds::Reason;

/// What failed: a stable reason, and a sentence with the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The reason.
    pub reason: Reason,
    /// What failed and what to do next. Never a secret.
    pub message: String,
}

impl Fault {
    /// A fault.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
