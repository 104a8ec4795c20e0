//! The status of a TrustDomain.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::{
    Reason, TrustDomain, TrustDomainStatus, condition,
    condition::{Truth, Verdict},
    names::ChannelId,
    trust_domain::{ChannelCount, Orphans, VaultStatus},
};

use crate::{
    status::KEYS_UNSEEN,
    world::{World, domain, fault::Fault, key_fault::KeyFault},
};

/// How far Vault's clock and the operator's may be apart.
const MOST_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// The fault where Vault's clock is `skew` ahead of the operator's.
pub fn clock_fault(skew: SignedDuration) -> Option<Fault> {
    let apart = || {
        format!(
            "Vault's clock and the operator's are {skew:#} apart: set both by NTP, certificates depend on it"
        )
    };
    (skew.unsigned_abs() > MOST_SKEW.unsigned_abs()).then(|| Fault::new(Reason::ClockSkew, apart()))
}

/// What was observed for a trust domain.
#[derive(Clone, Debug)]
pub struct DomainFacts {
    /// Vault, where it answered.
    pub vault: Option<VaultStatus>,
    /// Whether Vault can be used.
    pub reachable: Result<(), Fault>,
    /// Something that only one trust domain may use and that an older one uses already.
    pub shared: Option<Fault>,
    /// The id of the store where it belongs to this trust domain; else why it does not.
    pub store: Result<Option<String>, Fault>,
    /// The annotation value by which a person would adopt the store that was found.
    pub adopt: Option<String>,
    /// What is missing in Vault's policies.
    pub setup: Option<Fault>,
    /// The state of the admission policies.
    pub guarded: Guards,
    /// What is wrong with the CRDs that the API server serves.
    pub outdated: Option<String>,
    /// Records of deleted Channels.
    pub orphans: Option<Orphans>,
    /// Faults of keys of deleted Channels, by key name.
    pub key_faults: BTreeMap<String, KeyFault>,
    /// Whether every key was checked recently.
    pub keys_seen: bool,
    /// Records of deleted Channels that cannot be read, and why.
    pub unreadable: BTreeMap<ChannelId, String>,
    /// The counts of members.
    pub counts: MemberCounts,
}

/// Faults of keys of `domain` that belong to no existing Channel, so that no Channel's status reports them; their
/// data is kept all the same. Also whether every key was checked recently.
pub fn key_faults_of_none(domain: &str, world: &World, now: Timestamp) -> (BTreeMap<String, KeyFault>, bool) {
    let Some(findings) = world.key_findings.get(domain) else { return (BTreeMap::new(), false) };
    let seen = findings.are_current(now);
    if findings.faults.is_empty() {
        return (BTreeMap::new(), seen);
    }
    let told: BTreeSet<_> = world
        .namespaces_of(domain)
        .flat_map(|(namespace, facts)| {
            let channels = world.channels_of(namespace);
            channels.map(|channel| ChannelId::mint(&facts.uid, &channel.name().name))
        })
        .collect();
    let untold = findings.iter().filter(|(id, ..)| !told.contains(id));
    (untold.map(|(_, name, fault)| (name.to_owned(), fault)).collect(), seen)
}

/// Whether the keys of deleted Channels have no faults.
fn keys_intact(seen: &DomainFacts) -> Verdict {
    let Some((name, fault)) = seen.key_faults.iter().min_by_key(|(_, fault)| **fault) else {
        if let Some(problem) = seen.unreadable.values().next() {
            let message =
                format!("which keys there should be cannot be told while a record cannot be read: {problem}");
            return Verdict::new(condition::KEYS_INTACT, Truth::Unknown, Reason::RecordUnreadable, message);
        }
        if !seen.keys_seen {
            return Verdict::new(condition::KEYS_INTACT, Truth::Unknown, KEYS_UNSEEN.0, KEYS_UNSEEN.1);
        }
        return Verdict::new(
            condition::KEYS_INTACT,
            Truth::True,
            Reason::InPlace,
            "no fault of a key is known whose Channel is gone; Channels tell those of theirs",
        );
    };
    let others: Vec<_> =
        seen.key_faults.keys().filter(|other| *other != name).take(9).map(String::as_str).collect();
    let more = if others.is_empty() { String::new() } else { format!("; also {}", others.join(", ")) };
    Verdict::new(condition::KEYS_INTACT, Truth::False, fault.reason(), fault.message(name) + &more)
}

