//! A workload's requests to transit: a new file key together with its wrapped form, and unwrapping.
//!
//! The operator's policy allows none of these paths. Each request carries associated data that names the sealed item,
//! so a wrapped key that is moved to another item does not open.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::answer::secret;
use super::client::Vault;
use super::endpoint::{Call, Capability, Op};
use super::error::VaultError;
use super::name::{MountPath, TransitKeyName};

/// The length of an age file key.
pub const FILE_KEY: usize = 16;

/// A file key in clear. It is zeroed when dropped and has no `Debug` output.
pub type FileKeyBytes = SecretBox<[u8; FILE_KEY]>;

/// A file key as wrapped by transit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The version of the transit key.
    pub version: u32,
    /// The ciphertext without its prefix: nonce, key, tag.
    pub bytes: Vec<u8>,
}

/// The transit engine at one mount, for sealing and opening.
#[derive(Clone, Debug)]
pub struct SealingKeys {
    vault: Vault,
    mount: MountPath,
}

impl SealingKeys {
    /// The engine mounted at `mount`.
    pub fn new(vault: Vault, mount: MountPath) -> Self {
        Self { vault, mount }
    }

    /// A new file key from Vault, in clear and wrapped with the newest version of key `name`.
    ///
    /// # Errors
    /// When Vault does not answer, the key does not exist, or a policy does not let this identity seal with it.
    pub async fn new_file_key(
        &self,
        name: &TransitKeyName,
        associated_data: &[u8],
    ) -> Result<(FileKeyBytes, WrappedKey), VaultError> {
        let op = self.op("transit.datakey", "datakey/plaintext/+");
        let path = format!("{}/datakey/plaintext/{name}", self.mount);
        let body = NewKey { bits: FILE_KEY * 8, associated_data: STANDARD.encode(associated_data) };
        let answer = self.ask::<_, NewKeyAnswer>(&op, &path, body, None).await?;
        Ok((clear(&path, &answer.plaintext)?, wrapped(&path, &answer.ciphertext)?))
    }

    /// Wraps a file key that was made elsewhere, such as by the age tool.
    ///
    /// # Errors
    /// As [`new_file_key`](Self::new_file_key).
    pub async fn wrap(
        &self,
        name: &TransitKeyName,
        file_key: &FileKeyBytes,
        associated_data: &[u8],
    ) -> Result<WrappedKey, VaultError> {
        let op = self.op("transit.encrypt", "encrypt/+");
        let path = format!("{}/encrypt/{name}", self.mount);
        let plaintext = SecretString::from(STANDARD.encode(file_key.expose_secret()));
        let body =
            Wrap { plaintext: plaintext.expose_secret(), associated_data: STANDARD.encode(associated_data) };
        let answer = self.ask::<_, WrapAnswer>(&op, &path, body, Some(&plaintext)).await?;
        wrapped(&path, &answer.ciphertext)
    }

    /// Unwraps a file key.
    ///
    /// # Errors
    /// As [`new_file_key`](Self::new_file_key), and where it was wrapped with other associated data or another key,
    /// or was changed since.
    pub async fn unwrap(
        &self,
        name: &TransitKeyName,
        wrapped: &WrappedKey,
        associated_data: &[u8],
    ) -> Result<FileKeyBytes, VaultError> {
        let op = self.op("transit.decrypt", "decrypt/+");
        let path = format!("{}/decrypt/{name}", self.mount);
        let body = Unwrap {
            ciphertext: format!("vault:v{}:{}", wrapped.version, STANDARD.encode(&wrapped.bytes)),
            associated_data: STANDARD.encode(associated_data),
        };
        let answer = self.ask::<_, UnwrapAnswer>(&op, &path, body, None).await?;
        clear(&path, &answer.plaintext)
    }

    async fn ask<B, R>(
        &self,
        op: &Op,
        path: &str,
        body: B,
        secret: Option<&SecretString>,
    ) -> Result<R, VaultError>
    where
        B: Serialize + Send + Sync,
        R: DeserializeOwned + Send + Sync,
    {
        ask(&self.vault, op, path, body, secret).await
    }

