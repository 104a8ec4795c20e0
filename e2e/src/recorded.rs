//! What an installation left in etcd and in OpenBao, as files: so that a release can be tried on what an earlier one wrote
//! without building that one again.
//!
//! Objects are taken from etcd and not from the API server: an identity in Vault is minted from the UID of a namespace,
//! and the API server gives each object that it makes another one. Keys cannot be read from OpenBao, so its whole storage
//! is taken, with the key that unseals it. Both held nothing but a test.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Environment, openbao::Snapshot};

/// The objects of one installation.
const OBJECTS: &str = "objects.json";
/// The storage of its OpenBao, and what opens it.
const STORAGE: &str = "openbao.snapshot";
const OPENS: &str = "openbao.json";

/// An object as etcd has it.
#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    /// Base64: objects of Kubernetes' own kinds are protocol buffers.
    value: String,
}

/// What opens the storage.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opens {
    root_token: String,
    unseal_key: String,
}

/// What etcd answers to a range. The names of keys are base64 too.
#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<Entry>,
}

/// Writes the objects whose keys in etcd begin with one of `prefixes`, and all that OpenBao has, to files in `directory`.
///
/// # Errors
/// When a server refuses or a file cannot be written.
pub async fn record(env: &Environment, prefixes: &[String], directory: &Path) -> Result<()> {
    let etcd = Etcd::of(env)?;
    let mut objects = Vec::new();
    for prefix in prefixes {
        objects.extend(etcd.range(prefix).await?);
    }
    let snapshot = env.openbao().snapshot().await?;
    fs::create_dir_all(directory)?;
    fs::write(directory.join(OBJECTS), serde_json::to_string_pretty(&objects)? + "\n")?;
    fs::write(directory.join(STORAGE), &snapshot.storage)?;
    let opens = Opens { root_token: snapshot.root_token, unseal_key: snapshot.unseal_key };
    fs::write(directory.join(OPENS), serde_json::to_string_pretty(&opens)? + "\n")?;
    Ok(())
}

/// Puts what [`record`] wrote in `directory` into etcd and OpenBao.
///
/// # Errors
/// When a file cannot be read or a server refuses.
pub async fn replay(env: &mut Environment, directory: &Path) -> Result<()> {
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read(&path).with_context(|| format!("read {}", path.display()))
    };
    let objects: Vec<Entry> = serde_json::from_slice(&read(OBJECTS)?).context(OBJECTS)?;
    let opens: Opens = serde_json::from_slice(&read(OPENS)?).context(OPENS)?;
    let Opens { root_token, unseal_key } = opens;
    let snapshot = Snapshot { storage: read(STORAGE)?, root_token, unseal_key };
    let etcd = Etcd::of(env)?;
    for object in &objects {
        etcd.put(object).await?;
    }
    env.openbao_mut().restore(snapshot).await
}

/// etcd, by its JSON gateway.
struct Etcd(reqwest::Client);

impl Etcd {
    fn of(env: &Environment) -> Result<Self> {
        let plane = env.control_plane().context("the etcd of a cluster given by SUBROSA_E2E_KUBECONFIG")?;
        let socket: PathBuf = plane.etcd_socket().to_owned();
        let client = reqwest::Client::builder().no_proxy().unix_socket(socket).build();
        Ok(Self(client.context("a client for etcd")?))
    }

    async fn range(&self, prefix: &str) -> Result<Vec<Entry>> {
        // Every key that begins with the prefix is before the prefix with its last byte raised.
        let mut end = prefix.as_bytes().to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let body = json!({"key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end)});
        let range: Range = serde_json::from_value(self.ask("range", &body).await?).context("etcd: range")?;
        let entry = |one: Entry| {
            let key = STANDARD.decode(&one.key)?;
            Ok(Entry { key: String::from_utf8(key)?, value: one.value })
        };
        range.kvs.into_iter().map(entry).collect()
    }

    async fn put(&self, object: &Entry) -> Result<()> {
        let body = json!({"key": STANDARD.encode(&object.key), "value": object.value});
        self.ask("put", &body).await.map(drop)
    }

    async fn ask(&self, what: &str, body: &Value) -> Result<Value> {
        let answer = self.0.post(format!("http://localhost/v3/kv/{what}")).json(body).send().await;
        let answer = answer.with_context(|| format!("etcd: {what}"))?;
        if !answer.status().is_success() {
            bail!("etcd: {what}: {}: {}", answer.status(), answer.text().await.unwrap_or_default());
        }
        answer.json().await.with_context(|| format!("etcd: {what}"))
    }
}
