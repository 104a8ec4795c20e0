//! A world that changes by one manifest at a time, with the records of its Channels.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};
use subrosa_crds::{
    Channel, Reason,
    common::{ConfigMapKey, PortRange, Protocol},
    names::ChannelRef,
};
use subrosa_plan::{
    certificate::LeafFacts,
    channel::{
        self, Plan, Ungoverned,
        applied::{Applied, Controls, Restart},
    },
    keys::ObservedKey,
    record::channel::{ActiveKey, ChannelRecord},
    world::key_fault::KeyFault,
    world::{
        NamespaceFacts, PodFacts, ServiceFacts, World,
        bundle::Bundle,
        certificate::{Fingerprint, KeyAlgorithm, Validity},
        declaration::Declaration,
        fault::Fault,
        pem,
    },
};

use crate::{
    manifests::{CHANNELS, DOMAINS, NAMESPACES},
    random::Random,
};

pub fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// A moment, now and then at the ends of what can be said.
pub fn moment(random: &mut Random) -> Timestamp {
    match random.below(50) {
        0 => Timestamp::MIN,
        1 => Timestamp::MAX,
        2 => "9999-12-30T00:00:00Z".parse().unwrap(),
        3 => Timestamp::UNIX_EPOCH,
        _ => now(),
    }
}

/// Namespaces, pods, Services and bundles; no objects of ours yet.
pub fn empty() -> World {
    let mut world = World::default();
    for name in NAMESPACES {
        let domain = if name == "web" { DOMAINS[1] } else { DOMAINS[0] };
        label(&mut world, name, Some(domain));
        for app in CHANNELS {
            let labels = BTreeMap::from([("app".to_owned(), app.to_owned())]);
            let pod = PodFacts { labels: labels.clone(), ..PodFacts::default() };
            world.pods.entry(name.into()).or_default().insert(format!("{app}-0"), pod);
            let service = ServiceFacts { selector: labels, headless: app == "a" };
            world.services.entry(name.into()).or_default().insert(app.into(), service);
            world
                .service_accounts
                .entry(name.into())
                .or_default()
                .insert(app.into(), format!("sa-{name}-{app}"));
        }
    }
    let bundle = |name: &str| ConfigMapKey { config_map: name.into(), key: "ca.crt".into() };
    let read = |text: &str| Bundle::read(text.to_owned(), |_| Ok(Timestamp::MAX));
    world.bundles.insert(bundle("good"), read(&pem::encode(&[0x30, 1, 1])));
    world.bundles.insert(bundle("bad"), read("no PEM"));
    world
}

pub fn label(world: &mut World, namespace: &str, domain: Option<&str>) {
    let facts = NamespaceFacts {
        uid: format!("uid-{namespace}"),
        trust_domain: domain.map(str::to_owned),
        terminating: false,
    };
    world.namespaces.insert(namespace.into(), facts);
}

pub fn put(world: &mut World, channel: Channel) {
    let channel = Declaration::of(Arc::new(channel));
    let ChannelRef { namespace, name } = channel.name().clone();
    world.channels.entry(namespace).or_default().insert(name, channel);
}

pub fn first_record(name: &ChannelRef) -> ChannelRecord {
    ChannelRecord::new(name.clone(), &format!("uid-{}", name.namespace), DOMAINS[0])
}

/// All of a plan that can be compared.
pub fn said(plan: &Result<Plan, Ungoverned>) -> String {
    match plan {
        Err(problem) => format!("{problem:?}"),
        Ok(plan) => format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            plan.id,
            plan.scope,
            plan.connections,
            plan.policy,
            plan.leaf,
            plan.authority,
            plan.secret_name,
            plan.keys,
            plan.access
        ),
    }
}

pub fn plan(
    world: &World,
    name: &ChannelRef,
    record: Option<&ChannelRecord>,
    now: Timestamp,
) -> Option<Result<Plan, Ungoverned>> {
    let channel = world.channel(name)?;
    Some(channel::plan(channel, world, record, now))
}

