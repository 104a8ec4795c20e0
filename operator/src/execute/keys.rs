//! Data keys: created, set to rotate, rotated. Nothing here deletes a key or changes anything else of one.

use std::{collections::BTreeMap, time::Duration};

use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use subrosa_crds::channel::KeyType;
use subrosa_plan::{
    keys::{self, EndingKey, KeyAction, ObservedKey, WantedKey},
    record::channel::ChannelRecord,
    world::fault::Fault,
};

use crate::observe::{DomainVault, vaults};
use subrosa_records::vault::{
    TransitKeyName, VaultError,
    transit::{TransitKey, TransitKeyType},
};

/// The limit of keys of one Channel in progress.
const AT_ONCE: usize = 4;

/// Brings the wanted keys to their wanted state. Returns their state afterwards, by name, and the first refusal; the
/// others were handled all the same.
pub async fn carry_out(
    vault: &DomainVault,
    wanted: &[WantedKey],
    record: &ChannelRecord,
    now: Timestamp,
) -> (BTreeMap<String, ObservedKey>, Result<(), Fault>) {
    let mut work = Vec::with_capacity(wanted.len());
    for key in wanted {
        work.push(one(vault, key, record, now).boxed());
    }
    let results: Vec<_> = stream::iter(work).buffered(AT_ONCE).collect().await;
    let (mut found, mut refused) = (BTreeMap::new(), Ok(()));
    for (key, (seen, result)) in wanted.iter().zip(results) {
        found.extend(seen.map(|seen| (key.name.clone(), seen)));
        refused = refused.and(result);
    }
    (found, refused)
}

/// Brings one key to its wanted state. Returns its state afterwards, even if Vault refused a part.
async fn one(
    vault: &DomainVault,
    key: &WantedKey,
    record: &ChannelRecord,
    now: Timestamp,
) -> (Option<ObservedKey>, Result<(), Fault>) {
    let name = match vaults::key_name(&key.name) {
        Ok(name) => name,
        Err(fault) => return (None, Err(fault)),
    };
    let mut found = None;
    let done = settle(vault, key, &name, record, now, &mut found).await;
    match (&found, &done) {
        (Some(key), Ok(())) => vault.remember_key(&name, key),
        _ => vault.forget_key(&name),
    }
    (found.as_ref().map(observe), done.map_err(|error| vaults::fault(&error)))
}

/// Puts the state of the key after each step into `found`.
async fn settle(
    vault: &DomainVault,
    key: &WantedKey,
    name: &TransitKeyName,
    record: &ChannelRecord,
    now: Timestamp,
    found: &mut Option<TransitKey>,
) -> Result<(), VaultError> {
    let record = record.key(&key.class, key.cohort);
    let create = || vault.transit.create_key(name, key_type(key.key_type), key.rotate_every.map(seconds));
    // A key without recorded versions probably does not exist; creating it also reads an existing one.
    let fresh = record.is_none_or(|record| record.versions.is_empty());
    *found = if fresh { Some(create().await?) } else { vault.key(name).await? };
    let observed = found.as_ref().map(observe);
    match keys::action(key, record, observed.as_ref(), now) {
        None => {}
        Some(KeyAction::Create(_)) => *found = Some(create().await?),
        Some(KeyAction::SetRotation { every, .. }) => {
            vault.transit.set_auto_rotate(name, every.map(seconds)).await?;
            *found = vault.transit.read_key(name).await?;
        }
        Some(KeyAction::Rotate { .. }) => {
            let latest = found.as_ref().map(|key| key.latest_version).unwrap_or_default();
            *found = Some(vault.transit.rotate(name, latest).await?);
        }
    }
    Ok(())
}

/// Stops the rotation of keys whose cohort has ended, and drops them from the cache. For keys that were only
/// intended, notes what Vault has, because the process may have died after making them. Returns the closed keys and
/// the first refusal for the others.
pub async fn close(vault: &DomainVault, ending: Vec<EndingKey>) -> (Vec<EndingKey>, Result<(), Fault>) {
    let (mut closed, mut refused) = (Vec::with_capacity(ending.len()), Ok(()));
    for mut key in ending {
        match close_one(vault, &mut key).await {
            Ok(()) => closed.push(key),
            Err(fault) => refused = refused.and(Err(fault)),
        }
    }
    (closed, refused)
}

async fn close_one(vault: &DomainVault, key: &mut EndingKey) -> Result<(), Fault> {
    if key.known.closed {
        return Ok(());
    }
    let name = vaults::key_name(&key.name)?;
    let found = vault.key(&name).await.map_err(|error| vaults::fault(&error))?;
    if let (Some(seen), true) = (&found, key.known.versions.is_empty()) {
        key.known.versions = observe(seen).versions;
    }
    if found.is_some_and(|key| !key.auto_rotate_period.is_zero()) {
        vault.transit.set_auto_rotate(&name, None).await.map_err(|error| vaults::fault(&error))?;
    }
    vault.forget_key(&name);
    Ok(())
}

/// The facts about a key that decisions need.
fn observe(key: &TransitKey) -> ObservedKey {
    let every = key.auto_rotate_period;
    ObservedKey {
        versions: key.versions.iter().map(|(number, version)| (*number, version.created)).collect(),
        rotate_every: (!every.is_zero())
            .then(|| SignedDuration::from_secs(i64::try_from(every.as_secs()).unwrap_or(i64::MAX))),
        fault: vaults::fault_of(key),
    }
}

fn seconds(duration: SignedDuration) -> Duration {
    duration.unsigned_abs()
}

fn key_type(declared: KeyType) -> TransitKeyType {
    match declared {
        KeyType::Aes256Gcm96 => TransitKeyType::Aes256Gcm96,
        KeyType::ChaCha20Poly1305 => TransitKeyType::Chacha20Poly1305,
    }
}
