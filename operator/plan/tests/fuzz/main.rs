//! Whatever stands in a manifest, a decision is made of it: no panic, the same every time, and never
//! an opening when one side takes something away.
//!
//! A failure names its case. `SUBROSA_FUZZ_CASE=<number>` runs that one alone.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

mod manifests;
mod narrowing;
mod random;
mod town;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use kube::{CustomResourceExt, Resource};
use random::Random;
use serde::de::DeserializeOwned;
use serde_json::Value;
use subrosa_crds::{
    Channel, ExternalParty, Reason, RetentionPolicy, TrustDomain, names::ChannelRef, trust_domain::Orphans,
    validate::parse,
};
use subrosa_plan::{
    network::{self, coverage},
    record::channel::ChannelRecord,
    status::{self, external_party, retention_policy, trust_domain},
    world::{World, fault::Fault},
};

/// How many manifests are judged.
const CASES: usize = 100_000;
/// How many of them change one world after the other; then another begins.
const LIFETIME: usize = 100;
/// Of so many in a hundred all rules of the schema are asked too: CEL takes longer than all decisions.
const VALIDATED: usize = 4;
/// Of so many in a hundred all is decided twice and compared.
const REPEATED: usize = 12;

#[derive(Default)]
struct Counts {
    cases: AtomicUsize,
    refused: AtomicUsize,
    read: AtomicUsize,
    valid: AtomicUsize,
    invalid: AtomicUsize,
    planned: AtomicUsize,
    repeated: AtomicUsize,
    open: AtomicUsize,
    stalled: AtomicUsize,
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Runs `case` for every number below `cases` on every core; a panic names the case.
pub fn every(cases: usize, case: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let run = |number: usize| {
        if catch_unwind(AssertUnwindSafe(|| case(number))).is_err() {
            panic!("case {number} failed: SUBROSA_FUZZ_CASE={number} runs it alone");
        }
    };
    if let Some(only) = std::env::var("SUBROSA_FUZZ_CASE").ok().and_then(|text| text.parse().ok()) {
        return run(only);
    }
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= cases {
                        return;
                    }
                    run(number);
                }
            });
        }
    });
}

