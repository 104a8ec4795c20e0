//! A backup worker's requests to transit: the master key of a window's repository, wrapped and unwrapped, and the seals
//! of its manifests.
//!
//! Every request names the key of one window. The master key is wrapped with associated data that names Channel and
//! window, so the wrapped key of another repository does not open in its place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::answer::secret;
use super::client::Vault;
use super::endpoint::{Capability, Op};
use super::error::VaultError;
use super::name::{MountPath, TransitKeyName};
use super::sealing::ask;

/// The length of a repository's master key. Transit makes data keys of just this length, so it needs no derivation.
pub const MASTER_KEY: usize = 64;

/// A master key in clear. It is zeroed when dropped and has no `Debug` output.
pub type MasterKeyBytes = SecretBox<[u8; MASTER_KEY]>;

/// The transit engine at one mount, for backups.
#[derive(Clone, Debug)]
pub struct BackupKeys {
    vault: Vault,
    mount: MountPath,
}

impl BackupKeys {
    /// The engine mounted at `mount`.
    pub fn new(vault: Vault, mount: MountPath) -> Self {
        Self { vault, mount }
    }

    /// A new master key from Vault, in clear and wrapped as transit has it (`vault:v1:…`).
    ///
    /// # Errors
    /// When Vault does not answer, the key does not exist, or a policy does not let this identity use it.
    pub async fn new_master_key(
        &self,
        name: &TransitKeyName,
        associated_data: &[u8],
    ) -> Result<(MasterKeyBytes, String), VaultError> {
        let path = format!("{}/datakey/plaintext/{name}", self.mount);
        let body = NewMasterKey { bits: MASTER_KEY * 8, associated_data: STANDARD.encode(associated_data) };
        let answer: NewMasterKeyAnswer = self.ask("datakey/plaintext", &path, body).await?;
        if !is_wrapped(&answer.ciphertext) {
            return Err(unexpected(&path, "the wrapped key is not of the form vault:v1:<base64>"));
        }
        Ok((clear(&path, &answer.plaintext)?, answer.ciphertext))
    }

    /// Unwraps a master key.
    ///
    /// # Errors
    /// As [`new_master_key`](Self::new_master_key), and where it was wrapped for another Channel or window, or was
    /// changed since.
    pub async fn unwrap_master_key(
        &self,
        name: &TransitKeyName,
        wrapped: &str,
        associated_data: &[u8],
    ) -> Result<MasterKeyBytes, VaultError> {
        let path = format!("{}/decrypt/{name}", self.mount);
        let body = Wrapped { ciphertext: wrapped, associated_data: STANDARD.encode(associated_data) };
        let answer: UnwrappedAnswer = self.ask("decrypt", &path, body).await?;
        clear(&path, &answer.plaintext)
    }

    /// The seal of a manifest: an HMAC that Vault makes with a key that nobody else has (`vault:v1:…`).
    ///
    /// # Errors
    /// As [`new_master_key`](Self::new_master_key).
    pub async fn seal_manifest(&self, name: &TransitKeyName, signed: &[u8]) -> Result<String, VaultError> {
        let path = format!("{}/hmac/{name}", self.mount);
        let answer: SealAnswer = self.ask("hmac", &path, SealBody { input: STANDARD.encode(signed) }).await?;
        if !is_wrapped(&answer.hmac) {
            return Err(unexpected(&path, "the seal is not of the form vault:v1:<base64>"));
        }
        Ok(answer.hmac)
    }

    /// Whether Vault made this seal with the key `name` for exactly these bytes.
    ///
    /// # Errors
    /// As [`new_master_key`](Self::new_master_key).
    pub async fn is_sealed(
        &self,
        name: &TransitKeyName,
        signed: &[u8],
        seal: &str,
    ) -> Result<bool, VaultError> {
        // Vault answers anything else with an error, which would look like a fault of Vault.
        if !is_wrapped(seal) {
            return Ok(false);
        }
        let path = format!("{}/verify/{name}", self.mount);
        let body = VerifyBody { input: STANDARD.encode(signed), hmac: seal };
        match self.ask::<_, VerifyAnswer>("verify", &path, body).await {
            Ok(answer) => Ok(answer.valid),
            // A version that the key does not have.
            Err(VaultError::Invalid { status: 400, messages, .. })
                if messages.iter().any(|message| message.contains("version")) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn ask<B, R>(&self, what: &str, path: &str, body: B) -> Result<R, VaultError>
    where
        B: Serialize + Send + Sync,
        R: DeserializeOwned + Send + Sync,
    {
        let op = Op::new("transit.backup", format!("{}/{what}/+", self.mount), &[Capability::Update]);
        ask(&self.vault, &op, path, body, None).await
    }
}

#[derive(Serialize)]
struct NewMasterKey {
    bits: usize,
    associated_data: String,
}

#[derive(Serialize)]
struct Wrapped<'a> {
    ciphertext: &'a str,
    associated_data: String,
}

#[derive(Serialize)]
struct SealBody {
    input: String,
}

#[derive(Serialize)]
struct VerifyBody<'a> {
    input: String,
    hmac: &'a str,
}

// No `Debug` on types that hold a key in clear.
#[derive(Deserialize)]
struct NewMasterKeyAnswer {
    #[serde(deserialize_with = "secret")]
    plaintext: SecretString,
    ciphertext: String,
}

#[derive(Deserialize)]
struct UnwrappedAnswer {
    #[serde(deserialize_with = "secret")]
    plaintext: SecretString,
}

#[derive(Deserialize)]
struct SealAnswer {
    hmac: String,
}

#[derive(Deserialize)]
struct VerifyAnswer {
    valid: bool,
}

fn unexpected(path: &str, problem: &str) -> VaultError {
    VaultError::Unexpected { path: path.to_owned(), problem: problem.to_owned() }
}

fn clear(path: &str, plaintext: &SecretString) -> Result<MasterKeyBytes, VaultError> {
    let other = || unexpected(path, &format!("it holds no key of {MASTER_KEY} bytes"));
    let mut key = SecretBox::new(Box::new([0; MASTER_KEY]));
    let decoded = Zeroizing::new(STANDARD.decode(plaintext.expose_secret()).map_err(|_| other())?);
    if decoded.len() != MASTER_KEY {
        return Err(other());
    }
    key.expose_secret_mut().copy_from_slice(&decoded);
    Ok(key)
}

/// Whether it is of the form `vault:v1:<base64>`.
fn is_wrapped(text: &str) -> bool {
    let parts = text.strip_prefix("vault:v").and_then(|rest| rest.split_once(':'));
    parts.is_some_and(|(version, bytes)| {
        version.parse::<u32>().is_ok_and(|version| version > 0)
            && !bytes.is_empty()
            && STANDARD.decode(bytes).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_length_is_refused() {
        let of = |bytes: &[u8]| clear("p", &SecretString::from(STANDARD.encode(bytes)));
        assert_eq!(of(&[7; 64]).expect("key").expose_secret(), &[7; 64]);
        for length in [0, 32, 63, 65] {
            assert!(of(&vec![7; length]).is_err(), "{length}");
        }
    }

    #[test]
    fn only_what_transit_wraps_is_taken() {
        assert!(is_wrapped("vault:v12:AAEC"));
        for other in ["", "vault:v1", "vault:v1:", "vault:v0:AAEC", "vault:v1:no base64", "other:v1:AAEC"] {
            assert!(!is_wrapped(other), "{other}");
        }
    }
}
