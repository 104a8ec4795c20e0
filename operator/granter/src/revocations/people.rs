//! The entities of people whom revocations name, in one trust domain.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use kube::ResourceExt as _;
use subrosa_crds::{Reason, TrustDomain};
use subrosa_plan::{
    record::revocations::RevocationsRecord,
    roles::{
        break_glass,
        revoked::{
            StandingRevocations,
            entities::{self, FoundEntity, ListedAlias, ListedPeople},
            status::RevocationOutcome,
        },
    },
    world::{domain as trust_domain, fault::Fault},
};
use subrosa_process::vault::{OwnVault, fault};
use subrosa_records::{
    store::Store,
    vault::{
        MountPath, RecordPath, VaultError, entities::Entities, identity::auth_accessor, logins,
        name::MountAccessor,
    },
};

use super::{NEVER_SET_UP, Uid};
use crate::vaults::AT_ONCE;

/// Up to so many people who stand are each looked for in every sweep.
const FEW: usize = 16;
/// How many others are looked at again in each sweep, once a list showed that they have no new entity.
const IN_TURN: usize = 20;

/// The entities of people who are revoked, as they were seen since the start.
#[derive(Clone, Debug, Default)]
pub struct KnownPeople {
    /// Those that are disabled.
    disabled: BTreeSet<String>,
    /// The revocation that was last in turn.
    last: Uid,
}

/// The auth mounts of a trust domain: that of people, that of ServiceAccounts, and that of break-glass.
struct Mounts {
    accessors: Vec<MountAccessor>,
    /// Why one of them is not among those: nobody is looked for there.
    unread: Option<VaultError>,
}

/// Entities that were found, and why there may be more.
struct FoundPeople {
    entities: Vec<FoundEntity>,
    unread: Option<VaultError>,
}