#[test]
fn no_manifest_makes_a_decision_panic_or_waver() {
    let counts = Counts::default();
    every(CASES / LIFETIME, |life| {
        let mut random = Random::new(life as u64);
        let mut world = town::empty();
        let mut records = BTreeMap::new();
        for domain in manifests::DOMAINS {
            world.domains.insert(domain.into(), Arc::new(read(manifests::domain(&mut random, domain))));
        }
        for policy in manifests::POLICIES {
            world.retention.insert(policy.into(), Arc::new(read(manifests::retention(&mut random, policy))));
        }
        for _ in 0..LIFETIME {
            step(&mut world, &mut records, &mut random, &counts);
        }
    });
    let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    println!(
        "{} manifests: {} refused by serde, {} read; {} valid and {} not of those asked; \
         {} plans, {} made twice, {} with something open, {} Stalled",
        of(&counts.cases),
        of(&counts.refused),
        of(&counts.read),
        of(&counts.valid),
        of(&counts.invalid),
        of(&counts.planned),
        of(&counts.repeated),
        of(&counts.open),
        of(&counts.stalled),
    );
    if std::env::var_os("SUBROSA_FUZZ_CASE").is_some() {
        return;
    }
    assert_eq!(of(&counts.cases), CASES);
    assert_eq!(of(&counts.refused) + of(&counts.read), CASES);
    // Chance must have reached everything, or all of this says nothing.
    assert!(of(&counts.refused) > CASES / 20 && of(&counts.valid) > 500 && of(&counts.invalid) > 500);
    assert!(of(&counts.planned) > CASES / 2 && of(&counts.repeated) > CASES / 20);
    assert!(of(&counts.open) > CASES / 20 && of(&counts.stalled) > CASES / 20);
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// One manifest: written, perhaps broken, read, validated, planned, reported.
fn step(
    world: &mut World,
    records: &mut BTreeMap<ChannelRef, ChannelRecord>,
    random: &mut Random,
    counts: &Counts,
) {
    count(&counts.cases);
    let namespace = random.pick(&manifests::NAMESPACES);
    let mut name = random.pick(&manifests::CHANNELS);
    let (kind, mut manifest) = match random.below(10) {
        0 => {
            name = random.pick(&manifests::DOMAINS);
            ("TrustDomain", manifests::domain(random, name))
        }
        1 => {
            name = random.pick(&manifests::PARTIES);
            ("ExternalParty", manifests::party(random, name))
        }
        2 => {
            name = random.pick(&manifests::POLICIES);
            ("RetentionPolicy", manifests::retention(random, name))
        }
        _ => ("Channel", manifests::channel(random, namespace, name)),
    };
    if random.chance(50) {
        for _ in 0..1 + random.below(3) {
            manifests::mutate(&mut manifest, random);
        }
    }
    if random.chance(2) {
        let domain = random.pick(&["one", "two", "gone"]);
        town::label(world, namespace, (domain != "gone" || random.chance(50)).then_some(domain));
    }
    let now = town::moment(random);
    let (taken, valid) = take(kind, name, &manifest, world, random, now);
    count(if taken { &counts.read } else { &counts.refused });
    match valid {
        Some(true) => count(&counts.valid),
        Some(false) => count(&counts.invalid),
        None => {}
    }
    if !taken {
        return;
    }
    let name = ChannelRef::new(namespace, name);
    let some = match world.channel(&name) {
        Some(_) => name,
        None => match world.all_channels().nth(random.below(6)) {
            Some(channel) => channel.name().clone(),
            None => return,
        },
    };
    judge(&some, world, records, random, counts, now);
    let peer = world.channel(&some).unwrap().peers().find(|peer| world.channel(peer).is_some());
    if let Some(peer) = peer.filter(|_| random.chance(10)) {
        judge(&peer, world, records, random, counts, now);
    }
}

/// Reads a manifest: now and then as the API server would hand it on, else as serde alone would, which
/// lets much more pass. Also says whether it is valid, where that was asked.
fn object<K>(manifest: &Value, random: &mut Random) -> (Option<K>, Option<bool>)
where
    K: CustomResourceExt + Resource<DynamicType = ()> + DeserializeOwned,
{
    if !random.chance(VALIDATED) {
        return (K::deserialize(manifest).ok(), None);
    }
    match parse(manifest) {
        Ok(object) => (Some(object), Some(true)),
        Err(violations) => {
            assert!(!violations.is_empty());
            (K::deserialize(manifest).ok(), Some(false))
        }
    }
}

/// Takes a manifest into the world and reports on it; whether it could be read, and whether it is valid.
fn take(
    kind: &str,
    name: &str,
    manifest: &Value,
    world: &mut World,
    random: &mut Random,
    now: Timestamp,
) -> (bool, Option<bool>) {
    match kind {
        "TrustDomain" => {
            let (domain, valid) = object::<TrustDomain>(manifest, random);
            let Some(domain) = domain else { return (false, valid) };
            let sealed = || Fault::new(Reason::VaultSealed, "unseal it");
            let seen = trust_domain::DomainFacts {
                vault: None,
                reachable: if domain.spec.frameworks.is_empty() { Ok(()) } else { Err(sealed()) },
                guarded: trust_domain::Guards::InPlace,
                outdated: None,
                shared: None,
                store: Ok(None),
                adopt: None,
                setup: None,
                unreadable: BTreeMap::new(),
                orphans: Some(Orphans::default()),
                key_faults: trust_domain::key_faults_of_none(name, world, now).0,
                keys_seen: random.chance(90),
                counts: trust_domain::MemberCounts::of(name, world),
            };
            let said = trust_domain::status(&domain, &seen, now);
            assert_eq!(said, trust_domain::status(&domain, &seen, now));
            world.domains.insert(name.into(), Arc::new(domain));
            (true, valid)
        }
        "ExternalParty" => {
            let (party, valid) = object::<ExternalParty>(manifest, random);
            let Some(party) = party else { return (false, valid) };
            let said = external_party::status(&party, world, now);
            assert_eq!(said, external_party::status(&party, world, now));
            world.parties.insert(name.into(), Arc::new(party));
            (true, valid)
        }
        "RetentionPolicy" => {
            let (policy, valid) = object::<RetentionPolicy>(manifest, random);
            let Some(policy) = policy else { return (false, valid) };
            drop(retention_policy::status(&policy, world, now));
            world.retention.insert(name.into(), Arc::new(policy));
            (true, valid)
        }
        _ => {
            let (channel, valid) = object::<Channel>(manifest, random);
            let Some(channel) = channel else { return (false, valid) };
            town::put(world, channel);
            (true, valid)
        }
    }
}

/// Plans twice, reports twice, and looks at what no plan may say.
fn judge(
    name: &ChannelRef,
    world: &mut World,
    records: &mut BTreeMap<ChannelRef, ChannelRecord>,
    random: &mut Random,
    counts: &Counts,
    now: Timestamp,
) {
    let record = records.get(name);
    let plan = town::plan(world, name, record, now).unwrap();
    let twice = random.chance(REPEATED);
    if twice {
        let again = town::plan(&world.clone(), name, record.cloned().as_ref(), now).unwrap();
        assert_eq!(town::said(&plan), town::said(&again), "the same twice is not the same");
        count(&counts.repeated);
    }
    count(&counts.planned);
    let channel = world.channel(name).unwrap().clone();
    let plan = match plan {
        Ok(plan) => plan,
        Err(problem) => {
            drop(status::ungoverned(&channel, &problem, now));
            return;
        }
    };
    if let subrosa_plan::channel::Scope::Stalled(problems) = &plan.scope {
        assert!(!problems.is_empty() && plan.keys.is_empty());
        count(&counts.stalled);
    }
    if !plan.open().is_empty() {
        count(&counts.open);
    }
    for connection in &plan.connections {
        assert_eq!(connection.is_open(), !connection.ports.is_empty(), "{connection:?}");
        assert!(
            connection.is_open() || (connection.reason.is_some() && connection.next_step.is_some()),
            "{connection:?}"
        );
    }
    let spec = plan.policy.spec.clone().unwrap();
    assert!(town::openings(&spec).is_some(), "a rule means everybody, or every port: {spec:?}");
    if twice {
        assert_eq!(network::narrowed(&spec, &spec), spec);
        drop(coverage::widenings(&channel, &spec, world));
    }

    let before = record.cloned().unwrap_or_else(|| town::first_record(name));
    let applied = town::applied(&plan, before, random, now);
    let report = || status::channel(&channel, &plan, &applied, world, now);
    let said = report();
    assert!(!twice || said == report());
    let ready = said.conditions.iter().find(|one| one.type_ == "Ready").unwrap();
    let all = applied.fault().is_none() && plan.scope == subrosa_plan::channel::Scope::Full;
    assert!(all || ready.status == "False", "Ready is claimed of what is not in force: {ready:?}");
    if let Ok(record) = applied.record {
        if random.chance(50) {
            world
                .network_policies
                .entry(name.namespace.clone())
                .or_default()
                .insert(network::policy_name(&name.name), (&plan.policy).into());
        }
        records.insert(name.clone(), record);
    }
}
