//! Services that come and go, Secrets that are deleted, and a person who edits, over some hours: what is issued.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::at;
use crate::{
    certificate::{
        LeafSpec, ObservedSecret, SecretFacts, Settled, TrustSources, Wanted, drift_of, leaf::tests::spec,
        reissue::to_issue, trust_files,
    },
    record::{
        generations::{GenerationState, Generations, tests::generation},
        issuances::{Issuances, IssuedLeaf},
    },
    world::certificate::{KeyAlgorithm, Validity, after},
};

/// How many certificates may be issued for names within an hour: three, and one each ten minutes.
const MOST_FOR_NAMES: usize = 8;

#[derive(Clone, Debug)]
enum Event {
    Comes(u8),
    Goes(u8),
    Edited(bool),
    Deleted,
}

fn event() -> impl Strategy<Value = (u32, Event)> {
    let what = prop_oneof![
        4 => (0..50_u8).prop_map(Event::Comes),
        4 => (0..50_u8).prop_map(Event::Goes),
        1 => any::<bool>().prop_map(Event::Edited),
        1 => Just(Event::Deleted),
    ];
    // Bursts, and pauses in between.
    (prop_oneof![0..3_u32, 0..600_u32], what)
}

struct Channel {
    spec: LeafSpec,
    generations: Generations,
    issuances: Issuances,
    found: ObservedSecret,
    issued: Vec<(Timestamp, &'static str)>,
}

impl Channel {
    fn new() -> Self {
        Self {
            spec: LeafSpec { duration: SignedDuration::from_hours(24 * 90), ..spec() },
            generations: [generation(1, GenerationState::Signing)].into_iter().collect(),
            issuances: Issuances::default(),
            found: ObservedSecret::Missing,
            issued: Vec::new(),
        }
    }

    /// One look at it; when it wants to be looked at again.
    fn reconcile(&mut self, now: Timestamp) -> Option<Timestamp> {
        let (trust, _) = trust_files(&TrustSources::default());
        let wanted = Wanted { spec: &self.spec, generations: &self.generations, trust: &trust };
        let reason = drift_of(&self.found, wanted, now)?;
        if let Err(limited) = self.issuances.admit(&reason, self.found.serial(), now) {
            return Some(limited.until);
        }
        let spec = to_issue(&self.spec, &reason, &self.found);
        let serial = format!("{:x}", self.issued.len());
        self.issued.push((now, reason.reason().as_str()));
        let noted = IssuedLeaf {
            serial: serial.clone(),
            at: now,
            reason: reason.reason().to_string(),
            not_after: None,
        };
        self.issuances = std::mem::take(&mut self.issuances).noted(noted);
        let validity = Validity { not_before: now, not_after: after(now, spec.duration) };
        let leaf = crate::testing::issued(&spec, serial, validity, 1);
        assert!(Settled::of(&leaf, &self.spec, b"issuer", &trust).is_some(), "it is remembered: {leaf:?}");
        let facts = SecretFacts { leaf: Ok(leaf), trust: trust.files().clone() };
        self.found = ObservedSecret::Present(Box::new(facts));
        None
    }

    fn happens(&mut self, event: &Event) {
        let name = |service: &u8| format!("s{service}.cc-front.svc");
        match event {
            Event::Comes(service) => drop(self.spec.dns_names.insert(name(service))),
            Event::Goes(service) => drop(self.spec.dns_names.remove(&name(service))),
            Event::Edited(p384) => {
                self.spec.key_algorithm =
                    if *p384 { KeyAlgorithm::EcdsaP384 } else { KeyAlgorithm::EcdsaP256 }
            }
            Event::Deleted => self.found = ObservedSecret::Missing,
        }
    }

    fn leaf_names(&self) -> BTreeSet<String> {
        self.found.leaf().map(|leaf| leaf.dns_names.clone()).unwrap_or_default()
    }
}

fn most_in_an_hour(issued: &[(Timestamp, &str)]) -> usize {
    let within = |(start, _): &(Timestamp, &str)| {
        let end = after(*start, SignedDuration::from_hours(1));
        issued.iter().filter(|(at, reason)| *reason == "NamesChanged" && start <= at && *at < end).count()
    };
    issued.iter().map(within).max().unwrap_or_default()
}

proptest! {
    #[test]
    fn whatever_services_do(events in prop::collection::vec(event(), 1..300)) {
        let mut channel = Channel::new();
        let mut now = at(0);
        let mut due = channel.reconcile(now);
        for (pause, event) in &events {
            let next = after(now, SignedDuration::from_secs(i64::from(*pause)));
            // What falls due meanwhile is looked at in its time.
            while let Some(wake) = due.filter(|due| *due <= next) {
                now = wake;
                due = channel.reconcile(now);
            }
            now = next;
            channel.happens(event);
            due = channel.reconcile(now);
            if matches!(channel.found, ObservedSecret::Missing) {
                let wait = due.expect("a missing Secret is made, or waits").duration_since(now);
                prop_assert!(wait <= SignedDuration::from_mins(1), "a missing Secret waits {wait:?}");
            }
            if let Some(due) = due {
                prop_assert!(due.duration_since(now) <= SignedDuration::from_mins(10), "{due} at {now}");
            } else {
                let missing: Vec<_> = channel.spec.dns_names.difference(&channel.leaf_names()).cloned().collect();
                prop_assert_eq!(missing, [""; 0]);
            }
        }
        let most = most_in_an_hour(&channel.issued);
        prop_assert!(most <= MOST_FOR_NAMES, "{most} within an hour: {:?}", channel.issued);
    }

    #[test]
    fn services_that_only_go_cause_nothing(gone in prop::collection::btree_set(0..50_u8, 1..50)) {
        let mut channel = Channel::new();
        (0..50).for_each(|service| channel.happens(&Event::Comes(service)));
        channel.reconcile(at(0));
        for service in gone {
            channel.happens(&Event::Goes(service));
            prop_assert_eq!(channel.reconcile(at(1)), None);
        }
        prop_assert_eq!(channel.issued.len(), 1);
    }
}

#[test]
fn the_bound_is_reached() {
    let mut channel = Channel::new();
    channel.reconcile(at(0));
    let mut now = at(60);
    let end = after(now, SignedDuration::from_hours(3));
    for service in (0..50).cycle() {
        channel.happens(&Event::Comes(service));
        let until = channel.reconcile(now);
        channel.spec.dns_names.remove(&format!("s{}.cc-front.svc", (service + 1) % 50));
        now = until.unwrap_or(after(now, SignedDuration::from_secs(1)));
        if now > end {
            break;
        }
    }
    assert_eq!(most_in_an_hour(&channel.issued), MOST_FOR_NAMES, "{:?}", channel.issued);
}

#[test]
fn at_most_so_many_lost_names_are_taken_over() {
    let mut channel = Channel::new();
    (0..50).for_each(|service| channel.happens(&Event::Comes(service)));
    channel.reconcile(at(0));
    (0..50).for_each(|service| channel.happens(&Event::Goes(service)));
    channel.happens(&Event::Comes(99));
    channel.reconcile(at(1));
    let lost = channel.leaf_names().len() - channel.spec.dns_names.len();
    assert_eq!((channel.issued.len(), lost), (2, 32));
}
