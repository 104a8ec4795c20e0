//! The metadata of an entity alias in Vault, split by owner.
//!
//! [`SEAL`], [`OPEN`] and [`ADOPTED`] belong to the workload of a Channel, [`BACKUP`] to its backup worker, which is
//! another ServiceAccount. Every other key belongs to somebody else and is kept whatever is granted to or withdrawn from
//! these two.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_crds::names::ChannelId;

/// The custom metadata of an alias.
pub type Metadata = BTreeMap<String, String>;

/// The key by which a workload's policy finds the keys it may seal with.
pub const SEAL: &str = "subrosa";
/// The key by which it finds the keys it may open with.
pub const OPEN: &str = "subrosa_open";

/// The keys by which it finds the adopted keys of earlier Channels that it may open with. The policy has one line for
/// each, so their number is fixed.
pub const ADOPTED: [&str; 4] =
    ["subrosa_adopted_1", "subrosa_adopted_2", "subrosa_adopted_3", "subrosa_adopted_4"];

/// The key by which a backup worker's policy finds the keys of its Channel's backups.
pub const BACKUP: &str = "subrosa_backup";

/// The keys that name the Channel whose workload or backup worker it is.
const OWN: [&str; 3] = [SEAL, OPEN, BACKUP];

/// The workload's part of the metadata: it may seal for the Channel `id`, and if `may_open`, open what was sealed for
/// that Channel and for those it `adopted`.
pub fn part<'a>(
    id: &ChannelId,
    may_open: bool,
    adopted: impl IntoIterator<Item = &'a ChannelId>,
) -> Metadata {
    let mut part = Metadata::from([(SEAL.to_owned(), id.to_string())]);
    if may_open {
        part.insert(OPEN.to_owned(), id.to_string());
        let adopted = ADOPTED.iter().zip(adopted);
        part.extend(adopted.map(|(key, id)| ((*key).to_owned(), id.to_string())));
    }
    part
}

/// The backup worker's part of the metadata: it may use the keys of the backups of the Channel `id`, and nothing else.
pub fn backup_part(id: &ChannelId) -> Metadata {
    Metadata::from([(BACKUP.to_owned(), id.to_string())])
}

/// Whether the metadata key belongs to the workload or to the backup worker.
fn is_workloads(key: &str) -> bool {
    OWN.contains(&key) || ADOPTED.contains(&key)
}

/// The metadata with the workload's part replaced by `part`; `None` when it is so already.
pub fn granted(found: &Metadata, part: &Metadata) -> Option<Metadata> {
    let mut wanted = others(found);
    wanted.extend(part.iter().map(|(key, value)| (key.clone(), value.clone())));
    (wanted != *found).then_some(wanted)
}

/// What a withdrawal does to an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AliasChange {
    /// Nothing: the workload's part does not name the Channel. It was never granted, or another Channel was granted
    /// access since.
    Nothing,
    /// Keep the alias with this metadata.
    Keep(Metadata),
    /// Delete the alias, because nothing else is in it.
    Delete,
}

