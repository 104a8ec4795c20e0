//! When one side takes something away, nothing opens that was not open.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use serde_json::json;
use subrosa_crds::{Channel, names::ChannelRef};
use subrosa_plan::{
    channel::{Plan, Scope, validate},
    network,
    record::channel::ChannelRecord,
    world::{World, declaration::Declaration},
};

use crate::{every, manifests, random::Random, read, town};

/// How many worlds are narrowed.
const CASES: usize = 2_000;
/// The ways to take something away.
const WAYS: [&str; 14] = [
    "an entry is removed",
    "a listener is removed",
    "an entry names fewer listeners",
    "a data class is removed",
    "a namespace loses its label",
    "a namespace gets the label of another domain",
    "a Channel becomes Stalled by its class",
    "a Channel becomes Stalled by its times",
    "a domain's time zone becomes unknown",
    "a party loses an entry",
    "a party becomes invalid",
    "agreements end",
    "a service is removed",
    "a Channel is deleted",
];

struct Before {
    plan: Plan,
    record: ChannelRecord,
    policy: NetworkPolicySpec,
}

#[test]
fn nothing_opens_when_one_side_narrows() {
    let ways: [AtomicUsize; WAYS.len()] = Default::default();
    let (open, closed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    every(CASES, |case| {
        let mut random = Random::new(0x5eed_0000 + case as u64);
        let mut world = settled(&mut random);
        let before = in_force(&mut world);
        let calm = before.values().all(|one| !matches!(one.plan.scope, Scope::Stalled(_)));
        let mut now = town::now();
        let way = random.below(WAYS.len());
        // Taking away what two quarrelled about ends the quarrel, and then the younger may open; taking away what was
        // wrong with a Channel makes it right, and then all of it may open: another matter.
        if !narrow(WAYS[way], &mut world, &mut random, &mut now, calm) {
            return;
        }
        if ends_a_stall(&before, &world, now) {
            return;
        }
        ways[way].fetch_add(1, Ordering::Relaxed);
        for (name, was) in &before {
            let Some(Ok(plan)) = town::plan(&world, name, Some(&was.record), now) else { continue };
            let what = || format!("case {case}, {}: Channel {name}", WAYS[way]);
            for key in plan.open() {
                assert!(was.plan.open().contains(&key), "{}: {key:?} opened", what());
            }
            let wanted = plan.policy.spec.clone().unwrap();
            let (had, wants) = (town::points(&was.policy), town::points(&wanted));
            let kept = town::points(&network::narrowed(&was.policy, &wanted));
            assert_eq!(kept, had.intersection(&wants).cloned().collect(), "{}", what());
            // Where a plan is not made in full, only what is not wanted any more is taken away.
            let after = if plan.scope == Scope::Full { wants } else { kept };
            let opened: Vec<_> = after.difference(&had).collect();
            assert!(opened.is_empty(), "{}: {opened:?}", what());
            open.fetch_add(plan.open().len(), Ordering::Relaxed);
            closed.fetch_add(was.plan.open().len() - plan.open().len(), Ordering::Relaxed);
        }
    });
    if std::env::var_os("SUBROSA_FUZZ_CASE").is_some() {
        return;
    }
    for (way, count) in WAYS.iter().zip(&ways) {
        let count = count.load(Ordering::Relaxed);
        println!("{count:5} × {way}");
        assert!(count >= 20, "{way}: only {count} cases");
    }
    let (open, closed) = (open.load(Ordering::Relaxed), closed.load(Ordering::Relaxed));
    println!("{open} connections stayed open, {closed} closed");
    assert!(open > CASES && closed > CASES / 10);
}

/// Whether a Channel that was Stalled no longer is.
fn ends_a_stall(before: &BTreeMap<ChannelRef, Before>, world: &World, now: Timestamp) -> bool {
    before.iter().filter(|(_, was)| matches!(was.plan.scope, Scope::Stalled(_))).any(|(name, _)| {
        world.channel(name).is_some_and(|channel| validate::validate(channel, world, now).is_ok())
    })
}

/// A world of right manifests in which much is open.
fn settled(random: &mut Random) -> World {
    let mut world = town::empty();
    if random.chance(70) {
        town::label(&mut world, "web", Some("one"));
    }
    for name in manifests::DOMAINS {
        world.domains.insert(name.into(), Arc::new(read(manifests::domain(random, name))));
    }
    for name in manifests::PARTIES {
        world.parties.insert(name.into(), Arc::new(read(manifests::party(random, name))));
    }
    for name in manifests::POLICIES {
        world.retention.insert(name.into(), Arc::new(read(manifests::retention(random, name))));
    }
    for namespace in manifests::NAMESPACES {
        for name in manifests::CHANNELS {
            if random.chance(80) {
                town::put(&mut world, read(manifests::channel(random, namespace, name)));
            }
        }
    }
    // Consent is rare by chance alone: half of the accepted are made to connect.
    let accepted: Vec<_> = world
        .all_channels()
        .flat_map(|channel| channel.peers().map(|peer| (peer, channel.name().clone())))
        .collect();
    for (from, to) in accepted {
        if from != to && random.chance(50) && world.channel(&from).is_some() {
            change(&mut world, &from, |client| {
                let entry = json!({"name": format!("to-{}-{}", to.namespace, to.name), "channel": to.name, "namespace": to.namespace});
                client.spec.connects_to.push(read(entry));
            });
            if random.chance(50) {
                change(&mut world, &to, |server| {
                    let entry = json!({"name": format!("from-{}-{}", from.namespace, from.name), "channel": from.name, "namespace": from.namespace});
                    server.spec.accepts.push(read(entry));
                });
            }
        }
    }
    if random.chance(60) {
        leave_the_valid(&mut world);
    }
    world
}

fn leave_the_valid(world: &mut World) {
    let whole = world.clone();
    for channels in world.channels.values_mut() {
        channels.retain(|_, channel| validate::validate(channel, &whole, town::now()).is_ok());
    }
}

/// Plans every Channel from nothing, and writes down what is open and what policies are there.
fn in_force(world: &mut World) -> BTreeMap<ChannelRef, Before> {
    let names: Vec<_> = world.all_channels().map(Declaration::name).cloned().collect();
    let mut before = BTreeMap::new();
    for name in names {
        let Some(Ok(plan)) = town::plan(world, &name, None, town::now()) else { continue };
        let domain = plan.domain.metadata.name.clone().unwrap();
        let first = ChannelRecord { trust_domain: domain, ..town::first_record(&name) };
        let record = plan.remember(first, true, None, town::now());
        let policy = plan.policy.spec.clone().unwrap();
        before.insert(name, Before { plan, record, policy });
    }
    for (name, one) in &before {
        world
            .network_policies
            .entry(name.namespace.clone())
            .or_default()
            .insert(network::policy_name(&name.name), (&one.plan.policy).into());
    }
    before
}

fn change(world: &mut World, name: &ChannelRef, edit: impl FnOnce(&mut Channel)) {
    let mut channel = world.channel(name).unwrap().object();
    edit(&mut channel);
    town::put(world, channel);
}

/// Takes something away; false when there was nothing to take.
fn narrow(way: &str, world: &mut World, random: &mut Random, now: &mut Timestamp, calm: bool) -> bool {
    let names: Vec<_> = world.all_channels().map(Declaration::name).cloned().collect();
    let Some(name) = names.get(random.below(names.len())).cloned() else { return false };
    let channel = world.channel(&name).unwrap().object();
    let (accepts, connects) = (channel.spec.accepts.len(), channel.spec.connects_to.len());
    match way {
        "an entry is removed" if accepts + connects > 0 => {
            let index = random.below(accepts + connects);
            change(world, &name, |one| match index.checked_sub(accepts) {
                None => drop(one.spec.accepts.remove(index)),
                Some(index) => drop(one.spec.connects_to.remove(index)),
            });
        }
        "a listener is removed" if !channel.spec.listeners.is_empty() => {
            let index = random.below(channel.spec.listeners.len());
            change(world, &name, |one| drop(one.spec.listeners.remove(index)));
        }
        "an entry names fewer listeners" => {
            let mut found = false;
            change(world, &name, |one| {
                let offered: Vec<_> =
                    one.spec.listeners.iter().map(|listener| listener.name.clone()).collect();
                for entry in &mut one.spec.accepts {
                    // Naming none would mean all of them.
                    if entry.listeners.len() > 1 {
                        entry.listeners.pop();
                        found = true;
                    } else if entry.listeners.is_empty() && offered.len() > 1 {
                        entry.listeners = offered[1..].to_vec();
                        found = true;
                    }
                }
            });
            return found;
        }
        "a data class is removed" if calm && !channel.spec.data_classes.is_empty() => {
            change(world, &name, |one| one.spec.data_classes.clear());
        }
        "a namespace loses its label" => town::label(world, &name.namespace, None),
        "a namespace gets the label of another domain" if calm => {
            // One with the same word on everything: what another allows may well be more.
            let mut same = world.domains["one"].as_ref().clone();
            same.metadata.name = Some("two".into());
            world.domains.insert("two".into(), Arc::new(same));
            let label = world.namespaces[&name.namespace].trust_domain.clone();
            if label.as_deref() != Some("one") || world.namespaces["web"].trust_domain == Some("two".into()) {
                return false;
            }
            town::label(world, &name.namespace, Some("two"));
        }
        "a Channel becomes Stalled by its class" => {
            change(world, &name, |one| one.spec.data_classes = vec!["unheard-of".into()]);
        }
        "a Channel becomes Stalled by its times" => {
            change(world, &name, |one| {
                let tls = one.spec.tls.get_or_insert_default();
                tls.duration = Some("99999999d".into());
            });
        }
        "a domain's time zone becomes unknown" => {
            let mut domain = world.domains["one"].as_ref().clone();
            domain.spec.time_zone = Some("No/Where".into());
            world.domains.insert("one".into(), Arc::new(domain));
        }
        "a party loses an entry" | "a party becomes invalid" => {
            let name = random.pick(&manifests::PARTIES);
            let mut party = world.parties[name].as_ref().clone();
            if way == "a party becomes invalid" {
                party.spec.addresses.cidrs.push("127.0.0.1/32".into());
            } else if party.spec.channels.pop().is_none() {
                return false;
            }
            world.parties.insert(name.into(), Arc::new(party));
        }
        "agreements end" => *now = now.checked_add((24 * (1 + random.below(2000) as i64)).hours()).unwrap(),
        "a service is removed" => {
            let mut domain = world.domains["one"].as_ref().clone();
            if domain.spec.network.services.pop().is_none() {
                return false;
            }
            world.domains.insert("one".into(), Arc::new(domain));
        }
        "a Channel is deleted" if calm => {
            world.channels.get_mut(&name.namespace).unwrap().remove(&name.name);
        }
        _ => return false,
    }
    true
}
