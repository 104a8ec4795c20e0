//! Compares keys with their records.

use std::collections::BTreeMap;

use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use subrosa_crds::{
    cohort::Cohort,
    names::{ChannelId, DataKeyName},
};
use subrosa_plan::{
    keys::inventory::MadeKey,
    record::{channel::ChannelRecord, keys::KeysOfMonth},
    world::{key_fault::KeyFault, key_findings::KeyLook},
};
use subrosa_records::vault::{
    ClassName, MonthName, RecordPath, TransitKeyName, VaultError, transit::TransitKey,
};

use crate::observe::{
    DomainVault,
    decisions::{self, Decided},
    vaults,
};

/// The limit of concurrent requests for keys.
const AT_ONCE: usize = 4;

/// For some keys of a Channel: when the record says that each was made, or its fault.
pub(super) type Made = Vec<(String, Result<Option<Timestamp>, KeyFault>)>;

/// The record of a key's month; `None` where it does not exist or cannot be parsed.
async fn month(
    vault: &DomainVault,
    (id, class, cohort): (&ChannelId, &str, Cohort),
) -> Result<Option<KeysOfMonth>, VaultError> {
    let path = RecordPath::keys(id, &ClassName::new(class)?, &MonthName::new(cohort.month())?);
    let read = vault.key_records.read(&path).await;
    vault.key_records.forget(&path);
    match read {
        Ok(entry) => Ok(entry.record),
        // Does not stop the checks of other keys.
        Err(error) if error.is_unreadable() => Ok(None),
        Err(error) => Err(error),
    }
}

/// When the key's first version was made, by the record of its month.
fn first_of(month: Option<&KeysOfMonth>, cohort: Cohort) -> Result<Option<Timestamp>, KeyFault> {
    let kept = month.and_then(|month| month.keys.get(&cohort.to_string()));
    kept.map(|kept| kept.versions.get(&1).copied()).ok_or(KeyFault::Unrecorded)
}

/// When the key's first version was made, by its own record.
pub(super) async fn first_version(
    vault: &DomainVault,
    name: &DataKeyName,
) -> Result<Result<Option<Timestamp>, KeyFault>, VaultError> {
    match month(vault, (&name.id, &name.class, name.cohort)).await {
        Ok(month) => Ok(first_of(month.as_ref(), name.cohort)),
        // Vault was set up for a release without these records.
        Err(VaultError::PermissionDenied { .. }) => Ok(Ok(None)),
        Err(error) => Err(error),
    }
}

/// When the first version of each key was made, by the records.
pub(super) async fn made(
    vault: &DomainVault,
    record: &ChannelRecord,
    keys: &[MadeKey],
) -> Result<Made, VaultError> {
    let id = record.id();
    let mut months: BTreeMap<(&str, String), Option<KeysOfMonth>> = BTreeMap::new();
    let mut made = Vec::with_capacity(keys.len());
    for key in keys {
        let first = match key {
            MadeKey::Authority | MadeKey::EarlierAuthority => Ok(None),
            MadeKey::Active { class, cohort } => {
                let known = record.keys.get(class).and_then(|cohorts| cohorts.get(cohort));
                Ok(known.and_then(|known| known.versions.get(&1)).copied())
            }
            MadeKey::Ended { class, cohort } => {
                let at = (class.as_str(), cohort.month());
                if !months.contains_key(&at) {
                    months.insert(at.clone(), month(vault, (&id, class, *cohort)).await?);
                }
                first_of(months.get(&at).and_then(Option::as_ref), *cohort)
            }
        };
        made.push((key.name(&id), first));
    }
    Ok(made)
}

/// The current fault of each key.
pub(super) async fn judge(
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

/// The result for a key: its fault, unless the destroyer's decision explains it. A destroyed key is removed from the
/// Channel's record, so it is not checked again.
pub(super) async fn unexplained(
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

/// Whether this is another key than the recorded one: its first version has another creation time.
pub(super) fn is_another(seen: &TransitKey, first: Option<Timestamp>) -> bool {
    let made = seen.versions.get(&1).map(|version| version.created);
    made.zip(first).is_some_and(|(made, first)| made != first)
}