/// Removes the workload's keys for the Channel `id`, and what that adopted, from the metadata that was `found`.
pub fn withdrawn(found: &Metadata, id: &ChannelId) -> AliasChange {
    let names = |key: &str, value: &str| OWN.contains(&key) && value == id.as_str();
    let is_its = found.iter().any(|(key, value)| names(key, value));
    let goes = |key: &str, value: &str| names(key, value) || (is_its && ADOPTED.contains(&key));
    let kept: Metadata = found
        .iter()
        .filter(|(key, value)| !goes(key, value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    match () {
        () if kept.len() == found.len() => AliasChange::Nothing,
        () if kept.is_empty() => AliasChange::Delete,
        () => AliasChange::Keep(kept),
    }
}

/// The metadata without the right of the Channel `id` to open what was sealed for `adopts`; `None` where it has no
/// such right, or the alias belongs to another Channel.
pub fn disowned(found: &Metadata, id: &ChannelId, adopts: &ChannelId) -> Option<Metadata> {
    if found.get(OPEN).map(String::as_str) != Some(id.as_str()) {
        return None;
    }
    let goes = |key: &str, value: &str| ADOPTED.contains(&key) && value == adopts.as_str();
    let kept: Metadata = found
        .iter()
        .filter(|(key, value)| !goes(key, value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (kept.len() < found.len()).then_some(kept)
}

/// Whether the workload of the Channel `id` may open what was sealed for `adopts`.
pub fn opens_adopted(found: &Metadata, id: &ChannelId, adopts: &ChannelId) -> bool {
    disowned(found, id, adopts).is_some()
}

/// The Channels for whose workload the metadata grants anything, without those that such a Channel adopted.
pub fn named(found: &Metadata) -> BTreeSet<ChannelId> {
    OWN.iter().filter_map(|key| found.get(*key)?.parse().ok()).collect()
}

/// The metadata of others.
fn others(found: &Metadata) -> Metadata {
    let others = found.iter().filter(|(key, _)| !is_workloads(key));
    others.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ChannelId {
        ChannelId::mint("uid", name)
    }

    fn with_role(mut metadata: Metadata) -> Metadata {
        metadata.insert("subrosa_role".into(), "reviewer".into());
        metadata
    }

    #[test]
    fn who_is_named_is_found() {
        let (voice, chat) = (id("voice"), id("chat"));
        assert_eq!(named(&with_role(part(&voice, true, []))), [voice.clone()].into());
        let mut both = part(&voice, false, []);
        both.insert(OPEN.to_owned(), chat.to_string());
        assert_eq!(named(&both), [voice, chat].into());
        assert!(named(&with_role(Metadata::from([(SEAL.to_owned(), "not an id".to_owned())]))).is_empty());
    }

    #[test]
    fn a_grant_changes_the_workloads_part_and_nothing_else() {
        let voice = id("voice");
        assert_eq!(granted(&Metadata::new(), &part(&voice, false, [])), Some(part(&voice, false, [])));
        assert_eq!(
            granted(&part(&voice, false, []), &part(&voice, false, [])),
            None,
            "an unchanged world is not written"
        );
        let found = with_role(part(&voice, true, []));
        assert_eq!(granted(&found, &part(&voice, true, [])), None);
        // Opening is taken back; the role stays.
        assert_eq!(granted(&found, &part(&voice, false, [])), Some(with_role(part(&voice, false, []))));
        // The ServiceAccount is another Channel's now.
        assert_eq!(
            granted(&found, &part(&id("chat"), false, [])),
            Some(with_role(part(&id("chat"), false, [])))
        );
    }

    #[test]
    fn a_withdrawal_takes_only_what_names_the_channel() {
        let (voice, chat) = (id("voice"), id("chat"));
        assert_eq!(withdrawn(&part(&voice, true, []), &voice), AliasChange::Delete);
        assert_eq!(withdrawn(&part(&chat, true, []), &voice), AliasChange::Nothing);
        assert_eq!(withdrawn(&Metadata::new(), &voice), AliasChange::Nothing);
        assert_eq!(
            withdrawn(&with_role(part(&voice, true, [])), &voice),
            AliasChange::Keep(with_role(Metadata::new()))
        );
        // Sealing was granted to another Channel since, opening is left over.
        let mut mixed = part(&chat, false, []);
        mixed.insert(OPEN.into(), voice.to_string());
        assert_eq!(withdrawn(&mixed, &voice), AliasChange::Keep(part(&chat, false, [])));
        // A key of somebody else that happens to hold the id is theirs.
        let theirs = Metadata::from([("subrosa_role".into(), voice.to_string())]);
        assert_eq!(withdrawn(&theirs, &voice), AliasChange::Nothing);
    }

    #[test]
    fn what_was_adopted_is_opened_where_the_workload_opens_and_goes_with_it() {
        let (voice, old, older) = (id("voice"), id("voice-before"), id("voice-long-before"));
        let adopting = part(&voice, true, [&old, &older]);
        assert_eq!((&adopting[ADOPTED[0]], &adopting[ADOPTED[1]]), (&old.to_string(), &older.to_string()));
        assert_eq!(part(&voice, false, [&old]), part(&voice, false, []), "it opens nothing at all");
        assert_eq!(named(&adopting), [voice.clone()].into());
        assert_eq!(
            granted(&with_role(adopting.clone()), &part(&voice, true, [])),
            Some(with_role(part(&voice, true, []))),
            "taken back again"
        );
        assert!(opens_adopted(&adopting, &voice, &older) && !opens_adopted(&adopting, &old, &older));
        let without = disowned(&with_role(adopting.clone()), &voice, &old).unwrap();
        assert!(!opens_adopted(&without, &voice, &old) && opens_adopted(&without, &voice, &older));
        assert_eq!(
            granted(&without, &part(&voice, true, [&older])),
            Some(with_role(part(&voice, true, [&older])))
        );
        assert_eq!(disowned(&without, &voice, &old), None, "twice is once");
        assert_eq!(disowned(&adopting, &id("chat"), &old), None, "another Channel's");
        assert_eq!(withdrawn(&adopting, &voice), AliasChange::Delete);
        assert_eq!(withdrawn(&adopting, &old), AliasChange::Nothing, "it has nothing of its own any more");
        assert_eq!(withdrawn(&with_role(adopting), &voice), AliasChange::Keep(with_role(Metadata::new())));
        // No more than the policy has lines for.
        let many: Vec<_> = (0..9).map(|number| id(&format!("voice-{number}"))).collect();
        assert_eq!(part(&voice, true, &many).len(), 2 + ADOPTED.len());
    }
}
