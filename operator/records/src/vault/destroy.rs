//! The destroyer's requests to transit: soft-delete a data key, restore it, and delete it.
//!
//! Neither the operator's nor a workload's policy allows these paths. Only data keys have a [`DataKeyName`], so the
//! key of an authority (`<id>.ca`) cannot be named here, although the destroyer's policy covers every key of its
//! mount.
//!
//! Each call reads the key back and returns that state instead of trusting the answer: OpenBao also answers with
//! success to a soft deletion of a key that does not exist.

use rustify::endpoint::Endpoint;
use serde::Serialize;
use serde_json::Value;
use subrosa_crds::names::DataKeyName;

use super::client::Vault;
use super::endpoint::{Call, Capability, Op};
use super::error::VaultError;
use super::name::{InvalidName, MountPath, TransitKeyName};
use super::transit::{Transit, TransitKey};

/// The data keys at one transit mount, for the destroyer.
#[derive(Debug, Clone)]
pub struct DestroyableKeys {
    pub(super) vault: Vault,
    pub(super) mount: MountPath,
    transit: Transit,
}

impl DestroyableKeys {
    /// The keys of the transit engine at `mount`.
    pub fn new(vault: Vault, mount: MountPath) -> Self {
        let transit = Transit::new(vault.clone(), mount.clone());
        Self { vault, mount, transit }
    }

    /// The names of all keys at the mount, including keys that are not data keys.
    ///
    /// # Errors
    /// When Vault cannot be read.
    pub async fn names(&self) -> Result<Vec<TransitKeyName>, VaultError> {
        self.transit.list_keys().await
    }

    /// Describes a key; `None` when it does not exist.
    ///
    /// A name does not identify a key: compare the creation time of its first version.
    ///
    /// # Errors
    /// When Vault cannot be read.
    pub async fn read_key(&self, name: &DataKeyName) -> Result<Option<TransitKey>, VaultError> {
        self.transit.read_key(&checked(name)?).await
    }

    /// Takes a key out of use: nothing seals or opens with it until it is [restored](Self::restore). Idempotent.
    /// Returns the state of the key afterwards.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when the key does not exist, [`VaultError::SoftDeleteUnsupported`] when the server
    /// lacks the feature, and others when Vault does not answer or the key is not soft-deleted afterwards.
    pub async fn soft_delete(&self, name: &DataKeyName) -> Result<TransitKey, VaultError> {
        let op = self.op("transit.soft_delete", "keys/+/soft-delete", &[Capability::Delete]);
        let name = checked(name)?;
        let call = Call::<(), Value>::delete(format!("{}/soft-delete", self.path(&name)));
        let changed = self.change(&op, &call, &name, "soft-deleted", |key| key.soft_deleted).await;
        changed.map_err(without_soft_deletion)
    }

    /// Restores a soft-deleted key. Idempotent. Returns the state of the key afterwards.
    ///
    /// # Errors
    /// As [`soft_delete`](Self::soft_delete), and when the key is still soft-deleted.
    pub async fn restore(&self, name: &DataKeyName) -> Result<TransitKey, VaultError> {
        let op = self.op("transit.undelete", "keys/+/soft-delete-restore", &[Capability::Update]);
        let name = checked(name)?;
        let call =
            Call::<Nothing, Value>::post(format!("{}/soft-delete-restore", self.path(&name)), Nothing {});
        let changed = self.change(&op, &call, &name, "restored", |key| !key.soft_deleted).await;
        changed.map_err(without_soft_deletion)
    }

    /// Sets `deletion_allowed` on a key and leaves its other settings alone; no identity of Subrosa may unset it.
    /// Returns the state of the key afterwards.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when the key does not exist, and others when Vault does not answer or the key cannot
    /// be deleted afterwards.
    pub async fn allow_deletion(&self, name: &DataKeyName) -> Result<TransitKey, VaultError> {
        let op = self.op("transit.allow_deletion", "keys/+/config", &[Capability::Update]);
        let name = checked(name)?;
        let body = AllowDeletion { deletion_allowed: true };
        let call = Call::<_, Value>::post(format!("{}/config", self.path(&name)), body);
        self.change(&op, &call, &name, "one that may be deleted", |key| key.deletion_allowed).await
    }

