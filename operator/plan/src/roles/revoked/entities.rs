//! Which entities of Vault are disabled, and which are enabled again after a release.
//!
//! An entity is one person or workload in Vault, with an alias for each auth mount by which it logs in. The tokens of a
//! disabled one stop with the next request, and it cannot log in.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::revocations::RevocationsRecord;

/// An entity as it was found by one of its aliases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundEntity {
    /// Its id.
    pub id: String,
    /// Whether it is disabled.
    pub is_disabled: bool,
    /// The auth mounts of all its aliases, by accessor, with their paths.
    pub mounts: BTreeMap<String, String>,
}

/// The auth mounts other than `own` (accessors) by which the entities log in too.
pub fn also_hit<'a>(
    found: impl IntoIterator<Item = &'a FoundEntity>,
    own: &BTreeSet<String>,
) -> BTreeSet<String> {
    let mounts = found.into_iter().flat_map(|one| &one.mounts);
    mounts.filter(|(accessor, _)| !own.contains(*accessor)).map(|(_, path)| path.clone()).collect()
}

/// `record` with the entities that the granter is about to disable: `found`, by the UID of the revocation that names them.
/// One that somebody else disabled before is not noted, so no release enables it.
pub fn noted(
    record: &RevocationsRecord,
    found: &BTreeMap<String, Vec<FoundEntity>>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut entities = record.entities.clone();
    let enabled: BTreeSet<&String> =
        found.values().flatten().filter(|one| !one.is_disabled).map(|one| &one.id).collect();
    for (uid, entity) in found.iter().flat_map(|(uid, found)| found.iter().map(move |one| (uid, one))) {
        if enabled.contains(&entity.id) || record.entities.contains_key(&entity.id) {
            entities.entry(entity.id.clone()).or_default().insert(uid.clone());
        }
    }
    entities
}

/// The noted entities that no revocation names any more that was not released: they are enabled again.
pub fn to_enable(record: &RevocationsRecord) -> BTreeSet<String> {
    let is_free = |uids: &BTreeSet<String>| uids.iter().all(|uid| record.released.contains_key(uid));
    record.entities.iter().filter(|(_, uids)| is_free(uids)).map(|(id, _)| id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::revoked::tests::mark;

    fn entity(id: &str, is_disabled: bool) -> FoundEntity {
        let mounts = [("acc-people", "auth/subrosa-people/"), ("acc-ldap", "auth/ldap/")];
        let mounts = mounts.map(|(accessor, path)| (accessor.to_owned(), path.to_owned())).into();
        FoundEntity { id: id.to_owned(), is_disabled, mounts }
    }

    fn found(by: &[(&str, FoundEntity)]) -> BTreeMap<String, Vec<FoundEntity>> {
        let mut found = BTreeMap::<_, Vec<_>>::new();
        for (uid, entity) in by {
            found.entry((*uid).to_owned()).or_default().push(entity.clone());
        }
        found
    }

    #[test]
    fn an_entity_is_enabled_again_when_every_revocation_that_names_it_was_released() {
        let mut record = RevocationsRecord::default();
        record.entities = noted(&record, &found(&[("a", entity("e", false)), ("b", entity("e", false))]));
        assert!(to_enable(&record).is_empty());
        record.released.insert("a".into(), mark());
        assert!(to_enable(&record).is_empty(), "b stands");
        record.released.insert("b".into(), mark());
        assert_eq!(to_enable(&record), ["e".to_owned()].into());
        // A third one comes before it was enabled.
        record.entities = noted(&record, &found(&[("c", entity("e", true))]));
        assert!(to_enable(&record).is_empty());
    }

    #[test]
    fn what_somebody_else_disabled_stays_disabled() {
        let record = RevocationsRecord::default();
        assert!(noted(&record, &found(&[("a", entity("e", true))])).is_empty());
        // Of two looks in one round the later one may find it disabled by the first.
        let both = found(&[("a", entity("e", false)), ("b", entity("e", true))]);
        assert_eq!(noted(&record, &both).get("e").map(BTreeSet::len), Some(2));
    }

    #[test]
    fn mounts_of_others_are_told() {
        let own = ["acc-people".to_owned()].into();
        assert_eq!(also_hit(&[entity("e", false)], &own), ["auth/ldap/".to_owned()].into());
    }
}
