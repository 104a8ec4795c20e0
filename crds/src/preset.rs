//! Presets: servers whose listeners and ways are known.
//!
//! ```text
//!  table ─ one row a server ─▶ facts ─┬─▶ resolve   a Channel's spec with what its preset gives filled in
//!                                     ├─▶ guess     which server an image holds
//!                                     └─▶ page      docs/presets.md
//! ```
//!
//! A preset is resolved where a Channel enters: by the watch of a running operator, by the commands where they
//! read a manifest or the cluster. Everything behind reads `spec.listeners` and the rest as if they were
//! written. Nothing resolved is ever written back.

mod facts;
mod guess;
mod page;
mod resolve;
mod table;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use facts::{Closed, Facts, Offer, Setting};
pub use guess::of_image;
pub use page::{Copied, page};
pub use resolve::{plaintext, resolve, resolved};

/// The control that a plaintext port loosens, as the control catalogue names it.
pub const PLAINTEXT_CONTROL: &str = "SR-TLS-02";

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

    /// What is known of it.
    pub const fn facts(self) -> &'static Facts {
        match self {
            Self::Kamailio => &table::telephony::KAMAILIO,
            Self::Asterisk => &table::telephony::ASTERISK,
            Self::FreeSWITCH => &table::telephony::FREESWITCH,
            Self::LiveKit => &table::telephony::LIVEKIT,
            Self::Postfix => &table::mail::POSTFIX,
            Self::Dovecot => &table::mail::DOVECOT,
            Self::PostgreSQL => &table::data::POSTGRESQL,
            Self::Mosquitto => &table::data::MOSQUITTO,
            Self::Nginx => &table::proxy::NGINX,
            Self::Envoy => &table::proxy::ENVOY,
        }
    }
}

impl std::fmt::Display for Preset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