/// The result of a search for records of deleted Channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Those whose access was withdrawn.
    pub orphans: Option<Orphans>,
    /// Those that cannot be read: why, and the next step.
    pub unreadable: BTreeMap<ChannelId, String>,
    /// What could not be searched, because Vault was set up for an earlier release.
    pub setup: Option<Fault>,
}

/// How many orphans status lists.
const NAMED_ORPHANS: usize = 50;
/// How many unreadable records a message describes, and how many more it names.
const TOLD: (usize, usize) = (5, 50);

impl Swept {
    /// Adds an orphan and its Channel's name.
    pub fn add(&mut self, id: &ChannelId, name: &str) {
        let orphans = self.orphans.get_or_insert_default();
        orphans.count += 1;
        if orphans.first.len() < NAMED_ORPHANS {
            orphans.first.push(format!("{id} {name}"));
        }
    }

    /// This result, or the last status where nothing was found yet since the start.
    #[must_use]
    pub fn or(mut self, status: Option<&TrustDomainStatus>) -> Self {
        self.orphans = self.orphans.or_else(|| status?.orphans.clone());
        self
    }
}

/// Vault as last seen. The store's id stays while Vault cannot be asked and while another store is found.
fn vault_status(seen: &DomainFacts, old: Option<&TrustDomainStatus>) -> Option<VaultStatus> {
    let old = old.and_then(|old| old.vault.clone());
    let known = old.as_ref().and_then(|old| old.store_id.clone());
    let store_id = seen.store.clone().ok().flatten().or(known);
    let vault = seen.vault.clone().or_else(|| old.filter(|_| store_id.is_some()))?;
    Some(VaultStatus { store_id, adopt_store: seen.adopt.clone(), ..vault })
}

/// The verdict on unreadable records; `None` where there are none.
fn records_readable(unreadable: &BTreeMap<ChannelId, String>) -> Option<Verdict> {
    let told: Vec<_> = unreadable.values().take(TOLD.0).map(String::as_str).collect();
    let named: Vec<_> = unreadable.keys().skip(TOLD.0).take(TOLD.1).map(ChannelId::as_str).collect();
    let more = if named.is_empty() { String::new() } else { format!("; also {}", named.join(", ")) };
    let message = format!(
        "{} record(s) of Channels that are gone cannot be read; access that they had was found by the aliases in Vault \
         and withdrawn. {}{more}",
        unreadable.len(),
        told.join("; ")
    );
    (!told.is_empty())
        .then(|| Verdict::new(condition::RECORDS_READABLE, Truth::False, Reason::RecordUnreadable, message))
}

/// The state of the admission policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guards {
    /// All in place and unedited.
    InPlace,
    /// Some are switched off by a person's choice, and nothing else is wrong.
    SwitchedOff(String),
    /// Something required is missing or edited.
    NotInPlace(String),
}

/// The counts of members of a trust domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberCounts {
    namespaces: i64,
    channels: ChannelCount,
}

impl MemberCounts {
    /// Counts the members of `domain`.
    pub fn of(domain: &str, world: &World) -> Self {
        let mut counts = Self::default();
        for (namespace, _) in world.namespaces_of(domain) {
            counts.namespaces += 1;
            for channel in world.channels_of(namespace) {
                let summary = channel.summary();
                counts.channels.total += 1;
                counts.channels.ready += i64::from(summary.ready);
                counts.channels.attention += i64::from(summary.attention);
            }
        }
        counts
    }
}