    fn op(&self, name: &'static str, path: &str) -> Op {
        Op::new(name, format!("{}/{path}", self.mount), &[Capability::Update])
    }
}

/// Sends a request to seal or open. A warning in the answer is an error.
pub(super) async fn ask<B, R>(
    vault: &Vault,
    op: &Op,
    path: &str,
    body: B,
    secret: Option<&SecretString>,
) -> Result<R, VaultError>
where
    B: Serialize + Send + Sync,
    R: DeserializeOwned + Send + Sync,
{
    let call = Call::<_, R>::post(path, body);
    let envelope = vault.exec_secret(op, &call, secret).await?;
    let unexpected = |problem: String| VaultError::Unexpected { path: path.to_owned(), problem };
    // Transit ignores unknown parameters with a warning, so the result may not be what was asked for.
    if let Some(warning) = envelope.warnings.iter().flatten().next() {
        return Err(unexpected(format!("it came with a warning: {warning}")));
    }
    envelope.data.ok_or_else(|| unexpected("it is empty".into()))
}

#[derive(Serialize)]
struct NewKey {
    bits: usize,
    associated_data: String,
}

#[derive(Serialize)]
struct Wrap<'a> {
    plaintext: &'a str,
    associated_data: String,
}

#[derive(Serialize)]
struct Unwrap {
    ciphertext: String,
    associated_data: String,
}

// No `Debug` on types that hold a key in clear.
#[derive(Deserialize)]
struct NewKeyAnswer {
    #[serde(deserialize_with = "secret")]
    plaintext: SecretString,
    ciphertext: String,
}

#[derive(Deserialize)]
struct WrapAnswer {
    ciphertext: String,
}

#[derive(Deserialize)]
struct UnwrapAnswer {
    #[serde(deserialize_with = "secret")]
    plaintext: SecretString,
}

fn clear(path: &str, plaintext: &SecretString) -> Result<FileKeyBytes, VaultError> {
    let unexpected = || VaultError::Unexpected {
        path: path.to_owned(),
        problem: format!("it holds no key of {FILE_KEY} bytes"),
    };
    let mut key = SecretBox::new(Box::new([0; FILE_KEY]));
    // The decoder needs a buffer that also fits possible padding.
    let decoded = Zeroizing::new(STANDARD.decode(plaintext.expose_secret()).map_err(|_| unexpected())?);
    let bytes: [u8; FILE_KEY] = decoded.as_slice().try_into().map_err(|_| unexpected())?;
    *key.expose_secret_mut() = bytes;
    Ok(key)
}

fn wrapped(path: &str, ciphertext: &str) -> Result<WrappedKey, VaultError> {
    let read = || {
        let (version, bytes) = ciphertext.strip_prefix("vault:v")?.split_once(':')?;
        Some(WrappedKey { version: version.parse().ok()?, bytes: STANDARD.decode(bytes).ok()? })
    };
    read().ok_or_else(|| VaultError::Unexpected {
        path: path.to_owned(),
        problem: "the wrapped key is not of the form vault:v1:<base64>".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_is_taken_apart() {
        let key = wrapped("transit/encrypt/a", "vault:v12:AAEC").expect("key");
        assert_eq!(key, WrappedKey { version: 12, bytes: vec![0, 1, 2] });
        for other in ["", "vault:v1", "vault:1:AAEC", "vault:vx:AAEC", "vault:v1:no base64", "other:v1:AAEC"]
        {
            assert_eq!(wrapped("p", other).expect_err(other).reason().as_str(), "VaultAnswerUnexpected");
        }
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        let of = |bytes: &[u8]| clear("p", &SecretString::from(STANDARD.encode(bytes)));
        assert_eq!(of(&[7; 16]).expect("key").expose_secret(), &[7; 16]);
        for length in [0, 15, 17, 32] {
            assert!(of(&vec![7; length]).is_err(), "{length}");
        }
    }
}
