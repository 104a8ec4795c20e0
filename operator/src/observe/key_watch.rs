//! Checks every key as long as its data may live, also those of deleted Channels: hourly that it exists, at least
//! daily that its flags are right. A data key without a record is reported too. The findings are stored in Vault, so
//! that the next leader has them at once.
//!
//! The check also reads the records again: reconciles use cached records, so this is where a deleted or changed
//! record is noticed.

mod judge;
mod list;

use std::{
    collections::BTreeSet,
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use subrosa_crds::{
    Reason,
    names::{ChannelId, DataKeyName},
};
use subrosa_plan::{
    keys::{inventory, round::Round},
    world::{
        fault::Fault,
        key_fault::KeyFault,
        key_findings::{KeyFindings, KeyLook},
    },
};
use subrosa_records::vault::{RecordPath, VaultError};
use tokio::sync::{Mutex, OnceCell};

use self::{
    judge::{first_version, judge, made},
    list::list,
};
use super::{Cluster, DomainVault, vaults};
use crate::{changes::key, subject::Subject};

/// How often all keys are listed.
pub const LIST_EVERY: Duration = Duration::from_secs(3600);
/// The time in which every key is read once. Half a day, so that a day is guaranteed.
const ROUND: Duration = Duration::from_secs(12 * 3600);
/// How many keys with known faults each look reads, so that a repair is noticed soon.
const AGAIN: usize = 32;
/// The time limit of one look, because other work waits for it.
const MOST_TIME: Duration = Duration::from_secs(5);

/// The checks of the keys of one trust domain.
pub struct KeyWatch {
    /// The time limit of one look.
    most_time: Duration,
    recalled: OnceCell<()>,
    /// Why the record of findings cannot be used. Findings are still reported, but the next leader starts without
    /// them.
    forgets: std::sync::Mutex<Option<Fault>>,
    progress: Mutex<Option<Progress>>,
}

impl Default for KeyWatch {
    fn default() -> Self {
        Self {
            most_time: MOST_TIME,
            recalled: OnceCell::default(),
            forgets: std::sync::Mutex::default(),
            progress: Mutex::default(),
        }
    }
}

/// The progress of the checks.
struct Progress {
    listed: Instant,
    looked: Instant,
    round: Round,
    /// Where checking keys with known faults continues.
    again: usize,
}

/// The results of a look.
#[derive(Default)]
struct Seen {
    /// Results for keys.
    looks: Vec<KeyLook>,
    /// The identities whose record in Vault differs from the cached one or is gone.
    changed: BTreeSet<ChannelId>,
}

impl Progress {
    /// Whether all keys must be listed again.
    fn is_due(&self, every: Duration) -> bool {
        self.listed.elapsed() >= every
    }
}

impl KeyWatch {
    /// The fault where findings cannot be stored, because Vault was set up for an earlier release.
    pub fn setup(&self) -> Option<Fault> {
        self.forgets().clone().filter(|fault| fault.reason == Reason::SetupOutdated)
    }

    fn forgets(&self) -> MutexGuard<'_, Option<Fault>> {
        self.forgets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads the recorded findings, once; without them, runs a first check. Returns whom that concerns.
    ///
    /// # Errors
    /// When the request to Vault fails.
    pub async fn recall(
        &self,
        domain: &str,
        vault: &DomainVault,
        cluster: &Cluster,
        now: Timestamp,
    ) -> Result<BTreeSet<Subject>, Fault> {
        let mut woken = BTreeSet::new();
        let recalled = self.recalled.get_or_try_init(|| async {
            let found = match vault.key_findings.read(&RecordPath::key_findings()).await {
                Ok(entry) => entry.record.unwrap_or_default(),
                Err(error) if is_lasting(&error) => {
                    let next = error.next_step();
                    tracing::warn!(domain, %error, next, "the faults of keys are not remembered");
                    *self.forgets() = Some(match error {
                        VaultError::PermissionDenied { .. } => {
                            vaults::outdated("what is found of keys is not remembered", &error)
                        }
                        _ => vault.fault(&error),
                    });
                    let (found, changed) = self.first_look(domain, vault, cluster, now).await;
                    woken = cluster.read(|world| key::records_changed(world, domain, &changed));
                    found
                }
                Err(error) => return Err(vault.fault(&error)),
            };
            woken.extend(cluster.write(|world| key::recalled(world, domain, found)));
            Ok(())
        });
        recalled.await?;
        Ok(woken)
    }

    /// Checks the next keys, and the existence of all when `every` has passed. Returns whom that concerns.
    ///
    /// # Errors
    /// When the request to Vault fails. Results until then are used all the same.
    pub async fn look(
        &self,
        domain: &str,
        vault: &DomainVault,
        cluster: &Cluster,
        now: Timestamp,
        every: Duration,
    ) -> (BTreeSet<Subject>, Result<(), Fault>) {
        let mut woken = match self.recall(domain, vault, cluster, now).await {
            Ok(woken) => woken,
            Err(fault) => return (BTreeSet::new(), Err(fault)),
        };
        let mut progress = self.progress.lock().await;
        let mut seen = Seen::default();
        let is_due = progress.as_ref().is_none_or(|progress| progress.is_due(every));
        woken.extend(self.retry(domain, vault, cluster).await);
        let looked = look(domain, vault, cluster, (now, is_due), &mut progress, &mut seen).await;
        let whole = progress.as_mut().is_some_and(|progress| progress.round.ended());
        // The next list is an hour away, so use what was found before Vault stopped answering.
        woken.extend(cluster.write(|world| key::found(world, domain, seen.looks, whole, now)));
        woken.extend(cluster.read(|world| key::records_changed(world, domain, &seen.changed)));
        let kept = self.keep(domain, vault, cluster).await;
        (woken, looked.and(kept))
    }

    /// The first check, before anything is reported: otherwise every start would first report that nothing is known.
    async fn first_look(
        &self,
        domain: &str,
        vault: &DomainVault,
        cluster: &Cluster,
        now: Timestamp,
    ) -> (KeyFindings, BTreeSet<ChannelId>) {
        let (mut findings, mut seen) = (KeyFindings::default(), Seen::default());
        let mut progress = self.progress.lock().await;
        let is_due = progress.is_none();
        if let Err(fault) = look(domain, vault, cluster, (now, is_due), &mut progress, &mut seen).await {
            tracing::warn!(domain, reason = fault.reason.as_str(), "{}", fault.message);
        }
        findings.take(seen.looks, now);
        if progress.as_mut().is_some_and(|progress| progress.round.ended()) {
            findings.seen_all(now);
        }
        (findings, seen.changed)
    }

    /// Tries again to load findings that could not be read, because somebody may have run `vault-setup`.
    async fn retry(&self, domain: &str, vault: &DomainVault, cluster: &Cluster) -> BTreeSet<Subject> {
        if self.forgets().is_none() {
            return BTreeSet::new();
        }
        let Ok(entry) = vault.key_findings.read(&RecordPath::key_findings()).await else {
            return BTreeSet::new();
        };
        *self.forgets() = None;
        let mut all = entry.record.unwrap_or_default();
        cluster.write(|world| {
            // Newer results replace older ones.
            all.add(world.key_findings.get(domain).cloned().unwrap_or_default());
            key::recalled(world, domain, all)
        })
    }

    /// Writes the findings where they changed.
    async fn keep(&self, domain: &str, vault: &DomainVault, cluster: &Cluster) -> Result<(), Fault> {
        if self.forgets().is_some() {
            return Ok(());
        }
        let known = cluster.read(|world| world.key_findings.get(domain).map(KeyFindings::bounded));
        let Some(known) = known else { return Ok(()) };
        let path = RecordPath::key_findings();
        let nothing = KeyFindings::default();
        let written = vault
            .key_findings
            .transaction(&path, |kept| (kept.as_ref().unwrap_or(&nothing) != &known).then(|| known.clone()))
            .await;
        written.map(drop).map_err(|error| vault.fault(&error))
    }
}

/// Whether the error lasts until a person acts, so that retrying is useless.
fn is_lasting(error: &VaultError) -> bool {
    error.is_unreadable()
        || matches!(error, VaultError::PermissionDenied { .. } | VaultError::NewerRecord { .. })
}

async fn look(
    domain: &str,
    vault: &DomainVault,
    cluster: &Cluster,
    (now, is_due): (Timestamp, bool),
    progress: &mut Option<Progress>,
    seen: &mut Seen,
) -> Result<(), Fault> {
    let mut current = match progress.take() {
        Some(current) if !is_due => current,
        before => {
            let known = cluster.read(|world| world.key_findings.get(domain).cloned()).unwrap_or_default();
            list(vault, before, &known, now, seen).await?
        }
    };
    let result = async {
        again(domain, vault, cluster, &mut current, &mut seen.looks).await?;
        read(vault, &mut current, seen).await
    }
    .await;
    *progress = Some(current);
    result.map_err(|error| vault.fault(&error))
}

/// Reads keys with a known fault.
async fn again(
    domain: &str,
    vault: &DomainVault,
    cluster: &Cluster,
    progress: &mut Progress,
    looks: &mut Vec<KeyLook>,
) -> Result<(), VaultError> {
    let faulty: Vec<_> = cluster.read(|world| {
        let known = world.key_findings.get(domain).into_iter().flat_map(KeyFindings::iter);
        known.map(|(id, name, _)| (id.clone(), name.to_owned())).collect()
    });
    let from = progress.again.checked_rem(faulty.len()).unwrap_or_default();
    let turn = faulty.iter().cycle().skip(from).take(AGAIN.min(faulty.len()));
    progress.again = from + AGAIN;
    for (id, name) in turn {
        let record = match vault.channel_records.read(id).await {
            Ok(entry) => entry.record,
            // Without the Channel's record the key cannot be identified: the finding stays.
            Err(error) if is_lasting(&error) => continue,
            Err(error) => return Err(error),
        };
        let key = record.as_ref().and_then(|record| {
            let own = record.id();
            inventory::made(record).find(|key| key.name(&own) == *name)
        });
        // No generation uses it any more.
        let key_is_unnamed = key.is_none();
        let is_retired = key_is_unnamed && *name == id.earlier_authority_key();
        let made = match (&record, key, name.parse::<DataKeyName>()) {
            (Some(record), Some(key), _) => made(vault, record, &[key]).await?,
            (_, None, Ok(data)) => vec![(name.clone(), first_version(vault, &data).await?)],
            // When it was made is unknown.
            _ => vec![(name.clone(), Ok(None))],
        };
        let is_unrecorded = key_is_unnamed && made.iter().all(|(_, first)| first.is_err());
        let may_go = record.is_none() || is_retired || is_unrecorded;
        judge(vault, id, made, looks).await?;
        // Somebody deleted the key, and its record is gone or its use has ended: its absence is no fault any more.
        if let Some(look) = looks.last_mut().filter(|look| may_go && look.fault == Some(KeyFault::Missing)) {
            look.fault = None;
        }
    }
    Ok(())
}

/// Reads the next keys.
async fn read(vault: &DomainVault, progress: &mut Progress, seen: &mut Seen) -> Result<(), VaultError> {
    let begun = Instant::now();
    let round = &mut progress.round;
    let mut left = round.due(progress.looked.elapsed().as_secs_f64() / ROUND.as_secs_f64());
    progress.looked = begun;
    for _ in 0..=round.identities() {
        if left == 0 || begun.elapsed() > vault.key_watch.most_time {
            break;
        }
        let Some((id, from)) = round.place() else { break };
        let read = match round.is_whole() {
            // Somebody else may have deleted or changed the cached record.
            true => {
                let (read, differs) = vault.channel_records.read_again(&id).await;
                seen.changed.extend(differs.then(|| id.clone()));
                read
            }
            // The list at the start of this round read it just now.
            false => vault.channel_records.get(&id).await,
        };
        let record = match read {
            Ok(entry) => entry.record,
            // Reported elsewhere; continue with the next.
            Err(error) if is_lasting(&error) => None,
            Err(error) => return Err(error),
        };
        let keys: Vec<_> =
            record.iter().flat_map(|record| inventory::made(record).skip(from).take(left)).collect();
        if let Some(record) = &record {
            let made = made(vault, record, &keys).await?;
            judge(vault, &id, made, &mut seen.looks).await?;
        }
        round.looked(keys.len(), keys.len() == left);
        left -= keys.len();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
