//! Transit: keys that never leave Vault. There are no functions for what Subrosa never does: delete, export, trim,
//! back up, encrypt, decrypt.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vaultrs::api::transit as wire;
use vaultrs::api::transit::requests::{
    CreateKeyRequest, ListKeysRequest, RotateKeyRequest, SignDataRequest, UpdateKeyConfigurationRequest,
};

use super::answer::{Reply, parse};
use super::client::Vault;
use super::endpoint::{Call, Capability, Op};
use super::error::VaultError;
use super::name::{MountPath, TransitKeyName};

/// The shortest rotation period that Vault accepts.
pub const MIN_AUTO_ROTATE: Duration = Duration::from_secs(3600);

/// How often a rotation with unknown outcome is checked and retried.
const MAX_ROTATIONS: usize = 4;

/// The key types that Subrosa makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransitKeyType {
    /// AES-256-GCM, the default for data.
    Aes256Gcm96,
    /// ChaCha20-Poly1305.
    Chacha20Poly1305,
    /// ECDSA on P-256, for certificate authorities.
    EcdsaP256,
}

impl TransitKeyType {
    /// Every type, as in the operator's policy.
    pub const ALL: [Self; 3] = [Self::Aes256Gcm96, Self::Chacha20Poly1305, Self::EcdsaP256];

    /// Vault's name of the type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aes256Gcm96 => "aes256-gcm96",
            Self::Chacha20Poly1305 => "chacha20-poly1305",
            Self::EcdsaP256 => "ecdsa-p256",
        }
    }

    fn wire(self) -> wire::KeyType {
        match self {
            Self::Aes256Gcm96 => wire::KeyType::Aes256Gcm96,
            Self::Chacha20Poly1305 => wire::KeyType::Chacha20Poly1305,
            Self::EcdsaP256 => wire::KeyType::EcdsaP256,
        }
    }
}

impl fmt::Display for TransitKeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key as Vault describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitKey {
    /// Vault's name of the key's type, which may be none of [`TransitKeyType`] for keys that others made.
    pub key_type: String,
    /// The version that seals new data.
    pub latest_version: u32,
    /// The oldest version that still exists; 0 when nothing was ever trimmed.
    pub min_available_version: u32,
    /// The oldest version that may open data. Raising it hides older versions in `versions`.
    pub min_decryption_version: u32,
    /// The oldest version that may seal; 0 for the latest.
    pub min_encryption_version: u32,
    /// The automatic rotation period; zero for never.
    pub auto_rotate_period: Duration,
    /// Whether the key can be exported. Irreversible, and ends every guarantee about the key.
    pub exportable: bool,
    /// Whether the key can be backed up in plaintext. Irreversible, and ends every guarantee about the key.
    pub allow_plaintext_backup: bool,
    /// Whether the key may be deleted.
    pub deletion_allowed: bool,
    /// Whether the key is soft-deleted (OpenBao).
    pub soft_deleted: bool,
    /// The versions that Vault shows.
    pub versions: BTreeMap<u32, KeyVersion>,
}

impl TransitKey {
    /// The key as a short text, to keep thousands in memory.
    ///
    /// # Errors
    /// When it cannot be serialized.
    pub fn in_short(&self) -> serde_json::Result<Box<str>> {
        let numbers = [
            self.latest_version,
            self.min_available_version,
            self.min_decryption_version,
            self.min_encryption_version,
        ];
        let flags = [self.exportable, self.allow_plaintext_backup, self.deletion_allowed, self.soft_deleted];
        let versions: BTreeMap<_, _> = self
            .versions
            .iter()
            .map(|(number, version)| (number, (version.created, &version.public_key_pem)))
            .collect();
        let short = (&self.key_type, numbers, self.auto_rotate_period.as_secs(), flags, versions);
        serde_json::to_string(&short).map(String::into_boxed_str)
    }

