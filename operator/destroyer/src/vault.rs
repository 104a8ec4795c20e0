//! The destroyer's connection to the Vault of a trust domain.

use std::sync::atomic::{AtomicBool, Ordering};

use subrosa_crds::TrustDomain;
use subrosa_plan::{
    record::{decision::DecisionRecord, destroyer::DestroyerRecord, keys::KeysOfMonth},
    world::{domain, fault::Fault},
};
pub use subrosa_process::vault::fault;
use subrosa_process::vault::{Identity, OwnVault, Wiring};
use subrosa_records::{
    store::Store,
    vault::{MountPath, RecordPath, Vault, VaultError, destroy::DestroyableKeys, kv::Kv},
};

/// A trust domain's Vault.
pub struct DestroyerVault {
    /// The client, for its clock.
    pub vault: Vault,
    /// The data keys.
    pub keys: DestroyableKeys,
    /// The key-value store.
    pub kv: Kv,
    /// The decision about each key. Write it with [`decide`](Self::decide).
    pub decisions: Store<DecisionRecord>,
    /// Whether any decision was made since the destroyer's own record was written.
    decided: AtomicBool,
    /// The destroyer's own record.
    pub own: Store<DestroyerRecord>,
    /// The operator's records of keys.
    pub key_records: Store<KeysOfMonth>,
    session: OwnVault,
}

impl DestroyerVault {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When a setting is invalid, or Vault refuses the login.
    pub async fn new(trust_domain: &TrustDomain, wiring: Wiring, identity: &Identity) -> Result<Self, Fault> {
        let transit =
            MountPath::new(domain::transit_mount(trust_domain)).map_err(|error| fault(&error.into()))?;
        let session = OwnVault::new(trust_domain, wiring, identity).await?;
        let (vault, kv) = (session.vault.clone(), session.kv.clone());
        Ok(Self {
            keys: DestroyableKeys::new(vault.clone(), transit),
            decisions: Store::new(kv.clone()),
            decided: AtomicBool::default(),
            own: Store::new(kv.clone()),
            key_records: Store::new(kv.clone()),
            kv,
            vault,
            session,
        })
    }

    /// Writes the decision about a key, if its record is still at `version`.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn decide(
        &self,
        path: &RecordPath,
        record: DecisionRecord,
        version: u64,
    ) -> Result<(), VaultError> {
        // Before the write, because it may succeed although its answer is lost.
        self.note_decided();
        self.decisions.put(path, record, version).await.map(drop)
    }

    /// Notes that a decision was made.
    pub fn note_decided(&self) {
        self.decided.store(true, Ordering::SeqCst);
    }

    /// Whether a decision was made since the last call.
    pub fn take_decided(&self) -> bool {
        self.decided.swap(false, Ordering::SeqCst)
    }

    /// Whether it was made from these inputs.
    pub fn is_from(&self, wiring: &Wiring) -> bool {
        self.session.is_from(wiring)
    }

    /// Checks that the store belongs to this trust domain and cluster, so that a staging cluster with the same
    /// manifests destroys nothing.
    ///
    /// # Errors
    /// When it belongs to another, was not adopted yet, or Vault does not answer.
    pub async fn is_own(&self, trust_domain: &str, cluster: &str) -> Result<(), Fault> {
        self.session.is_own(trust_domain, cluster).await
    }
}
