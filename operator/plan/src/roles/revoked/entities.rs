//! Which entities of Vault are disabled, and which are enabled again after a release.
//!
//! An entity is one person or workload in Vault, with an alias for each auth mount by which it logs in. The tokens of a
//! disabled one stop with the next request, and it cannot log in.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{self, revocations::RevocationsRecord};

/// How many bytes the record may have for an entity to be noted: the rest is for releases.
pub const MOST_NOTED: usize = record::MOST_BYTES / 3 * 2;

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

/// An alias as Vault lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedAlias {
    /// Who it is, at its auth mount.
    pub name: String,
    /// The id of its entity.
    pub entity: String,
    /// The accessor of its auth mount.
    pub accessor: String,
    /// The path of its auth mount.
    pub path: String,
}

/// The entities of people, by a list of all aliases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedPeople {
    by_name: BTreeMap<String, BTreeSet<String>>,
    mounts: BTreeMap<String, BTreeMap<String, String>>,
}

impl ListedPeople {
    /// Those of `users` who have an alias at one of the mounts `own` (accessors).
    pub fn of<'a>(
        aliases: &[ListedAlias],
        own: &BTreeSet<String>,
        users: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        let users: BTreeSet<String> = users.into_iter().map(|user| lower(user)).collect();
        let mut found = Self::default();
        for alias in aliases.iter().filter(|alias| own.contains(&alias.accessor)) {
            let name = lower(&alias.name);
            if users.contains(&name) {
                found.by_name.entry(name).or_default().insert(alias.entity.clone());
                found.mounts.entry(alias.entity.clone()).or_default();
            }
        }
        for alias in aliases {
            if let Some(mounts) = found.mounts.get_mut(&alias.entity) {
                mounts.insert(alias.accessor.clone(), alias.path.clone());
            }
        }
        found
    }

    /// The ids of the entities of one of them.
    pub fn entities(&self, user: &str) -> BTreeSet<String> {
        self.by_name.get(&lower(user)).cloned().unwrap_or_default()
    }

    /// The auth mounts other than `own` by which these entities log in too.
    pub fn also_hit(&self, entities: &BTreeSet<String>, own: &BTreeSet<String>) -> BTreeSet<String> {
        let mounts = entities.iter().filter_map(|id| self.mounts.get(id)).flatten();
        mounts.filter(|(accessor, _)| !own.contains(*accessor)).map(|(_, path)| path.clone()).collect()
    }
}

/// A name as Vault compares it: letter by letter in lower case, with the one exception that Go makes.
fn lower(name: &str) -> String {
    let one = |letter: char| match letter {
        'İ' => 'i',
        _ => {
            let mut lower = letter.to_lowercase();
            lower.next().filter(|_| lower.next().is_none()).unwrap_or(letter)
        }
    };
    name.chars().map(one).collect()
}

/// Whom to look at in Vault, of people whose entities a list showed (`found`, by the UID of the revocation): whoever has one that is
/// not known to be `disabled`, and the next `most` others after the one who was last before. Also returns who is last now.
pub fn due(
    found: &BTreeMap<String, BTreeSet<String>>,
    disabled: &BTreeSet<String>,
    last: &str,
    most: usize,
) -> (BTreeSet<String>, String) {
    let is_known = |entities: &BTreeSet<String>| entities.is_subset(disabled);
    let mut due: BTreeSet<String> =
        found.iter().filter(|(_, entities)| !is_known(entities)).map(|(uid, _)| uid.clone()).collect();
    let known: Vec<&String> = found
        .iter()
        .filter(|(_, entities)| !entities.is_empty() && is_known(entities))
        .map(|(uid, _)| uid)
        .collect();
    let after = known.iter().filter(|uid| uid.as_str() > last);
    let before = known.iter().filter(|uid| uid.as_str() <= last);
    let turn: Vec<&&String> = after.chain(before).take(most).collect();
    let last = turn.last().map_or_else(|| last.to_owned(), |uid| uid.to_string());
    due.extend(turn.into_iter().map(|uid| (*uid).clone()));
    (due, last)
}

/// `record` with the entities that the granter is about to disable: `found`, by the UID of the revocation that names them.
/// One that somebody else disabled before is not noted, so no release enables it; nor is one for which the record has no room.
pub fn noted(
    record: &RevocationsRecord,
    found: &BTreeMap<String, Vec<FoundEntity>>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut entities = record.entities.clone();
    let mut room = None;
    let enabled: BTreeSet<&String> =
        found.values().flatten().filter(|one| !one.is_disabled).map(|one| &one.id).collect();
    for (uid, entity) in found.iter().flat_map(|(uid, found)| found.iter().map(move |one| (uid, one))) {
        let is_noted = entities.get(&entity.id).is_some_and(|uids| uids.contains(uid));
        if is_noted || !(enabled.contains(&entity.id) || record.entities.contains_key(&entity.id)) {
            continue;
        }
        let needed = entity.id.len() + uid.len() + QUOTED;
        let left = room.get_or_insert_with(|| MOST_NOTED.saturating_sub(record::bytes(record)));
        if needed <= *left {
            *left -= needed;
            entities.entry(entity.id.clone()).or_default().insert(uid.clone());
        }
    }
    entities
}

