//! The names of presets, which a Channel's spec has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A server whose listeners, closed plaintext ports, type and way of reloading are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Preset {
    Kamailio,
    Asterisk,
    FreeSWITCH,
    LiveKit,
    Postfix,
    Dovecot,
    PostgreSQL,
    Mosquitto,
    Nginx,
    Envoy,
}

impl Preset {
    /// Every preset, in the order they are documented.
    pub const ALL: [Self; 10] = [
        Self::Kamailio,
        Self::Asterisk,
        Self::FreeSWITCH,
        Self::LiveKit,
        Self::Postfix,
        Self::Dovecot,
        Self::PostgreSQL,
        Self::Mosquitto,
        Self::Nginx,
        Self::Envoy,
    ];

    /// As a manifest has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kamailio => "Kamailio",
            Self::Asterisk => "Asterisk",
            Self::FreeSWITCH => "FreeSWITCH",
            Self::LiveKit => "LiveKit",
            Self::Postfix => "Postfix",
            Self::Dovecot => "Dovecot",
            Self::PostgreSQL => "PostgreSQL",
            Self::Mosquitto => "Mosquitto",
            Self::Nginx => "Nginx",
            Self::Envoy => "Envoy",
        }
    }
}

impl std::fmt::Display for Preset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
