//! The destroyer's connection to the Vault of a trust domain.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use subrosa_crds::{Reason, TrustDomain, trust_domain::VaultSpec};
use subrosa_plan::{
    record::{decision::DecisionRecord, destroyer::DestroyerRecord, keys::KeysOfMonth, store::StoreRecord},
    world::{domain, fault::Fault},
};
use subrosa_records::{
    store::Store,
    vault::{
        MountPath, RecordPath, RoleName, Vault, VaultAddress, VaultConfig, VaultError,
        auth::{Login, Session, token_file},
        destroy::DestroyableKeys,
        kv::Kv,
    },
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A trust domain's Vault.
pub struct Connection {
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
    store: Store<StoreRecord>,
    wiring: Wiring,
    /// Ends the session when the connection is dropped.
    _session: DropGuard,
}

/// The inputs of a connection; a change needs a new connection.
#[derive(Clone, PartialEq)]
pub struct Wiring {
    /// The TrustDomain's `spec.vault`.
    pub spec: VaultSpec,
    /// The CA bundle that it names.
    pub ca_bundle: Option<String>,
}

impl Connection {
    /// Connects and logs in as `role`, with the token in the file `token`.
    ///
    /// # Errors
    /// When a setting is invalid, or Vault refuses the login.
    pub async fn new(
        trust_domain: &TrustDomain,
        wiring: Wiring,
        token: PathBuf,
        role: &str,
    ) -> Result<Self, Fault> {
        if wiring.spec.auth.token.is_some() {
            return Err(Fault::new(
                Reason::VaultConfigInvalid,
                "spec.vault.auth.token: the destroyer logs in by its own ServiceAccount only; next: spec.vault.auth.kubernetes",
            ));
        }
        let address = VaultAddress::parse(&wiring.spec.address, wiring.spec.allow_insecure)
            .map_err(|error| fault(&error))?;
        let mount = |text: &str| MountPath::new(text).map_err(|error| fault(&error.into()));
        let (auth, transit, kv) = (
            mount(domain::auth_mount(trust_domain))?,
            mount(domain::transit_mount(trust_domain))?,
            mount(domain::kv_mount(trust_domain))?,
        );
        let role = RoleName::new(role).map_err(|error| fault(&error.into()))?;
        let mut config = VaultConfig::new(address);
        config.ca_bundle.clone_from(&wiring.ca_bundle);
        config.user_agent = concat!("subrosa-destroyer/", env!("CARGO_PKG_VERSION")).to_owned();
        let vault = Vault::new(config).map_err(|error| fault(&error))?;
        let session =
            Session::new(vault.clone(), Login::Kubernetes { mount: auth, role, jwt: token_file(token) });
        session.login().await.map_err(|error| fault(&error))?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { session.run(stopped).await });
        let kv = Kv::new(vault.clone(), kv);
        Ok(Self {
            keys: DestroyableKeys::new(vault.clone(), transit),
            decisions: Store::new(kv.clone()),
            decided: AtomicBool::default(),
            own: Store::new(kv.clone()),
            key_records: Store::new(kv.clone()),
            store: Store::new(kv.clone()),
            kv,
            vault,
            wiring,
            _session: stop.drop_guard(),
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
        self.wiring == *wiring
    }

    /// Checks that the store belongs to this trust domain and cluster, so that a staging cluster with the same
    /// manifests destroys nothing.
    ///
    /// # Errors
    /// When it belongs to another, was not adopted yet, or Vault does not answer.
    pub async fn is_own(&self, trust_domain: &str, cluster: &str) -> Result<(), Fault> {
        let entry = self.store.read(&RecordPath::domain()).await.map_err(|error| fault(&error))?;
        let Some(record) = entry.record else {
            return Err(Fault::new(
                Reason::StorePending,
                "the store in Vault has no owner yet: the operator adopts it",
            ));
        };
        if record.trust_domain != trust_domain {
            let message = format!("the store in Vault is that of TrustDomain {}", record.trust_domain);
            return Err(Fault::new(Reason::StoreOfAnotherDomain, message));
        }
        if record.cluster != cluster {
            let message = "the store in Vault is that of another cluster: nothing in it is destroyed from here; next: subrosa adopt";
            return Err(Fault::new(Reason::StoreOfAnotherCluster, message));
        }
        Ok(())
    }
}

/// A Vault error as a fault for status.
pub fn fault(error: &VaultError) -> Fault {
    Fault::new(error.reason(), format!("{error}; next: {}", error.next_step()))
}
