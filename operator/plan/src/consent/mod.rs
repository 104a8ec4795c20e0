//! What both ends agreed on: connections, external parties, and further authorities that are trusted for a time.

pub mod connection;
pub mod extra_trust;
pub mod party;
