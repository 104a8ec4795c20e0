//! The ends of a connection on the command line.

use std::{fmt, str::FromStr};

use subrosa_crds::names::ChannelRef;

/// One end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A Channel; its namespace is empty until it is known.
    Channel(ChannelRef),
    /// An external party.
    Party(String),
    /// A service of the trust domain.
    Service(String),
}

impl End {
    /// The same, in `namespace` where none is given.
    pub fn within(self, namespace: &str) -> Self {
        match self {
            Self::Channel(name) if name.namespace.is_empty() => {
                Self::Channel(ChannelRef::new(namespace, name.name))
            }
            other => other,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(name) => write!(f, "Channel {name}"),
            Self::Party(name) => write!(f, "ExternalParty {name}"),
            Self::Service(name) => write!(f, "service {name}"),
        }
    }
}

impl FromStr for End {
    type Err = String;

    // Namespaces have no capital letters, so a kind cannot be mistaken for one.
    fn from_str(text: &str) -> Result<Self, String> {
        let (before, name) = text.split_once('/').unwrap_or(("", text));
        let label = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let known =
            before.is_empty() || label(before) || matches!(before, "ExternalParty" | "Service" | "Channel");
        if !label(name) || !known {
            return Err("expected NAMESPACE/CHANNEL, CHANNEL, ExternalParty/NAME or Service/NAME".to_owned());
        }
        Ok(match before {
            "ExternalParty" => Self::Party(name.to_owned()),
            "Service" => Self::Service(name.to_owned()),
            "Channel" => Self::Channel(ChannelRef::new("", name)),
            namespace => Self::Channel(ChannelRef::new(namespace, name)),
        })
    }
}
