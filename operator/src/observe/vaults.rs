//! The Vault of each trust domain: connected, logged in and kept so.

mod kept;
#[cfg(test)]
pub mod testing;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Secret, ServiceAccount},
};
use kube::{Api, Client, ResourceExt as _, api::PostParams};
use secrecy::SecretString;
use subrosa_crds::{
    TrustDomain,
    names::{ChannelId, ChannelRef},
    trust_domain::VaultSpec,
};
use subrosa_plan::{
    access::alias::Metadata,
    access::store::Ownership,
    record::issuances,
    record::keys::KeysOfMonth,
    record::store::StoreRecord,
    world::{World, bundle::Unusable, domain, fault::Fault, key_fault::KeyFault, key_findings::KeyFindings},
};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::key_watch::KeyWatch;
use crate::{
    lead::{Leadership, TokenAccessors},
    pki::Serial,
};
use subrosa_records::{
    aliases::{AliasLocks, WorkloadAliases},
    channels::ChannelRecords,
    store::Store,
    vault::{
        AliasName, MountPath, RequestObserver, RoleName, TransitKeyName, Vault, VaultAddress, VaultConfig,
        VaultError,
        auth::{JwtSource, Login, Session, SessionState},
        identity::{self, Aliases},
        kv::Kv,
        transit::{Transit, TransitKey},
    },
};

/// How long a key or grant that was seen is believed: what someone changed in Vault is noticed after this.
const MEMORY: Duration = Duration::from_secs(20 * 60);

/// How long an issuance counts.
const COUNTED: Duration = issuances::WINDOW.unsigned_abs();

/// Everything that leads to one trust domain's Vault.
pub struct DomainVault {
    /// The connection.
    pub vault: Vault,
    /// The transit engine.
    pub transit: Transit,
    /// The records.
    pub channel_records: ChannelRecords,
    kv: Kv,
    /// The records of keys.
    pub key_records: Store<KeysOfMonth>,
    /// The record of what is known of all keys.
    pub key_findings: Store<KeyFindings>,
    /// The look at every key that was made.
    pub key_watch: KeyWatch,
    /// The record of the store itself.
    pub stores: Store<StoreRecord>,
    /// What was last found of the store, and when.
    pub store: tokio::sync::Mutex<Option<(Instant, Ownership)>>,
    auth_mount: MountPath,
    aliases: OnceCell<WorkloadAliases>,
    alias_locks: AliasLocks,
    /// What Vault said of keys, as text: it is kept for every key of every Channel.
    keys: Mutex<BTreeMap<TransitKeyName, (Instant, Box<str>)>>,
    granted: Mutex<BTreeMap<AliasName, (Instant, Box<str>)>>,
    /// Serials that were noted and for which no signature came, and when it was asked for.
    unsigned: Mutex<BTreeMap<String, Instant>>,
    /// Channels that are gone and have nothing left that could be withdrawn: each search for orphans comes to them
    /// again, and needs no more of them than this.
    settled: Mutex<BTreeMap<ChannelId, ChannelRef>>,
    /// Channels whose record was found to be gone: the list of records does not name them when they are deleted.
    lost: Mutex<BTreeSet<ChannelId>>,
    session: tokio::sync::watch::Receiver<SessionState>,
    stop: CancellationToken,
}

impl DomainVault {
    /// What workloads have in the aliases of their auth mount.
    ///
    /// # Errors
    /// When Vault does not say which auth mount theirs is.
    pub async fn aliases(&self) -> Result<&WorkloadAliases, VaultError> {
        self.aliases
            .get_or_try_init(|| async {
                let accessor = identity::auth_accessor(&self.vault, &self.auth_mount).await?;
                let accessor = accessor
                    .ok_or_else(|| VaultError::NotFound { path: format!("auth/{}", self.auth_mount) })?;
                let aliases = Aliases::new(self.vault.clone(), accessor);
                Ok(WorkloadAliases::new(aliases, self.alias_locks.clone()))
            })
            .await
    }

    /// The key-value engine of the records.
    pub fn kv(&self) -> &Kv {
        &self.kv
    }

    /// A key, from memory where it was read lately.
    ///
    /// # Errors
    /// When Vault does not say.
    pub async fn key(&self, name: &TransitKeyName) -> Result<Option<TransitKey>, VaultError> {
        if let Some((read, key)) = self.keys().get(name)
            && read.elapsed() < MEMORY
            && let Ok(key) = TransitKey::of_short(key)
        {
            return Ok(Some(key));
        }
        let key = self.transit.read_key(name).await?;
        match &key {
            Some(key) => self.remember_key(name, key),
            None => self.forget_key(name),
        }
        Ok(key)
    }