/// What an executor may have got done: anything from all to nothing.
pub fn applied(plan: &Plan, record: ChannelRecord, random: &mut Random, now: Timestamp) -> Applied {
    let mut fault = |percent: usize| match random.chance(percent) {
        true => Err(Fault::new(Reason::VaultSealed, "unseal it")),
        false => Ok(()),
    };
    let (record_ok, controls) = (fault(5), Controls::each(|_| fault(5)));
    let mut record = plan.remember(record, true, None, now);
    let mut found = BTreeMap::new();
    for key in &plan.keys {
        let versions = BTreeMap::from([(1, now)]);
        if random.chance(90) {
            *record.key_mut(&key.class, key.cohort) =
                ActiveKey { versions: versions.clone(), closed: random.chance(10), kept: false };
        }
        if random.chance(90) {
            let fault = random.chance(2).then_some(KeyFault::Exportable);
            let rotate_every = key.rotate_every.filter(|_| random.chance(98));
            found.insert(key.name.clone(), ObservedKey { versions, rotate_every, fault });
        }
    }
    let leaf = LeafFacts {
        serial: "0badcafe".into(),
        fingerprint: Fingerprint([7; 32]),
        subject: None,
        issuer_name: None,
        uris: BTreeSet::new(),
        dns_names: BTreeSet::new(),
        other_names: false,
        key_algorithm: Some(KeyAlgorithm::EcdsaP256),
        usage_as_built: true,
        key_problem: None,
        key_matches: true,
        validity: Validity { not_before: now, not_after: now },
        issuer: Some(1),
        chain_complete: true,
    };
    Applied {
        record: record_ok.map(|()| record),
        observed: leaf.into(),
        controls,
        keys: found,
        has_policy: random.chance(90),
        default_deny: random.chance(90),
        trusting: BTreeSet::new(),
        restart: Restart::NotDue,
        trust_bytes: Some(4096),
        pending: Some(Vec::new()),
    }
}

/// One thing that a policy opens: the side, who, and a range of ports. `None` for a rule that would
/// mean everybody, every port, or a port that is none.
pub type Opening = (&'static str, String, PortRange);

pub fn openings(spec: &NetworkPolicySpec) -> Option<Vec<Opening>> {
    let mut found = Vec::new();
    for rule in spec.ingress.iter().flatten() {
        add(&mut found, "from", rule.from.as_deref()?, rule.ports.as_deref()?)?;
    }
    for rule in spec.egress.iter().flatten() {
        add(&mut found, "to", rule.to.as_deref()?, rule.ports.as_deref()?)?;
    }
    Some(found)
}

fn add(
    found: &mut Vec<Opening>,
    side: &'static str,
    peers: &[NetworkPolicyPeer],
    ports: &[NetworkPolicyPort],
) -> Option<()> {
    if peers.is_empty() || ports.is_empty() {
        return None;
    }
    for peer in peers {
        // An address stands alone; pods are named by namespace and labels together.
        let pods = peer.namespace_selector.is_some() && peer.pod_selector.is_some();
        if pods == peer.ip_block.is_some() {
            return None;
        }
        for port in ports {
            let protocol = match port.protocol.as_deref() {
                Some("TCP") => Protocol::Tcp,
                Some("UDP") => Protocol::Udp,
                _ => return None,
            };
            let Some(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(start)) = port.port
            else {
                return None;
            };
            let start = u16::try_from(start).ok().filter(|start| *start > 0)?;
            let end =
                u16::try_from(port.end_port.unwrap_or(start.into())).ok().filter(|end| *end >= start)?;
            found.push((side, serde_json::to_string(peer).unwrap(), PortRange { protocol, start, end }));
        }
    }
    Some(())
}

/// Every single port that is opened, for whom; for rules whose ranges are short.
pub fn points(spec: &NetworkPolicySpec) -> BTreeSet<(&'static str, String, Protocol, u16)> {
    let openings = openings(spec).unwrap().into_iter();
    openings
        .flat_map(|(side, peer, range)| {
            (range.start..=range.end).map(move |port| (side, peer.clone(), range.protocol, port))
        })
        .collect()
}
