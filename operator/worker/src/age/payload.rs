//! The payload's cipher: chunks of 64 KiB, each sealed under its number and whether it is the last.
//!
//! A chunk that is left out, moved, repeated or put last does not open, because its number and whether it is last are
//! in the nonce: an 11-byte big-endian counter, then 1 for the last chunk and 0 for every other.

use age_core::{format::FileKey, primitives::hkdf};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

/// Bytes of plaintext in every chunk but the last.
pub const CHUNK: usize = 64 * 1024;
/// How many bytes sealing adds to a chunk.
pub const TAG: usize = 16;
/// Bytes of a sealed chunk that is not the last.
pub const SEALED_CHUNK: usize = CHUNK + TAG;
/// Length of the nonce that begins a payload. The payload's key depends on it, so a file key used twice gives two
/// keys.
pub const PAYLOAD_NONCE: usize = 16;

/// The sealed length of `plaintext` bytes.
pub fn sealed_length(plaintext: u64) -> u64 {
    plaintext.saturating_add(plaintext.div_ceil(CHUNK as u64).max(1).saturating_mul(TAG as u64))
}

/// A chunk that does not open: it was changed, moved, cut off, or sealed with another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chunk {number} (from byte {} of the plaintext) does not open: the file was changed, cut off or put together anew", number * CHUNK as u64)]
pub struct ChunkError {
    /// Its number, from 0.
    pub number: u64,
}

/// The key of one payload.
pub struct PayloadKey(LessSafeKey);

impl PayloadKey {
    /// Derives the key of the payload that begins with `nonce`. `None` if the cipher rejects the key, which it does
    /// for no key of the right length.
    pub fn new(file_key: &FileKey, nonce: &[u8; PAYLOAD_NONCE]) -> Option<Self> {
        let key = Zeroizing::new(hkdf(nonce, b"payload", file_key.expose_secret()));
        UnboundKey::new(&CHACHA20_POLY1305, key.as_slice()).ok().map(LessSafeKey::new).map(Self)
    }

    /// Seals `text` in place and writes its tag into `tag`.
    ///
    /// # Errors
    /// When `tag` is not [`TAG`] bytes long, or `text` is too long for the cipher.
    pub fn seal(&self, number: u64, last: bool, text: &mut [u8], tag: &mut [u8]) -> Result<(), ChunkError> {
        let failed = |_| ChunkError { number };
        let made =
            self.0.seal_in_place_separate_tag(nonce(number, last), Aad::empty(), text).map_err(failed)?;
        if tag.len() != TAG {
            return Err(ChunkError { number });
        }
        tag.copy_from_slice(made.as_ref());
        Ok(())
    }

    /// Opens a sealed chunk in place and returns its plaintext.
    ///
    /// # Errors
    /// When it is not the chunk of that number and place.
    pub fn open<'a>(&self, number: u64, last: bool, sealed: &'a mut [u8]) -> Result<&'a [u8], ChunkError> {
        let opened = self.0.open_in_place(nonce(number, last), Aad::empty(), sealed);
        opened.map(|text| &*text).map_err(|_| ChunkError { number })
    }
}

fn nonce(number: u64, last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    for (place, byte) in bytes.iter_mut().skip(3).zip(number.to_be_bytes()) {
        *place = byte;
    }
    if let Some(end) = bytes.last_mut() {
        *end = u8::from(last);
    }
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::age::header::file_key;

    #[test]
    fn a_chunk_opens_only_at_its_own_place() {
        let key = PayloadKey::new(&file_key(&[1; 16]).unwrap(), &[2; PAYLOAD_NONCE]).unwrap();
        let mut sealed = b"text and sixteen bytes of tag...".to_vec();
        let (text, tag) = sealed.split_at_mut(16);
        key.seal(5, false, text, tag).unwrap();
        assert_eq!(key.open(5, false, &mut sealed.clone()).unwrap(), b"text and sixteen");
        for (number, last) in [(5, true), (4, false), (6, false), (0, false)] {
            assert_eq!(key.open(number, last, &mut sealed.clone()), Err(ChunkError { number }));
        }
    }

    #[test]
    fn the_counter_is_big_endian_and_eleven_bytes_long() {
        assert_eq!(nonce(0x0102, true).as_ref(), &[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1]);
    }
}
