//! A finding about a manifest: place, object, field, and what to do.

use std::{fmt, sync::Arc};

use super::output::Paint;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The position of the file among those given, which is the order of the report.
    pub order: usize,
    /// The line, from 1.
    pub line: u64,
    /// The file as it was given.
    pub file: Arc<str>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Would be refused at admission or leave the object Stalled.
    Error,
    /// Worth knowing.
    Note,
}

/// One thing to say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// How bad it is.
    pub severity: Severity,
    /// Of which object, such as `Channel cc-front/voice`.
    pub object: String,
    /// At which field; empty for the object itself.
    pub field: String,
    /// What stands there, where it may be repeated.
    pub value: Option<String>,
    /// What is so, what is expected, the next step.
    pub message: String,
}

impl Finding {
    /// The finding as one line.
    pub fn text(&self, paint: Paint) -> String {
        let severity = match self.severity {
            Severity::Error => paint.bad("error"),
            Severity::Note => paint.odd("note"),
        };
        let mut text = format!("{}: {severity}: ", paint.bold(&self.place.to_string()));
        for part in [self.object.as_str(), &self.field, self.value.as_deref().unwrap_or_default()] {
            if !part.is_empty() {
                text.push_str(part);
                text.push_str(": ");
            }
        }
        text.push_str(&self.message);
        text
    }
}

/// Whether any of them is an error.
pub fn any_error(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}
