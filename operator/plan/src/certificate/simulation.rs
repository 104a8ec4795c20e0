//! Two channels that talk to each other, over two and a half years of a simulated clock: at every moment,
//! whatever each of the two workloads can have loaded, they accept each other.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::leaf::tests::spec as leaf_spec;
use super::*;
use crate::certificate::trust_files::{CLIENTS_FILE, SERVERS_FILE};
use crate::record::{
    generations::Generations,
    issuances::{Issuances, IssuedLeaf},
};
use crate::world::{
    certificate::{after, fraction},
    pem,
};
use crate::{
    certificate::authority::{
        Leaves, PeerFacts,
        keys::{AuthorityKey, AuthorityKeys, NextKey},
    },
    record::generations::NewCertificate,
};

/// A Secret as written by the operator: what a workload may have loaded, for as long as its leaf lives.
#[derive(Clone, Debug)]
struct Written {
    at: Timestamp,
    leaf: LeafFacts,
    issuer_pem: String,
    issuer: Validity,
    trust: TrustFiles,
}

#[derive(Debug)]
struct Channel {
    name: &'static str,
    peer: &'static str,
    /// `a` listens and `b` connects to it.
    listens: bool,
    duration: SignedDuration,
    keys: AuthorityKeys,
    /// From when on the mount for authorities is set up.
    mount_at: Timestamp,
    /// The generation of each version of a key.
    signed_by: BTreeMap<AuthorityKey, u32>,
    generations: Generations,
    issuances: Issuances,
    found: ObservedSecret,
    written: Vec<Written>,
    issued: u32,
    switches: u32,
    forced: u32,
    /// How many suffixes were allowed later, below each of which it has a name; and when the last was.
    asked: u32,
    asked_at: Timestamp,
}

/// Splitmix64: the events of a run follow from its seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// What a channel sees of the other one's record and Secret.
struct PeerView {
    trusted: Vec<String>,
    facts: PeerFacts,
}

impl Channel {
    fn new(name: &'static str, peer: &'static str, listens: bool, duration: SignedDuration) -> Self {
        Self {
            name,
            peer,
            listens,
            duration,
            keys: AuthorityKeys::default(),
            mount_at: Timestamp::MIN,
            signed_by: BTreeMap::new(),
            generations: Generations::default(),
            issuances: Issuances::default(),
            found: ObservedSecret::Missing,
            written: Vec::new(),
            issued: 0,
            switches: 0,
            forced: 0,
            asked: 0,
            asked_at: Timestamp::MAX,
        }
    }

    fn authority_spec(&self) -> AuthoritySpec {
        AuthoritySpec {
            trust_domain: "oosterlinde".into(),
            namespace: "cc-front".into(),
            channel: self.name.into(),
            id: format!("id-{}", self.name),
            duration: SignedDuration::from_hours(365 * 24),
            permitted_dns: self.suffixes().chain(["cc-front.svc".to_owned()]).collect(),
        }
    }

    fn suffixes(&self) -> impl Iterator<Item = String> {
        (0..self.asked).map(|number| format!("s{number}.example"))
    }

    fn spec(&self) -> LeafSpec {
        let renew_before = fraction(self.duration, 1, 3);
        let mut spec =
            LeafSpec { channel: self.name.into(), duration: self.duration, renew_before, ..leaf_spec() };
        spec.dns_names = self.suffixes().map(|suffix| format!("sip.{suffix}")).collect();
        spec.dns_names.insert(format!("{}.cc-front.svc", self.name));
        spec
    }

    /// How this channel looks to its peer, whose trust in it stands in `file`.
    fn seen_by(&self, other: &Self) -> PeerView {
        let file = if self.listens { CLIENTS_FILE } else { SERVERS_FILE };
        let holds = match &self.found {
            ObservedSecret::Present(facts) => {
                trust_files::held_versions(&facts.trust, &[file], &other.generations)
            }
            ObservedSecret::Missing => BTreeSet::new(),
        };
        PeerView {
            trusted: self.generations.trusted(),
            facts: PeerFacts { holds, leaves: Leaves::of(self.generations.leaves_until()) },
        }
    }

