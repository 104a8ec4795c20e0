//! The connection to a trust domain's Vault, as the process's own ServiceAccount.

use std::path::PathBuf;

use subrosa_crds::{Reason, TrustDomain, trust_domain::VaultSpec};
use subrosa_plan::{
    record::store::StoreRecord,
    world::{domain, fault::Fault},
};
use subrosa_records::{
    store::Store,
    vault::{
        MountPath, RecordPath, RoleName, Vault, VaultAddress, VaultConfig, VaultError,
        auth::{Login, Session, token_file},
        kv::Kv,
    },
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The inputs of a connection; a change needs a new connection.
#[derive(Clone, PartialEq)]
pub struct Wiring {
    /// The TrustDomain's `spec.vault`.
    pub spec: VaultSpec,
    /// The CA bundle that it names.
    pub ca_bundle: Option<String>,
}

/// The identity of a process in Vault.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The file with a token of its ServiceAccount, as the kubelet projects it.
    pub token: PathBuf,
    /// The role it logs in with.
    pub role: String,
    /// Its User-Agent.
    pub user_agent: &'static str,
}

/// A session that ends when this is dropped.
pub struct OwnVault {
    /// The client.
    pub vault: Vault,
    /// The key-value store of the records.
    pub kv: Kv,
    store: Store<StoreRecord>,
    wiring: Wiring,
    _session: DropGuard,
}

impl OwnVault {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When a setting is invalid, or Vault refuses the login.
    pub async fn new(trust_domain: &TrustDomain, wiring: Wiring, identity: &Identity) -> Result<Self, Fault> {
        if wiring.spec.auth.token.is_some() {
            return Err(Fault::new(
                Reason::VaultConfigInvalid,
                "spec.vault.auth.token: this process logs in by its own ServiceAccount only; next: spec.vault.auth.kubernetes",
            ));
        }
        let address = VaultAddress::parse(&wiring.spec.address, wiring.spec.allow_insecure)
            .map_err(|error| fault(&error))?;
        let mount = |text: &str| MountPath::new(text).map_err(|error| fault(&error.into()));
        let (auth, kv) = (mount(domain::auth_mount(trust_domain))?, mount(domain::kv_mount(trust_domain))?);
        let role = RoleName::new(identity.role.as_str()).map_err(|error| fault(&error.into()))?;
        let mut config = VaultConfig::new(address);
        config.ca_bundle.clone_from(&wiring.ca_bundle);
        config.user_agent = identity.user_agent.to_owned();
        let vault = Vault::new(config).map_err(|error| fault(&error))?;
        let jwt = token_file(identity.token.clone());
        let session = Session::new(vault.clone(), Login::Kubernetes { mount: auth, role, jwt });
        session.login().await.map_err(|error| fault(&error))?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { session.run(stopped).await });
        let kv = Kv::new(vault.clone(), kv);
        let store = Store::new(kv.clone());
        Ok(Self { vault, kv, store, wiring, _session: stop.drop_guard() })
    }

    /// Whether it was made from these inputs.
    pub fn is_from(&self, wiring: &Wiring) -> bool {
        self.wiring == *wiring
    }

    /// Checks that the store belongs to this trust domain and cluster, so that a staging cluster with the same
    /// manifests changes nothing.
    ///
    /// # Errors
    /// When it belongs to another, was not adopted yet, or the request to Vault fails.
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
            let message = "the store in Vault is that of another cluster: nothing in it is changed from here; next: subrosa adopt";
            return Err(Fault::new(Reason::StoreOfAnotherCluster, message));
        }
        Ok(())
    }
}

/// A Vault error as a fault for status.
pub fn fault(error: &VaultError) -> Fault {
    Fault::new(error.reason(), format!("{error}; next: {}", error.next_step()))
}