    /// Remembers a key as Vault just described it.
    pub fn remember_key(&self, name: &TransitKeyName, key: &TransitKey) {
        match key.in_short() {
            Ok(text) => self.keys().insert(name.clone(), (Instant::now(), text)),
            Err(_) => self.keys().remove(name),
        };
    }

    /// Forgets a key: the next look asks Vault.
    pub fn forget_key(&self, name: &TransitKeyName) {
        self.keys().remove(name);
    }

    /// Whether the workload's part of an alias was lately seen or made to be exactly this.
    pub fn is_granted(&self, name: &AliasName, metadata: &Metadata) -> bool {
        let wanted = in_short(metadata);
        self.granted().get(name).is_some_and(|(at, found)| at.elapsed() < MEMORY && *found == wanted)
    }

    /// Remembers the workload's part of an alias as it is now; none where something was withdrawn.
    pub fn remember_grant(&self, name: &AliasName, metadata: Option<Metadata>) {
        match metadata {
            Some(metadata) => self.granted().insert(name.clone(), (Instant::now(), in_short(&metadata))),
            None => self.granted().remove(name),
        };
    }

    /// Remembers that no signature came for what was noted with this serial: nobody has such a certificate. As long as
    /// it would count, and not beyond a restart: then it counts, which is only stricter.
    pub fn remember_unsigned(&self, serial: &Serial) {
        let mut unsigned = self.unsigned();
        unsigned.retain(|_, at| at.elapsed() < COUNTED);
        unsigned.insert(serial.hex(), Instant::now());
    }

    /// Whether that serial was noted, and no signature came for it.
    pub fn is_unsigned(&self, serial: &str) -> bool {
        self.unsigned().contains_key(serial)
    }

