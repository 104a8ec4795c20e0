//! The key that identifies a connection of a Channel.

use std::fmt;

use serde::{Deserialize, Serialize};
use subrosa_crds::{names::ChannelRef, trust_domain::Direction};

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Other {
    /// A Channel.
    Channel(ChannelRef),
    /// An ExternalParty.
    Party(String),
    /// A service of the trust domain.
    Service(String),
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(name) => write!(f, "Channel {name}"),
            Self::Party(name) => write!(f, "ExternalParty {name}"),
            Self::Service(name) => write!(f, "service {name}"),
        }
    }
}

/// Identifies a connection: the list that declares it, its name there, and its peer. An entry that names another peer
/// is another connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionKey {
    /// Ingress for accepts, Egress for connectsTo.
    pub direction: Direction,
    /// The entry's name.
    pub name: String,
    /// The other end.
    pub other: Other,
}
