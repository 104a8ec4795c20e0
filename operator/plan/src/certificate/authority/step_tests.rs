//! The life of an authority, step by step.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::record::generations::{GenerationState, Generations, tests::certificate};
use crate::world::certificate::CLOCK_SKEW;

const DAY: i64 = 24;

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(days * DAY)
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn spec() -> AuthoritySpec {
    crate::testing::authority_spec(days(400), &["cc-front.svc"])
}

/// Vault and record of one authority, carrying out what `step` says.
#[derive(Clone, Debug)]
struct World {
    latest: Option<u32>,
    generations: Generations,
    peers: BTreeMap<String, PeerFacts>,
    unusable: BTreeSet<u32>,
}

impl World {
    fn new() -> Self {
        Self {
            latest: None,
            generations: Generations::default(),
            peers: BTreeMap::new(),
            unusable: BTreeSet::new(),
        }
    }

    fn facts(&self) -> AuthorityFacts {
        AuthorityFacts {
            key: self
                .latest
                .map_or(AuthorityKeyState::Absent, |latest| AuthorityKeyState::Present { latest }),
            unusable: self.unusable.clone(),
            without_key: BTreeSet::new(),
            peers: self.peers.clone(),
            needed: BTreeSet::new(),
        }
    }

    fn step(&self, now: Timestamp) -> AuthorityAction {
        step(&self.generations, &spec(), &self.facts(), now)
    }

    fn apply(&mut self, action: &AuthorityAction, now: Timestamp) {
        let generations = std::mem::take(&mut self.generations);
        self.generations = match action {
            AuthorityAction::CreateFirst => {
                self.latest = Some(1);
                generations
            }
            AuthorityAction::RotateKey => {
                self.latest = self.latest.map(|latest| latest + 1);
                generations
            }
            AuthorityAction::SignCertificate { version } => {
                self.unusable.remove(version);
                generations.with_certificate(certificate(*version, now, spec().duration))
            }
            AuthorityAction::NotePeers { version, loaded_by } => {
                generations.with_peers(*version, loaded_by.clone())
            }
            AuthorityAction::SwitchSigning { version, .. } => generations.with_signing(*version),
            AuthorityAction::Retire { version } => generations.without(*version),
            AuthorityAction::Blocked(_) | AuthorityAction::Nothing { .. } => generations,
        };
    }

    /// Steps until there is nothing to do; returns the names of what was done and the next moment.
    fn settle(&mut self, now: Timestamp) -> (Vec<String>, Option<Timestamp>) {
        let mut done = Vec::new();
        for _ in 0..20 {
            match self.step(now) {
                AuthorityAction::Nothing { wake_at } => {
                    assert!(wake_at.is_none_or(|at| at > now), "a wake-up in the past spins: {wake_at:?}");
                    return (done, wake_at);
                }
                AuthorityAction::Blocked(why) => return ([done, vec![format!("{why:?}")]].concat(), None),
                action => {
                    self.apply(&action, now);
                    done.push(format!("{action:?}").split([' ', '{']).next().unwrap_or_default().to_owned());
                }
            }
        }
        panic!("does not settle: {done:?}");
    }

    fn peer(&mut self, holds: &[u32], leaves_until: Timestamp) {
        let facts = PeerFacts { holds: holds.iter().copied().collect(), leaves: Leaves::Until(leaves_until) };
        self.peers.insert("cc-data/db".into(), facts);
    }
}

