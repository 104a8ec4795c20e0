//! Releases of revocations in one trust domain: which count, and which entities are enabled again.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use subrosa_crds::{AccessRevocation, Reason, TrustDomain};
use subrosa_plan::{
    record::{self, revocations::RevocationsRecord},
    roles::revoked::{RevokedPeople, entities, release, status::RevocationOutcome},
    world::fault::Fault,
};
use subrosa_process::vault::OwnVault;
use subrosa_records::{
    store::Store,
    vault::{RecordPath, entities::Entities},
};

use super::{RevocationInputs, Uid};
use crate::reviews;

/// Why a release is not done.
const NOT_ENABLED: &str = "it was released, and an entity is not enabled again yet; the granter tries again";

/// What became of those among `revocations` that were released.
pub fn outcomes<'a>(
    revocations: impl Iterator<Item = &'a AccessRevocation>,
    record: &RevocationsRecord,
) -> BTreeMap<Uid, RevocationOutcome> {
    let waiting = entities::to_enable(record);
    let released = revocations.filter_map(|one| {
        let uid = one.uid()?;
        let mark = record.released.get(&uid)?.clone();
        let named = |id| record.entities.get(id).is_some_and(|uids| uids.contains(&uid));
        let outcome = match waiting.iter().any(named) {
            true => RevocationOutcome::Fault(Fault::new(Reason::Revoking, NOT_ENABLED)),
            false => RevocationOutcome::Released(mark),
        };
        Some((uid, outcome))
    });
    released.collect()
}

/// Notes new releases, and enables the entities that no revocation names any more. Returns the record as it is then.
pub async fn release<'a>(
    with: &RevocationInputs<'_>,
    domain: &TrustDomain,
    own: &OwnVault,
    revocations: impl Iterator<Item = &'a AccessRevocation> + Clone,
    people: &RevokedPeople,
    record: RevocationsRecord,
) -> RevocationsRecord {
    let name = domain.name_any();
    let warn = |error: &str| tracing::warn!(domain = name, "nothing is released: {error}");
    // Without the admission policy no Approval counts.
    let version = with.guard.version(with.client).await.unwrap_or_else(|fault| {
        warn(&fault.message);
        None
    });
    let approvals = with.view.approvals.state();
    let known: BTreeSet<Uid> = with.view.revocations.state().iter().filter_map(|one| one.uid()).collect();
    let decide = |record: Option<RevocationsRecord>| {
        let mut record: RevocationsRecord = record.unwrap_or_default();
        let guarded_since = reviews::seen(&mut record.guard, version.as_deref(), with.now);
        for one in revocations.clone() {
            let Some(uid) = one.uid().filter(|uid| !record.released.contains_key(uid)) else { continue };
            if !record::has_room(&record) {
                warn("the record has no room for one more; next: delete AccessRevocations that are Released");
                break;
            }
            let approvals = approvals.iter().map(AsRef::as_ref);
            if let Some(mark) = release::counted(one, approvals, people, guarded_since, with.now) {
                tracing::info!(revocation = one.name_any(), approval = mark.approval, "it is released");
                record.released.insert(uid, mark);
            }
        }
        entities::forget(&mut record, &known);
        // What is deleted and holds no entity needs no mark any more.
        let named: BTreeSet<Uid> = record.entities.values().flatten().cloned().collect();
        record.released.retain(|uid, _| known.contains(uid) || named.contains(uid));
        record
    };
    let store = Store::<RevocationsRecord>::new(own.kv.clone());
    let path = RecordPath::revocations();
    let record = match store.transaction(&path, |record| Some(decide(record))).await {
        Ok(entry) => entry.record.unwrap_or_default(),
        Err(error) => {
            warn(&error.to_string());
            return record;
        }
    };
    let entities = Entities::new(own.vault.clone());
    let mut enabled = BTreeSet::new();
    for id in entities::to_enable(&record) {
        match entities.set_disabled(&id, false).await {
            Ok(()) => {
                tracing::info!(domain = name, entity = id, "an entity is enabled again after a release");
                enabled.insert(id);
            }
            Err(error) => warn(&format!("entity {id} stays disabled: {error}")),
        }
    }
    if enabled.is_empty() {
        return record;
    }
    let gone = store.transaction(&path, |record| {
        let mut record = record.unwrap_or_default();
        record.entities.retain(|id, _| !enabled.contains(id));
        Some(record)
    });
    match gone.await {
        Ok(entry) => entry.record.unwrap_or_default(),
        Err(error) => {
            warn(&error.to_string());
            record
        }
    }
}
