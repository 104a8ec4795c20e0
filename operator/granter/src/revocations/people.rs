//! The entities of people whom revocations name, in one trust domain.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use subrosa_crds::{AccessRevocation, Reason, TrustDomain};
use subrosa_plan::{
    record::revocations::RevocationsRecord,
    roles::{
        break_glass,
        revoked::{
            RevokedPeople, StandingRevocations,
            entities::{self, FoundEntity},
            release,
            status::RevocationOutcome,
        },
    },
    world::{domain as trust_domain, fault::Fault},
};
use subrosa_process::vault::{OwnVault, fault};
use subrosa_records::{
    store::Store,
    vault::{
        MountPath, RecordPath, VaultError, entities::Entities, identity::auth_accessor, name::MountAccessor,
    },
};

use super::{RevocationInputs, Uid};
use crate::reviews;

/// The auth mounts of a trust domain: that of people, that of ServiceAccounts, and that of break-glass.
struct Mounts(Vec<MountAccessor>);

impl Mounts {
    async fn read(domain: &TrustDomain, own: &OwnVault) -> Result<Self, VaultError> {
        let access = domain.spec.access.as_ref();
        let people = access.map(|access| access.provider.mount());
        let glass = access.and_then(break_glass::access).map(|access| access.provider.mount().to_owned());
        let mut accessors = Vec::new();
        for mount in people.into_iter().chain([trust_domain::auth_mount(domain)]) {
            accessors.extend(auth_accessor(&own.vault, &MountPath::new(mount)?).await?);
        }
        if let Some(mount) = glass {
            match auth_accessor(&own.vault, &MountPath::new(mount)?).await {
                Ok(accessor) => accessors.extend(accessor),
                // vault-setup makes the mount together with this right, so there is none yet.
                Err(VaultError::PermissionDenied { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self(accessors))
    }

    async fn find(&self, entities: &Entities, user: &str) -> Result<Vec<FoundEntity>, VaultError> {
        let mut found: Vec<FoundEntity> = Vec::new();
        for accessor in &self.0 {
            let entity = entities.find(user, accessor).await?;
            found.extend(entity.filter(|entity| found.iter().all(|one| one.id != entity.id)));
        }
        Ok(found)
    }
}

/// Disables the entities of every person that a revocation names. One that fails stops no other.
pub async fn disable(
    domain: &TrustDomain,
    own: &OwnVault,
    standing: &StandingRevocations<'_>,
    record: &RevocationsRecord,
) -> BTreeMap<Uid, RevocationOutcome> {
    let of_people: Vec<(Uid, &String)> =
        standing.iter().filter_map(|one| Some((one.uid()?, one.spec.subject.user.as_ref()?))).collect();
    if of_people.is_empty() {
        return BTreeMap::new();
    }
    let failed = |error: &VaultError| RevocationOutcome::Fault(fault(error));
    let entities = Entities::new(own.vault.clone());
    let read = async { Ok((Mounts::read(domain, own).await?, entities.own().await?)) };
    let (mounts, itself) = match read.await {
        Ok(read) => read,
        Err(error) => return of_people.into_iter().map(|(uid, _)| (uid, failed(&error))).collect(),
    };
    let (mut found, mut outcomes) = (BTreeMap::new(), BTreeMap::new());
    for (uid, user) in &of_people {
        match mounts.find(&entities, user).await {
            Ok(entities) if entities.iter().any(|one| Some(&one.id) == itself.as_ref()) => {
                outcomes.insert(uid.clone(), RevocationOutcome::Fault(own_identity()));
            }
            Ok(entities) => drop(found.insert(uid.clone(), entities)),
            Err(error) => drop(outcomes.insert(uid.clone(), failed(&error))),
        }
    }
    note(domain, own, record, &found).await;
    let accessors: BTreeSet<String> = mounts.0.iter().map(ToString::to_string).collect();
    for (uid, user) in of_people {
        let Some(before) = found.remove(&uid) else { continue };
        let ended = end(&entities, &mounts, user, before).await;
        if let Ok(found) = &ended
            && !found.1.is_empty()
        {
            tracing::info!(
                domain = domain.name_any(),
                entities = ?found.1,
                "entities are disabled, as an AccessRevocation says"
            );
        }
        let outcome = match ended {
            Ok((found, _)) => match found.iter().find(|one| !one.is_disabled) {
                None => RevocationOutcome::Disabled {
                    entities: found.len(),
                    also_hits: entities::also_hit(&found, &accessors),
                },
                Some(one) => RevocationOutcome::Fault(Fault::new(
                    Reason::Revoking,
                    format!(
                        "entity {} is not disabled after it was written so; the granter tries again",
                        one.id
                    ),
                )),
            },
            Err(error) => failed(&error),
        };
        outcomes.insert(uid, outcome);
    }
    outcomes
}

/// Disables those of `before` that are not, and reads them again. Returns what is there now, and what was disabled.
async fn end(
    entities: &Entities,
    mounts: &Mounts,
    user: &str,
    before: Vec<FoundEntity>,
) -> Result<(Vec<FoundEntity>, Vec<String>), VaultError> {
    let enabled: Vec<String> =
        before.iter().filter(|one| !one.is_disabled).map(|one| one.id.clone()).collect();
    if enabled.is_empty() {
        return Ok((before, enabled));
    }
    for id in &enabled {
        entities.set_disabled(id, true).await?;
    }
    Ok((mounts.find(entities, user).await?, enabled))
}

/// Notes which entities are about to be disabled. It is done all the same where that fails: then a release leaves them
/// disabled.
async fn note(
    domain: &TrustDomain,
    own: &OwnVault,
    record: &RevocationsRecord,
    found: &BTreeMap<Uid, Vec<FoundEntity>>,
) {
    if entities::noted(record, found) == record.entities {
        return;
    }
    let (store, path) = (Store::<RevocationsRecord>::new(own.kv.clone()), RecordPath::revocations());
    let noted = store.transaction(&path, |record| {
        let record = record.unwrap_or_default();
        Some(RevocationsRecord { entities: entities::noted(&record, found), ..record })
    });
    if let Err(error) = noted.await {
        tracing::warn!(
            domain = domain.name_any(),
            entities = ?found.values().flatten().map(|one| &one.id).collect::<BTreeSet<_>>(),
            "these entities are disabled without a record of it, so a release will not enable them: {error}"
        );
    }
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
        let mut record = record.unwrap_or_default();
        let guarded_since = reviews::seen(&mut record.guard, version.as_deref(), with.now);
        for one in revocations.clone() {
            let Some(uid) = one.uid().filter(|uid| !record.released.contains_key(uid)) else { continue };
            let approvals = approvals.iter().map(AsRef::as_ref);
            if let Some(mark) = release::counted(one, approvals, people, guarded_since, with.now) {
                tracing::info!(revocation = one.name_any(), approval = mark.approval, "it is released");
                record.released.insert(uid, mark);
            }
        }
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

fn own_identity() -> Fault {
    Fault::new(
        Reason::Revoking,
        "spec.subject.user is the granter's own identity in Vault, which it does not disable: nothing would be revoked after that; \
         next: turn the granter off, or make an AccessRevocation of somebody else",
    )
}
