//! Finding a secret however it is written.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// How much of an encoded secret is enough to recognise it.
const PIECE: usize = 20;

/// A secret that must be nowhere.
pub struct Canary {
    /// What it is, for the message.
    pub name: String,
    /// The secret.
    pub text: String,
}

impl Canary {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let canary = Self { name: name.into(), text: text.into() };
        assert!(canary.text.len() >= PIECE, "{} is too short to be searched for", canary.name);
        canary
    }
}

/// A way to write a secret.
type Encoding = (&'static str, fn(&str) -> Vec<String>);

/// Every way that is searched for.
pub const ENCODINGS: [Encoding; 12] = [
    ("as it is", |text| vec![text.to_owned()]),
    ("base64", |text| shifted(text, |bytes| STANDARD_NO_PAD.encode(bytes))),
    ("base64 for URLs", |text| shifted(text, |bytes| URL_SAFE_NO_PAD.encode(bytes))),
    ("base64 of base64", |text| {
        let once = shifted(text, |bytes| STANDARD_NO_PAD.encode(bytes));
        once.iter().flat_map(|text| shifted(text, |bytes| STANDARD_NO_PAD.encode(bytes))).collect()
    }),
    ("hex", |text| vec![hex(text, |byte| format!("{byte:02x}"))]),
    ("upper-case hex", |text| vec![hex(text, |byte| format!("{byte:02X}"))]),
    ("percent", |text| {
        let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let some =
            hex(text, |byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
        vec![some, hex(text, |byte| format!("%{byte:02X}")), hex(text, |byte| format!("%{byte:02x}"))]
    }),
    ("JSON", |text| {
        let quoted = serde_json::to_string(text).unwrap();
        let again = serde_json::to_string(&quoted).unwrap();
        let escaped = hex(text, |byte| format!("\\u{byte:04x}"));
        vec![inner(&quoted), again.trim_matches(['"', '\\']).to_owned(), escaped]
    }),
    ("Rust's debug", |text| vec![inner(&format!("{text:?}"))]),
    ("a list of bytes", |text| {
        vec![format!("{:?}", text.as_bytes()), format!("{:?}", text.as_bytes()).replace(' ', "")]
    }),
    ("backwards", |text| vec![text.chars().rev().collect()]),
    ("without line breaks and frame", |text| {
        let lines = text.lines().filter(|line| !line.starts_with("-----"));
        vec![lines.collect::<String>(), lines_joined(text, " ")]
    }),
];

/// Base64 of a text that stands anywhere in what was encoded: three bytes become four characters, so
/// it looks different at each of three offsets. What its neighbours have a part in is left out.
fn shifted(text: &str, encode: fn(&[u8]) -> String) -> Vec<String> {
    (0..3)
        .map(|offset| {
            let skipped = (3 - offset) % 3;
            let whole = (text.len() - skipped) / 3 * 3;
            encode(&text.as_bytes()[skipped..skipped + whole])
        })
        .collect()
}

fn hex(text: &str, each: impl Fn(u8) -> String) -> String {
    text.bytes().map(each).collect()
}

fn inner(quoted: &str) -> String {
    quoted[1..quoted.len() - 1].to_owned()
}

fn lines_joined(text: &str, with: &str) -> String {
    text.lines().filter(|line| !line.starts_with("-----")).collect::<Vec<_>>().join(with)
}

/// A few characters of an encoded secret: the beginning, the middle and the end, so that a part gives it
/// away too.
fn pieces(encoded: &str) -> Vec<String> {
    let letters: Vec<char> = encoded.chars().collect();
    if letters.len() <= PIECE {
        return vec![letters.iter().collect()];
    }
    let last = letters.len() - PIECE;
    [0, last / 2, last].map(|at| letters[at..at + PIECE].iter().collect()).to_vec()
}

/// Finds secrets in texts, all of them in one pass.
pub struct Search<'a> {
    pieces: AhoCorasick,
    /// For each piece the secret that it is of, and how it is written there.
    of: Vec<(&'a str, &'static str)>,
}

impl<'a> Search<'a> {
    pub fn new(canaries: &'a [Canary]) -> Self {
        let (mut all, mut of) = (Vec::new(), Vec::new());
        for canary in canaries {
            // The first line of PEM and the header of a token are the same for everybody.
            let body = &canary.text[common(&canary.text)..];
            for (how, encode) in ENCODINGS {
                for piece in encode(body).iter().flat_map(|text| pieces(text)) {
                    all.push(piece);
                    of.push((canary.name.as_str(), how));
                }
            }
        }
        Self { pieces: AhoCorasick::new(all).unwrap(), of }
    }

    /// Which secrets are in `place`, and how they are written there.
    pub fn found(&self, place: &str) -> BTreeSet<(&'a str, &'static str)> {
        self.pieces.find_overlapping_iter(place).map(|found| self.of[found.pattern().as_usize()]).collect()
    }
}

/// How much of a secret is public: the frame and algorithm of a private key, the header of a token.
fn common(text: &str) -> usize {
    if let Some(body) = text.strip_prefix("-----BEGIN PRIVATE KEY-----\n") {
        // PKCS#8's version, algorithm and the beginning of the octet string.
        return text.len() - body.len() + 48;
    }
    if text.starts_with("eyJ") {
        return text.find('.').map_or(0, |dot| dot + 1);
    }
    0
}

#[test]
fn a_secret_is_found_however_it_is_written() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgabcdefghijklmnop\nqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqr\n-----END PRIVATE KEY-----\n";
    let canaries = [Canary::new("token", "hvs.CAESIJ~nobody/knows+this=one"), Canary::new("key", key)];
    assert!(ENCODINGS.len() >= 8);
    let search = Search::new(&canaries);
    for canary in &canaries {
        for (how, encode) in ENCODINGS {
            let public = common(&canary.text);
            for written in encode(&canary.text[public..]) {
                for place in [written.clone(), format!("{{\"note\":\"it said {written} and went\"}}")] {
                    let found = search.found(&place);
                    assert!(
                        found.iter().any(|(name, _)| *name == canary.name),
                        "{} {how}: {place}",
                        canary.name
                    );
                }
            }
        }
        // In the midst of something longer that was encoded as a whole.
        for before in ["", "x", "xy"] {
            let whole = format!("{before}{} and more", canary.text);
            for place in [
                STANDARD.encode(&whole),
                URL_SAFE_NO_PAD.encode(&whole),
                STANDARD.encode(STANDARD.encode(&whole)),
            ] {
                assert!(!search.found(&place).is_empty(), "{} behind {before:?}: {place}", canary.name);
            }
        }
    }
    let innocent = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
    assert!(search.found(innocent).is_empty(), "what every key begins with is no secret");
}
