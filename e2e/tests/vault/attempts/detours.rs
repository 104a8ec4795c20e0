//! The same requests under another spelling of their path, which a server may read differently than its rules do.

use serde_json::{Value, json};

use super::Root::Spared;
use super::{Try, attempt};
use crate::confinement::{COHORT, ID, KEY};

/// Other spellings of `mount/…/last`.
fn spellings(path: &str) -> Vec<String> {
    let (mount, rest) = path.split_once('/').unwrap();
    let (front, last) = path.rsplit_once('/').unwrap();
    vec![
        format!("{mount}//{rest}"),
        format!("/{path}"),
        format!("{front}//{last}"),
        format!("{front}/./{last}"),
        format!("{front}/%2e/{last}"),
        format!("{front}/a/../{last}"),
        format!("{front}/a/%2e%2e/{last}"),
        format!("{front}/a/%2E%2E/{last}"),
        format!("{front}/a/..%2f{last}"),
        format!("{front}%2f{last}"),
        format!("{front}%252f{last}"),
        format!("{front}%5c{last}"),
        format!("{mount}%2f{rest}"),
        format!("{path}/"),
        format!("{path}//"),
        format!("{path}/."),
        format!("{path}/a/.."),
        format!("{path}%2f"),
        format!("{path}%00"),
        format!("{path}%20"),
        format!("{path}?a=b"),
        format!("{path};a=b"),
        format!("{}/{rest}", mount.to_uppercase()),
        path.replace("/keys/", "/Keys/").replace("/data/", "/Data/"),
        path.replace("/keys/", "/%6beys/").replace("/data/", "/%64ata/"),
        format!("sys/../{path}"),
        format!("auth/token/lookup-self/../../../{path}"),
    ]
}

fn spelled(name: &'static str, method: &'static str, path: &str, body: &Value) -> Vec<Try> {
    let attempts = spellings(path).into_iter().filter(|spelling| spelling != path);
    attempts.map(|path| attempt(name, method, path, body.clone(), Spared).anyhow()).collect()
}

fn through(name: &'static str, method: &'static str, paths: &[String], body: &Value) -> Vec<Try> {
    paths.iter().map(|path| attempt(name, method, path, body.clone(), Spared).anyhow()).collect()
}

/// To what destroys and decides.
pub fn for_the_operator() -> Vec<Try> {
    let key = format!("transit/keys/{KEY}");
    let decision = format!("subrosa/data/decisions/{ID}/call-recording/{COHORT}");
    let write = json!({"data": {"state": "Destroyed"}, "options": {"cas": 2}});
    let allowed = json!({"deletion_allowed": true});
    [
        spelled("take out of use", "DELETE", &format!("{key}/soft-delete"), &json!(null)),
        spelled("give back", "POST", &format!("{key}/soft-delete-restore"), &json!({})),
        spelled("allow deletion", "POST", &format!("{key}/config"), &allowed),
        spelled("trim", "POST", &format!("{key}/trim"), &json!({"min_available_version": 1})),
        spelled("delete a key", "DELETE", &key, &json!(null)),
        spelled("write a decision", "POST", &decision, &write),
        spelled("write what the destroyer remembers", "POST", "subrosa/data/destroyer", &write),
        // Through what the operator may write, with as many segments as its rule has.
        through(
            "allow deletion through another right",
            "POST",
            &[
                format!("{key}/rotate/../config"),
                format!("{key}/rotate/%2e%2e/config"),
                format!("transit/sign/..%2fkeys%2f{KEY}%2fconfig"),
                format!("transit/sign/%2e%2e/keys/{KEY}/config"),
            ],
            &allowed,
        ),
        through(
            "write a decision through another right",
            "POST",
            &[
                format!("subrosa/data/channels/../decisions/{ID}/call-recording/{COHORT}"),
                format!("subrosa/data/channels/..%2fdecisions%2f{ID}%2fcall-recording%2f{COHORT}"),
                format!("subrosa/data/keys/{ID}/../..%2fdecisions%2f{ID}%2fcall-recording%2f{COHORT}"),
                "subrosa/data/keys/%2e%2e/%2e/destroyer".to_owned(),
                "subrosa/data/keys/../././destroyer".to_owned(),
                "subrosa/data/channels/..%2fdestroyer".to_owned(),
                "subrosa/data/domain/../destroyer".to_owned(),
                format!("subrosa/data/keys/../decisions/{ID}"),
                format!("subrosa/data/keys/%2e%2e/decisions/{ID}"),
            ],
            &write,
        ),
    ]
    .concat()
}

/// To everything that is not the destroyer's.
pub fn for_the_destroyer() -> Vec<Try> {
    let key = format!("transit/keys/{KEY}");
    let write = json!({"data": {"a": 9}, "options": {"cas": 2}});
    let version = json!({"min_available_version": 1});
    [
        spelled("rotate", "POST", &format!("{key}/rotate"), &json!({})),
        spelled("trim", "POST", &format!("{key}/trim"), &version),
        spelled("get a data key", "POST", &format!("transit/datakey/plaintext/{KEY}"), &json!({})),
        spelled("make a key", "POST", &format!("transit/keys/{ID}.new.2026"), &json!({})),
        spelled("write a Channel's record", "POST", &format!("subrosa/data/channels/{ID}"), &write),
        spelled(
            "delete a decision",
            "DELETE",
            &format!("subrosa/data/decisions/{ID}/call-recording/{COHORT}"),
            &json!(null),
        ),
        through(
            "rotate through another right",
            "POST",
            &[
                format!("{key}/config/../rotate"),
                format!("{key}/soft-delete-restore/../rotate"),
                format!("{key}/soft-delete-restore/%2e%2e/rotate"),
                format!("{key}/soft-delete-restore%2f..%2frotate"),
                format!("transit/encrypt/../keys/{KEY}/rotate"),
                format!("transit/encrypt/%2e%2e/keys/{KEY}/rotate"),
                format!("transit/encrypt/..%2fkeys%2f{KEY}%2frotate"),
                format!("transit/decrypt/{KEY}/../../keys/{KEY}/rotate"),
            ],
            &json!({}),
        ),
        through(
            "write a Channel's record through another right",
            "POST",
            &[
                format!("subrosa/data/decisions/../channels/{ID}"),
                format!("subrosa/data/decisions/%2e%2e/channels/{ID}"),
                format!("subrosa/data/decisions/%2e%2e/%2e/channels%2f{ID}"),
                format!("subrosa/data/decisions/.././channels/{ID}"),
                format!("subrosa/data/decisions/a/..%2f../..%2fchannels%2f{ID}"),
                format!("subrosa/data/destroyer/../channels/{ID}"),
                format!("subrosa/data/destroyer%2f..%2fchannels%2f{ID}"),
            ],
            &write,
        ),
        through(
            "write a policy through its own token",
            "POST",
            &[
                "auth/token/renew-self/../../../sys/policies/acl/evil".to_owned(),
                "auth/token/renew-self/%2e%2e/%2e%2e/%2e%2e/sys/policies/acl/evil".to_owned(),
                "auth/kubernetes/login/../role/evil".to_owned(),
                "auth/kubernetes/login%2f..%2frole%2fevil".to_owned(),
            ],
            &json!({"policy": "path \"*\" { capabilities = [\"sudo\"] }"}),
        ),
    ]
    .concat()
}
