//! What the destroyer asks of transit: take a data key out of use, give it back, and delete it.
//!
//! Neither the operator's policy nor a workload's has any of these paths. Only data keys have a [`DataKeyName`], so the key
//! of an authority (`<id>.ca`) cannot be named here, although the destroyer's policy reaches every key of its mount.
//!
//! What an answer says does not count: each call reads the key back, and tells what is there afterwards. OpenBao answers
//! a soft deletion of a key that does not exist with success too.

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

    /// The names of all keys at the mount, also of those that are no data keys.
    ///
    /// # Errors
    /// When Vault does not say.
    pub async fn names(&self) -> Result<Vec<TransitKeyName>, VaultError> {
        self.transit.list_keys().await
    }

    /// Describes a key; `None` when there is none of that name.
    ///
    /// A name tells nothing about which key it is: compare when its first version was made.
    ///
    /// # Errors
    /// When Vault does not say.
    pub async fn read_key(&self, name: &DataKeyName) -> Result<Option<TransitKey>, VaultError> {
        self.transit.read_key(&checked(name)?).await
    }

    /// Takes a key out of use: nothing is sealed or opened with it until it is [restored](Self::restore). Done twice it is
    /// done once. Returns the key as it is afterwards.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when there is no such key, [`VaultError::SoftDeleteUnsupported`] when the server cannot do it,
    /// and when Vault does not answer or the key is not soft-deleted afterwards.
    pub async fn soft_delete(&self, name: &DataKeyName) -> Result<TransitKey, VaultError> {
        let op = self.op("transit.soft_delete", "keys/+/soft-delete", &[Capability::Delete]);
        let name = checked(name)?;
        let call = Call::<(), Value>::delete(format!("{}/soft-delete", self.path(&name)));
        let changed = self.change(&op, &call, &name, "soft-deleted", |key| key.soft_deleted).await;
        changed.map_err(without_soft_deletion)
    }

    /// Gives a soft-deleted key back. Done twice it is done once. Returns the key as it is afterwards.
    ///
    /// # Errors
    /// As [`soft_delete`](Self::soft_delete), and when the key is soft-deleted still.
    pub async fn restore(&self, name: &DataKeyName) -> Result<TransitKey, VaultError> {
        let op = self.op("transit.undelete", "keys/+/soft-delete-restore", &[Capability::Update]);
        let name = checked(name)?;
        let call =
            Call::<Nothing, Value>::post(format!("{}/soft-delete-restore", self.path(&name)), Nothing {});
        let changed = self.change(&op, &call, &name, "restored", |key| !key.soft_deleted).await;
        changed.map_err(without_soft_deletion)
    }

    /// Lets a key be deleted. Its other settings stay as they are; nobody of Subrosa may take this back. Returns the key as it is
    /// afterwards.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when there is no such key, and when Vault does not answer or the key cannot be deleted
    /// afterwards.
    pub async fn allow_deletion(&self, name: &DataKeyName) -> Result<TransitKey, VaultError> {
        let op = self.op("transit.allow_deletion", "keys/+/config", &[Capability::Update]);
        let name = checked(name)?;
        let body = AllowDeletion { deletion_allowed: true };
        let call = Call::<_, Value>::post(format!("{}/config", self.path(&name)), body);
        self.change(&op, &call, &name, "one that may be deleted", |key| key.deletion_allowed).await
    }

    /// Deletes a soft-deleted key for good, and looks that it is gone.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when there is no such key, [`VaultError::NotSoftDeleted`] when it is in use, and when Vault
    /// refuses or does not answer, or the key is there still.
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
            // A request whose answer was lost may have been obeyed.
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

    /// Makes a change, and reads the key back whatever the answer was, unless Vault certainly did nothing.
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
            // OpenBao refuses settings of a key that is not there as it refuses bad ones.
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

/// The name as transit has it. The fields of a [`DataKeyName`] are open to everybody: it is taken only where its text reads
/// as the same name again.
pub(super) fn checked(name: &DataKeyName) -> Result<TransitKeyName, InvalidName> {
    let text = name.to_string();
    if text.parse::<DataKeyName>().as_ref() == Ok(name) {
        TransitKeyName::new(text)
    } else {
        Err(InvalidName::new("data key name", "<id>.<class>.<cohort>", &text))
    }
}

/// A server without soft deletion knows no such path.
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
