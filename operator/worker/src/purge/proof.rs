//! Vault's current answer about a key that a record calls destroyed.
//!
//! The witness requests a new file key, which needs the right to seal and distinguishes an existing, a soft-deleted
//! and a missing key. A missing key counts only if the same Vault, at the same time, gives the same identity a file
//! key of a key that the Channel seals with today. So an empty or wrong Vault, a wrong mount or an identity without
//! access proves nothing.
//!
//! A Channel does not seal with keys that it adopted. For those the witness tries to open a ciphertext that nobody
//! sealed, which needs the right to open that people approved.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use subrosa_crds::names::{ChannelId, DataKeyName};
use subrosa_records::vault::{
    VaultError,
    sealing::{SealingKeys, WrappedKey},
};

use crate::{
    item::ItemId,
    seal::{self, Doing, SealError},
};

/// How long an answer is valid; the destroyer uses the same time. A key that comes back is noticed after it.
const FRESH: Duration = Duration::from_secs(60);

/// Bytes of a wrapped file key: nonce, key, tag.
const WRAPPED: usize = 12 + 16 + 16;

/// What Vault has under a key's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPresence {
    /// A key in use.
    There,
    /// A soft-deleted key, which may come back.
    SetAside,
    /// No key.
    Gone,
    /// No answer for this identity or this key.
    Refused(String),
}

/// Why nothing can be proven.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Vault is unreachable or cannot answer.
    #[error("{0}")]
    Vault(#[source] SealError),
    /// Vault has none of the keys that the Channel seals with today.
    #[error(
        "this Vault does not let seal with {keys}, with which the Channel seals today ({why}): that it lacks a key proves \
         nothing. Look whether address, mount and identity are those of the Channel, and whether its keys are there"
    )]
    NoLivingKey {
        /// The keys that were tried.
        keys: String,
        /// Vault's answer for the last of them.
        why: String,
    },
}

/// A source of answers about keys.
pub trait KeyWitness: Send {
    /// What exists under this name.
    ///
    /// # Errors
    /// When there is no answer about any key.
    fn look(&self, key: &DataKeyName) -> impl Future<Output = Result<KeyPresence, SealError>> + Send;
}

/// Vault, with the identity of a Channel's workload.
pub struct VaultWitness {
    keys: SealingKeys,
    channel: ChannelId,
}

impl VaultWitness {
    /// Uses `keys` as the workload of `channel`.
    pub fn new(keys: SealingKeys, channel: ChannelId) -> Self {
        Self { keys, channel }
    }
}

impl KeyWitness for VaultWitness {
    async fn look(&self, key: &DataKeyName) -> Result<KeyPresence, SealError> {
        let (name, item) = (seal::transit_name(key)?, ItemId::of_name("purge").associated_data());
        let (asked, doing) = if key.id == self.channel {
            (self.keys.new_file_key(&name, &item).await.map(drop), Doing::Seal)
        } else {
            let nothing = WrappedKey { version: 1, bytes: vec![0; WRAPPED] };
            (self.keys.unwrap(&name, &nothing, &item).await.map(drop), Doing::Open)
        };
        let Err(error) = asked else { return Ok(KeyPresence::There) };
        match seal::refused(error, key, doing) {
            SealError::KeyGone { .. } => Ok(KeyPresence::Gone),
            SealError::KeyDoesNotFit { .. } => Ok(KeyPresence::There),
            SealError::KeySetAside { .. } => Ok(KeyPresence::SetAside),
            SealError::Vault(error) if error.is_transient() => Err(SealError::Vault(error)),
            // Such as a redirect, which is no answer about the key.
            SealError::Vault(error @ (VaultError::Redirected { .. } | VaultError::Unexpected { .. })) => {
                Err(SealError::Vault(error))
            }
            other => Ok(KeyPresence::Refused(other.to_string())),
        }
    }
}

/// Caches answers for a minute.
pub struct Proofs<W> {
    witness: W,
    living: Vec<DataKeyName>,
    said: HashMap<DataKeyName, (Instant, KeyPresence)>,
}

