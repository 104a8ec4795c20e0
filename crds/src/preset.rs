//! Presets: servers whose listeners and ways of reloading are known.
//!
//! ```text
//!  table ─ one row per server ─▶ facts ─┬─▶ resolve   a Channel's spec with what its preset gives filled in
//!                                       ├─▶ guess     which server an image contains
//!                                       └─▶ page      docs/presets.md
//! ```
//!
//! A preset is resolved where a Channel enters: before a watch stores it, and where a command reads a manifest or the
//! cluster. All later code reads `plan::world::declaration`. The resolved spec is never written back.

mod facts;
mod guess;
pub(crate) mod name;
mod page;
mod resolve;
mod table;

pub use facts::{ClosedPort, Offer, PresetFacts, Setting};
pub use guess::of_image;
pub use name::Preset;
pub use page::{Copied, page};
pub use resolve::{fill_in, plaintext, resolve, resolved};

/// The control that a plaintext port loosens, as the control catalogue names it.
pub const PLAINTEXT_CONTROL: &str = "SR-TLS-02";

impl Preset {
    /// What is known of it.
    pub const fn facts(self) -> &'static PresetFacts {
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
