//! Findings about keys in Vault.

use std::collections::BTreeSet;

use jiff::Timestamp;
use subrosa_crds::{Channel, names::ChannelId};
use subrosa_plan::world::{
    World,
    declaration::Declaration,
    key_findings::{KeyFindings, KeyLook},
};

use crate::subject::Subject;

/// Takes in results for keys of `domain`, and whether they complete a round; wakes the Channels for which something
/// changed.
pub fn found(
    world: &mut World,
    domain: &str,
    looks: Vec<KeyLook>,
    all_seen: bool,
    now: Timestamp,
) -> BTreeSet<Subject> {
    let findings = world.key_findings.entry(domain.to_owned()).or_default();
    let changed = findings.take(looks, now);
    if all_seen && findings.seen_all(now) {
        return channels(world, domain, |_| true);
    }
    channels(world, domain, |id| changed.contains(id))
}

/// Takes in the findings of an earlier leader; wakes the Channels for which something changed.
pub fn recalled(world: &mut World, domain: &str, findings: KeyFindings) -> BTreeSet<Subject> {
    let before = world.key_findings.insert(domain.to_owned(), findings.clone()).unwrap_or_default();
    let changed = findings.differ(&before);
    channels(world, domain, |id| changed.contains(id))
}

/// The Channels of `domain` whose record in Vault differs from the cached one or is gone.
pub fn records_changed(world: &World, domain: &str, ids: &BTreeSet<ChannelId>) -> BTreeSet<Subject> {
    match ids.is_empty() {
        true => BTreeSet::new(),
        false => channels(world, domain, |id| ids.contains(id)),
    }
}

/// The Channels of `domain` for which `concerns` holds.
fn channels(world: &World, domain: &str, concerns: impl Fn(&ChannelId) -> bool) -> BTreeSet<Subject> {
    let all = world.namespaces_of(domain).flat_map(|(namespace, facts)| {
        let names = world.channels_of(namespace).map(Declaration::name);
        names.map(|name| (ChannelId::mint(&facts.uid, &name.name), name.clone()))
    });
    all.filter(|(id, _)| concerns(id)).map(|(_, name)| Subject::of::<Channel>(name)).collect()
}