#[test]
fn a_whole_life() {
    let mut world = World::new();
    assert_eq!(
        world.settle(start()),
        (vec!["CreateFirst".into(), "SignCertificate".into()], Some(after(start(), days(200))))
    );
    world.generations = world.generations.with_leaf(1, after(start(), days(230)));

    // Half its life: the next one is made and published. The peer has not got it yet.
    let half = after(start(), days(200));
    world.peer(&[1], after(half, days(20)));
    let (done, wake) = world.settle(half);
    assert_eq!(done, ["RotateKey", "SignCertificate"]);
    assert_eq!(wake, Some(after(start(), days(350))), "the deadline");

    // The peer's Secret holds it: every leaf the peer has must expire first.
    let held = after(half, days(1));
    world.peer(&[1, 2], after(half, days(20)));
    let (done, wake) = world.settle(held);
    assert_eq!(done, ["NotePeers"]);
    let loaded = after(after(half, days(20)), CLOCK_SKEW);
    assert_eq!(wake, Some(loaded));
    world.peer(&[1, 2], after(half, days(45)));
    assert_eq!(
        world.settle(after(held, days(2))),
        (vec![], Some(loaded)),
        "later leaves do not lengthen the wait"
    );

    let (done, wake) = world.settle(loaded);
    assert_eq!(done, ["SwitchSigning"]);
    assert_eq!(wake, Some(after(after(start(), days(230)), CLOCK_SKEW)), "the last leaf of the old one");
    let (done, _) = world.settle(after(after(start(), days(230)), CLOCK_SKEW));
    assert_eq!(done, ["Retire"]);
    assert_eq!(world.generations.newest(), Some(2));
    assert_eq!(world.generations.iter().count(), 1);
}

#[test]
fn a_peer_whose_certificates_are_not_known_is_waited_for_until_the_deadline() {
    let mut world = World::new();
    world.settle(start());
    let half = after(start(), days(200));
    let holding = |leaves| PeerFacts { holds: [1, 2].into(), leaves };
    world.peers.insert("cc-data/db".into(), holding(Leaves::Unknown));
    let (done, wake) = world.settle(half);
    assert_eq!(done, ["RotateKey", "SignCertificate"]);
    assert_eq!(wake, Some(after(start(), days(350))), "the deadline alone");
    // It is seen: a certificate of somebody else, with a quarter of a year to go.
    let until = after(half, days(90));
    world.peers.insert("cc-data/db".into(), holding(Leaves::Never.and_external(Some(until))));
    assert_eq!(
        world.settle(after(half, days(1))),
        (vec!["NotePeers".into()], Some(after(until, CLOCK_SKEW)))
    );
    // One that never had a certificate starts with the files as they are.
    world.peers.insert("cc-data/db".into(), PeerFacts::default());
    world.settle(after(half, days(2)));
    world.peers.insert("cc-data/db".into(), holding(Leaves::Never));
    assert_eq!(world.generations.signing().unwrap().version, 1);
    world.settle(after(after(half, days(3)), CLOCK_SKEW));
    world.settle(after(after(half, days(4)), CLOCK_SKEW));
    assert_eq!(world.generations.signing().unwrap().version, 2);
}

#[test]
fn the_later_of_two_ends_counts_and_what_is_not_known_outweighs_both() {
    let (soon, late) = (after(start(), days(1)), after(start(), days(2)));
    assert_eq!(Leaves::of(Some(soon)).and_external(Some(late)), Leaves::Until(late));
    assert_eq!(Leaves::of(Some(late)).and_external(Some(soon)), Leaves::Until(late));
    assert_eq!(Leaves::of(None).and_external(Some(soon)), Leaves::Until(soon));
    assert_eq!(Leaves::of(Some(late)).and_external(None), Leaves::Unknown);
}

#[test]
fn without_peers_the_next_generation_signs_at_once() {
    let mut world = World::new();
    world.settle(start());
    world.generations = world.generations.with_leaf(1, after(start(), days(230)));
    assert_eq!(world.settle(after(start(), days(200))).0, ["RotateKey", "SignCertificate", "SwitchSigning"]);
}

#[test]
fn the_deadline_forces_and_names_the_laggards() {
    let mut world = World::new();
    world.settle(start());
    world.peer(&[1], after(start(), days(999)));
    let loads_soon = PeerFacts { holds: [1, 2].into(), leaves: Leaves::Until(after(start(), days(201))) };
    world.peers.insert("cc-web/portal".into(), loads_soon);
    world.settle(after(start(), days(200)));
    assert!(world.settle(after(start(), days(349))).0.is_empty());
    let action = world.step(after(start(), days(350)));
    assert_eq!(action, AuthorityAction::SwitchSigning { version: 2, laggards: vec!["cc-data/db".into()] });
}

