//! Everything that etcd has, searched for private keys.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::KeyPair;
use serde_json::{Value, json};
use subrosa_e2e::Environment;

/// What is looked for of a private key: any of it is enough to use the key.
pub struct Traces(Vec<(&'static str, Vec<u8>)>);

impl Traces {
    /// Of a key as PKCS #8.
    pub fn of(der: &[u8]) -> Self {
        // ECPrivateKey (RFC 5915): version 1, then the secret number as an octet string of 32 bytes.
        const BEFORE: [u8; 5] = [2, 1, 1, 4, 32];
        let at = der.windows(5).position(|bytes| bytes == BEFORE).expect("a P-256 key") + 5;
        let secret = der[at..at + 32].to_vec();
        let text = STANDARD.encode(der);
        let pem = pem_line(&text);
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(vec![
            ("the number itself", secret),
            ("a line of its PEM", pem.clone()),
            ("its PEM in base64", base64_within(&pem)),
            ("it in base64", text.into_bytes()),
            ("the number in hexadecimal", hex.into_bytes()),
        ])
    }

    /// What of it stands in `bytes`.
    fn within(&self, bytes: &[u8]) -> Vec<&'static str> {
        let found = self.0.iter().filter(|(_, trace)| memory_has(bytes, trace));
        found.map(|(what, _)| *what).collect()
    }
}

/// The second line of the PEM: the secret number is in it.
fn pem_line(text: &str) -> Vec<u8> {
    text.as_bytes()[64..128].to_vec()
}

/// The middle of what base64 makes of it, wherever it begins in a group of three.
fn base64_within(text: &[u8]) -> Vec<u8> {
    STANDARD.encode(&text[..48]).into_bytes()
}

fn memory_has(bytes: &[u8], trace: &[u8]) -> bool {
    bytes.windows(trace.len()).any(|window| window == trace)
}

/// Every key of etcd and its value, as etcd's own API gives them.
pub async fn dump(env: &Environment) -> BTreeMap<String, Vec<u8>> {
    let client = reqwest::Client::builder().unix_socket(env.directory().join("etcd.sock")).build().unwrap();
    let all = STANDARD.encode([0]);
    let question = json!({"key": all, "range_end": all});
    let answer = client.post("http://etcd/v3/kv/range").json(&question).send().await.unwrap();
    let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
    let read = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
    let entries = answer["kvs"].as_array().expect("entries");
    let dump: BTreeMap<_, _> = entries
        .iter()
        .map(|entry| (String::from_utf8(read(&entry["key"])).unwrap(), read(&entry["value"])))
        .collect();
    assert_eq!(answer["count"].as_str().unwrap().parse::<usize>().unwrap(), dump.len(), "all of it came");
    dump
}

/// Where in `dump` a key stands.
pub fn places<'a>(dump: &'a BTreeMap<String, Vec<u8>>, traces: &Traces) -> Vec<&'a str> {
    let found = dump.iter().filter(|(_, value)| !traces.within(value).is_empty());
    found.map(|(key, _)| key.as_str()).collect()
}

/// The files of etcd in which a key stands: the database with its history, and the log of what was ever written.
pub fn files(env: &Environment, traces: &Traces) -> Vec<String> {
    let mut found = Vec::new();
    search(&env.directory().join("etcd"), traces, &mut found);
    found
}

fn search(directory: &Path, traces: &Traces, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, traces, found);
        } else if !traces.within(&fs::read(&path).unwrap()).is_empty() {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
}

/// Of the key of a request.
pub fn of_pair(key: &KeyPair) -> Traces {
    Traces::of(&key.serialize_der())
}
