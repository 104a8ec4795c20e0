//! What both ends agreed on: connections, external parties, and further authorities that are trusted for a limited
//! time.

pub mod connection;
pub mod extra_trust;
pub mod party;

use crate::{record::views::View, world::declaration::Declaration};

/// The current version of a Channel's declaration.
pub fn view(channel: &Declaration) -> View {
    View {
        uid: channel.uid().unwrap_or_default().to_owned(),
        generation: channel.generation().unwrap_or_default(),
    }
}
