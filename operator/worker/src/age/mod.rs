//! The age file format, version 1 (C2SP, age-encryption.org/v1): a header with the wrapped file key, then the payload in
//! chunks of 64 KiB.
//!
//! ```text
//! header   who can unwrap the file key, and a MAC over that
//! payload  nonce, chunks: ChaCha20-Poly1305, numbered, the last one marked
//! pipeline several chunks at once on several cores, in constant memory
//! ```
//!
//! The age crate works on one chunk at a time and on one core. Here the chunks are spread over all given cores;
//! otherwise the format is what the age tool reads and writes, and tests check both directions.

pub mod header;
pub mod payload;
pub mod pipeline;