    fn wanted_trust(&self, peer: &PeerView) -> TrustFiles {
        let entry: BTreeMap<_, _> = [(self.peer.to_owned(), peer.trusted.clone())].into();
        let sources = if self.listens {
            TrustSources { listens: true, clients: entry, ..TrustSources::default() }
        } else {
            TrustSources { servers: entry, ..TrustSources::default() }
        };
        let (files, problems) = trust_files(&sources);
        assert_eq!(problems, []);
        files
    }

    /// One reconcile; `budget` writes, then the operator is gone.
    fn reconcile(&mut self, peer: &PeerView, now: Timestamp, mut budget: u64) {
        let mut write = || {
            let alive = budget > 0;
            budget = budget.saturating_sub(1);
            alive
        };
        let mut facts_of_peer = peer.facts.clone();
        loop {
            let facts = AuthorityFacts {
                key: self.keys.as_generations(&self.generations),
                unusable: BTreeSet::new(),
                without_key: BTreeSet::new(),
                peers: [(self.peer.to_owned(), facts_of_peer.clone())].into(),
                needed: authority::needed(&self.spec()),
            };
            let action = authority::step(&self.generations, &self.authority_spec(), &facts, now);
            if !matches!(action, AuthorityAction::Nothing { .. }) && !write() {
                return;
            }
            let generations = self.generations.clone();
            self.generations = match action {
                AuthorityAction::CreateFirst | AuthorityAction::RotateKey => {
                    self.make_key(now);
                    generations
                }
                AuthorityAction::SignCertificate { version } => {
                    facts_of_peer.holds.remove(&version);
                    let certificate = self.certificate(version, now);
                    generations.with_certificate(certificate)
                }
                AuthorityAction::NotePeers { version, loaded_by } => {
                    generations.with_peers(version, loaded_by)
                }
                AuthorityAction::SwitchSigning { version, laggards } => {
                    self.switches += 1;
                    self.forced += u32::from(!laggards.is_empty());
                    generations.with_signing(version)
                }
                AuthorityAction::Retire { version } => generations.without(version),
                AuthorityAction::Blocked(why) => panic!("{why}"),
                AuthorityAction::Nothing { .. } => break,
            };
        }
        let trust = self.wanted_trust(peer);
        let Some(signing) = self.generations.signing() else { return };
        let spec = self.spec().permitted_by(&signing.permitted_dns).0;
        let wanted = Wanted { spec: &spec, generations: &self.generations, trust: &trust };
        let Some(mut reason) = drift_of(&self.found, wanted, now) else { return };
        if self.issuances.admit(&reason, self.found.serial(), now).is_err() {
            let Some(only_trust) = reissue::trust_changed(&self.found, &trust) else { return };
            reason = only_trust;
        }
        let (leaf, issuer_pem, issuer) = if reason.needs_new_leaf() {
            let Some(issued) = self.issue(&spec, &reason, now, &mut write) else { return };
            issued
        } else {
            let Some(leaf) = self.found.leaf().cloned() else { return };
            let Some(issuer) = leaf.issuer.and_then(|version| self.generations.get(version)) else { return };
            (leaf, issuer.certificate_pem.clone(), issuer.validity())
        };
        if write() {
            let facts = SecretFacts { leaf: Ok(leaf.clone()), trust: trust.files().clone() };
            self.found = ObservedSecret::Present(Box::new(facts));
            self.written.push(Written { at: now, leaf, issuer_pem, issuer, trust });
        }
    }

    fn issue(
        &mut self,
        spec: &LeafSpec,
        reason: &Drift,
        now: Timestamp,
        write: &mut impl FnMut() -> bool,
    ) -> Option<(LeafFacts, String, Validity)> {
        let signing = self.generations.signing().unwrap().clone();
        let validity = spec.validity(now, signing.validity()).unwrap();
        self.issued += 1;
        let serial = format!("{}-{}", self.name, self.issued);
        if !write() {
            return None;
        }
        let noted = IssuedLeaf {
            serial: serial.clone(),
            at: now,
            reason: reason.reason().to_string(),
            not_after: None,
        };
        self.issuances = self.issuances.clone().noted(noted);
        self.generations = self.generations.clone().with_leaf(signing.version, validity.not_after);
        let leaf = crate::testing::issued(spec, serial, validity, signing.version);
        Some((leaf, signing.certificate_pem.clone(), signing.validity()))
    }