impl<W: KeyWitness> Proofs<W> {
    /// Asks `witness`. One of the `living` keys, with which the Channel seals today, must exist.
    pub fn new(witness: W, living: Vec<DataKeyName>) -> Self {
        Self { witness, living, said: HashMap::new() }
    }

    /// What exists under this name.
    ///
    /// # Errors
    /// When nothing can be proven.
    pub async fn of(&mut self, key: &DataKeyName) -> Result<KeyPresence, ProofError> {
        if let Some((at, said)) = self.said.get(key)
            && at.elapsed() < FRESH
        {
            return Ok(said.clone());
        }
        let at = Instant::now();
        let said = self.witness.look(key).await.map_err(ProofError::Vault)?;
        if said == KeyPresence::Gone {
            self.is_the_channels().await?;
        }
        self.said.insert(key.clone(), (at, said.clone()));
        Ok(said)
    }

    /// Checks that this Vault lets this identity seal with one of the Channel's current keys.
    async fn is_the_channels(&self) -> Result<(), ProofError> {
        let mut why = "it has no data class".to_owned();
        for key in &self.living {
            why = match self.witness.look(key).await.map_err(ProofError::Vault)? {
                KeyPresence::There => return Ok(()),
                KeyPresence::SetAside => "it is set aside".to_owned(),
                KeyPresence::Gone => "there is none".to_owned(),
                KeyPresence::Refused(why) => why,
            };
        }
        let keys: Vec<_> = self.living.iter().map(ToString::to_string).collect();
        Err(ProofError::NoLivingKey { keys: keys.join(", "), why })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Knows these keys.
    #[derive(Default)]
    struct Knows {
        keys: HashMap<String, KeyPresence>,
        asked: AtomicUsize,
    }

    impl KeyWitness for Knows {
        async fn look(&self, key: &DataKeyName) -> Result<KeyPresence, SealError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Ok(self.keys.get(&key.to_string()).cloned().unwrap_or(KeyPresence::Gone))
        }
    }

    fn key(cohort: &str) -> DataKeyName {
        format!("abcdefghijklmnop.chat.{cohort}").parse().unwrap()
    }

    fn knows(what: &[(&str, KeyPresence)]) -> Knows {
        let keys = what.iter().map(|(cohort, is)| (key(cohort).to_string(), is.clone())).collect();
        Knows { keys, asked: AtomicUsize::default() }
    }

    #[tokio::test]
    async fn that_a_key_is_gone_counts_from_a_vault_that_has_the_living_one() {
        let mut proofs = Proofs::new(knows(&[("2026", KeyPresence::There)]), vec![key("2026")]);
        assert_eq!(proofs.of(&key("2020")).await.unwrap(), KeyPresence::Gone);
        assert_eq!(proofs.of(&key("2020")).await.unwrap(), KeyPresence::Gone);
        assert_eq!(proofs.witness.asked.load(Ordering::Relaxed), 2, "it is remembered");
        let refused = KeyPresence::Refused("permission denied".into());
        for living in [KeyPresence::SetAside, KeyPresence::Gone, refused] {
            let mut proofs = Proofs::new(knows(&[("2026", living.clone())]), vec![key("2026")]);
            let error = proofs.of(&key("2020")).await.unwrap_err();
            assert!(matches!(error, ProofError::NoLivingKey { .. }), "{living:?}");
        }
        let mut proofs = Proofs::new(Knows::default(), vec![]);
        assert!(proofs.of(&key("2020")).await.is_err(), "a Channel that seals nothing proves nothing");
    }

    #[tokio::test]
    async fn what_is_not_gone_is_said_as_it_is() {
        let mut proofs = Proofs::new(knows(&[("2020", KeyPresence::SetAside)]), vec![key("2026")]);
        assert_eq!(proofs.of(&key("2020")).await.unwrap(), KeyPresence::SetAside);
    }
}
