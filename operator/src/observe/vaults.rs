//! The Vault of each trust domain with what is cached of it. `crate::session` connects and logs in.

mod authorities;
mod kept;
#[cfg(test)]
pub mod testing;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use subrosa_crds::{
    Reason,
    names::{ChannelId, ChannelRef},
};
use subrosa_plan::{
    access::alias::Metadata,
    access::store::Ownership,
    record::issuances,
    record::store::StoreRecord,
    record::{
        decision::DecisionRecord, grants::GrantsRecord, keys::KeysOfMonth, reviews::ReviewsRecord,
        revocations::RevocationsRecord,
    },
    world::{fault::Fault, key_fault::KeyFault, key_findings::KeyFindings},
};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

pub use authorities::Authorities;

use super::key_watch::KeyWatch;
use crate::pki::Serial;
use subrosa_records::{
    aliases::{AliasLocks, WorkloadAliases},
    channels::ChannelRecords,
    store::Store,
    vault::{
        AliasName, MountPath, TransitKeyName, Vault, VaultError,
        auth::SessionState,
        identity::{self, Aliases},
        kv::Kv,
        transit::{Transit, TransitKey},
    },
};

/// How long a key or grant is cached; a change by somebody else in Vault is noticed after this.
const MEMORY: Duration = Duration::from_secs(20 * 60);

/// How long an issuance counts.
const COUNTED: Duration = issuances::WINDOW.unsigned_abs();

/// Access to one trust domain's Vault.
pub struct DomainVault {
    /// The connection.
    pub vault: Vault,
    /// The transit engine with the keys of data.
    pub transit: Transit,
    /// The transit engine with the keys of certificate authorities.
    authorities: Authorities,
    /// The records.
    pub channel_records: ChannelRecords,
    kv: Kv,
    /// The records of data keys.
    pub key_records: Store<KeysOfMonth>,
    /// The record of findings about keys.
    pub key_findings: Store<KeyFindings>,
    /// The destroyer's decisions about keys, which are only read.
    pub decisions: Store<DecisionRecord>,
    /// Which AccessRoles were reviewed: read, never written.
    pub reviews: Store<ReviewsRecord>,
    /// Which AccessRevocations were released: read, never written.
    pub revocations: Store<RevocationsRecord>,
    /// Which AccessGrants were given: read, never written.
    pub grants: Store<GrantsRecord>,
    /// The checks of all keys.
    pub key_watch: KeyWatch,
    /// When due keys were last searched for.
    pub due_keys: tokio::sync::Mutex<Option<Instant>>,
    /// When Adoptions were last checked.
    pub adoptions: tokio::sync::Mutex<AdoptionLooks>,
    /// When the slots of logins were last checked, and the generation of the TrustDomain then.
    pub slots: tokio::sync::Mutex<Option<(Instant, Option<i64>)>>,
    /// Whether every grant slot was found free since no AccessGrant uses one.
    pub grants_rest: std::sync::atomic::AtomicBool,
    /// The record of the store itself.
    pub stores: Store<StoreRecord>,
    /// The last check of the store, and when.
    pub store: tokio::sync::Mutex<Option<(Instant, Ownership)>>,
    auth_mount: MountPath,
    aliases: OnceCell<WorkloadAliases>,
    alias_locks: AliasLocks,
    /// Keys as Vault described them, as short texts because there is one for every key of every Channel.
    keys: Mutex<BTreeMap<TransitKeyName, (Instant, Box<str>)>>,
    granted: Mutex<BTreeMap<AliasName, (Instant, Box<str>)>>,
    /// Serials that were recorded but never signed, and when signing was tried.
    unsigned: Mutex<BTreeMap<String, Instant>>,
    /// Deleted Channels with nothing left to withdraw. Every search for orphans finds them again and needs only this.
    settled: Mutex<BTreeMap<ChannelId, ChannelRef>>,
    /// Channels whose record is gone; after their deletion the list of records does not name them.
    lost: Mutex<BTreeSet<ChannelId>>,
    /// The last restore of this Vault, by the destroyer's report, after which the cache was cleared.
    restored: Mutex<Option<String>>,
    session: tokio::sync::watch::Receiver<SessionState>,
    stop: CancellationToken,
}

