//! Every key that was made is looked at as long as its data may live, also those of Channels that are gone: every hour
//! whether it exists, at least daily whether its flags are as they should be. What was found is kept in Vault, so that the
//! next leader reports it at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use subrosa_crds::names::{ChannelId, DataKeyName};
use subrosa_plan::{
    keys::{
        inventory::{self, MadeKey},
        round::Round,
    },
    record::{channel::ChannelRecord, keys::KeysOfMonth},
    world::{
        fault::Fault,
        key_fault::KeyFault,
        key_findings::{KeyFindings, KeyLook},
    },
};
use subrosa_records::vault::{
    ClassName, MonthName, RecordPath, TransitKeyName, VaultError, transit::TransitKey,
};
use tokio::sync::{Mutex, OnceCell};

use super::{
    Cluster, DomainVault,
    decisions::{self, Decided},
    vaults,
};
use crate::{changes::key, kinds::Subject};

/// How often all keys are listed.
const LIST_EVERY: Duration = Duration::from_secs(3600);
/// Within what time every key is read once. Half a day, so that a day is certain.
const ROUND: Duration = Duration::from_secs(12 * 3600);
/// How many keys with a known fault are read in each look: that one was mended is told soon.
const AGAIN: usize = 32;
/// How many requests for keys are under way at once.
const AT_ONCE: usize = 4;
/// After how long a look goes on at the next one: nothing else is to wait for it.
const MOST_TIME: Duration = Duration::from_secs(5);

/// The look at the keys of one trust domain.
#[derive(Default)]
pub struct KeyWatch {
    recalled: OnceCell<()>,
    /// The record cannot be read: what is found is reported, and the next operator begins without it.
    forgetful: AtomicBool,
    progress: Mutex<Option<Progress>>,
}

/// How far it has come.
struct Progress {
    listed: Instant,
    looked: Instant,
    round: Round,
    /// Where the look at keys with known faults goes on.
    again: usize,
}

/// What a Channel's record and those of its keys have of some of its keys.
type Made = Vec<(String, Result<Option<Timestamp>, KeyFault>)>;

impl Progress {
    /// Whether all keys are to be listed again.
    fn is_due(&self) -> bool {
        self.listed.elapsed() >= LIST_EVERY
    }
}

