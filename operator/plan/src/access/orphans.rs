//! Finds records whose Channel does not exist in the trust domain any more, so that their access is withdrawn.

use std::collections::BTreeSet;

use subrosa_crds::names::{ChannelId, ChannelRef};

use crate::{
    access::shared,
    record::channel::ChannelRecord,
    world::{World, declaration::Declaration},
};

/// The identities of the Channels that `domain` governs. A namespace without a label is frozen: its Channels stay
/// with the domain that has their record.
pub fn known(domain: &str, world: &World) -> BTreeSet<ChannelId> {
    let names = world.all_channels().map(Declaration::name);
    let known = names.filter(|name| may_govern(domain, &name.namespace, world));
    known.filter_map(|name| id(name, world)).collect()
}

/// The identities of the Channels in namespaces whose label names `domain`.
pub fn governed(domain: &str, world: &World) -> BTreeSet<ChannelId> {
    let is_named = |name: &&ChannelRef| {
        let label = world.namespaces.get(&name.namespace).and_then(|facts| facts.trust_domain.as_deref());
        label == Some(domain)
    };
    let names = world.all_channels().map(Declaration::name);
    names.filter(is_named).filter_map(|name| id(name, world)).collect()
}

/// The recorded identities without a Channel in `domain`, which may be orphans. Their records say which domain they
/// belong to.
pub fn candidates<'a>(domain: &str, recorded: &'a [ChannelId], world: &World) -> Vec<&'a ChannelId> {
    let known = known(domain, world);
    recorded.iter().filter(|id| !known.contains(id)).collect()
}

/// What happened to the Channel of a record, as `domain` sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The domain governs it, or its namespace is frozen.
    Stays,
    /// No Channel has this name and identity.
    Gone,
    /// The Channel exists, and its namespace belongs to another trust domain.
    Moved,
}

/// What happened to the Channel of a record. A record that another trust domain wrote never counts as moved.
pub fn fate(domain: &str, record: &ChannelRecord, world: &World) -> Fate {
    let channel = &record.channel;
    let is_there = world.channel(channel).is_some() && id(channel, world) == Some(record.id());
    match is_there {
        false => Fate::Gone,
        true if record.trust_domain != domain || may_govern(domain, &channel.namespace, world) => Fate::Stays,
        true => Fate::Moved,
    }
}

/// Whether the deletion of `domain` withdraws the access of this record: the record is the domain's own, and no other
/// trust domain governs its Channel with the same mounts in Vault.
pub fn goes_with(domain: &str, record: &ChannelRecord, world: &World) -> bool {
    record.trust_domain == domain
        && !(fate(domain, record, world) == Fate::Moved && shares(domain, &record.channel.namespace, world))
}

/// The other trust domains that share a mount with `domain`. Channels in their namespaces keep their access where no
/// readable record says whose it is.
pub fn neighbours(domain: &str, world: &World) -> BTreeSet<String> {
    let Some(one) = world.domains.get(domain) else { return BTreeSet::new() };
    let others =
        world.domains.iter().filter(|(name, other)| *name != domain && shared::mount(one, other).is_some());
    others.map(|(name, _)| name.clone()).collect()
}

/// Whether `domain` may govern Channels in `namespace`: the label names it, or is missing.
fn may_govern(domain: &str, namespace: &str, world: &World) -> bool {
    let label = world.namespaces.get(namespace).and_then(|facts| facts.trust_domain.as_deref());
    label.is_none_or(|label| label == domain)
}

/// Whether the trust domain that governs `namespace` shares a mount with `domain`.
fn shares(domain: &str, namespace: &str, world: &World) -> bool {
    let (Some(one), Some(other)) = (world.domains.get(domain), world.domain_of(namespace)) else {
        return false;
    };
    shared::mount(one, other).is_some()
}

fn id(channel: &ChannelRef, world: &World) -> Option<ChannelId> {
    Some(ChannelId::mint(&world.namespaces.get(&channel.namespace)?.uid, &channel.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{DOMAIN, Scene, named};

    fn scene() -> (Scene, ChannelRecord) {
        let scene = Scene::new().channel("cc-front/voice", json!({}));
        let uid = scene.world.namespaces["cc-front"].uid.clone();
        let record = ChannelRecord::new(named("cc-front/voice"), &uid, DOMAIN);
        (scene, record)
    }

    #[test]
    fn a_channel_is_known_to_the_domain_that_its_namespace_names() {
        let (mut scene, record) = scene();
        let recorded = [record.id()];
        assert!(candidates(DOMAIN, &recorded, &scene.world).is_empty());
        assert_eq!(candidates("other", &recorded, &scene.world), [&record.id()]);
        assert_eq!(fate(DOMAIN, &record, &scene.world), Fate::Stays);
        // Frozen: it stays with the domain that has its record.
        scene.world.namespaces.get_mut("cc-front").unwrap().trust_domain = None;
        assert!(candidates(DOMAIN, &recorded, &scene.world).is_empty());
        assert_eq!(fate(DOMAIN, &record, &scene.world), Fate::Stays);
    }

    #[test]
    fn a_namespace_made_anew_has_none_of_the_old_one() {
        let (mut scene, record) = scene();
        scene.world.namespaces.get_mut("cc-front").unwrap().uid = "another".into();
        assert_eq!(fate(DOMAIN, &record, &scene.world), Fate::Gone);
        assert_eq!(candidates(DOMAIN, &[record.id()], &scene.world), [&record.id()]);
    }

    #[test]
    fn the_deletion_of_a_domain_does_not_touch_another_ones_access() {
        let (mut scene, record) = scene();
        assert!(goes_with(DOMAIN, &record, &scene.world));
        assert!(!goes_with("other", &record, &scene.world), "it is not its own");
        // The namespace moves to a domain with mounts of its own: what it had here is withdrawn.
        let mut other = (*scene.world.domains[DOMAIN]).clone();
        other.metadata.name = Some("other".into());
        scene.world.namespaces.get_mut("cc-front").unwrap().trust_domain = Some("other".into());
        let mut apart = other.clone();
        apart.spec.vault.address = "https://elsewhere.example:8200".into();
        scene.world.domains.insert("other".into(), apart.into());
        assert!(goes_with(DOMAIN, &record, &scene.world));
        assert_eq!(fate(DOMAIN, &record, &scene.world), Fate::Moved);
        assert_eq!(fate("other", &record, &scene.world), Fate::Stays);
        assert!(neighbours(DOMAIN, &scene.world).is_empty());
        // With the same mounts it is the other's access.
        scene.world.domains.insert("other".into(), other.into());
        assert!(!goes_with(DOMAIN, &record, &scene.world));
        assert_eq!(neighbours(DOMAIN, &scene.world), BTreeSet::from(["other".to_owned()]));
    }
}
