//! The records in Vault, in the form in which they are stored. Nothing here decides.

pub mod adoption;
pub mod backup;
pub mod break_glass;
pub mod channel;
pub mod connection;
pub mod decision;
pub mod destroyer;
pub mod ended;
pub mod extra_trust;
pub mod generations;
pub mod grants;
pub mod issuances;
pub mod keys;
pub mod news;
pub mod pods;
pub mod reviews;
pub mod revocations;
pub mod store;
pub mod views;

use serde::Serialize;

/// How many bytes of JSON a record may have that grows with what people make. An entry of Vault holds 1 MiB, with each quotation mark
/// written as two bytes.
pub const MOST_BYTES: usize = 850_000;

/// The bytes of a record as JSON.
pub fn bytes<R: Serialize>(record: &R) -> usize {
    serde_json::to_string(record).map_or(usize::MAX, |text| text.len())
}

/// How many bytes may still be added to a record.
pub fn room<R: Serialize>(record: &R) -> usize {
    MOST_BYTES.saturating_sub(bytes(record))
}

/// Whether something may still be added to a record.
pub fn has_room<R: Serialize>(record: &R) -> bool {
    bytes(record) < MOST_BYTES
}