/// When Adoptions were last checked.
#[derive(Debug, Default)]
pub struct AdoptionLooks {
    /// The open ones.
    pub listed: Option<Instant>,
    /// All, including finished ones.
    pub all: Option<Instant>,
    /// The Channels of each, by the Adoption's UID, and whether it was denied then.
    pub judged: BTreeMap<String, (Instant, bool)>,
}

/// A connection to Vault, and the mounts that a trust domain has there.
pub struct Connected {
    /// The connection.
    pub vault: Vault,
    /// Whether it is logged in.
    pub session: tokio::sync::watch::Receiver<SessionState>,
    /// Ends the session.
    pub stop: CancellationToken,
    /// The mount of the transit engine with the keys of data.
    pub transit: MountPath,
    /// The mount of the transit engine with the keys of certificate authorities.
    pub authorities: MountPath,
    /// The mount of the key-value engine.
    pub kv: MountPath,
    /// The mount of Kubernetes auth.
    pub auth: MountPath,
    /// Shared by all Vaults, because a ServiceAccount's UID is the same in each, and by successive connections.
    pub alias_locks: AliasLocks,
}

impl DomainVault {
    /// Access to the Vault of one trust domain, with an empty cache.
    pub fn new(connected: Connected) -> Self {
        let Connected { vault, session, stop, transit, authorities, kv, auth, alias_locks } = connected;
        let kv = Kv::new(vault.clone(), kv);
        Self {
            transit: Transit::new(vault.clone(), transit),
            authorities: Authorities::new(vault.clone(), authorities),
            channel_records: ChannelRecords::new(kv.clone()),
            key_records: Store::new(kv.clone()),
            key_findings: Store::new(kv.clone()),
            decisions: Store::new(kv.clone()),
            reviews: Store::new(kv.clone()),
            revocations: Store::new(kv.clone()),
            grants: Store::new(kv.clone()),
            key_watch: KeyWatch::default(),
            due_keys: tokio::sync::Mutex::default(),
            adoptions: tokio::sync::Mutex::default(),
            slots: tokio::sync::Mutex::default(),
            grants_rest: Default::default(),
            stores: Store::new(kv.clone()),
            kv,
            store: tokio::sync::Mutex::default(),
            vault,
            auth_mount: auth,
            aliases: OnceCell::new(),
            alias_locks,
            keys: Mutex::default(),
            granted: Mutex::default(),
            unsigned: Mutex::default(),
            settled: Mutex::default(),
            lost: Mutex::default(),
            restored: Mutex::default(),
            session,
            stop,
        }
    }

    /// The workloads' part of the aliases of their auth mount.
    ///
    /// # Errors
    /// When the request for the auth mount's accessor fails.
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

    /// The mount for keys of certificate authorities.
    pub fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// The engine of a key, by its name.
    pub fn engine(&self, name: &TransitKeyName) -> &Transit {
        match name.as_str().contains('.') {
            true => &self.transit,
            false => self.authorities.engine(),
        }
    }

    /// A key, from the cache where possible.
    ///
    /// # Errors
    /// When the request to Vault fails.
    pub async fn key(&self, name: &TransitKeyName) -> Result<Option<TransitKey>, VaultError> {
        if let Some((read, key)) = self.keys().get(name)
            && read.elapsed() < MEMORY
            && let Ok(key) = TransitKey::of_short(key)
        {
            return Ok(Some(key));
        }
        let key = self.engine(name).read_key(name).await?;
        match &key {
            Some(key) => self.remember_key(name, key),
            None => self.forget_key(name),
        }
        Ok(key)
    }

    /// Caches a key as just described by Vault.
    pub fn remember_key(&self, name: &TransitKeyName, key: &TransitKey) {
        match key.in_short() {
            Ok(text) => self.keys().insert(name.clone(), (Instant::now(), text)),
            Err(_) => self.keys().remove(name),
        };
    }

    /// Drops a key from the cache.
    pub fn forget_key(&self, name: &TransitKeyName) {
        self.keys().remove(name);
    }