    /// Parses such a text.
    ///
    /// # Errors
    /// When the text is not of this form.
    pub fn of_short(text: &str) -> serde_json::Result<Self> {
        type Versions = BTreeMap<u32, (Timestamp, Option<String>)>;
        let (key_type, numbers, rotate, flags, versions): (_, [u32; 4], _, [bool; 4], Versions) =
            serde_json::from_str(text)?;
        let [latest_version, min_available_version, min_decryption_version, min_encryption_version] = numbers;
        let [exportable, allow_plaintext_backup, deletion_allowed, soft_deleted] = flags;
        let versions = versions
            .into_iter()
            .map(|(number, (created, public_key_pem))| (number, KeyVersion { created, public_key_pem }))
            .collect();
        Ok(Self {
            key_type,
            latest_version,
            min_available_version,
            min_decryption_version,
            min_encryption_version,
            auto_rotate_period: Duration::from_secs(rotate),
            exportable,
            allow_plaintext_backup,
            deletion_allowed,
            soft_deleted,
            versions,
        })
    }

    /// Whether the key has this type.
    pub fn is(&self, key_type: TransitKeyType) -> bool {
        self.key_type == key_type.as_str()
    }
}

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyVersion {
    /// When it was made; in whole seconds for symmetric keys.
    pub created: Timestamp,
    /// The public half of an asymmetric key.
    pub public_key_pem: Option<String>,
}

/// The transit engine at one mount.
#[derive(Debug, Clone)]
pub struct Transit {
    vault: Vault,
    mount: MountPath,
}

impl Transit {
    /// The engine mounted at `mount`.
    pub fn new(vault: Vault, mount: MountPath) -> Self {
        Self { vault, mount }
    }

    /// Makes a key that can be neither exported nor backed up in plaintext; `None` never rotates.
    ///
    /// An existing key of that name is left alone and described: compare before relying on it.
    pub async fn create_key(
        &self,
        name: &TransitKeyName,
        key_type: TransitKeyType,
        auto_rotate: Option<Duration>,
    ) -> Result<TransitKey, VaultError> {
        let op = self.op("transit.create", "keys/+", &[Capability::Create, Capability::Update]);
        // Flags that must stay false are not sent: absent means false, so the policy can forbid the parameters to
        // everybody, us included.
        let request = CreateKeyRequest {
            mount: self.mount.to_string(),
            name: name.to_string(),
            key_type: Some(key_type.wire()),
            auto_rotate_period: Some(seconds(auto_rotate)?),
            ..CreateKeyRequest::default()
        };
        let reply = self.vault.send(&op, &request, None).await?;
        self.described(name, reply).await
    }

    /// Describes a key; `None` when there is none of that name.
    pub async fn read_key(&self, name: &TransitKeyName) -> Result<Option<TransitKey>, VaultError> {
        let op = self.op("transit.read", "keys/+", &[Capability::Read]);
        let path = self.key_path(name);
        let call = Call::<(), KeyAnswer>::get(path.as_str());
        let data = self.vault.exec(&op, &call).await?.and_then(|envelope| envelope.data);
        data.map(|answer| answer.into_key(&path)).transpose()
    }

    /// Sets the automatic rotation period; `None` for never.
    pub async fn set_auto_rotate(
        &self,
        name: &TransitKeyName,
        period: Option<Duration>,
    ) -> Result<(), VaultError> {
        let op = self.op("transit.config", "keys/+/config", &[Capability::Update]);
        let request = UpdateKeyConfigurationRequest {
            mount: self.mount.to_string(),
            name: name.to_string(),
            auto_rotate_period: Some(seconds(period)?),
            ..UpdateKeyConfigurationRequest::default()
        };
        match self.vault.send(&op, &request, None).await? {
            Reply::Success(_) => Ok(()),
            Reply::Absent(_) => Err(self.absent(name)),
        }
    }

    /// Rotates the key unless it has a version newer than `current`, and describes it.
    ///
    /// After a rotation with unknown outcome (concurrent rotations may answer "transaction commit failed") the key is
    /// read before the next try, so that one call adds one version.
    pub async fn rotate(&self, name: &TransitKeyName, current: u32) -> Result<TransitKey, VaultError> {
        let op = self.op("transit.rotate", "keys/+/rotate", &[Capability::Update]).once();
        let request = RotateKeyRequest { mount: self.mount.to_string(), name: name.to_string() };
        let mut attempt = 1;
        loop {
            let result = self.vault.send(&op, &request, None).await;
            let error = match result {
                Ok(reply) => return self.described(name, reply).await,
                Err(error) if error.outcome_unknown() => error,
                Err(error) => return Err(error),
            };
            let key = self.existing(name).await?;
            if key.latest_version > current {
                return Ok(key);
            }
            if attempt == MAX_ROTATIONS || !matches!(error, VaultError::Fault { .. }) {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(rand::random_range(10..100) * attempt as u64)).await;
            attempt += 1;
        }
    }

