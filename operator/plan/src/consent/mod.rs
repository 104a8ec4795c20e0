//! What both ends agreed on: connections, external parties, and further authorities that are trusted for a time.

/// The declaration of a Channel, as it is seen now.
pub fn view(channel: &subrosa_crds::Channel) -> crate::record::views::View {
    crate::record::views::View {
        uid: channel.metadata.uid.clone().unwrap_or_default(),
        generation: channel.metadata.generation.unwrap_or_default(),
    }
}

pub mod connection;
pub mod extra_trust;
pub mod party;