impl KeyWatch {
    /// Takes from the record what was found before, once; where the record cannot be had, from a look. Says whom it
    /// concerns.
    ///
    /// # Errors
    /// When Vault does not say.
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
                    self.forgetful.store(true, Ordering::Relaxed);
                    self.first_look(domain, vault, cluster, now).await
                }
                Err(error) => return Err(vault.fault(&error)),
            };
            woken = cluster.write(|world| key::recalled(world, domain, found));
            Ok(())
        });
        recalled.await?;
        Ok(woken)
    }

    /// Looks at the next keys, and at the existence of all when that is due. Says whom it concerns.
    ///
    /// # Errors
    /// When Vault does not say. What was found until then is told and kept all the same.
    pub async fn look(
        &self,
        domain: &str,
        vault: &DomainVault,
        cluster: &Cluster,
        now: Timestamp,
    ) -> (BTreeSet<Subject>, Result<(), Fault>) {
        let mut woken = match self.recall(domain, vault, cluster, now).await {
            Ok(woken) => woken,
            Err(fault) => return (BTreeSet::new(), Err(fault)),
        };
        let mut progress = self.progress.lock().await;
        let mut looks = Vec::new();
        if progress.as_ref().is_none_or(Progress::is_due) {
            woken.extend(self.retry(domain, vault, cluster).await);
        }
        let looked = look(domain, vault, cluster, now, &mut progress, &mut looks).await;
        let whole = progress.as_mut().is_some_and(|progress| progress.round.ended());
        // The next list of all keys is an hour away: what was found before Vault stopped answering is not lost.
        woken.extend(cluster.write(|world| key::found(world, domain, looks, whole, now)));
        let kept = self.keep(domain, vault, cluster).await;
        (woken, looked.and(kept))
    }

    /// What a look finds before anything is said: else each start would say first that nothing is known.
    async fn first_look(
        &self,
        domain: &str,
        vault: &DomainVault,
        cluster: &Cluster,
        now: Timestamp,
    ) -> KeyFindings {
        let (mut findings, mut looks) = (KeyFindings::default(), Vec::new());
        let mut progress = self.progress.lock().await;
        if let Err(fault) = look(domain, vault, cluster, now, &mut progress, &mut looks).await {
            tracing::warn!(domain, reason = fault.reason.as_str(), "{}", fault.message);
        }
        findings.take(looks, now);
        if progress.as_mut().is_some_and(|progress| progress.round.ended()) {
            findings.seen_all(now);
        }
        findings
    }

    /// Tries again to read a record that could not be had: somebody may have run `vault-setup` since.
    async fn retry(&self, domain: &str, vault: &DomainVault, cluster: &Cluster) -> BTreeSet<Subject> {
        if !self.forgetful.load(Ordering::Relaxed) {
            return BTreeSet::new();
        }
        let Ok(entry) = vault.key_findings.read(&RecordPath::key_findings()).await else {
            return BTreeSet::new();
        };
        self.forgetful.store(false, Ordering::Relaxed);
        let mut all = entry.record.unwrap_or_default();
        cluster.write(|world| {
            // What was seen since counts more than what was seen before.
            all.add(world.key_findings.get(domain).cloned().unwrap_or_default());
            key::recalled(world, domain, all)
        })
    }

    /// Writes down what is known, where the record says something else.
    async fn keep(&self, domain: &str, vault: &DomainVault, cluster: &Cluster) -> Result<(), Fault> {
        if self.forgetful.load(Ordering::Relaxed) {
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

/// Whether the error stays until a person does something: asking again is of no use.
fn is_lasting(error: &VaultError) -> bool {
    error.is_unreadable()
        || matches!(error, VaultError::PermissionDenied { .. } | VaultError::NewerRecord { .. })
}

async fn look(
    domain: &str,
    vault: &DomainVault,
    cluster: &Cluster,
    now: Timestamp,
    progress: &mut Option<Progress>,
    looks: &mut Vec<KeyLook>,
) -> Result<(), Fault> {
    let mut current = match progress.take() {
        Some(current) if !current.is_due() => current,
        before => list(vault, before, now, looks).await?,
    };
    let result = async {
        again(domain, vault, cluster, &mut current, looks).await?;
        read(vault, &mut current, looks).await
    }
    .await;
    *progress = Some(current);
    result.map_err(|error| vault.fault(&error))
}

/// Lists the keys that Vault has, and finds those that should be among them.
async fn list(
    vault: &DomainVault,
    before: Option<Progress>,
    now: Timestamp,
    looks: &mut Vec<KeyLook>,
) -> Result<Progress, Fault> {
    // First the records: what is made meanwhile is in the list then.
    let ids = vault.channel_records.list().await.map_err(|error| vault.fault(&error))?;
    let mut made = Vec::new();
    for id in ids {
        if let Some(record) = record_of(vault, &id).await.map_err(|error| vault.fault(&error))? {
            made.push((id, record));
        }
    }
    let data = vault.transit.list_keys().await.map_err(|error| vault.fault(&error))?;
    let authorities = vault.authorities().list_keys().await.map_err(|error| vault.fault(&error))?;
    // With the policy of an earlier release nobody sees what is on that mount: nothing is missed there.
    let unseen = authorities.is_none();
    let present: BTreeSet<_> = data.into_iter().chain(authorities.unwrap_or_default()).collect();
    let mut keys = 0;
    for (id, record) in &made {
        for key in inventory::made(record) {
            keys += 1;
            if unseen && key == MadeKey::Authority {
                continue;
            }
            let name = key.name(record);
            let there = TransitKeyName::new(name.as_str()).is_ok_and(|name| present.contains(&name));
            if !there {
                let look = unexplained(vault, id, name, Some(KeyFault::Missing), None).await;
                looks.push(look.map_err(|error| vault.fault(&error))?);
            }
        }
    }
    let ids: Vec<_> = made.into_iter().map(|(id, _)| id).collect();
    let (looked, again) = before.as_ref().map_or((Instant::now(), 0), |one| (one.looked, one.again));
    let half_day = i64::try_from(ROUND.as_secs()).unwrap_or(i64::MAX);
    let share = now.as_second().rem_euclid(half_day) as f64 / half_day as f64;
    let round = Round::of(before.map(|before| before.round), ids, keys, share);
    Ok(Progress { listed: Instant::now(), looked, round, again })
}

/// The record of a Channel. One that cannot be understood is told by others, and holds up no look at the next.
async fn record_of(vault: &DomainVault, id: &ChannelId) -> Result<Option<ChannelRecord>, VaultError> {
    match vault.channel_records.get(id).await {
        Ok(entry) => Ok(entry.record),
        Err(error) if is_lasting(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads keys of which a fault is known.
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
            // Without the record nobody can say that a key is the one that was made: what was found stays.
            Err(error) if is_lasting(&error) => continue,
            Err(error) => return Err(error),
        };
        let key =
            record.as_ref().and_then(|record| inventory::made(record).find(|key| key.name(record) == *name));
        // No generation is of it any more.
        let is_retired = key.is_none() && *name == id.earlier_authority_key();
        let may_go = record.is_none() || is_retired;
        let made = match (&record, key) {
            (Some(record), Some(key)) => made(vault, record, &[key]).await?,
            // Nobody knows when it was made.
            _ => vec![(name.clone(), Ok(None))],
        };
        judge(vault, id, made, looks).await?;
        // Somebody removed the key, and what is known of it was removed or has ended: it is not missed any more.
        if let Some(look) = looks.last_mut().filter(|look| may_go && look.fault == Some(KeyFault::Missing)) {
            look.fault = None;
        }
    }
    Ok(())
}

/// Reads the keys that are next.
async fn read(
    vault: &DomainVault,
    progress: &mut Progress,
    looks: &mut Vec<KeyLook>,
) -> Result<(), VaultError> {
    let begun = Instant::now();
    let round = &mut progress.round;
    let mut left = round.due(progress.looked.elapsed().as_secs_f64() / ROUND.as_secs_f64());
    progress.looked = begun;
    for _ in 0..=round.identities() {
        if left == 0 || begun.elapsed() > MOST_TIME {
            break;
        }
        let Some((id, from)) = round.place() else { break };
        let record = record_of(vault, &id).await?;
        let keys: Vec<_> =
            record.iter().flat_map(|record| inventory::made(record).skip(from).take(left)).collect();
        if let Some(record) = &record {
            let made = made(vault, record, &keys).await?;
            judge(vault, &id, made, looks).await?;
        }
        round.looked(keys.len(), keys.len() == left);
        left -= keys.len();
    }
    Ok(())
}

/// When the first version of each of these keys was made, as the records have it.
async fn made(vault: &DomainVault, record: &ChannelRecord, keys: &[MadeKey]) -> Result<Made, VaultError> {
    let mut months: BTreeMap<RecordPath, Option<KeysOfMonth>> = BTreeMap::new();
    let mut made = Vec::with_capacity(keys.len());
    for key in keys {
        let first = match key {
            MadeKey::Authority | MadeKey::EarlierAuthority => Ok(None),
            MadeKey::Active { class, cohort } => {
                let known = record.keys.get(class).and_then(|cohorts| cohorts.get(cohort));
                Ok(known.and_then(|known| known.versions.get(&1)).copied())
            }
            MadeKey::Ended { class, cohort } => {
                let (class, month) = (ClassName::new(class.as_str())?, MonthName::new(cohort.month())?);
                let path = RecordPath::keys(&record.id(), &class, &month);
                if !months.contains_key(&path) {
                    let entry = vault.key_records.read(&path).await?;
                    vault.key_records.forget(&path);
                    months.insert(path.clone(), entry.record);
                }
                let month = months.get(&path).and_then(Option::as_ref);
                match month.and_then(|month| month.keys.get(&cohort.to_string())) {
                    Some(kept) => Ok(kept.versions.get(&1).copied()),
                    None => Err(KeyFault::Unrecorded),
                }
            }
        };
        made.push((key.name(record), first));
    }
    Ok(made)
}

/// What is wrong with each of these keys, as Vault has it now.
async fn judge(
    vault: &DomainVault,
    id: &ChannelId,
    keys: Made,
    looks: &mut Vec<KeyLook>,
) -> Result<(), VaultError> {
    let one = |(name, first): (String, Result<Option<Timestamp>, KeyFault>)| {
        async move {
            let key = TransitKeyName::new(name.as_str())?;
            let seen = vault.engine(&key).read_key(&key).await?;
            let made = first.unwrap_or_default();
            let fault = match (seen, first) {
                (None, _) => Some(KeyFault::Missing),
                (Some(_), Err(unrecorded)) => Some(unrecorded),
                (Some(seen), Ok(first)) if is_another(&seen, first) => Some(KeyFault::Replaced),
                (Some(seen), Ok(_)) => vaults::fault_of(&seen),
            };
            unexplained(vault, id, name, fault, made).await
        }
        .boxed()
    };
    let mut results = stream::iter(keys.into_iter().map(one)).buffered(AT_ONCE);
    while let Some(result) = results.next().await {
        looks.push(result?);
    }
    Ok(())
}

/// What a look saw of a key: its fault, unless the destroyer's decision explains it. A key that was destroyed leaves the
/// Channel's record: it is not asked for again.
async fn unexplained(
    vault: &DomainVault,
    id: &ChannelId,
    name: String,
    fault: Option<KeyFault>,
    made: Option<Timestamp>,
) -> Result<KeyLook, VaultError> {
    let look = |name, fault, destroyed| KeyLook { id: id.clone(), name, fault, destroyed };
    let (Some(found), Ok(DataKeyName { class, cohort, .. })) = (fault, name.parse()) else {
        return Ok(look(name, fault, false));
    };
    match decisions::explains(vault, (id, &class, cohort), found, made).await? {
        Decided::Nothing => Ok(look(name, fault, false)),
        Decided::UnderWay => Ok(look(name, None, false)),
        Decided::Destroyed => {
            let without = |record: Option<ChannelRecord>| Some(record?.without_destroyed(&class, cohort));
            vault.channel_records.transaction(id, without).await?;
            Ok(look(name, None, true))
        }
    }
}

/// Whether the key is not the one that was made: its first version is of another time.
fn is_another(seen: &TransitKey, first: Option<Timestamp>) -> bool {
    let made = seen.versions.get(&1).map(|version| version.created);
    made.zip(first).is_some_and(|(made, first)| made != first)
}

#[cfg(test)]
mod tests;
