//! Connections to the Vault of each trust domain: made on demand and kept logged in.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Secret, ServiceAccount},
};
use kube::{Api, Client, ResourceExt as _, api::PostParams};
use secrecy::SecretString;
use subrosa_crds::{Reason, TrustDomain, names::ChannelId, trust_domain::VaultSpec};
use subrosa_plan::world::{World, bundle::Unusable, domain, fault::Fault};
use subrosa_records::{
    aliases::AliasLocks,
    vault::{
        MountPath, RequestObserver, RoleName, Vault, VaultAddress, VaultConfig,
        auth::{JwtSource, Login, Session},
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    lead::{Leadership, TokenAccessors},
    observe::{
        Cluster, DomainVault,
        vaults::{Connected, fault},
    },
};

/// The Vaults of all trust domains.
pub struct Vaults {
    client: Client,
    namespace: String,
    service_account: String,
    observer: Option<Arc<dyn RequestObserver>>,
    lead: Lead,
    known: Mutex<BTreeMap<String, (Wiring, Arc<DomainVault>)>>,
    /// One login per domain at a time: a second one would revoke the first.
    connecting: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Shared by all Vaults, because a ServiceAccount's UID is the same in each, and by successive connections.
    alias_locks: AliasLocks,
}

/// What requests to Vault need from leader election.
#[derive(Clone, Default)]
pub struct Lead {
    /// Checked by each request.
    pub leadership: Leadership,
    /// The register of tokens; `None` without an election.
    pub tokens: Option<Arc<TokenAccessors>>,
    /// The User-Agent of this replica.
    pub user_agent: String,
}

/// The inputs of a connection; a change needs a new connection.
#[derive(Clone, PartialEq)]
struct Wiring {
    spec: VaultSpec,
    ca_bundle: Option<String>,
}

impl Vaults {
    /// Without any connection. The operator logs in as ServiceAccount `service_account` of `namespace`.
    pub fn new(
        client: Client,
        namespace: String,
        service_account: String,
        observer: Option<Arc<dyn RequestObserver>>,
        lead: Lead,
    ) -> Self {
        let (known, connecting, alias_locks) = Default::default();
        Self { client, namespace, service_account, observer, lead, known, connecting, alias_locks }
    }

    /// The Vault of `domain`, connected on demand.
    ///
    /// # Errors
    /// When the connection cannot be set up.
    pub async fn of(&self, domain: &TrustDomain, world: &Cluster) -> Result<Arc<DomainVault>, Fault> {
        let name = domain.metadata.name.clone().unwrap_or_default();
        let wiring = world.read(|world| wiring(domain, world))?;
        let connected = || match self.known().get(&name) {
            Some((known, vault)) if *known == wiring => Some(Arc::clone(vault)),
            _ => None,
        };
        if let Some(vault) = connected() {
            return Ok(vault);
        }
        let connecting = Arc::clone(self.connecting().entry(name.clone()).or_default());
        let _one_at_a_time = connecting.lock().await;
        // Another reconcile may have connected meanwhile.
        if let Some(vault) = connected() {
            return Ok(vault);
        }
        let vault = Arc::new(self.connect(domain, &wiring).await?);
        self.known().insert(name, (wiring, Arc::clone(&vault)));
        Ok(vault)
    }

    /// Ends the connection of a deleted trust domain.
    pub fn forget(&self, domain: &str) {
        self.known().remove(domain);
        self.connecting().remove(domain);
        if let Some(tokens) = &self.lead.tokens {
            tokens.forget(domain);
        }
    }

    async fn connect(&self, domain: &TrustDomain, wiring: &Wiring) -> Result<DomainVault, Fault> {
        let spec = &wiring.spec;
        let address =
            VaultAddress::parse(&spec.address, spec.allow_insecure).map_err(|error| fault(&error))?;
        let mut config = VaultConfig::new(address);
        config.ca_bundle.clone_from(&wiring.ca_bundle);
        config.observer.clone_from(&self.observer);
        config.gate = Arc::new(self.lead.leadership.clone());
        config.user_agent.clone_from(&self.lead.user_agent);
        let vault = Vault::new(config).map_err(|error| fault(&error))?;
        let mount = |text: &str| MountPath::new(text).map_err(|error| fault(&error.into()));
        let auth_mount = mount(domain::auth_mount(domain))?;
        let login = self.login(domain, &auth_mount).await?;
        let register = self.lead.tokens.as_ref().map(|tokens| tokens.of(&domain.name_any()));
        let session = Session::new(vault.clone(), login).registered(register);
        let state = session.state();
        let stop = CancellationToken::new();
        // Try to log in now, so that the first reconcile has a token.
        if let Err(error) = session.login().await {
            tracing::warn!(domain = domain.metadata.name.as_deref(), %error, "Vault lets nobody in yet");
        }
        tokio::spawn({
            let stop = stop.clone();
            async move { session.run(stop).await }
        });
        Ok(DomainVault::new(Connected {
            transit: mount(domain::transit_mount(domain))?,
            authorities: mount(&domain::authorities_mount(domain))?,
            kv: mount(domain::kv_mount(domain))?,
            auth: auth_mount,
            alias_locks: self.alias_locks.clone(),
            session: state,
            stop,
            vault,
        }))
    }

    async fn login(&self, domain: &TrustDomain, auth_mount: &MountPath) -> Result<Login, Fault> {
        let spec = &domain.spec.vault;
        if let Some(token) = &spec.auth.token {
            let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
            let secret = secrets.get(&token.secret).await.map_err(|error| {
                Fault::new(
                    Reason::VaultTokenNotFound,
                    format!("Secret {} for vault.auth.token: {error}", token.secret),
                )
            })?;
            let value = secret.data.as_ref().and_then(|data| data.get(&token.key)).ok_or_else(|| {
                Fault::new(
                    Reason::VaultTokenNotFound,
                    format!("Secret {} has no key {}", token.secret, token.key),
                )
            })?;
            let text = String::from_utf8_lossy(&value.0).into_owned();
            return Ok(Login::Token(SecretString::from(text)));
        }
        let auth = spec.auth.kubernetes.clone().unwrap_or_default();
        let role = RoleName::new(auth.role.unwrap_or_else(|| "subrosa".into()))
            .map_err(|error| fault(&error.into()))?;
        let jwt = Arc::new(OwnToken {
            client: self.client.clone(),
            namespace: self.namespace.clone(),
            service_account: self.service_account.clone(),
            audience: domain::audience(domain).to_owned(),
        });
        Ok(Login::Kubernetes { mount: auth_mount.clone(), role, jwt })
    }

    /// Ends the connections of other trust domains than these, and drops other Channels than these from the cache.
    pub fn keep(&self, domains: &BTreeSet<String>, ids: &BTreeSet<ChannelId>) {
        let gone: Vec<_> =
            self.connecting().keys().filter(|domain| !domains.contains(*domain)).cloned().collect();
        gone.iter().for_each(|domain| self.forget(domain));
        let all: Vec<_> = self.known().values().map(|(_, vault)| Arc::clone(vault)).collect();
        all.iter().for_each(|vault| vault.keep(ids));
    }

    /// The sizes of the caches.
    #[must_use]
    pub fn kept(&self) -> Vec<(&'static str, usize)> {
        let all: Vec<_> = self.known().values().map(|(_, vault)| Arc::clone(vault)).collect();
        all.iter().flat_map(|vault| vault.kept()).collect()
    }

    fn connecting(&self) -> MutexGuard<'_, BTreeMap<String, Arc<tokio::sync::Mutex<()>>>> {
        self.connecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, (Wiring, Arc<DomainVault>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wiring(domain: &TrustDomain, world: &World) -> Result<Wiring, Fault> {
    let spec = domain.spec.vault.clone();
    let ca_bundle = match &spec.ca_bundle {
        None => None,
        // Only our own client reads it, and unlike trust files it may contain Vault's own certificate.
        Some(key) => Some(world.bundles.get(key).map(|bundle| bundle.text.clone()).ok_or_else(|| {
            let missing = Unusable::NotFound(key.clone());
            Fault::new(missing.reason(), format!("spec.vault.caBundle: {missing}"))
        })?),
    };
    Ok(Wiring { spec, ca_bundle })
}

/// Tokens of the operator's own ServiceAccount with Vault's audience.
struct OwnToken {
    client: Client,
    namespace: String,
    service_account: String,
    audience: String,
}

/// The lifetime of a token for login: the shortest that the API server grants.
const TOKEN_SECONDS: i64 = 600;

impl JwtSource for OwnToken {
    fn jwt(&self) -> BoxFuture<'_, Result<SecretString, String>> {
        async move {
            let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
            let request = TokenRequest {
                spec: Some(TokenRequestSpec {
                    audiences: Some(vec![self.audience.clone()]),
                    expiration_seconds: Some(TOKEN_SECONDS),
                    ..TokenRequestSpec::default()
                }),
                ..TokenRequest::default()
            };
            let answer = accounts
                .create_token_request(&self.service_account, &PostParams::default(), &request)
                .await
                .map_err(|error| {
                    format!(
                        "no token for ServiceAccount {}/{}: {error}",
                        self.namespace, self.service_account
                    )
                })?;
            let token = answer
                .status
                .and_then(|status| status.token)
                .ok_or("the API server answered without a token")?;
            Ok(SecretString::from(token))
        }
        .boxed()
    }
}
