//! Loads the cases of this folder; README.md says what they are. The end-to-end suite includes this
//! file by its path, so it depends on nothing but serde.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

use std::{fs, path::Path};

use serde::Deserialize;
use serde_json::Value;

/// A manifest and what is to be said of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// `kind: name`.
    pub name: String,
    /// The kind that it is posted as.
    pub kind: String,
    /// The whole object.
    pub manifest: Value,
    /// What it was before; none for one that is made.
    pub before: Option<Value>,
    /// What is wrong with it; nothing for a case that is accepted.
    pub errors: Vec<Expected>,
    /// Whether the fault is a field nobody knows, which the API server says otherwise.
    pub unknown: bool,
    /// What no answer may repeat.
    pub secret: Option<String>,
}

/// One violation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The field, as the API server writes it.
    pub field: String,
    /// A part of the message.
    pub message: String,
    /// The part to look for in the API server's answer, where its wording is another.
    pub server: Option<String>,
}

impl Expected {
    /// The part to look for in the API server's answer.
    pub fn by_server(&self) -> &str {
        self.server.as_deref().unwrap_or(&self.message)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kind: String,
    accepted: Vec<Accepted>,
    rejected: Vec<Rejected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    name: String,
    manifest: Value,
    before: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rejected {
    name: String,
    of: Option<String>,
    change: Option<Value>,
    manifest: Option<Value>,
    before: Option<Value>,
    #[serde(default)]
    unknown: bool,
    secret: Option<String>,
    errors: Vec<Expected>,
}

/// All cases of the folder `folder`, in the order of its files.
///
/// # Panics
/// When a file is not as README.md says.
pub fn load(folder: &Path) -> Vec<Case> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{}: no cases", folder.display());
    paths.iter().flat_map(|path| read(path)).collect()
}

fn read(path: &Path) -> Vec<Case> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: File =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut cases: Vec<Case> = file
        .accepted
        .iter()
        .map(|accepted| Case {
            name: format!("{}: {}", file.kind, accepted.name),
            kind: file.kind.clone(),
            before: accepted.before.clone().map(|change| merged(&accepted.manifest, change)),
            manifest: accepted.manifest.clone(),
            errors: Vec::new(),
            unknown: false,
            secret: None,
        })
        .collect();
    cases.extend(file.rejected.into_iter().map(|rejected| {
        let name = format!("{}: {}", file.kind, rejected.name);
        assert!(!rejected.errors.is_empty(), "{name}: a rejected case needs its errors");
        let manifest = match (rejected.manifest, rejected.of, rejected.change) {
            (Some(manifest), None, None) => manifest,
            (None, Some(of), Some(change)) => {
                let base = file.accepted.iter().find(|accepted| accepted.name == of);
                let mut manifest =
                    base.unwrap_or_else(|| panic!("{name}: no accepted case {of:?}")).manifest.clone();
                merge(&mut manifest, change);
                manifest
            }
            _ => panic!("{name}: write either manifest, or of and change"),
        };
        Case {
            name,
            kind: file.kind.clone(),
            before: rejected.before.map(|change| merged(&manifest, change)),
            manifest,
            errors: rejected.errors,
            unknown: rejected.unknown,
            secret: rejected.secret,
        }
    }));
    cases
}

fn merged(manifest: &Value, change: Value) -> Value {
    let mut manifest = manifest.clone();
    merge(&mut manifest, change);
    manifest
}

// RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(&name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), value);
        }
    }
}
