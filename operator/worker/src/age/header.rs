//! The header: stanzas that each wrap the file key for one recipient, and a MAC with the file key over all of them.

use std::io::{self, BufRead, Read as _};

use age_core::{
    format::{FILE_KEY_BYTES, FileKey, Stanza, read},
    primitives::hkdf,
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use ring::hmac;
use secrecy::ExposeSecret as _;

/// The first line of every age file.
const VERSION: &str = "age-encryption.org/v1\n";
/// The beginning of a header's last line.
const MAC: &str = "---";
/// The longest accepted header, in bytes. Ours have about 200; the age tool accepts 2 MiB.
const LONGEST: u64 = 64 * 1024;
/// Characters of base64 in one line of a stanza's body.
const LINE: usize = 64;

/// Why a header cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// It does not begin like an age file.
    #[error("it is no age file: it does not begin with \"age-encryption.org/v1\"")]
    NotAge,
    /// It is truncated, too long or malformed.
    #[error("its header is damaged: {0}")]
    Damaged(&'static str),
    /// It is not the header that was written with this file key.
    #[error("its header was changed after it was sealed")]
    Changed,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// A parsed header.
#[derive(Debug)]
pub struct Header {
    /// The stanzas with the wrapped file key.
    pub stanzas: Vec<Stanza>,
    /// The bytes that the MAC covers: the header including `---`.
    covered: Vec<u8>,
    mac: Vec<u8>,
}

impl Header {
    /// The bytes of a header with one stanza.
    pub fn write(file_key: &FileKey, stanza: &Stanza) -> Vec<u8> {
        let mut text = String::from(VERSION);
        text.push_str("-> ");
        text.push_str(&stanza.tag);
        for argument in &stanza.args {
            text.push(' ');
            text.push_str(argument);
        }
        text.push('\n');
        let body = BASE64.encode(&stanza.body);
        let mut rest = body.as_str();
        while let Some((line, after)) = rest.split_at_checked(LINE) {
            text.push_str(line);
            text.push('\n');
            rest = after;
        }
        // The last line of a body is always shorter than a full line, if need be empty, so that a reader knows the
        // end.
        text.push_str(rest);
        text.push('\n');
        text.push_str(MAC);
        let mac = hmac::sign(&mac_key(file_key), text.as_bytes());
        text.push(' ');
        text.push_str(&BASE64.encode(mac));
        text.push('\n');
        text.into_bytes()
    }

    /// Reads a header and nothing after it.
    ///
    /// # Errors
    /// When there is no valid header. [`verify`](Self::verify) detects changes once the file key is known.
    pub fn read(input: &mut impl BufRead) -> Result<Self, HeaderError> {
        let mut input = input.take(LONGEST);
        let mut text = Vec::new();
        let mut line = read_line(&mut input, &mut text)?;
        if text.get(line..) != Some(VERSION.as_bytes()) {
            return Err(HeaderError::NotAge);
        }
        let stanzas_at = text.len();
        loop {
            line = read_line(&mut input, &mut text)?;
            let Some(last) = text.get(line..).filter(|line| line.starts_with(MAC.as_bytes())) else {
                continue;
            };
            let mac = last
                .strip_prefix(b"--- ")
                .and_then(|rest| rest.strip_suffix(b"\n"))
                .and_then(|encoded| BASE64.decode(encoded).ok())
                .ok_or(HeaderError::Damaged("its last line is no MAC"))?;
            let stanzas = stanzas(text.get(stanzas_at..line).unwrap_or_default())?;
            text.truncate(line + MAC.len());
            return Ok(Self { stanzas, covered: text, mac });
        }
    }

    /// Verifies that this is, byte for byte, the header that was written with this file key.
    ///
    /// # Errors
    /// [`HeaderError::Changed`] when it is not.
    pub fn verify(&self, file_key: &FileKey) -> Result<(), HeaderError> {
        hmac::verify(&mac_key(file_key), &self.covered, &self.mac).map_err(|_| HeaderError::Changed)
    }
}

/// A file key of these bytes; `None` when their number is wrong.
pub fn file_key(bytes: &[u8]) -> Option<FileKey> {
    if bytes.len() != FILE_KEY_BYTES {
        return None;
    }
    Some(FileKey::init_with_mut(|key| key.copy_from_slice(bytes)))
}

/// Appends the next line to `text` and returns where it begins.
fn read_line(input: &mut impl BufRead, text: &mut Vec<u8>) -> Result<usize, HeaderError> {
    let begins = text.len();
    input.read_until(b'\n', text)?;
    match text.last() {
        Some(b'\n') if text.len() > begins => Ok(begins),
        _ if begins == 0 => Err(HeaderError::NotAge),
        _ => Err(HeaderError::Damaged("it ends too early or is longer than 64 KiB")),
    }
}

fn stanzas(mut text: &[u8]) -> Result<Vec<Stanza>, HeaderError> {
    let mut found = Vec::new();
    while !text.is_empty() {
        let (rest, stanza) = read::age_stanza(text)
            .map_err(|_| HeaderError::Damaged("a recipient's part is not of the form"))?;
        found.push(Stanza::from(stanza));
        text = rest;
    }
    if found.is_empty() {
        return Err(HeaderError::Damaged("it names no recipient"));
    }
    Ok(found)
}

fn mac_key(file_key: &FileKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &hkdf(&[], b"header", file_key.expose_secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> FileKey {
        file_key(&[byte; FILE_KEY_BYTES]).unwrap()
    }

    fn stanza(body: usize) -> Stanza {
        Stanza { tag: "subrosa".into(), args: vec!["key".into(), "1".into()], body: vec![7; body] }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_behind_it() {
        // 48 bytes fill a line of 64 characters: the short line after it is empty.
        for body in [0, 1, 44, 47, 48, 49, 96, 200] {
            let mut file = Header::write(&key(1), &stanza(body));
            file.extend_from_slice(b"payload");
            let mut input = file.as_slice();
            let header = Header::read(&mut input).unwrap();
            assert_eq!(
                (header.stanzas.as_slice(), input),
                ([stanza(body)].as_slice(), b"payload".as_slice())
            );
            header.verify(&key(1)).unwrap();
            assert!(matches!(header.verify(&key(2)), Err(HeaderError::Changed)), "{body}");
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let file = Header::write(&key(1), &stanza(44));
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            let noticed = match Header::read(&mut changed.as_slice()) {
                Ok(header) => header.verify(&key(1)).is_err(),
                Err(_) => true,
            };
            assert!(noticed, "byte {at}");
        }
    }

    #[test]
    fn every_shorter_header_is_refused() {
        let file = Header::write(&key(1), &stanza(44));
        for length in 0..file.len() {
            assert!(Header::read(&mut &file[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_header_without_end_is_not_read_without_end() {
        let mut endless = io::BufReader::new(VERSION.as_bytes().chain(io::repeat(b'a')));
        assert!(matches!(Header::read(&mut endless), Err(HeaderError::Damaged(_))));
    }
}