    /// Deletes a soft-deleted key for good, and verifies that it is gone.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when the key does not exist, [`VaultError::NotSoftDeleted`] when it is in use, and
    /// others when Vault refuses or does not answer, or the key still exists.
    pub async fn delete(&self, name: &DataKeyName) -> Result<(), VaultError> {
        let op = self.op("transit.delete", "keys/+", &[Capability::Delete]).once();
        let name = checked(name)?;
        let path = self.path(&name);
        let key = self.transit.read_key(&name).await?;
        let key = key.ok_or_else(|| VaultError::NotFound { path: path.clone() })?;
        if !key.soft_deleted {
            return Err(VaultError::NotSoftDeleted { path });
        }
        let sent = self.vault.send(&op, &Call::<(), Value>::delete(path.as_str()), None).await;
        if let Err(error) = sent {
            // Vault may have carried out a request whose answer was lost.
            let gone = error.outcome_unknown() && matches!(self.transit.read_key(&name).await, Ok(None));
            return if gone { Ok(()) } else { Err(error) };
        }
        match self.transit.read_key(&name).await? {
            None => Ok(()),
            Some(_) => {
                let problem = "it was obeyed, and the key is there still".to_owned();
                Err(VaultError::Unexpected { path, problem })
            }
        }
    }

    /// Makes a change, and reads the key back whatever the answer, unless Vault certainly did nothing.
    async fn change<E: Endpoint>(
        &self,
        op: &Op,
        call: &E,
        name: &TransitKeyName,
        wanted: &str,
        is_wanted: fn(&TransitKey) -> bool,
    ) -> Result<TransitKey, VaultError> {
        let sent = self.vault.send(op, call, None).await.map(|_| ());
        match &sent {
            // OpenBao answers the same to settings of a missing key and to invalid settings.
            Ok(()) | Err(VaultError::Invalid { .. }) => {}
            Err(error) if error.outcome_unknown() => {}
            Err(error) => return Err(error.clone()),
        }
        let (read, path) = (self.transit.read_key(name).await, self.path(name));
        match (sent, read) {
            (_, Ok(None)) => Err(VaultError::NotFound { path }),
            (_, Ok(Some(key))) if is_wanted(&key) => Ok(key),
            (Err(error), _) | (Ok(()), Err(error)) => Err(error),
            (Ok(()), Ok(Some(_))) => {
                let problem = format!("it was obeyed, and the key is not {wanted}");
                Err(VaultError::Unexpected { path, problem })
            }
        }
    }

    fn path(&self, name: &TransitKeyName) -> String {
        format!("{}/keys/{name}", self.mount)
    }

    fn op(&self, name: &'static str, path: &str, capabilities: &'static [Capability]) -> Op {
        Op::new(name, format!("{}/{path}", self.mount), capabilities)
    }
}

/// The key's name for transit. The fields of a [`DataKeyName`] are public, so it is accepted only if its text parses
/// to the same name.
pub(super) fn checked(name: &DataKeyName) -> Result<TransitKeyName, InvalidName> {
    let text = name.to_string();
    if text.parse::<DataKeyName>().as_ref() == Ok(name) {
        TransitKeyName::new(text)
    } else {
        Err(InvalidName::new("data key name", "<id>.<class>.<cohort>", &text))
    }
}

/// A server without soft deletion does not have this path.
fn without_soft_deletion(error: VaultError) -> VaultError {
    match error {
        VaultError::Unsupported { path } => VaultError::SoftDeleteUnsupported { path },
        other => other,
    }
}

/// The body `{}`.
#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct AllowDeletion {
    deletion_allowed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_a_data_key_is_taken() {
        let name: DataKeyName = "abcdefghijklmnop.call-recording.2026w48".parse().expect("name");
        assert_eq!(checked(&name).expect("taken").as_str(), "abcdefghijklmnop.call-recording.2026w48");
        for class in ["", "ca/../x", "a.b", "..", "Chat", "a%2fb", "a b"] {
            let other = DataKeyName { class: class.to_owned(), ..name.clone() };
            assert!(checked(&other).is_err(), "{class:?}");
        }
        assert!("abcdefghijklmnop.ca".parse::<DataKeyName>().is_err(), "the key of an authority is none");
    }
}