#[test]
fn a_peer_that_lost_the_certificate_starts_waiting_anew() {
    let mut world = World::new();
    world.settle(start());
    let half = after(start(), days(200));
    world.peer(&[1, 2], after(half, days(20)));
    world.settle(half);
    world.peer(&[1], after(half, days(40)));
    assert_eq!(world.settle(after(half, days(10))).0, ["NotePeers"]);
    world.peer(&[1, 2], after(half, days(40)));
    let (done, wake) = world.settle(after(half, days(11)));
    assert_eq!(
        (done.as_slice(), wake),
        (&["NotePeers".to_owned()][..], Some(after(after(half, days(40)), CLOCK_SKEW)))
    );
}

#[test]
fn a_rotation_somebody_else_made_waits_for_its_time() {
    let mut world = World::new();
    world.settle(start());
    world.latest = Some(5);
    assert!(world.settle(after(start(), days(10))).0.is_empty());
    assert_eq!(world.settle(after(start(), days(200))).0, ["SignCertificate", "SwitchSigning", "Retire"]);
    assert_eq!(world.generations.signing().unwrap().version, 5);
}

#[test]
fn changed_name_constraints_begin_a_rotation() {
    let mut world = World::new();
    world.settle(start());
    let wider = AuthoritySpec {
        permitted_dns: ["cc-front.svc".to_owned(), "hospital.example".to_owned()].into(),
        ..spec()
    };
    let at = |minutes| after(start(), SignedDuration::from_mins(minutes));
    let action = |minutes| step(&world.generations, &wider, &world.facts(), at(minutes));
    assert_eq!(action(1), AuthorityAction::Nothing { wake_at: Some(at(10)) });
    assert_eq!(action(10), AuthorityAction::RotateKey);
}

#[test]
fn a_shorter_duration_counts_at_once() {
    let mut world = World::new();
    world.settle(start());
    let shorter = AuthoritySpec { duration: days(40), ..spec() };
    let action = step(&world.generations, &shorter, &world.facts(), after(start(), days(20)));
    assert_eq!(action, AuthorityAction::RotateKey);
}

#[test]
fn a_certificate_that_does_not_fit_the_key_is_made_again() {
    let mut world = World::new();
    world.settle(start());
    world.unusable.insert(1);
    assert_eq!(world.step(start()), AuthorityAction::SignCertificate { version: 1 });
    assert_eq!(world.settle(start()).0, ["SignCertificate"]);
    assert_eq!(world.generations.signing().unwrap().version, 1);
}

#[test]
fn contradictions_need_a_person() {
    let mut world = World::new();
    world.settle(start());
    world.latest = None;
    assert_eq!(world.step(start()), AuthorityAction::Blocked(Blocked::KeyMissing));
    world.latest = Some(1);
    world.generations = world.generations.with_certificate(certificate(3, start(), days(400)));
    let blocked = Blocked::RecordAhead { record: 3, vault: 1 };
    assert_eq!(world.step(start()), AuthorityAction::Blocked(blocked));
    assert!(blocked.to_string().contains("generation 3"));
}

#[test]
fn sleeping_through_everything_recovers() {
    let mut world = World::new();
    world.settle(start());
    world.generations = world.generations.with_leaf(1, after(start(), days(230)));
    world.peer(&[1], after(start(), days(230)));
    let late = after(start(), days(2000));
    assert_eq!(world.settle(late).0, ["RotateKey", "SignCertificate", "SwitchSigning", "Retire"]);
    assert!(world.generations.signing().unwrap().validity().contains(late));

    // Asleep while one was published.
    world.peer(&[2], after(late, days(100)));
    world.settle(after(late, days(200)));
    assert_eq!(world.generations.published().unwrap().version, 3);
    let later = after(late, days(2000));
    world.settle(later);
    assert!(world.generations.signing().unwrap().validity().contains(later), "{:?}", world.generations);
}

