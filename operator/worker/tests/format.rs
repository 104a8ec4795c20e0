//! The age crate, which is rage's library, opens what is sealed here, and seals what is opened here.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

use std::{collections::HashSet, io::Read as _, io::Write as _, iter, num::NonZeroUsize};

use age::{DecryptError, Decryptor, EncryptError, Encryptor, Identity, Recipient};
use age_core::format::{FileKey, Stanza};
use secrecy::ExposeSecret as _;
use subrosa_worker::age::{
    header::{Header, file_key},
    payload::PayloadKey,
    pipeline::{PayloadDirection, run},
};

/// Wraps a file key by writing it into the header: only here, where nothing else than the format is looked at.
struct InClear;

impl Recipient for InClear {
    fn wrap_file_key(&self, key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        Ok((vec![in_clear(key)], HashSet::new()))
    }
}

impl Identity for InClear {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        (stanza.tag == "clear").then(|| file_key(&stanza.body).ok_or(DecryptError::InvalidHeader))
    }
}

fn in_clear(key: &FileKey) -> Stanza {
    Stanza { tag: "clear".into(), args: vec!["a".into()], body: key.expose_secret().to_vec() }
}

const CHUNK: usize = 64 * 1024;
const LENGTHS: [usize; 8] = [0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 16 * CHUNK, 35 * CHUNK + 7];

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn two() -> NonZeroUsize {
    NonZeroUsize::new(2).unwrap()
}

#[test]
fn the_age_crate_opens_what_is_sealed_here() {
    for length in LENGTHS {
        let key = file_key(&[9; 16]).unwrap();
        let nonce = [5; 16];
        let mut file = Header::write(&key, &in_clear(&key));
        file.extend_from_slice(&nonce);
        let payload = PayloadKey::new(&key, &nonce).unwrap();
        run(PayloadDirection::Seal, &payload, text(length).as_slice(), &mut file, two()).unwrap();
        let mut opened = Vec::new();
        let decryptor = Decryptor::new(file.as_slice()).unwrap();
        decryptor.decrypt(iter::once(&InClear as &dyn Identity)).unwrap().read_to_end(&mut opened).unwrap();
        assert!(opened == text(length), "{length}");
    }
}

#[test]
fn what_the_age_crate_seals_is_opened_here() {
    for length in LENGTHS {
        let mut file = Vec::new();
        let encryptor = Encryptor::with_recipients(iter::once(&InClear as &dyn Recipient)).unwrap();
        let mut writer = encryptor.wrap_output(&mut file).unwrap();
        writer.write_all(&text(length)).unwrap();
        writer.finish().unwrap();
        let mut input = file.as_slice();
        let header = Header::read(&mut input).unwrap();
        let ours = header.stanzas.iter().find(|stanza| stanza.tag == "clear").unwrap();
        let key = file_key(&ours.body).unwrap();
        header.verify(&key).unwrap();
        let (nonce, payload) = input.split_first_chunk().unwrap();
        let mut opened = Vec::new();
        run(PayloadDirection::Open, &PayloadKey::new(&key, nonce).unwrap(), payload, &mut opened, two())
            .unwrap();
        assert!(opened == text(length), "{length}");
    }
}
