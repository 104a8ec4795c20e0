//! The distinguished name of a certificate, as far as Subrosa writes one.

use std::fmt;

/// The subject of a certificate: `O=<trust domain>, OU=<namespace>, CN=<common name>`, in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectName {
    /// `O`: the trust domain.
    pub organisation: String,
    /// `OU`: the namespace.
    pub unit: String,
    /// `CN`.
    pub common_name: String,
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "O={}, OU={}, CN={}", self.organisation, self.unit, self.common_name)
    }
}