    /// The keys whose names Subrosa could have made; other keys on the mount are left out.
    pub async fn list_keys(&self) -> Result<Vec<TransitKeyName>, VaultError> {
        let op = self.op("transit.list", "keys", &[Capability::List]);
        let request = ListKeysRequest { mount: self.mount.to_string() };
        let data = self.vault.exec(&op, &request).await?.and_then(|envelope| envelope.data);
        let keys = data.map(|answer| answer.keys).unwrap_or_default();
        Ok(keys.into_iter().filter_map(|name| TransitKeyName::new(name).ok()).collect())
    }

    /// Signs `message` with SHA-256 and that version of an ECDSA key; the signature is DER, as X.509 requires.
    pub async fn sign(
        &self,
        name: &TransitKeyName,
        key_version: u32,
        message: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let op = self.op("transit.sign", "sign/+", &[Capability::Update]);
        let request = SignDataRequest {
            mount: self.mount.to_string(),
            name: name.to_string(),
            key_version: Some(key_version.into()),
            hash_algorithm: Some(wire::HashAlgorithm::Sha2_256),
            input: STANDARD.encode(message),
            marshaling_algorithm: Some(wire::MarshalingAlgorithm::Asn1),
            ..SignDataRequest::default()
        };
        let answer = self.vault.exec_data(&op, &request).await?;
        let unexpected = |problem: &str| VaultError::Unexpected {
            path: format!("{}/sign/{name}", self.mount),
            problem: problem.to_owned(),
        };
        let prefix = format!("vault:v{key_version}:");
        let encoded = answer
            .signature
            .strip_prefix(&prefix)
            .ok_or_else(|| unexpected("not by the version asked for"))?;
        STANDARD.decode(encoded).map_err(|_| unexpected("the signature is not base64"))
    }

    /// The key from the answer to a write; where the answer is empty, it is read.
    async fn described(&self, name: &TransitKeyName, reply: Reply) -> Result<TransitKey, VaultError> {
        let Reply::Success(body) = reply else { return Err(self.absent(name)) };
        let path = self.key_path(name);
        match parse::<KeyAnswer>(&path, &body)?.data {
            Some(answer) => answer.into_key(&path),
            None => self.existing(name).await,
        }
    }

    async fn existing(&self, name: &TransitKeyName) -> Result<TransitKey, VaultError> {
        self.read_key(name).await?.ok_or_else(|| self.absent(name))
    }

    fn absent(&self, name: &TransitKeyName) -> VaultError {
        VaultError::NotFound { path: self.key_path(name) }
    }

    fn key_path(&self, name: &TransitKeyName) -> String {
        format!("{}/keys/{name}", self.mount)
    }

    fn op(&self, name: &'static str, path: &str, capabilities: &'static [Capability]) -> Op {
        Op::new(name, format!("{}/{path}", self.mount), capabilities)
    }
}

fn seconds(period: Option<Duration>) -> Result<String, VaultError> {
    match period {
        None => Ok("0".to_owned()),
        Some(period) if period < MIN_AUTO_ROTATE => Err(VaultError::Config {
            field: "auto_rotate_period",
            problem: format!("{} s is below Vault's minimum of 1 h", period.as_secs()),
        }),
        Some(period) => Ok(period.as_secs().to_string()),
    }
}

/// A key as Vault sends it. vaultrs' own type has a closed list of key types and lacks half of these fields.
#[derive(Deserialize)]
struct KeyAnswer {
    #[serde(rename = "type")]
    key_type: String,
    latest_version: u32,
    #[serde(default)]
    min_available_version: u32,
    min_decryption_version: u32,
    #[serde(default)]
    min_encryption_version: u32,
    #[serde(default)]
    auto_rotate_period: u64,
    exportable: bool,
    allow_plaintext_backup: bool,
    deletion_allowed: bool,
    #[serde(default)]
    soft_deleted: bool,
    #[serde(default)]
    keys: BTreeMap<String, VersionAnswer>,
}

/// A list of keys. A folder ends in a slash.
#[derive(Deserialize)]
pub(super) struct KeyNames {
    pub keys: Vec<String>,
}

/// A number for symmetric keys, an object for asymmetric ones.
#[derive(Deserialize)]
#[serde(untagged)]
enum VersionAnswer {
    Symmetric(i64),
    Asymmetric {
        creation_time: Timestamp,
        #[serde(default)]
        public_key: String,
    },
}