/// The bytes around an id and a UID in the record.
const QUOTED: usize = 8;

/// Forgets the entities of which every revocation was deleted without a release, which nothing enables any more. `known` are the UIDs of
/// the revocations that there are.
pub fn forget(record: &mut RevocationsRecord, known: &BTreeSet<String>) {
    let RevocationsRecord { entities, released, .. } = record;
    entities.retain(|_, uids| uids.iter().any(|uid| known.contains(uid) || released.contains_key(uid)));
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
    fn a_record_without_room_notes_no_more_and_what_was_deleted_unreleased_makes_room() {
        let mut record = RevocationsRecord::default();
        let many: BTreeMap<String, Vec<FoundEntity>> = (0..20_000)
            .map(|number| (format!("{number:036}"), vec![entity(&format!("{number:x>36}"), false)]))
            .collect();
        record.entities = noted(&record, &many);
        let count = record.entities.len();
        assert!((6000..20_000).contains(&count), "{count}");
        assert!(record::bytes(&record) <= MOST_NOTED + 100);
        assert_eq!(noted(&record, &many).len(), count, "nothing more");
        let known: BTreeSet<String> = many.keys().take(10).cloned().collect();
        forget(&mut record, &known);
        assert_eq!(record.entities.len(), 10);
        assert!(noted(&record, &many).len() > 5000);
        record.released.insert(many.keys().nth(1).unwrap().clone(), mark());
        forget(&mut record, &BTreeSet::new());
        assert_eq!(record.entities.len(), 1, "it was released, so it is enabled");
    }

    #[test]
    fn what_somebody_else_disabled_stays_disabled() {
        let record = RevocationsRecord::default();
        assert!(noted(&record, &found(&[("a", entity("e", true))])).is_empty());
        // Of two looks in one round the later one may find it disabled by the first.
        let both = found(&[("a", entity("e", false)), ("b", entity("e", true))]);
        assert_eq!(noted(&record, &both).get("e").map(BTreeSet::len), Some(2));
    }

    fn alias(name: &str, entity: &str, mount: &str) -> ListedAlias {
        ListedAlias {
            name: name.to_owned(),
            entity: entity.to_owned(),
            accessor: format!("acc-{mount}"),
            path: format!("auth/{mount}/"),
        }
    }

    #[test]
    fn people_are_found_in_a_list_of_all_aliases_without_case_and_at_own_mounts_only() {
        let aliases = [
            alias("Anna", "e1", "people"),
            alias("a.jansen", "e1", "ldap"),
            alias("ANNA", "e2", "kubernetes"),
            alias("anna", "e3", "ldap"),
            alias("bas", "e4", "people"),
            alias("İLKER ΣΟΦΟΣ", "e5", "people"),
        ];
        let own = ["acc-people".to_owned(), "acc-kubernetes".to_owned()].into();
        let users = ["aNNa", "nadia", "ilker σοφοσ"].map(str::to_owned);
        let found = ListedPeople::of(&aliases, &own, &users);
        let of = |user: &str| found.entities(user).into_iter().collect::<Vec<_>>();
        assert_eq!(of("ANNA"), ["e1", "e2"]);
        assert_eq!(of("ilker ΣΟΦΟΣ"), ["e5"]);
        assert!(of("nadia").is_empty() && of("bas").is_empty(), "whom nobody asked for");
        assert_eq!(found.also_hit(&found.entities("anna"), &own), ["auth/ldap/".to_owned()].into());
    }

    #[test]
    fn each_in_turn_is_looked_at_and_a_new_entity_at_once() {
        let entities = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        let mut found: BTreeMap<String, BTreeSet<String>> =
            ["a", "b", "c", "d"].map(|uid| (uid.to_owned(), entities(&[&format!("e-{uid}")]))).into();
        found.insert("nobody".into(), BTreeSet::new());
        let none = BTreeSet::new();
        assert_eq!(due(&found, &none, "", 0).0, entities(&["a", "b", "c", "d"]), "after a start");
        let mut disabled = entities(&["e-a", "e-b", "e-c", "e-d"]);
        let (first, last) = due(&found, &disabled, "", 3);
        assert_eq!((first, last.as_str()), (entities(&["a", "b", "c"]), "c"));
        let (second, last) = due(&found, &disabled, &last, 3);
        assert_eq!((second, last.as_str()), (entities(&["a", "b", "d"]), "b"));
        assert_eq!(due(&found, &disabled, &last, 9).0.len(), 4, "nobody twice");
        found.insert("a".into(), entities(&["e-a", "e-new"]));
        assert_eq!(due(&found, &disabled, "", 0).0, entities(&["a"]));
        disabled.clear();
        assert_eq!(due(&BTreeMap::new(), &disabled, "x", 3), (BTreeSet::new(), "x".to_owned()));
    }

    #[test]
    fn mounts_of_others_are_told() {
        let own = ["acc-people".to_owned()].into();
        assert_eq!(also_hit(&[entity("e", false)], &own), ["auth/ldap/".to_owned()].into());
    }
}
