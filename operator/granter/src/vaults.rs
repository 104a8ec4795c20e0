//! The Vaults of the trust domains, each with a session of the granter's own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::{Client, ResourceExt as _};
use subrosa_crds::TrustDomain;
use subrosa_plan::world::fault::Fault;
use subrosa_process::{
    cluster,
    vault::{Identity, OwnVault, Wiring},
};

use crate::settings::GranterSettings;

/// How many requests to one Vault are under way at once, where one does not wait for another.
pub const AT_ONCE: usize = 8;

/// The sessions, by trust domain. Roles and revocations share them, and neither waits for the other.
pub struct OpenVaults {
    client: Client,
    settings: GranterSettings,
    open: Mutex<BTreeMap<String, Arc<OwnVault>>>,
}

impl OpenVaults {
    /// No session yet.
    pub fn new(client: Client, settings: GranterSettings) -> Self {
        Self { client, settings, open: Mutex::default() }
    }

    /// Ends the sessions of trust domains that are not among `domains`; returns their names.
    pub fn retain(&self, domains: &[Arc<TrustDomain>]) -> Vec<String> {
        let mut gone = Vec::new();
        self.open().retain(|name, _| {
            let is_there = domains.iter().any(|domain| domain.name_any() == *name);
            if !is_there {
                gone.push(name.clone());
            }
            is_there
        });
        gone
    }

    /// The Vault of a trust domain, where its store is this cluster's.
    ///
    /// # Errors
    /// When the login is refused, the store is another's, or a request fails.
    pub async fn of(&self, domain: &TrustDomain) -> Result<Arc<OwnVault>, Fault> {
        let name = domain.name_any();
        let ca_bundle = match &domain.spec.vault.ca_bundle {
            Some(key) => Some(cluster::bundle(&self.client, &self.settings.namespace, key).await?),
            None => None,
        };
        let wiring = Wiring { spec: domain.spec.vault.clone(), ca_bundle };
        let known = self.open().get(&name).filter(|own| own.is_from(&wiring)).map(Arc::clone);
        let own = match known {
            Some(own) => own,
            None => {
                let identity = Identity {
                    token: self.settings.vault_token_file.clone(),
                    role: self.settings.vault_role.clone(),
                    user_agent: concat!("subrosa-granter/", env!("CARGO_PKG_VERSION")),
                };
                let own = Arc::new(OwnVault::new(domain, wiring, &identity).await?);
                self.open().insert(name.clone(), Arc::clone(&own));
                own
            }
        };
        own.is_own(&name, &cluster::identity(&self.client).await?).await?;
        Ok(own)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Arc<OwnVault>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
