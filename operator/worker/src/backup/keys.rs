//! The key of a window's repository: a data key of Vault, wrapped, beside the repository. There is no password, and so
//! no key file and no other way in.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use rustic_core::{Credentials, repofile::MasterKey};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use subrosa_crds::{backup::BackupSettings, cohort::Cohort};
use subrosa_records::vault::{
    TransitKeyName, VaultError,
    backup::{BackupKeys, MasterKeyBytes},
};
use zeroize::Zeroizing;

use super::{
    problem::{BackupError, BackupProblem},
    store::{Bucket, Creation},
};

/// What a window's key does, in Vault.
pub trait WindowKeys: Send + Sync {
    /// A new master key, in clear and wrapped.
    fn new_master_key(
        &self,
        name: &TransitKeyName,
        associated_data: &[u8],
    ) -> impl Future<Output = Result<(MasterKeyBytes, String), VaultError>> + Send;
    /// A master key, unwrapped.
    fn unwrap_master_key(
        &self,
        name: &TransitKeyName,
        wrapped: &str,
        associated_data: &[u8],
    ) -> impl Future<Output = Result<MasterKeyBytes, VaultError>> + Send;
    /// The seal of a manifest.
    fn seal_manifest(
        &self,
        name: &TransitKeyName,
        signed: &[u8],
    ) -> impl Future<Output = Result<String, VaultError>> + Send;
    /// Whether Vault made that seal.
    fn is_sealed(
        &self,
        name: &TransitKeyName,
        signed: &[u8],
        seal: &str,
    ) -> impl Future<Output = Result<bool, VaultError>> + Send;
}

impl WindowKeys for BackupKeys {
    async fn new_master_key(
        &self,
        name: &TransitKeyName,
        associated_data: &[u8],
    ) -> Result<(MasterKeyBytes, String), VaultError> {
        self.new_master_key(name, associated_data).await
    }

    async fn unwrap_master_key(
        &self,
        name: &TransitKeyName,
        wrapped: &str,
        associated_data: &[u8],
    ) -> Result<MasterKeyBytes, VaultError> {
        self.unwrap_master_key(name, wrapped, associated_data).await
    }

    async fn seal_manifest(&self, name: &TransitKeyName, signed: &[u8]) -> Result<String, VaultError> {
        self.seal_manifest(name, signed).await
    }

    async fn is_sealed(&self, name: &TransitKeyName, signed: &[u8], seal: &str) -> Result<bool, VaultError> {
        self.is_sealed(name, signed, seal).await
    }
}

/// The wrapped key as it lies in the store.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyFile {
    schema: u32,
    wrapped: String,
}

const SCHEMA: u32 = 1;

/// What opens a repository. No `Debug`: rustic's would print the key.
pub(super) struct RepositoryKey(Credentials);

impl RepositoryKey {
    /// For rustic.
    pub fn credentials(&self) -> &Credentials {
        &self.0
    }

    fn of(key: &MasterKeyBytes) -> Result<Self, BackupError> {
        let failed = || BackupProblem::RunFailed.with("the master key could not be handed to the repository");
        let (encrypt, mac) = key.expose_secret().split_at(32);
        let (k, r) = mac.split_at(16);
        let text = Zeroizing::new(format!(
            r#"{{"mac":{{"k":"{}","r":"{}"}},"encrypt":"{}"}}"#,
            *Zeroizing::new(STANDARD.encode(k)),
            *Zeroizing::new(STANDARD.encode(r)),
            *Zeroizing::new(STANDARD.encode(encrypt)),
        ));
        let key: MasterKey = serde_json::from_str(&text).map_err(|_| failed())?;
        Ok(Self(Credentials::Masterkey(key)))
    }
}

/// Where the repository of a window is.
pub(super) fn base(settings: &BackupSettings, window: Cohort) -> String {
    format!("{}/{window}", settings.id)
}

/// The name of a window's key in Vault.
pub(super) fn key_name(settings: &BackupSettings, window: Cohort) -> Result<TransitKeyName, BackupError> {
    TransitKeyName::new(settings.key(window))
        .map_err(|error| BackupProblem::ConfigInvalid.with(error.to_string()))
}

fn wrapped_name(settings: &BackupSettings, window: Cohort) -> String {
    format!("{}/key.json", base(settings, window))
}

/// What the master key is wrapped with. It never equals that of a sealed item.
fn associated_data(settings: &BackupSettings, window: Cohort) -> String {
    format!("subrosa/v1 backup {} {window}", settings.id)
}

/// The key of a window's repository, which must have one.
pub(super) async fn open<K: WindowKeys>(
    store: &Bucket,
    keys: &K,
    settings: &BackupSettings,
    window: Cohort,
) -> Result<RepositoryKey, BackupError> {
    let name = wrapped_name(settings, window);
    match store.get(&name).await? {
        Some(found) => unwrap(keys, settings, window, &found).await,
        None => Err(BackupProblem::KeyMissing.with(format!(
            "{name} is missing in the store, so the repository {} cannot be opened",
            base(settings, window)
        ))),
    }
}

/// The same, or a new one where there is no repository yet. Of two first runs the later takes the key of the earlier.
pub(super) async fn open_or_make<K: WindowKeys>(
    store: &Bucket,
    keys: &K,
    settings: &BackupSettings,
    window: Cohort,
) -> Result<RepositoryKey, BackupError> {
    let name = wrapped_name(settings, window);
    if let Some(found) = store.get(&name).await? {
        return unwrap(keys, settings, window, &found).await;
    }
    if store.get(&format!("{}/config", base(settings, window))).await?.is_some() {
        return open(store, keys, settings, window).await;
    }
    let data = associated_data(settings, window);
    let (key, wrapped) = keys.new_master_key(&key_name(settings, window)?, data.as_bytes()).await?;
    let file = serde_json::to_vec(&KeyFile { schema: SCHEMA, wrapped })
        .map_err(|_| BackupProblem::RunFailed.with("the wrapped key could not be written down"))?;
    match store.create(&name, Bytes::from(file)).await? {
        Creation::Created | Creation::Same => RepositoryKey::of(&key),
        Creation::Taken => open(store, keys, settings, window).await,
    }
}

async fn unwrap<K: WindowKeys>(
    keys: &K,
    settings: &BackupSettings,
    window: Cohort,
    found: &[u8],
) -> Result<RepositoryKey, BackupError> {
    let name = wrapped_name(settings, window);
    let file = serde_json::from_slice::<KeyFile>(found).ok().filter(|file| file.schema == SCHEMA);
    // Byte for byte as it was written.
    let file = file.filter(|file| serde_json::to_vec(file).is_ok_and(|text| text == found));
    let Some(file) = file else {
        return Err(
            BackupProblem::RepositoryDamaged.with(format!("{name} is no wrapped key of schema {SCHEMA}"))
        );
    };
    let data = associated_data(settings, window);
    let key = keys.unwrap_master_key(&key_name(settings, window)?, &file.wrapped, data.as_bytes()).await?;
    RepositoryKey::of(&key)
}
