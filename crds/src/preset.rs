//! Presets: servers whose listeners and ways are known.

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