/// The status of `domain`.
pub fn status(domain: &TrustDomain, seen: &DomainFacts, now: Timestamp) -> TrustDomainStatus {
    let reachable = match &seen.reachable {
        Ok(()) => Verdict::new(
            condition::VAULT_REACHABLE,
            Truth::True,
            Reason::LoggedIn,
            "Vault answers and lets the operator in",
        ),
        Err(fault) => {
            Verdict::new(condition::VAULT_REACHABLE, Truth::False, fault.reason, fault.message.clone())
        }
    };
    let guarded = match &seen.guarded {
        Guards::InPlace => Verdict::new(
            condition::GUARDED,
            Truth::True,
            Reason::InPlace,
            "the admission policies are in place and unedited",
        ),
        Guards::SwitchedOff(what) => {
            Verdict::new(condition::GUARDED, Truth::False, Reason::SwitchedOff, what.clone())
        }
        Guards::NotInPlace(problem) => {
            Verdict::new(condition::GUARDED, Truth::False, Reason::NotInPlace, problem.clone())
        }
    };
    let keys_intact = keys_intact(seen);
    // A person's choice is shown and is not a fault.
    let chosen = matches!(seen.guarded, Guards::SwitchedOff(_));
    let stalled = domain::time_zone(domain).err().map(|error| {
        let message = format!("spec.timeZone: {error}; write an IANA name such as Europe/Amsterdam");
        Verdict::new(condition::STALLED, Truth::True, Reason::TimeZoneUnknown, message)
    });
    let shared = seen
        .shared
        .as_ref()
        .map(|fault| Verdict::new(condition::STALLED, Truth::True, fault.reason, fault.message.clone()));
    let stalled = stalled.or(shared);
    let unreadable = records_readable(&seen.unreadable);
    let store = seen
        .store
        .as_ref()
        .err()
        .map(|fault| Verdict::new(condition::READY, Truth::False, fault.reason, fault.message.clone()));
    let setup = seen.setup.as_ref().map(|fault| {
        Verdict::new(condition::SETUP_CURRENT, Truth::False, fault.reason, fault.message.clone())
    });
    let outdated = seen
        .outdated
        .as_ref()
        .map(|said| Verdict::new(condition::READY, Truth::False, Reason::DefinitionsOutdated, said.clone()));
    let bad = stalled
        .iter()
        .chain(&outdated)
        .chain(&store)
        .chain(
            [&reachable, &guarded, &keys_intact]
                .into_iter()
                // Keys that wait to be checked do not lower what is in force.
                .filter(|one| one.truth == Truth::False && !(chosen && one.reason == Reason::SwitchedOff)),
        )
        .chain(&unreadable)
        .next();
    let ready = match bad {
        Some(bad) => Verdict::new(condition::READY, Truth::False, bad.reason, bad.message.clone()),
        None => {
            let message = if chosen {
                format!("Vault is within reach; {}", guarded.message)
            } else {
                "Vault is within reach and the guards are in place".to_owned()
            };
            Verdict::new(condition::READY, Truth::True, Reason::InForce, message)
        }
    };
    let reconciling = (ready.truth == Truth::False && stalled.is_none())
        .then(|| Verdict::new(condition::RECONCILING, Truth::True, Reason::Retrying, ready.message.clone()));
    let verdicts = [ready, reachable, guarded, keys_intact]
        .into_iter()
        .chain(unreadable)
        .chain(setup)
        .chain(reconciling)
        .chain(stalled)
        .collect();
    let old = domain.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    TrustDomainStatus {
        observed_generation: domain.metadata.generation,
        namespaces: Some(seen.counts.namespaces),
        channels: Some(seen.counts.channels.clone()),
        vault: vault_status(seen, domain.status.as_ref()),
        orphans: seen.orphans.clone(),
        conditions: condition::conditions(verdicts, old, domain.metadata.generation, now),
    }
}

#[cfg(test)]
mod tests;