    fn unsigned(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.unsigned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session is logged in, or why not.
    pub fn session(&self) -> SessionState {
        self.session.borrow().clone()
    }

    fn granted(&self) -> MutexGuard<'_, BTreeMap<AliasName, (Instant, Box<str>)>> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error of this Vault as status says it: that a token is not accepted is told by what holds up
    /// the login.
    pub fn fault(&self, error: &VaultError) -> Fault {
        match (error, self.session()) {
            (VaultError::TokenRejected, SessionState::LoggedOut(cause)) => fault(&cause),
            _ => fault(error),
        }
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<TransitKeyName, (Instant, Box<str>)>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DomainVault {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Metadata as a text to compare: an entry a line. (Names and identities hold neither `=` nor line ends.)
fn in_short(metadata: &Metadata) -> Box<str> {
    let lines = metadata.iter().map(|(key, value)| format!("{key}={value}\n"));
    lines.collect::<String>().into_boxed_str()
}

/// The Vaults of all trust domains.
pub struct Vaults {
    client: Client,
    namespace: String,
    service_account: String,
    observer: Option<Arc<dyn RequestObserver>>,
    lead: Lead,
    known: Mutex<BTreeMap<String, (Wiring, Arc<DomainVault>)>>,
    /// One login a domain at a time: a second one would revoke the first, or be one too many.
    connecting: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// A ServiceAccount's UID is the same in each Vault, and a connection may be made anew while another works.
    alias_locks: AliasLocks,
}

/// What requests to Vault owe to leadership.
#[derive(Clone, Default)]
pub struct Lead {
    /// What each of them needs.
    pub leadership: Leadership,
    /// Where the tokens are written down; nowhere without an election.
    pub tokens: Option<Arc<TokenAccessors>>,
    /// What this replica calls itself.
    pub user_agent: String,
}

/// What a connection was made from: another one is made when it changes.
#[derive(Clone, PartialEq)]
struct Wiring {
    spec: VaultSpec,
    ca_bundle: Option<String>,
}

impl Vaults {
    /// No connection yet. The operator logs in as ServiceAccount `service_account` of `namespace`.
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

    /// The Vault of `domain`, connected now where it was not.
    ///
    /// # Errors
    /// When the connection cannot even be set up.
    pub async fn of(
        &self,
        domain: &TrustDomain,
        world: &crate::observe::Cluster,
    ) -> Result<Arc<DomainVault>, Fault> {
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
        // Another reconcile may have been quicker.
        if let Some(vault) = connected() {
            return Ok(vault);
        }
        let vault = Arc::new(self.connect(domain, &wiring).await?);
        self.known().insert(name, (wiring, Arc::clone(&vault)));
        Ok(vault)
    }

    /// Ends the connection of a trust domain that is gone.
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
        let login = self.login(spec, &auth_mount).await?;
        let register = self.lead.tokens.as_ref().map(|tokens| tokens.of(&domain.name_any()));
        let session = Session::new(vault.clone(), login).registered(register);
        let state = session.state();
        let stop = CancellationToken::new();
        // One try now, so that the first reconcile does not meet an empty token.
        if let Err(error) = session.login().await {
            tracing::warn!(domain = domain.metadata.name.as_deref(), %error, "Vault lets nobody in yet");
        }
        tokio::spawn({
            let stop = stop.clone();
            async move { session.run(stop).await }
        });
        let kv = Kv::new(vault.clone(), mount(domain::kv_mount(domain))?);
        Ok(DomainVault {
            transit: Transit::new(vault.clone(), mount(domain::transit_mount(domain))?),
            channel_records: ChannelRecords::new(kv.clone()),
            key_records: Store::new(kv.clone()),
            key_findings: Store::new(kv.clone()),
            key_watch: KeyWatch::default(),
            stores: Store::new(kv.clone()),
            kv,
            store: tokio::sync::Mutex::default(),
            vault,
            auth_mount,
            aliases: OnceCell::new(),
            alias_locks: self.alias_locks.clone(),
            keys: Mutex::default(),
            granted: Mutex::default(),
            unsigned: Mutex::default(),
            settled: Mutex::default(),
            lost: Mutex::default(),
            session: state,
            stop,
        })
    }

    async fn login(&self, spec: &VaultSpec, auth_mount: &MountPath) -> Result<Login, Fault> {
        if let Some(token) = &spec.auth.token {
            let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
            let secret = secrets.get(&token.secret).await.map_err(|error| {
                Fault::new(
                    "VaultTokenNotFound",
                    format!("Secret {} for vault.auth.token: {error}", token.secret),
                )
            })?;
            let value = secret.data.as_ref().and_then(|data| data.get(&token.key)).ok_or_else(|| {
                Fault::new("VaultTokenNotFound", format!("Secret {} has no key {}", token.secret, token.key))
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
            audience: auth.audience.unwrap_or_else(|| "vault".into()),
        });
        Ok(Login::Kubernetes { mount: auth_mount.clone(), role, jwt })
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
        // Only our own client reads it, and Vault's certificate itself may stand there: no trust file has it.
        Some(key) => Some(world.bundles.get(key).map(|bundle| bundle.text.clone()).ok_or_else(|| {
            let missing = Unusable::NotFound(key.clone());
            Fault::new(missing.reason(), format!("spec.vault.caBundle: {missing}"))
        })?),
    };
    Ok(Wiring { spec, ca_bundle })
}

/// A Vault error as status says it.
pub fn fault(error: &VaultError) -> Fault {
    Fault::new(error.reason(), format!("{error}; next: {}", error.next_step()))
}

/// What is wrong with a key, as Vault describes it.
pub fn fault_of(key: &TransitKey) -> Option<KeyFault> {
    // Subrosa moves no minimum: 1 is where OpenBao begins, and 0 is unset.
    let withheld = key.min_decryption_version > 1 || key.min_available_version > 1;
    [
        (key.soft_deleted, KeyFault::SoftDeleted),
        (withheld, KeyFault::VersionsWithheld),
        (key.exportable, KeyFault::Exportable),
        (key.allow_plaintext_backup, KeyFault::PlaintextBackup),
        (key.deletion_allowed, KeyFault::DeletionAllowed),
    ]
    .into_iter()
    .find_map(|(is_so, fault)| is_so.then_some(fault))
}

/// Tokens of the operator's own ServiceAccount, for Vault's ears only.
struct OwnToken {
    client: Client,
    namespace: String,
    service_account: String,
    audience: String,
}

/// How long a token for a login is valid: the shortest the API server grants.
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

/// A transit key's name.
///
/// # Errors
/// When it is none, which no minted identity, class and cohort lead to.
pub fn key_name(name: &str) -> Result<TransitKeyName, Fault> {
    TransitKeyName::new(name).map_err(|error| fault(&error.into()))
}