    fn make_key(&mut self, now: Timestamp) {
        match self.keys.next(self.mount_at <= now) {
            NextKey::CreateOwn => self.keys.own = Some(1),
            NextKey::RotateOwn(latest) => self.keys.own = Some(latest + 1),
            NextKey::CreateEarlier => self.keys.earlier = Some(1),
            NextKey::RotateEarlier(latest) => self.keys.earlier = Some(latest + 1),
        }
    }

    fn certificate(&mut self, version: u32, now: Timestamp) -> NewCertificate {
        let key = self.keys.of(&self.generations, version);
        let first = *self.signed_by.entry(key).or_insert(version);
        assert_eq!(first, version, "{key:?} is the key of one generation");
        let spec = self.authority_spec();
        let name = format!("{} {version} {now}", self.name);
        let der = [&[0x30, 0x20], name.as_bytes()].concat();
        NewCertificate {
            version,
            key_version: key.key_version(),
            certificate_pem: pem::encode(&der),
            fingerprint: name,
            validity: spec.validity(now),
            permitted_dns: spec.permitted_dns,
            published_at: now,
        }
    }

    /// Everything the workload may have loaded at this moment: each Secret ever written whose leaf lives.
    fn possibly_loaded(&self, now: Timestamp) -> impl Iterator<Item = &Written> {
        self.written.iter().filter(move |written| written.at <= now && written.leaf.validity.contains(now))
    }

    fn tamper(&mut self, how: u64, draw: &mut Draw) {
        let ObservedSecret::Present(facts) = &mut self.found else { return };
        match how {
            0 => self.found = ObservedSecret::Missing,
            1 => facts.leaf = Err(Malformed { field: "tls.crt", problem: "half-written" }),
            2 => {
                facts.trust.insert(CLIENTS_FILE.into(), "tampered".into());
                facts.trust.insert(SERVERS_FILE.into(), "tampered".into());
            }
            3 => {
                if let Ok(leaf) = &mut facts.leaf {
                    leaf.key_matches = false;
                }
            }
            // An older Secret of its own is put back, as a restored backup would.
            _ => {
                let pick = draw.below(self.written.len() as u64) as usize;
                let old = &self.written[pick];
                let back = SecretFacts { leaf: Ok(old.leaf.clone()), trust: old.trust.files().clone() };
                self.found = ObservedSecret::Present(Box::new(back));
            }
        }
    }
}

fn accepts(verifier: &Written, file: &str, presented: &Written, now: Timestamp) -> bool {
    verifier.trust.files().get(file).is_some_and(|text| text.contains(&presented.issuer_pem))
        && presented.issuer.contains(now)
        && presented.leaf.validity.contains(now)
}

