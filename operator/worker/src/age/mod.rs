//! The age file format, version 1 (C2SP, age-encryption.org/v1): a header with the wrapped file key, then the payload in
//! chunks of 64 KiB.
//!
//! ```text
//! header   who can unwrap the file key, and a MAC over that
//! payload  nonce, chunks: ChaCha20-Poly1305, numbered, the last one marked
//! pipeline several chunks at once on several cores, in constant memory
//! ```
//!
//! The age crate works on one core and one chunk at a time; here the chunks go through every core that is given, and the
//! rest of the format is what stock age reads and writes (tests hold both directions).

pub mod header;
pub mod payload;
pub mod pipeline;