    /// Whether the workload's part of an alias is exactly this, by the cache.
    pub fn is_granted(&self, name: &AliasName, metadata: &Metadata) -> bool {
        let wanted = in_short(metadata);
        self.granted().get(name).is_some_and(|(at, found)| at.elapsed() < MEMORY && *found == wanted)
    }

    /// Caches the workload's part of an alias; `None` after a withdrawal.
    pub fn remember_grant(&self, name: &AliasName, metadata: Option<Metadata>) {
        match metadata {
            Some(metadata) => self.granted().insert(name.clone(), (Instant::now(), in_short(&metadata))),
            None => self.granted().remove(name),
        };
    }

    /// Notes that the recorded serial was never signed, so that the issuance does not count against the limit. Lost
    /// with a restart; then it counts, which is only stricter.
    pub fn remember_unsigned(&self, serial: &Serial) {
        let mut unsigned = self.unsigned();
        unsigned.retain(|_, at| at.elapsed() < COUNTED);
        unsigned.insert(serial.hex(), Instant::now());
    }

    /// Whether that serial was recorded but never signed.
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

    /// An error of this Vault as a fault for status. A rejected token is reported by the reason that prevents a new
    /// login.
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

/// Metadata as comparable text, one entry per line. (Names and identities contain neither `=` nor line ends.)
fn in_short(metadata: &Metadata) -> Box<str> {
    let lines = metadata.iter().map(|(key, value)| format!("{key}={value}\n"));
    lines.collect::<String>().into_boxed_str()
}

/// A Vault error as a fault for status.
pub fn fault(error: &VaultError) -> Fault {
    Fault::new(error.reason(), format!("{error}; next: {}", error.next_step()))
}

/// The fault where Vault refuses something because it was set up for an earlier release.
pub fn outdated(what: &str, error: &VaultError) -> Fault {
    Fault::new(Reason::SetupOutdated, format!("{what}: {}", fault(error).message))
}

/// The fault that a key's description shows.
pub fn fault_of(key: &TransitKey) -> Option<KeyFault> {
    // Subrosa never changes the minimum versions: OpenBao starts with 1, and 0 is unset.
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

/// The name of a transit key.
///
/// # Errors
/// When the text is no valid name; a name made of identity, class and cohort always is.
pub fn key_name(name: &str) -> Result<TransitKeyName, Fault> {
    TransitKeyName::new(name).map_err(|error| fault(&error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(change: impl FnOnce(&mut TransitKey)) -> Option<KeyFault> {
        let mut key = TransitKey {
            key_type: "aes256-gcm96".into(),
            latest_version: 3,
            min_available_version: 0,
            min_decryption_version: 1,
            min_encryption_version: 0,
            auto_rotate_period: Duration::ZERO,
            exportable: false,
            allow_plaintext_backup: false,
            deletion_allowed: false,
            soft_deleted: false,
            versions: BTreeMap::new(),
        };
        change(&mut key);
        fault_of(&key)
    }

    #[test]
    fn every_flag_and_minimum_that_endangers_data_is_a_fault() {
        type Change = fn(&mut TransitKey);
        let table: [(Option<KeyFault>, Change); 10] = [
            (None, |_| ()),
            (None, |key| key.min_available_version = 1),
            // It hides nothing that was sealed, and 0 is the latest one.
            (None, |key| key.min_encryption_version = 2),
            (Some(KeyFault::VersionsWithheld), |key| key.min_decryption_version = 2),
            (Some(KeyFault::VersionsWithheld), |key| key.min_available_version = 2),
            (Some(KeyFault::Exportable), |key| key.exportable = true),
            (Some(KeyFault::PlaintextBackup), |key| key.allow_plaintext_backup = true),
            (Some(KeyFault::DeletionAllowed), |key| key.deletion_allowed = true),
            (Some(KeyFault::SoftDeleted), |key| {
                (key.soft_deleted, key.exportable, key.min_decryption_version) = (true, true, 2);
            }),
            (Some(KeyFault::Exportable), |key| {
                (key.exportable, key.allow_plaintext_backup, key.deletion_allowed) = (true, true, true);
            }),
        ];
        for (row, (expected, change)) in table.into_iter().enumerate() {
            assert_eq!(key(change), expected, "row {row}");
        }
    }
}