impl KeyAnswer {
    fn into_key(self, path: &str) -> Result<TransitKey, VaultError> {
        let unexpected =
            |problem: &str| VaultError::Unexpected { path: path.to_owned(), problem: problem.to_owned() };
        let mut versions = BTreeMap::new();
        for (number, version) in self.keys {
            let number = number.parse().map_err(|_| unexpected("a key version is no number"))?;
            let version = match version {
                VersionAnswer::Symmetric(second) => KeyVersion {
                    created: Timestamp::from_second(second)
                        .map_err(|_| unexpected("a creation time is out of range"))?,
                    public_key_pem: None,
                },
                VersionAnswer::Asymmetric { creation_time, public_key } => KeyVersion {
                    created: creation_time,
                    public_key_pem: Some(public_key).filter(|pem| !pem.is_empty()),
                },
            };
            versions.insert(number, version);
        }
        Ok(TransitKey {
            key_type: self.key_type,
            latest_version: self.latest_version,
            min_available_version: self.min_available_version,
            min_decryption_version: self.min_decryption_version,
            min_encryption_version: self.min_encryption_version,
            auto_rotate_period: Duration::from_secs(self.auto_rotate_period),
            exportable: self.exportable,
            allow_plaintext_backup: self.allow_plaintext_backup,
            deletion_allowed: self.deletion_allowed,
            soft_deleted: self.soft_deleted,
            versions,
        })
    }
}

#[cfg(test)]
mod tests {
    use subrosa_crds::Reason;

    use super::*;

    fn key(json: &str) -> Result<TransitKey, VaultError> {
        serde_json::from_str::<KeyAnswer>(json).expect("json").into_key("transit/keys/a")
    }

    #[test]
    fn key_types_unknown_to_us_are_described_all_the_same() {
        let key = key(r#"{"type":"xchacha20-poly1305","latest_version":3,"min_available_version":2,
                "min_decryption_version":2,"auto_rotate_period":86400,"exportable":true,
                "allow_plaintext_backup":false,"deletion_allowed":false,
                "keys":{"2":1795336148,"3":1795336149}}"#)
        .expect("key");
        assert_eq!(key.key_type, "xchacha20-poly1305");
        assert!(TransitKeyType::ALL.iter().all(|known| !key.is(*known)));
        assert!(key.exportable && !key.soft_deleted);
        assert_eq!(key.auto_rotate_period, Duration::from_secs(86400));
        assert_eq!(key.versions.keys().copied().collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_short_text_says_all_of_a_key() {
        let version = |second, pem: Option<&str>| KeyVersion {
            created: Timestamp::from_second(second).expect("time"),
            public_key_pem: pem.map(str::to_owned),
        };
        let key = TransitKey {
            key_type: "ecdsa-p256".into(),
            latest_version: 4,
            min_available_version: 1,
            min_decryption_version: 2,
            min_encryption_version: 3,
            auto_rotate_period: Duration::from_secs(86400),
            exportable: true,
            allow_plaintext_backup: false,
            deletion_allowed: true,
            soft_deleted: false,
            versions: [(3, version(1_795_336_148, None)), (4, version(1_795_336_149, Some("pem")))].into(),
        };
        let text = key.in_short().expect("text");
        assert_eq!(TransitKey::of_short(&text).expect("key"), key);
        let other = TransitKey { exportable: false, soft_deleted: true, ..key.clone() };
        assert_eq!(TransitKey::of_short(&other.in_short().expect("text")).expect("key"), other);
    }

    #[test]
    fn a_version_that_is_no_number_is_an_error() {
        let json = r#"{"type":"aes256-gcm96","latest_version":1,"min_decryption_version":1,"exportable":false,
            "allow_plaintext_backup":false,"deletion_allowed":false,"keys":{"x":1}}"#;
        assert_eq!(key(json).expect_err("accepted").reason(), Reason::VaultAnswerUnexpected);
    }

    #[test]
    fn a_period_below_vaults_minimum_is_refused_before_it_is_sent() {
        assert_eq!(seconds(None).expect("never"), "0");
        assert_eq!(seconds(Some(MIN_AUTO_ROTATE)).expect("an hour"), "3600");
        assert!(seconds(Some(Duration::from_secs(3599))).is_err());
    }
}
