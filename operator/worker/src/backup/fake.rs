//! A fake Vault and a store that fails, for tests.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox};
use sha2::{Digest as _, Sha256, Sha512};
use subrosa_crds::backup::BackupSettings;
use subrosa_records::vault::{TransitKeyName, VaultError, backup::MasterKeyBytes};

use super::{
    keys::WindowKeys,
    problem::{BackupError, BackupProblem},
};

/// Wraps by writing down for what it did.
#[derive(Default)]
pub struct FakeVault {
    made: AtomicU64,
    /// What Vault says of keys that it refuses, by the end of their name.
    pub refuses: Mutex<BTreeMap<String, &'static str>>,
}

/// What Vault says of a key that is not there.
pub const GONE: &str = "encryption key not found";
/// What it says of one whose destruction is under way.
pub const SET_ASIDE: &str = "refusing to use soft-deleted key";

impl FakeVault {
    fn may_use(&self, name: &TransitKeyName) -> Result<(), VaultError> {
        let refuses = self.refuses.lock().unwrap();
        let refusal = refuses.iter().find(|(end, _)| name.as_str().ends_with(end.as_str()));
        refusal.map_or(Ok(()), |(_, message)| Err(refused(message)))
    }
}

fn refused(message: &str) -> VaultError {
    VaultError::Invalid { path: "transit".into(), status: 400, messages: vec![message.into()] }
}

fn seal(name: &TransitKeyName, signed: &[u8]) -> String {
    let hash = Sha256::new().chain_update(name.as_str()).chain_update([0]).chain_update(signed).finalize();
    format!("vault:v1:{}", STANDARD.encode(hash))
}

impl WindowKeys for FakeVault {
    async fn new_master_key(
        &self,
        name: &TransitKeyName,
        associated_data: &[u8],
    ) -> Result<(MasterKeyBytes, String), VaultError> {
        self.may_use(name)?;
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let key: [u8; 64] = Sha512::digest(number.to_be_bytes()).into();
        let mut secret = SecretBox::new(Box::new([0; 64]));
        secret.expose_secret_mut().copy_from_slice(&key);
        let context = Sha256::new().chain_update(name.as_str()).chain_update(associated_data).finalize();
        let wrapped = STANDARD.encode([context.as_slice(), &key].concat());
        Ok((secret, format!("vault:v1:{wrapped}")))
    }

    async fn unwrap_master_key(
        &self,
        name: &TransitKeyName,
        wrapped: &str,
        associated_data: &[u8],
    ) -> Result<MasterKeyBytes, VaultError> {
        self.may_use(name)?;
        let wrapped = wrapped.strip_prefix("vault:v1:").and_then(|text| STANDARD.decode(text).ok());
        let wrapped = wrapped.ok_or_else(|| refused("invalid ciphertext"))?;
        let context = Sha256::new().chain_update(name.as_str()).chain_update(associated_data).finalize();
        let key = wrapped.strip_prefix(context.as_slice()).filter(|key| key.len() == 64);
        let key = key.ok_or_else(|| refused("cipher: message authentication failed"))?;
        let mut secret = SecretBox::new(Box::new([0; 64]));
        secret.expose_secret_mut().copy_from_slice(key);
        // A changed key opens nothing, as with Vault, which would refuse it.
        let known = (0..self.made.load(Ordering::Relaxed))
            .any(|number| Sha512::digest(number.to_be_bytes()).as_slice() == secret.expose_secret());
        if known { Ok(secret) } else { Err(refused("cipher: message authentication failed")) }
    }

    async fn seal_manifest(&self, name: &TransitKeyName, signed: &[u8]) -> Result<String, VaultError> {
        self.may_use(name)?;
        Ok(seal(name, signed))
    }

    async fn is_sealed(&self, name: &TransitKeyName, signed: &[u8], given: &str) -> Result<bool, VaultError> {
        self.may_use(name)?;
        Ok(seal(name, signed) == given)
    }
}

/// Whether the write of an object fails, and how.
pub type Refusal = Arc<dyn Fn(&str) -> Option<BackupError> + Send + Sync>;

/// Fails each write after so many.
pub fn failing_after(writes: usize) -> Refusal {
    let count = AtomicUsize::new(0);
    Arc::new(move |name| {
        let failed = count.fetch_add(1, Ordering::Relaxed) >= writes;
        failed.then(|| BackupProblem::StoreUnreachable.with(format!("{name} cannot be written: no answer")))
    })
}

/// Settings for these volumes.
pub fn settings(id: &str, volumes: &[&str]) -> BackupSettings {
    let text = format!(
        "channel: {{namespace: cc-front, name: voice}}
id: {id}
vault: {{address: 'https://bao:8200', transit: transit, auth: kubernetes, role: subrosa-workload, audience: vault}}
timeZone: Europe/Amsterdam
store: {{endpoint: 'file:///', allowInsecure: true, region: none, bucket: b}}
volumes: [{}]
",
        volumes.join(", ")
    );
    BackupSettings::from_yaml(&text).unwrap()
}
