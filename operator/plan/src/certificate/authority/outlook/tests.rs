use std::collections::BTreeMap;

use super::*;
use crate::{
    certificate::{
        authority::{AuthorityAction, AuthorityKeyState, step},
        leaf::tests::spec as leaf,
    },
    record::generations::{NewCertificate, tests::certificate},
};

const NAME: &str = "sip.calls.example";

fn at(hours: i64) -> Timestamp {
    after("2026-01-01T00:00:00Z".parse().unwrap(), SignedDuration::from_hours(hours))
}

fn spec() -> AuthoritySpec {
    crate::testing::authority_spec(SignedDuration::from_hours(400 * 24), &AFTER)
}

fn subtrees(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

fn wanted() -> LeafSpec {
    let mut wanted = leaf();
    wanted.dns_names.insert(NAME.into());
    wanted
}

fn made(version: u32, hours: i64, permitted: &[&str]) -> NewCertificate {
    let made = certificate(version, at(hours), spec().duration);
    NewCertificate { permitted_dns: subtrees(permitted), ..made }
}

const BEFORE: [&str; 2] = ["cc-front.svc", "cc-front.svc.cluster.local"];
const AFTER: [&str; 3] = ["cc-front.svc", "cc-front.svc.cluster.local", "calls.example"];

fn facts(latest: u32, holds: &[u32], leaves: Leaves) -> AuthorityFacts {
    let peer = PeerFacts { holds: holds.iter().copied().collect(), leaves };
    AuthorityFacts {
        key: AuthorityKeyState::Present { latest },
        unusable: BTreeSet::new(),
        without_key: BTreeSet::new(),
        peers: BTreeMap::from([("cc-data/db".to_owned(), peer)]),
        needed: needed(&wanted()),
    }
}

fn from(generations: &Generations, facts: &AuthorityFacts, now: i64) -> Vec<Timestamp> {
    let pending = pending_names(&wanted(), generations, &spec(), facts, at(now));
    assert!(pending.iter().all(|one| one.name == NAME), "{pending:?}");
    pending.into_iter().map(|one| one.from).collect()
}

#[test]
fn what_the_signing_generation_may_sign_is_not_pending() {
    let generations = Generations::default().with_certificate(made(1, 0, &AFTER));
    assert_eq!(from(&generations, &facts(1, &[], Leaves::Never), 100), []);
}

#[test]
fn before_the_next_has_begun_it_is_the_end_of_the_peers_certificates() {
    let generations = Generations::default().with_certificate(made(1, 0, &BEFORE));
    let until = at(30 * 24);
    assert_eq!(from(&generations, &facts(1, &[], Leaves::Until(until)), 1), [after(until, CLOCK_SKEW)]);
    let begins = after(at(0), ROTATION_PAUSE);
    let deadline = after(begins, fraction(spec().duration, 3, 8));
    assert_eq!(from(&generations, &facts(1, &[], Leaves::Unknown), 1), [deadline]);
    let nobody = AuthorityFacts { peers: BTreeMap::new(), ..facts(1, &[], Leaves::Never) };
    let soon = pending_names(&wanted(), &generations, &spec(), &nobody, at(0));
    assert_eq!(soon[0].from, begins, "nobody is waited for");
}

#[test]
fn while_it_is_published_it_is_what_step_waits_for() {
    let generations =
        Generations::default().with_certificate(made(1, 0, &BEFORE)).with_certificate(made(2, 24, &AFTER));
    let until = at(40 * 24);
    let told = from(&generations, &facts(2, &[1], Leaves::Until(until)), 25);
    assert_eq!(told, [after(until, CLOCK_SKEW)]);
    // It is held: what was noted stands, whatever the peer gets later, and step switches then.
    let noted = BTreeMap::from([("cc-data/db".to_owned(), until)]);
    let generations = generations.with_peers(2, noted);
    let facts = facts(2, &[1, 2], Leaves::Until(at(70 * 24)));
    assert_eq!(from(&generations, &facts, 26), told);
    let waits = step(&generations, &spec(), &facts, at(26));
    assert_eq!(waits, AuthorityAction::Nothing { wake_at: Some(told[0]) });
    assert!(matches!(
        step(&generations, &spec(), &facts, told[0]),
        AuthorityAction::SwitchSigning { version: 2, .. }
    ));
}

#[test]
fn a_published_generation_without_the_name_gives_way() {
    let generations = Generations::default().with_certificate(made(1, 0, &BEFORE)).with_certificate(made(
        2,
        200 * 24,
        &BEFORE,
    ));
    let until = Leaves::Until(at(210 * 24));
    let now = at(200 * 24 + 1);
    let asked = facts(2, &[1, 2], until);
    assert_eq!(step(&generations, &spec(), &asked, now), AuthorityAction::SignCertificate { version: 2 });
    let again = generations.clone().with_certificate(made(2, 200 * 24 + 1, &AFTER));
    assert_eq!(again.iter().count(), 2);
    assert_eq!(again.published().map(|one| one.permitted_dns.clone()), Some(subtrees(&AFTER)));
    // Not within minutes of its making, and not where no name needs it.
    let young = step(&generations, &spec(), &asked, at(200 * 24));
    assert!(!matches!(young, AuthorityAction::SignCertificate { .. }), "{young:?}");
    let idle = AuthorityFacts { needed: BTreeSet::new(), ..asked };
    let idle = step(&generations, &spec(), &idle, now);
    assert!(!matches!(idle, AuthorityAction::SignCertificate { .. }), "{idle:?}");
}

#[test]
fn it_does_not_give_way_where_peers_would_have_no_time() {
    let generations = Generations::default().with_certificate(made(1, 0, &BEFORE)).with_certificate(made(
        2,
        200 * 24,
        &BEFORE,
    ));
    // Seven eighths of 400 days are 350.
    for late in [Leaves::Until(at(350 * 24)), Leaves::Unknown] {
        let action = step(&generations, &spec(), &facts(2, &[1], late), at(330 * 24));
        assert!(!matches!(action, AuthorityAction::SignCertificate { .. }), "{action:?}");
        let told = from(&generations, &facts(2, &[1], late), 330 * 24);
        assert!(told[0] > at(350 * 24), "first this one, then another: {told:?}");
    }
}

#[test]
fn what_is_due_is_told_by_the_hour() {
    let generations =
        Generations::default().with_certificate(made(1, 0, &BEFORE)).with_certificate(made(2, 24, &AFTER));
    let now = |minutes| after(at(48), SignedDuration::from_mins(minutes));
    let told = |now| pending_names(&wanted(), &generations, &spec(), &facts(2, &[], Leaves::Never), now);
    assert_eq!((told(now(1)), told(now(59))), (told(now(2)), told(now(30))), "no write with each look");
    assert_eq!(told(now(1))[0].from, at(49));
}

#[test]
fn a_common_name_waits_too() {
    let generations = Generations::default().with_certificate(made(1, 0, &BEFORE));
    let named = LeafSpec { common_name: "pbx.calls.example".into(), ..leaf() };
    let pending = pending_names(&named, &generations, &spec(), &facts(1, &[], Leaves::Never), at(1));
    assert_eq!(pending[0].name, "pbx.calls.example");
}