#[test]
fn specification_is_checked() {
    assert_eq!(spec().validate(), Ok(()));
    assert_eq!(spec().subject(7).to_string(), "O=oosterlinde, OU=cc-front, CN=voice CA abcdefgh23456789.7");
    for (wrong, field) in [
        (AuthoritySpec { permitted_dns: BTreeSet::new(), ..spec() }, "permitted DNS subtrees"),
        (AuthoritySpec { permitted_dns: ["*.x.y".to_owned()].into(), ..spec() }, "allowedDNSSuffixes"),
        (AuthoritySpec { id: "a.b".into(), ..spec() }, "id"),
        (
            AuthoritySpec { duration: SignedDuration::from_secs(59), ..spec() },
            "certificateAuthority.duration",
        ),
    ] {
        let message = wrong.validate().unwrap_err().to_string();
        assert!(message.contains(field), "{message}");
    }
}

proptest! {
    /// Whatever was observed and whenever it was cut off: it settles, always has a signer, never removes the
    /// signing generation, and doing nothing is stable.
    #[test]
    fn settles_from_everywhere(
        moves in proptest::collection::vec((0_i64..120, 0_u8..6, 0_u32..5, any::<bool>()), 1..40),
    ) {
        let mut world = World::new();
        let mut now = start();
        for (wait, what, version, cut_off) in moves {
            now = after(now, days(wait));
            match what {
                0 => world.peer(&[version, version + 1], after(now, days(30))),
                1 => world.peers.clear(),
                2 => { world.unusable.insert(version); }
                3 => world.latest = world.latest.map(|latest| latest + 1),
                4 => {
                    if let Some(signing) = world.generations.signing() {
                        let until = after(now, days(90)).min(signing.not_after);
                        let version = signing.version;
                        world.generations = world.generations.clone().with_leaf(version, until);
                    }
                }
                _ => {}
            }
            if cut_off {
                let action = world.step(now);
                prop_assert_eq!(&world.step(now), &action);
                if let AuthorityAction::Retire { version } = &action {
                    prop_assert_ne!(Some(*version), world.generations.signing().map(|g| g.version));
                }
                world.apply(&action, now);
            } else {
                world.settle(now);
                let signing = world.generations.signing().expect("settled authorities sign");
                prop_assert!(signing.validity().contains(now));
                prop_assert_eq!(world.generations.iter().filter(|g| g.state == GenerationState::Signing).count(), 1);
            }
        }
    }
}

/// The key of a retiring generation is gone, as an administrator or the destroyer of an earlier setup may delete it.
#[test]
fn a_retiring_generation_without_its_key_holds_up_nothing() {
    let mut world = World::new();
    world.settle(start());
    world.generations = world.generations.with_leaf(1, after(start(), days(230)));
    let half = after(start(), days(200));
    let (done, _) = world.settle(half);
    assert_eq!(done, ["RotateKey", "SignCertificate", "SwitchSigning"], "there is no peer");
    let mut facts = world.facts();
    facts.unusable.insert(1);
    let now = after(half, days(1));
    let next = |facts: &AuthorityFacts, now| step(&world.generations, &spec(), facts, now);
    assert_eq!(next(&facts, now), AuthorityAction::SignCertificate { version: 1 }, "its key is there");
    facts.without_key.insert(1);
    assert!(matches!(next(&facts, now), AuthorityAction::Nothing { .. }), "it is trusted, and signs nothing");
    let ended = after(start(), days(232));
    assert_eq!(next(&facts, ended), AuthorityAction::Retire { version: 1 });
    facts.unusable.insert(2);
    facts.without_key.insert(2);
    assert_eq!(
        next(&facts, now),
        AuthorityAction::SignCertificate { version: 2 },
        "the one that signs is missed"
    );
}
