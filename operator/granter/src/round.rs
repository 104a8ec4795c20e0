//! One round over every trust domain, every slot and every AccessRole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use subrosa_crds::{
    AccessRole, AccessRoleStatus, Reason, TrustDomain,
    condition::{self, READY},
};
use subrosa_plan::{
    roles::{
        conflicts,
        review::{self, ReviewFacts},
        status::{self, BoundFacts, RoleFacts},
    },
    world::fault::Fault,
};
use subrosa_process::{
    cluster,
    guard::GuardCheck,
    vault::{Identity, OwnVault, Wiring},
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    FIELD_MANAGER, bindings,
    domain::{self, DomainLook, OpenedByPair, Withheld},
    metrics::GranterMetrics,
    reminders::Reminders,
    reviews::{self, Noted},
    settings::GranterSettings,
    view::ClusterView,
};

/// How long a watch may be silent. The API server ends each watch earlier.
const WATCH_PATIENCE: Duration = Duration::from_secs(295);

/// The message for roles of a trust domain without logins.
const NO_ACCESS: &str = "the TrustDomain has no spec.access, or is being deleted: nothing is given, and slots of logins that it had \
                         are emptied; next: write spec.access, and run subrosa vault-setup";

/// The granter.
pub struct Granter {
    client: Client,
    settings: GranterSettings,
    view: ClusterView,
    guard: GuardCheck,
    clock: fn() -> Timestamp,
    reminders: Reminders,
    vaults: Mutex<BTreeMap<String, Arc<OwnVault>>>,
    metrics: Arc<GranterMetrics>,
}

impl Granter {
    /// A granter that watches until `stop`.
    ///
    /// # Errors
    /// When the connection to the API server cannot be set up.
    pub fn new(
        config: kube::Config,
        settings: GranterSettings,
        guard: GuardCheck,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let watching = cluster::client(config.clone(), Some(WATCH_PATIENCE))?;
        Ok(Self {
            client: cluster::client(config, None)?,
            settings,
            view: ClusterView::new(&watching, &stop),
            guard,
            clock: Timestamp::now,
            reminders: Reminders::default(),
            vaults: Mutex::default(),
            metrics: Arc::default(),
        })
    }