impl Mounts {
    /// Reads them. One that Vault refuses to show stops no other.
    async fn read(domain: &TrustDomain, own: &OwnVault) -> Result<Self, VaultError> {
        let access = domain.spec.access.as_ref();
        let people = access.map(|access| access.provider.mount());
        let glass = access.and_then(break_glass::access).map(|access| access.provider.mount().to_owned());
        let mut mounts = Self { accessors: Vec::new(), unread: None };
        for mount in people.into_iter().chain([trust_domain::auth_mount(domain)]) {
            match auth_accessor(&own.vault, &MountPath::new(mount)?).await {
                Ok(accessor) => mounts.accessors.extend(accessor),
                Err(error) if error.is_of_one_request() => mounts.unread = mounts.unread.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        if let Some(mount) = glass {
            match auth_accessor(&own.vault, &MountPath::new(mount)?).await {
                Ok(accessor) => mounts.accessors.extend(accessor),
                // vault-setup makes the mount together with this right, so there is none yet.
                Err(VaultError::PermissionDenied { .. }) => {}
                Err(error) if error.is_of_one_request() => mounts.unread = mounts.unread.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        Ok(mounts)
    }

    /// The entities of a person. A mount for which Vault refuses to say stops no other.
    async fn find(&self, entities: &Entities, user: &str) -> Result<FoundPeople, VaultError> {
        let mut people = FoundPeople { entities: Vec::new(), unread: None };
        for accessor in &self.accessors {
            match entities.find(user, accessor).await {
                Ok(Some(entity)) if people.entities.iter().all(|one| one.id != entity.id) => {
                    people.entities.push(entity);
                }
                Ok(_) => {}
                Err(error) if error.is_of_one_request() => people.unread = people.unread.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        Ok(people)
    }
}

/// What becomes of people in a trust domain whose Vault is not to be reached.
pub fn unreached(
    domain: &TrustDomain,
    fault: &Fault,
    standing: &StandingRevocations<'_>,
) -> BTreeMap<Uid, RevocationOutcome> {
    let outcome = if domain.spec.access.is_none() && NEVER_SET_UP.contains(&fault.reason) {
        // Nobody logs in there.
        RevocationOutcome::Disabled { entities: 0, also_hits: BTreeSet::new() }
    } else {
        tracing::warn!(domain = domain.name_any(), reason = fault.reason.as_str(), "{}", fault.message);
        RevocationOutcome::Fault(fault.clone())
    };
    people_of(standing).into_iter().map(|(uid, _)| (uid, outcome.clone())).collect()
}

/// Disables the entities of every person that a revocation names. One that fails stops no other.
pub async fn disable(
    domain: &TrustDomain,
    own: &OwnVault,
    standing: &StandingRevocations<'_>,
    record: &RevocationsRecord,
) -> BTreeMap<Uid, RevocationOutcome> {
    let people = people_of(standing);
    if people.is_empty() {
        return BTreeMap::new();
    }
    match Look::begin(domain, own).await {
        Ok(look) => look.disable(people, record).await,
        Err(error) => failed(people, &error),
    }
}

/// Disables the entities that were made since. Where more than a few people stand, one list of all aliases shows who has which, and
/// who has none that is new is looked at in turn.
pub async fn sweep(
    domain: &TrustDomain,
    own: &OwnVault,
    standing: &StandingRevocations<'_>,
    record: &RevocationsRecord,
    known: KnownPeople,
) -> (BTreeMap<Uid, RevocationOutcome>, KnownPeople) {
    let people = people_of(standing);
    if people.is_empty() {
        return (BTreeMap::new(), KnownPeople::default());
    }
    let look = match Look::begin(domain, own).await {
        Ok(look) => look,
        Err(error) => return (failed(people, &error), known),
    };
    if people.len() <= FEW {
        return (look.disable(people, record).await, known);
    }
    match logins::aliases(&own.vault).await {
        Ok(aliases) => look.in_turn(people, record, &aliases, known).await,
        // An earlier setup of Vault does not let the granter list them.
        Err(error @ VaultError::PermissionDenied { .. }) => {
            tracing::warn!(
                domain = domain.name_any(),
                people = people.len(),
                "each person who is revoked is looked for one by one: {error}; next: run subrosa vault-setup for the TrustDomain"
            );
            (look.disable(people, record).await, known)
        }
        Err(error) => (failed(people, &error), known),
    }
}

/// The people that revocations name, by the UID of the revocation.
fn people_of<'a>(standing: &StandingRevocations<'a>) -> Vec<(Uid, &'a String)> {
    standing.iter().filter_map(|one| Some((one.uid()?, one.spec.subject.user.as_ref()?))).collect()
}

fn failed(people: Vec<(Uid, &String)>, error: &VaultError) -> BTreeMap<Uid, RevocationOutcome> {
    people.into_iter().map(|(uid, _)| (uid, RevocationOutcome::Fault(fault(error)))).collect()
}

/// One look at the entities of a trust domain.
struct Look<'a> {
    domain: &'a TrustDomain,
    own: &'a OwnVault,
    entities: Entities,
    mounts: Mounts,
    /// The granter's own entity.
    itself: Option<String>,
}

impl<'a> Look<'a> {
    async fn begin(domain: &'a TrustDomain, own: &'a OwnVault) -> Result<Self, VaultError> {
        let entities = Entities::new(own.vault.clone());
        let (mounts, itself) = (Mounts::read(domain, own).await?, entities.own().await?);
        Ok(Self { domain, own, entities, mounts, itself })
    }

    fn accessors(&self) -> BTreeSet<String> {
        self.mounts.accessors.iter().map(ToString::to_string).collect()
    }

    async fn disable(
        &self,
        people: Vec<(Uid, &String)>,
        record: &RevocationsRecord,
    ) -> BTreeMap<Uid, RevocationOutcome> {
        let (domain, own, entities, mounts) = (self.domain, self.own, &self.entities, &self.mounts);
        let failed = |error: &VaultError| RevocationOutcome::Fault(fault(error));
        let (mut found, mut outcomes, mut unread) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let finds: Vec<_> = people.iter().map(|(_, user)| mounts.find(entities, user)).collect();
        let finds: Vec<_> = stream::iter(finds).buffered(AT_ONCE).collect().await;
        for ((uid, _), found_now) in people.iter().zip(finds) {
            match found_now {
                Ok(people) if people.entities.iter().any(|one| Some(&one.id) == self.itself.as_ref()) => {
                    outcomes.insert(uid.clone(), RevocationOutcome::Fault(own_identity()));
                }
                Ok(people) => {
                    found.insert(uid.clone(), people.entities);
                    unread.extend(people.unread.map(|error| (uid.clone(), error)));
                }
                Err(error) => drop(outcomes.insert(uid.clone(), failed(&error))),
            }
        }
        note(domain, own, record, &found).await;
        let accessors = self.accessors();
        let begun = people.into_iter().filter_map(|(uid, user)| Some((found.remove(&uid)?, uid, user)));
        let ends: Vec<_> = begun
            .map(|(before, uid, user)| async move { (uid, end(entities, mounts, user, before).await) })
            .collect();
        let mut ends = stream::iter(ends).buffered(AT_ONCE);
        while let Some((uid, ended)) = ends.next().await {
            if let Ok(found) = &ended
                && !found.1.is_empty()
            {
                tracing::info!(
                    domain = domain.name_any(),
                    entities = ?found.1,
                    "entities are disabled, as an AccessRevocation says"
                );
            }
            // Somebody whom Vault did not show may be left.
            let unseen = unread.get(&uid).or(mounts.unread.as_ref());
            let outcome = match (ended, unseen) {
                (Ok(_), Some(error)) => failed(error),
                (Ok((found, _)), None) => match found.iter().find(|one| !one.is_disabled) {
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
                (Err(error), _) => failed(&error),
            };
            outcomes.insert(uid, outcome);
        }
        outcomes
    }

    /// The same, of those who are due by a list of `aliases`.
    async fn in_turn(
        &self,
        people: Vec<(Uid, &String)>,
        record: &RevocationsRecord,
        aliases: &[ListedAlias],
        known: KnownPeople,
    ) -> (BTreeMap<Uid, RevocationOutcome>, KnownPeople) {
        let accessors = self.accessors();
        let listed = ListedPeople::of(aliases, &accessors, people.iter().map(|(_, user)| *user));
        let found: BTreeMap<Uid, BTreeSet<String>> =
            people.iter().map(|(uid, user)| (uid.clone(), listed.entities(user))).collect();
        let (due, last) = entities::due(&found, &known.disabled, &known.last, IN_TURN);
        let (now, rest): (Vec<_>, Vec<_>) = people.into_iter().partition(|(uid, _)| due.contains(uid));
        let mut outcomes = self.disable(now, record).await;
        // Whoever could not be looked at is due again.
        let is_disabled =
            |uid: &Uid| outcomes.get(uid).is_none_or(|one| matches!(one, RevocationOutcome::Disabled { .. }));
        let disabled = found.iter().filter(|(uid, _)| is_disabled(uid));
        let known = KnownPeople { disabled: disabled.flat_map(|(_, ids)| ids.clone()).collect(), last };
        outcomes.extend(rest.into_iter().map(|(uid, user)| {
            let entities = listed.entities(user);
            let also_hits = listed.also_hit(&entities, &accessors);
            let disabled = || RevocationOutcome::Disabled { entities: entities.len(), also_hits };
            let unseen = self.mounts.unread.as_ref();
            (uid, unseen.map_or_else(disabled, |error| RevocationOutcome::Fault(fault(error))))
        }));
        (outcomes, known)
    }
}

/// Disables those of `before` that are not, and reads them again. One that Vault refuses to disable stops no other. Returns what is
/// there now, and what was disabled.
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
    let mut done = Ok(());
    for id in &enabled {
        match entities.set_disabled(id, true).await {
            Err(error) if error.is_of_one_request() => done = done.and(Err(error)),
            disabled => disabled?,
        }
    }
    done?;
    let now = mounts.find(entities, user).await?;
    match now.unread {
        Some(error) => Err(error),
        None => Ok((now.entities, enabled)),
    }
}

/// Notes which entities are about to be disabled. It is done all the same where that fails: then a release leaves them
/// disabled.
async fn note(
    domain: &TrustDomain,
    own: &OwnVault,
    record: &RevocationsRecord,
    found: &BTreeMap<Uid, Vec<FoundEntity>>,
) {
    let wanted = entities::noted(record, found);
    let is_left_out = |one: &&FoundEntity| !one.is_disabled && !wanted.contains_key(&one.id);
    for one in found.values().flatten().filter(is_left_out) {
        tracing::warn!(
            domain = domain.name_any(),
            entity = one.id,
            "it is disabled without a record of it, which has no room, so a release will not enable it; next: delete AccessRevocations \
             that are Released"
        );
    }
    if wanted == record.entities {
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

fn own_identity() -> Fault {
    Fault::new(
        Reason::Revoking,
        "spec.subject.user is the granter's own identity in Vault, which it does not disable: nothing would be revoked after that; \
         next: turn the granter off, or make an AccessRevocation of somebody else",
    )
}