fn run(
    seed: u64,
    tampering: bool,
    names: bool,
    first: SignedDuration,
    second: SignedDuration,
) -> Result<(), TestCaseError> {
    let mut draw = Draw(seed);
    let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let end = after(now, SignedDuration::from_hours(24 * 365 * 5 / 2));
    let mut a = Channel::new("a", "ns/b", true, first);
    let mut b = Channel::new("b", "ns/a", false, second);
    // Set up from the beginning, in the middle, or never.
    a.mount_at = [Timestamp::MIN, after(now, SignedDuration::from_hours(24 * 300)), Timestamp::MAX]
        [draw.below(3) as usize];
    b.mount_at = a.mount_at;
    for _ in 0..4 {
        let view = b.seen_by(&a);
        a.reconcile(&view, now, u64::MAX);
        let view = a.seen_by(&b);
        b.reconcile(&view, now, u64::MAX);
    }
    // What was written before the two knew each other is not part of the promise.
    a.written = a.written.split_off(a.written.len() - 1);
    b.written = b.written.split_off(b.written.len() - 1);

    let (mut pairs, mut both_generations) = (0_u64, false);
    while now < end {
        now = after(now, SignedDuration::from_mins(1 + i64::try_from(draw.below(18 * 60)).unwrap()));
        if tampering && draw.below(25) == 0 {
            let how = draw.below(5);
            if draw.below(2) == 0 { a.tamper(how, &mut draw) } else { b.tamper(how, &mut draw) }
        }
        if names && draw.below(150) == 0 {
            let one = if draw.below(2) == 0 { &mut a } else { &mut b };
            (one.asked, one.asked_at) = (one.asked + 1, now);
        }
        for _ in 0..draw.below(4) {
            // One in five reconciles ends after at most three writes.
            let budget = if draw.below(5) == 0 { draw.below(4) } else { u64::MAX };
            if draw.below(2) == 0 {
                let view = b.seen_by(&a);
                a.reconcile(&view, now, budget);
            } else {
                let view = a.seen_by(&b);
                b.reconcile(&view, now, budget);
            }
        }
        for of_a in a.possibly_loaded(now) {
            for of_b in b.possibly_loaded(now) {
                prop_assert!(
                    accepts(of_a, CLIENTS_FILE, of_b, now),
                    "{now}: a {of_a:#?} refuses b {of_b:#?}"
                );
                prop_assert!(
                    accepts(of_b, SERVERS_FILE, of_a, now),
                    "{now}: b {of_b:#?} refuses a {of_a:#?}"
                );
                pairs += 1;
                both_generations |= of_a.leaf.issuer != of_b.leaf.issuer;
            }
        }
        for channel in [&a, &b] {
            let few = channel.asked > 0 || channel.generations.iter().count() <= 3;
            prop_assert!(few, "{:#?}", channel.generations);
        }
    }
    // The draw may have left one alone for days; looked at once more, each has a certificate.
    let view = b.seen_by(&a);
    a.reconcile(&view, now, u64::MAX);
    let view = a.seen_by(&b);
    b.reconcile(&view, now, u64::MAX);
    prop_assert!(pairs > 1000 && both_generations, "the run must meet what it is about: {pairs}");
    for channel in [&a, &b] {
        let usual = channel.asked == 0 && channel.switches <= 5;
        prop_assert!(
            channel.switches >= 3 && (usual || channel.asked > 0),
            "{}: {}",
            channel.name,
            channel.switches
        );
        // Two lives of the peer's certificate at the most, and a while for both to be looked at.
        let waited = channel.asked_at < after(now, -SignedDuration::from_hours(24 * 300));
        let there =
            channel.found.leaf().is_some_and(|leaf| channel.spec().dns_names.is_subset(&leaf.dns_names));
        prop_assert!(!waited || there || tampering, "{}: {:?}", channel.name, channel.found.leaf());
        prop_assert!(channel.possibly_loaded(now).count() > 0, "{} renews", channel.name);
        let own = channel.generations.iter().all(|one| one.key_version.is_some());
        prop_assert_eq!(own, channel.mount_at < end, "{:#?}", channel.generations);
        // Each tampering begins the wait anew, until the deadline; left alone, nobody has to be forced. But a peer that
        // renews its leaf in the days in which a generation is superseded is waited for until that leaf ends.
        let most = channel.asked.min(1);
        prop_assert!(tampering || channel.forced <= most, "{}: {} forced", channel.name, channel.forced);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn both_sides_accept_each_other_at_every_moment(
        seed in any::<u64>(), tampering in any::<bool>(), names in any::<bool>(),
        first in 7_i64..=91, second in 7_i64..=91,
    ) {
        run(seed, tampering, names, SignedDuration::from_hours(first * 24), SignedDuration::from_hours(second * 24))?;
    }
}

/// A generation is superseded, and its peer renews before it takes the new certificate: that certificate signs at the
/// deadline, one week before the peer is certain to have loaded it. Both accept each other all the same.
#[test]
fn a_peer_may_renew_while_a_generation_is_superseded() {
    let days = |days: i64| SignedDuration::from_hours(days * 24);
    run(10_509_039_951_715_486_409, false, true, days(47), days(69)).unwrap();
}
