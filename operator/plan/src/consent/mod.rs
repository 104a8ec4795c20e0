//! What both ends agreed on: connections, external parties, and further authorities that are trusted for a time.

pub mod connection;
pub mod extra_trust;
pub mod party;

use crate::{record::views::View, world::declaration::Declaration};

/// Which declaration of a Channel is seen now.
pub fn view(channel: &Declaration) -> View {
    View {
        uid: channel.uid().unwrap_or_default().to_owned(),
        generation: channel.generation().unwrap_or_default(),
    }
}
