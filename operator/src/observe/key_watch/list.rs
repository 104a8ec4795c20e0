//! Compares the lists of all records and all keys.

use std::{collections::BTreeSet, time::Instant};

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::names::DataKeyName;
use subrosa_plan::{
    keys::{
        inventory::{Inventory, MadeKey},
        round::Round,
    },
    world::{
        fault::Fault,
        key_fault::KeyFault,
        key_findings::{KeyFindings, KeyLook},
    },
};
use subrosa_records::vault::{TransitKeyName, VaultError};

use super::{
    Progress, ROUND, Seen, is_lasting,
    judge::{first_version, is_another, unexplained},
};
use crate::observe::{DomainVault, vaults};

/// How old an unrecorded data key must be to be reported, because a new key is recorded only after it was made.
const NEW_FOR: SignedDuration = SignedDuration::from_mins(15);
/// How many unrecorded data keys are read for each list.
const MOST_UNRECORDED: usize = 1000;

/// Lists records and keys: every recorded key must exist, and every data key must be recorded.
pub(super) async fn list(
    vault: &DomainVault,
    before: Option<Progress>,
    known: &KeyFindings,
    now: Timestamp,
    seen: &mut Seen,
) -> Result<Progress, Fault> {
    // Records first, so that the later list of keys includes keys made in between.
    let ids = vault.channel_records.list().await.map_err(|error| vault.fault(&error))?;
    seen.changed.extend(vault.channel_records.compare(&ids));
    let (mut made, mut unreadable) = (Vec::new(), BTreeSet::new());
    for id in ids {
        match vault.channel_records.get(&id).await {
            Ok(entry) => made.extend(entry.record.map(|record| (id, Inventory::of(&record)))),
            Err(error) if is_lasting(&error) => drop(unreadable.insert(id)),
            Err(error) => return Err(vault.fault(&error)),
        }
    }
    let data = vault.transit.list_keys().await.map_err(|error| vault.fault(&error))?;
    let authorities = vault.authorities().list_keys().await.map_err(|error| vault.fault(&error))?;
    // The policy of an earlier release does not allow listing that mount, so nothing counts as missing there.
    let unseen = authorities.is_none();
    let present: BTreeSet<_> = data.into_iter().chain(authorities.unwrap_or_default()).collect();
    let there = |name: &str| TransitKeyName::new(name).ok().and_then(|name| present.get(&name));
    let (mut keys, mut recorded) = (0, BTreeSet::new());
    for (id, inventory) in &made {
        for (key, name) in inventory.made() {
            keys += 1;
            if unseen && key == MadeKey::Authority {
                continue;
            }
            match there(&name) {
                Some(found) => drop(recorded.insert(found)),
                None => {
                    let look = unexplained(vault, id, name, Some(KeyFault::Missing), None).await;
                    seen.looks.push(look.map_err(|error| vault.fault(&error))?);
                }
            }
        }
        recorded.extend(inventory.may_be_missing().filter_map(|name| there(&name)));
    }
    let unrecorded = present
        .iter()
        .filter(|name| !recorded.contains(name))
        .filter_map(|name| name.as_str().parse::<DataKeyName>().ok())
        // Without the Channel's record, which is reported itself, its keys cannot be judged. Known faults are checked
        // anyway.
        .filter(|name| !unreadable.contains(&name.id) && !known.has(&name.id, &name.to_string()));
    for name in unrecorded.take(MOST_UNRECORDED) {
        let look = off_record(vault, &name, now).await.map_err(|error| vault.fault(&error))?;
        seen.looks.extend(look);
    }
    let ids: Vec<_> = made.into_iter().map(|(id, _)| id).collect();
    let (looked, again) = before.as_ref().map_or((Instant::now(), 0), |one| (one.looked, one.again));
    let half_day = i64::try_from(ROUND.as_secs()).unwrap_or(i64::MAX);
    let share = now.as_second().rem_euclid(half_day) as f64 / half_day as f64;
    let round = Round::of(before.map(|before| before.round), ids, keys, share);
    Ok(Progress { listed: Instant::now(), looked, round, again })
}

/// The fault of a data key that no Channel's record names; `None` where it is new or was deleted meanwhile. Its own
/// record may still have it.
async fn off_record(
    vault: &DomainVault,
    name: &DataKeyName,
    now: Timestamp,
) -> Result<Option<KeyLook>, VaultError> {
    let text = name.to_string();
    let key = TransitKeyName::new(text.as_str())?;
    let Some(found) = vault.engine(&key).read_key(&key).await? else { return Ok(None) };
    let made = found.versions.values().map(|version| version.created).min();
    if made.is_none_or(|made| now.duration_since(made) < NEW_FOR) {
        return Ok(None);
    }
    let first = first_version(vault, name).await?;
    let fault = match first {
        Err(unrecorded) => Some(unrecorded),
        Ok(first) if is_another(&found, first) => Some(KeyFault::Replaced),
        Ok(_) => vaults::fault_of(&found),
    };
    match fault {
        Some(fault) => {
            unexplained(vault, &name.id, text, Some(fault), first.unwrap_or_default()).await.map(Some)
        }
        None => Ok(None),
    }
}
