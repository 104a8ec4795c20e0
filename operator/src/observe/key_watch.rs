//! Every key that was made is looked at as long as its data may live: whether it is there every hour, how it is at least
//! every day. Also of Channels that are gone.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use subrosa_crds::names::ChannelId;
use subrosa_plan::{
    keys::inventory::{self, MadeKey},
    record::channel::ChannelRecord,
    world::{fault::Fault, key_fault::KeyFault},
};
use subrosa_records::vault::{
    ClassName, MonthName, RecordPath, TransitKeyName, VaultError, transit::TransitKey,
};

use super::{DomainVault, vaults};

/// How often all keys are listed.
const LIST_EVERY: Duration = Duration::from_secs(3600);
/// Within what time every key is read once. Half a day, so that a day is certain.
const ROUND: Duration = Duration::from_secs(12 * 3600);
/// How many keys are read at a time at least.
const LEAST: usize = 8;

/// What was found out about one key.
pub struct Finding {
    /// The identity it belongs to.
    pub id: ChannelId,
    /// Its name in the transit engine.
    pub name: String,
    /// What is wrong with it; none where it is as it should be.
    pub fault: Option<KeyFault>,
}

/// How far the look at the keys of each trust domain has come.
#[derive(Default)]
pub struct KeyWatch(Mutex<HashMap<String, Round>>);

struct Round {
    listed: Instant,
    looked: Instant,
    ids: Vec<ChannelId>,
    keys: usize,
    /// Where the next look begins: which identity, and which of its keys.
    next: (usize, usize),
}

impl KeyWatch {
    /// Looks at the next keys of `domain`, and at the existence of all when that is due.
    ///
    /// # Errors
    /// When Vault does not say.
    pub async fn look(&self, domain: &str, vault: &DomainVault) -> Result<Vec<Finding>, Fault> {
        let taken = self.rounds().remove(domain);
        let mut found = Vec::new();
        let mut round = match taken {
            Some(round) if round.listed.elapsed() < LIST_EVERY => round,
            before => list(vault, before, &mut found).await?,
        };
        let share = round.looked.elapsed().as_secs_f64() / ROUND.as_secs_f64();
        // Precision is lost beyond 2^52 keys.
        let count = ((round.keys as f64 * share).ceil() as usize).max(LEAST).min(round.keys);
        round.looked = Instant::now();
        let read = read(vault, &mut round, count, &mut found).await;
        self.rounds().insert(domain.to_owned(), round);
        // What was found before Vault stopped answering is told: the next list of all keys is an hour away.
        if let Err(fault) = read {
            tracing::warn!(domain, reason = fault.reason, "keys: {}", fault.message);
        }
        Ok(found)
    }

    /// Forgets a trust domain that is gone.
    pub fn forget(&self, domain: &str) {
        self.rounds().remove(domain);
    }

    fn rounds(&self) -> MutexGuard<'_, HashMap<String, Round>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lists the keys that Vault has, and finds those that should be among them.
async fn list(vault: &DomainVault, before: Option<Round>, found: &mut Vec<Finding>) -> Result<Round, Fault> {
    // First the records: what is made meanwhile is in the list then.
    let ids = vault.channel_records.list().await.map_err(|error| vault.fault(&error))?;
    let mut made = Vec::new();
    for id in &ids {
        // A record that cannot be read is told by the sweep.
        let Ok(entry) = vault.channel_records.get(id).await else { continue };
        made.extend(entry.record.map(|record| (id.clone(), record)));
    }
    let present: BTreeSet<_> =
        vault.transit.list_keys().await.map_err(|error| vault.fault(&error))?.into_iter().collect();
    let mut keys = 0;
    for (id, record) in &made {
        for key in inventory::made(record) {
            keys += 1;
            let name = key.name(record);
            let there = TransitKeyName::new(name.as_str()).is_ok_and(|name| present.contains(&name));
            if !there {
                found.push(Finding { id: id.clone(), name, fault: Some(KeyFault::Missing) });
            }
        }
    }
    let ids: Vec<_> = made.into_iter().map(|(id, _)| id).collect();
    let looked = before.as_ref().map_or_else(Instant::now, |round| round.looked);
    // The round goes on where it was, as far as that is the same place.
    let next = before.map(|round| round.next).filter(|(at, _)| *at < ids.len()).unwrap_or_default();
    Ok(Round { listed: Instant::now(), looked, ids, keys, next })
}

/// Reads the next `count` keys.
async fn read(
    vault: &DomainVault,
    round: &mut Round,
    count: usize,
    found: &mut Vec<Finding>,
) -> Result<(), Fault> {
    let mut left = count;
    for _ in 0..=round.ids.len() {
        if left == 0 {
            break;
        }
        let (at, from) = round.next;
        let Some(id) = round.ids.get(at).cloned() else {
            round.next = (0, 0);
            continue;
        };
        let entry = vault.channel_records.get(&id).await;
        let record = entry.ok().and_then(|entry| entry.record);
        let keys: Vec<_> =
            record.iter().flat_map(|record| inventory::made(record).skip(from).take(left)).collect();
        round.next = if keys.len() < left { (at + 1, 0) } else { (at, from + keys.len()) };
        left -= keys.len();
        let Some(record) = record else { continue };
        for key in keys {
            let name = key.name(&record);
            let fault = judge(vault, &record, &key, &name).await.map_err(|error| vault.fault(&error))?;
            found.push(Finding { id: id.clone(), name, fault });
        }
    }
    Ok(())
}

/// What is wrong with one key, as Vault and the records have it now.
async fn judge(
    vault: &DomainVault,
    record: &ChannelRecord,
    key: &MadeKey,
    name: &str,
) -> Result<Option<KeyFault>, VaultError> {
    let Some(seen) = vault.transit.read_key(&TransitKeyName::new(name)?).await? else {
        return Ok(Some(KeyFault::Missing));
    };
    let first = match key {
        MadeKey::Authority => None,
        MadeKey::Active { class, cohort } => {
            let known = record.keys.get(class).and_then(|cohorts| cohorts.get(cohort));
            known.and_then(|known| known.versions.get(&1)).copied()
        }
        MadeKey::Ended { class, cohort } => {
            let (class, month) = (ClassName::new(class.as_str())?, MonthName::new(cohort.month())?);
            let path = RecordPath::keys(&record.id(), &class, &month);
            let entry = vault.key_records.read(&path).await?;
            vault.key_records.forget(&path);
            let record = entry.record.and_then(|mut record| record.keys.remove(&cohort.to_string()));
            let Some(record) = record else { return Ok(Some(KeyFault::Unrecorded)) };
            record.versions.get(&1).copied()
        }
    };
    Ok(if is_another(&seen, first) { Some(KeyFault::Replaced) } else { vaults::fault_of(&seen) })
}

/// Whether the key is not the one that was made: its first version is of another time.
fn is_another(seen: &TransitKey, first: Option<Timestamp>) -> bool {
    let made = seen.versions.get(&1).map(|version| version.created);
    made.zip(first).is_some_and(|(made, first)| made != first)
}