    /// Uses another clock for reviews.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self { clock, ..self }
    }

    /// The metrics.
    pub fn metrics(&self) -> Arc<GranterMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Waits until something changes in the cluster.
    pub async fn changed(&self) {
        self.view.changed().await;
    }

    /// Runs one round over everything.
    pub async fn round(&self) {
        if !self.view.is_known().await {
            tracing::warn!("the API server has not listed everything yet: nothing is granted or taken away");
            return;
        }
        let mut vaults = self.vaults.lock().await;
        let domains = self.view.domains.state();
        vaults.retain(|name, _| {
            let is_there = domains.iter().any(|domain| domain.name_any() == *name);
            if !is_there {
                self.metrics.forget(name);
            }
            is_there
        });
        self.reminders.keep(&self.view.roles.state()).await;
        for domain in &domains {
            let name = domain.name_any();
            let roles = self.view.roles_of(&name);
            let now = (self.clock)();
            let own = self.vault(domain, &mut vaults).await;
            let noted = match &own {
                Ok(own) => {
                    reviews::look(&self.client, &self.guard, &self.view, domain, own, &roles, now).await
                }
                Err(fault) => Err(fault.clone()),
            };
            let withheld = withheld(&roles, noted.as_ref().ok(), now);
            let bound = self.bind(domain, &roles, &withheld, noted.as_ref().err()).await;
            let mut facts = self.domain(domain, own, &roles, &withheld, noted.as_ref().err()).await;
            if let Ok(noted) = &noted {
                for (role, facts) in roles.iter().zip(&mut facts) {
                    facts.review = ReviewFacts::of(role, &noted.record, &noted.zone);
                    let reminder = facts.review.as_ref().and_then(|review| review.reminder(role, now));
                    self.reminders.tell(&self.client, role, reminder.as_ref()).await;
                }
            }
            let succeeded = facts.iter().all(|facts| facts.fault.is_none());
            let mut ready = 0;
            for ((role, facts), bound) in roles.iter().zip(&facts).zip(&bound) {
                ready += usize::from(self.tell(role, facts, bound).await);
            }
            if noted.is_ok() {
                let due = roles.iter().zip(&facts);
                let due =
                    due.filter_map(|(role, facts)| Some((conflicts::name(role), facts.review.as_ref()?.due)));
                self.metrics.reviews(&name, &due.collect());
            }
            self.metrics.looked(&name, succeeded, ready, roles.len());
        }
        for role in self.view.roles_of_none() {
            let message = "the namespace belongs to no TrustDomain, so nothing is given; next: label it";
            let facts = nothing(Fault::new(Reason::NamespaceNotGoverned, message));
            let bound = bindings::remove(&self.client, &self.view, &role).await;
            self.tell(&role, &facts, &bound).await;
        }
    }

    /// Writes the Kubernetes objects of each role. This needs no Vault, except the record of reviews.
    async fn bind(
        &self,
        domain: &TrustDomain,
        roles: &[Arc<AccessRole>],
        withheld: &Withheld,
        unknown: Option<&Fault>,
    ) -> Vec<BoundFacts> {
        let mut bound = Vec::with_capacity(roles.len());
        for role in roles {
            let withheld = withheld.contains_key(&conflicts::name(role));
            bound.push(match unknown {
                Some(fault) if role.spec.review.is_some() && !withheld => BoundFacts::Fault(fault.clone()),
                _ => bindings::write(&self.client, &self.view, domain, role, withheld).await,
            });
        }
        bound
    }

    /// The state of each role of a trust domain, in the order of the roles.
    async fn domain(
        &self,
        domain: &TrustDomain,
        own: Result<Arc<OwnVault>, Fault>,
        roles: &[Arc<AccessRole>],
        withheld: &Withheld,
        unknown: Option<&Fault>,
    ) -> Vec<RoleFacts> {
        let of_all = |fault: Fault| {
            if !roles.is_empty() || fault.reason != Reason::LoginMissing {
                tracing::warn!(
                    domain = domain.name_any(),
                    reason = fault.reason.as_str(),
                    "{}",
                    fault.message
                );
            }
            vec![nothing(fault); roles.len()]
        };
        let emptied = match &own {
            Ok(own) => domain::empty_undeclared(domain, own).await,
            Err(fault) => Err(fault.clone()),
        };
        let Some(access) = domain.spec.access.as_ref().filter(|_| domain.meta().deletion_timestamp.is_none())
        else {
            // Without spec.access Vault may never have been set up for the granter.
            let never_set_up =
                [Reason::VaultLoginRefused, Reason::VaultPermissionDenied, Reason::VaultConfigInvalid];
            return match emptied {
                Err(fault) if !never_set_up.contains(&fault.reason) => of_all(fault),
                _ => vec![nothing(Fault::new(Reason::LoginMissing, NO_ACCESS)); roles.len()],
            };
        };
        let own = match own {
            Ok(own) => own,
            Err(fault) => return of_all(fault),
        };
        if let Err(fault) = emptied {
            tracing::warn!(
                domain = domain.name_any(),
                reason = fault.reason.as_str(),
                "slots of no login: {}",
                fault.message
            );
        }
        // Without the reviews no members are written.
        if let Some(fault) = unknown {
            return of_all(fault.clone());
        }
        let mut look = match DomainLook::new(domain, access, &own).await {
            Ok(look) => look,
            Err(fault) => return of_all(fault),
        };
        let all: Vec<&AccessRole> = roles.iter().map(AsRef::as_ref).collect();
        let left_out = match look.bind(&all).await {
            Ok(left_out) => left_out,
            Err(fault) => return of_all(fault),
        };
        let mut facts: BTreeMap<usize, RoleFacts> = BTreeMap::new();
        for login in &access.logins {
            let (places, of_login): (Vec<usize>, Vec<(&AccessRole, OpenedByPair)>) = all
                .iter()
                .enumerate()
                .filter(|(_, role)| role.spec.login == login.name)
                .map(|(place, role)| (place, (*role, self.view.opened(role))))
                .unzip();
            let found = match look.login(login, &of_login, withheld, &left_out).await {
                Ok(found) => found,
                Err(fault) => {
                    tracing::warn!(
                        domain = domain.name_any(),
                        login = login.name,
                        reason = fault.reason.as_str(),
                        "{}",
                        fault.message
                    );
                    vec![nothing(fault); places.len()]
                }
            };
            facts.extend(places.into_iter().zip(found));
        }
        let known: BTreeSet<&str> = access.logins.iter().map(|login| login.name.as_str()).collect();
        let without = |role: &AccessRole| {
            let message = format!(
                "spec.login: TrustDomain {} has no login {}, only {}; next: correct it, or add the login and run subrosa vault-setup",
                domain.name_any(),
                role.spec.login,
                known.iter().copied().collect::<Vec<_>>().join(", ")
            );
            nothing(Fault::new(Reason::LoginMissing, message))
        };
        all.iter()
            .enumerate()
            .map(|(place, role)| facts.remove(&place).unwrap_or_else(|| without(role)))
            .collect()
    }

    async fn vault(
        &self,
        domain: &TrustDomain,
        vaults: &mut BTreeMap<String, Arc<OwnVault>>,
    ) -> Result<Arc<OwnVault>, Fault> {
        let name = domain.name_any();
        let ca_bundle = match &domain.spec.vault.ca_bundle {
            Some(key) => Some(cluster::bundle(&self.client, &self.settings.namespace, key).await?),
            None => None,
        };
        let wiring = Wiring { spec: domain.spec.vault.clone(), ca_bundle };
        let own = match vaults.get(&name).filter(|own| own.is_from(&wiring)) {
            Some(own) => Arc::clone(own),
            None => {
                let identity = Identity {
                    token: self.settings.vault_token_file.clone(),
                    role: self.settings.vault_role.clone(),
                    user_agent: concat!("subrosa-granter/", env!("CARGO_PKG_VERSION")),
                };
                let own = Arc::new(OwnVault::new(domain, wiring, &identity).await?);
                vaults.insert(name.clone(), Arc::clone(&own));
                own
            }
        };
        own.is_own(&name, &cluster::identity(&self.client).await?).await?;
        Ok(own)
    }

    /// Writes the status of a role; returns whether it is ready.
    async fn tell(&self, role: &AccessRole, facts: &RoleFacts, bound: &BoundFacts) -> bool {
        let status: AccessRoleStatus = status::status(role, facts, bound, (self.clock)());
        let ready = condition::is_true(&status.conditions, READY);
        let api = Api::namespaced(self.client.clone(), &role.namespace().unwrap_or_default());
        let written = cluster::write_status(&api, FIELD_MANAGER, role, role.status.as_ref(), &status).await;
        if let Err(fault) = written {
            tracing::warn!(
                role = format!("{}/{}", role.namespace().unwrap_or_default(), role.name_any()),
                reason = fault.reason.as_str(),
                "its status was not written: {}",
                fault.message
            );
        }
        ready
    }
}

/// The roles that give nothing at `now` because of a conflict or an overdue review.
fn withheld(roles: &[Arc<AccessRole>], noted: Option<&Noted>, now: Timestamp) -> Withheld {
    let roles = || roles.iter().map(AsRef::as_ref);
    let mut withheld = match noted {
        Some(noted) => review::suspended(roles(), &noted.record, &noted.zone, now),
        None => Withheld::new(),
    };
    withheld.extend(conflicts::conflicting(roles()));
    withheld
}

fn nothing(fault: Fault) -> RoleFacts {
    RoleFacts {
        fault: Some(fault),
        withheld: None,
        rights: BTreeMap::new(),
        groups_left_out: BTreeSet::new(),
        ttl: String::new(),
        review: None,
    }
}
