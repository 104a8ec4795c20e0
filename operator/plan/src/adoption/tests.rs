use serde_json::{Value, json};
use subrosa_crds::{Adoption, Approval};

use super::{
    status::{AdoptionDecision, outcome, status},
    *,
};
use crate::{
    access::orphans,
    destruction::tally::{self, Target},
    record::channel::Access,
    testing::{DOMAIN, Scene, at, named, now, read},
};

mod later;

const BEFORE: &str = "the namespace before";

/// A Channel in a namespace that was made anew, and the record of the one before.
struct Anew {
    scene: Scene,
    earlier: ChannelRecord,
    own: ChannelRecord,
    pair: AdoptingChannel,
}

impl Anew {
    fn new() -> Self {
        let scene =
            Scene::new().channel("cc-front/voice", json!({"dataClasses": ["call-recording", "chat"]}));
        let uid = scene.world.namespaces["cc-front"].uid.clone();
        let own = ChannelRecord::new(named("cc-front/voice"), &uid, DOMAIN);
        let mut earlier = ChannelRecord::new(named("cc-front/voice"), BEFORE, DOMAIN);
        earlier.key_mut("call-recording", "2026w40".parse().unwrap());
        let pair = AdoptingChannel {
            namespace: "cc-front".into(),
            name: "voice".into(),
            id: own.id().to_string(),
            adopts: earlier.id().to_string(),
        };
        Self { scene, earlier, own, pair }
    }

    fn step(&self) -> AdoptionStep {
        self.step_with(Ok(Some(&self.earlier)))
    }

    fn step_with(&self, earlier: Result<Option<&ChannelRecord>, &str>) -> AdoptionStep {
        let world = &self.scene.world;
        let known = orphans::known(DOMAIN, world);
        let facts = AdoptionFacts {
            domain: DOMAIN,
            uid: "u",
            pair: &self.pair,
            earlier,
            own: Some(&self.own),
            known: &known,
        };
        step(&facts, world)
    }

    fn refused(&self) -> Reason {
        match self.step() {
            AdoptionStep::Refuse(fault) => fault.reason,
            other => panic!("{other:?}"),
        }
    }

    fn mark(id: &ChannelId) -> AdoptionMark {
        AdoptionMark {
            id: id.clone(),
            adoption: "cc-front".into(),
            uid: "u".into(),
            at: now(),
            approved_by: Vec::new(),
        }
    }

    /// Does what may be done, as the operator does; where it ended after the first write, with `crash`.
    fn adopt(&mut self, crash: bool) {
        let known = orphans::known(DOMAIN, &self.scene.world);
        let by = Self::mark(&self.own.id());
        self.earlier = marked(self.earlier.clone(), &by, &known).unwrap();
        if !crash {
            self.own = taken(self.own.clone(), &Self::mark(&self.earlier.id())).unwrap();
        }
    }
}

#[test]
fn the_earlier_record_is_marked_first_and_a_crash_goes_on_from_there() {
    let mut anew = Anew::new();
    assert_eq!(anew.step(), AdoptionStep::Mark);
    anew.adopt(true);
    assert_eq!(anew.step(), AdoptionStep::Take);
    anew.adopt(false);
    assert_eq!(anew.step(), AdoptionStep::Done);
    let (earlier, own) = (anew.earlier.clone(), anew.own.clone());
    anew.adopt(false);
    assert_eq!((anew.earlier, anew.own.clone()), (earlier.clone(), own), "twice is once");
    assert_eq!(anew.own.adopted().collect::<Vec<_>>(), [&earlier.id()]);
}

#[test]
fn one_alone_adopts_and_one_that_is_gone_has_nothing_any_more() {
    let mut anew = Anew::new();
    let other = ChannelId::mint("the namespace between", "voice");
    anew.earlier.adopted_by = Some(Anew::mark(&other));
    assert_eq!(anew.step(), AdoptionStep::Mark, "who adopted it is gone too");
    let known = [other.clone(), anew.own.id()].into();
    assert_eq!(marked(anew.earlier.clone(), &Anew::mark(&anew.own.id()), &known), None, "who was quicker");
    let facts = AdoptionFacts {
        domain: DOMAIN,
        uid: "u",
        pair: &anew.pair,
        earlier: Ok(Some(&anew.earlier)),
        own: Some(&anew.own),
        known: &known,
    };
    let AdoptionStep::Refuse(fault) = step(&facts, &anew.scene.world) else { panic!() };
    assert_eq!(fault.reason, Reason::AdoptedByAnother);
}

#[test]
fn the_record_names_the_adoption_that_people_approved_and_not_one_that_began_before() {
    let mut anew = Anew::new();
    let before =
        AdoptionMark { uid: "denied".into(), adoption: "denied".into(), ..Anew::mark(&anew.own.id()) };
    anew.earlier.adopted_by = Some(before);
    assert_eq!(anew.step(), AdoptionStep::Mark);
    anew.adopt(true);
    assert_eq!(anew.earlier.adopted_by.as_ref().map(|by| by.uid.as_str()), Some("u"));
    assert_eq!(anew.step(), AdoptionStep::Take);
}

#[test]
fn what_is_not_the_channels_own_past_is_refused() {
    let refused = |change: &dyn Fn(&mut Anew)| {
        let mut anew = Anew::new();
        change(&mut anew);
        anew.refused()
    };
    let of = |anew: &mut Anew, record: ChannelRecord| {
        anew.pair.adopts = record.id().to_string();
        anew.earlier = record;
    };
    assert_eq!(
        refused(&|anew| anew.pair.id = "abcdefghijklmnop".into()),
        Reason::NotFound,
        "made anew again"
    );
    assert_eq!(refused(&|anew| anew.pair.adopts = "short".into()), Reason::Malformed);
    assert_eq!(
        refused(&|anew| anew.pair.adopts = "abcdefghijklmnop".into()),
        Reason::RecordUnreadable,
        "a record that is of another"
    );
    assert_eq!(refused(&|anew| anew.earlier.trust_domain = "other".into()), Reason::OtherTrustDomain);
    assert_eq!(
        refused(&|anew| {
            let chat = ChannelRecord::new(named("cc-front/chat"), BEFORE, DOMAIN);
            of(anew, chat);
        }),
        Reason::NameDiffers
    );
    assert_eq!(
        refused(&|anew| {
            let scene = std::mem::replace(&mut anew.scene, Scene::new());
            anew.scene = scene.channel("cc-front/chat", json!({}));
            let uid = anew.scene.world.namespaces["cc-front"].uid.clone();
            of(anew, ChannelRecord::new(named("cc-front/chat"), &uid, DOMAIN));
        }),
        Reason::NotOrphaned,
        "the Channel of that identity is there"
    );
    assert_eq!(refused(&|anew| anew.earlier.keys.clear()), Reason::NothingToAdopt, "no key is left");
    assert_eq!(
        refused(&|anew| {
            let keys = anew.earlier.keys.remove("call-recording").unwrap();
            anew.earlier.keys.insert("dossier".into(), keys);
        }),
        Reason::NothingToAdopt,
        "another class of data"
    );
    assert_eq!(
        refused(&|anew| {
            for number in 0..alias::ADOPTED.len() {
                let id = ChannelId::mint(&number.to_string(), "voice");
                anew.own = taken(anew.own.clone(), &Anew::mark(&id)).unwrap();
            }
        }),
        Reason::TooManyAdopted
    );
    let anew = Anew::new();
    for (earlier, reason) in [(Ok(None), Reason::NotFound), (Err("damaged"), Reason::RecordUnreadable)] {
        let AdoptionStep::Refuse(fault) = anew.step_with(earlier) else { panic!("{reason}") };
        assert_eq!(fault.reason, reason);
    }
}

#[test]
fn a_channel_of_another_trust_domain_adopts_nothing_here() {
    let anew = Anew::new();
    let facts = AdoptionFacts {
        domain: DOMAIN,
        uid: "u",
        pair: &anew.pair,
        earlier: Ok(Some(&anew.earlier)),
        own: Some(&anew.own),
        known: &BTreeSet::new(),
    };
    let AdoptionStep::Refuse(fault) = step(&facts, &anew.scene.world) else { panic!() };
    assert_eq!(fault.reason, Reason::OtherTrustDomain);
}

#[test]
fn no_more_than_fit_are_taken_also_where_another_adoption_was_quicker() {
    let mut anew = Anew::new();
    for number in 0..alias::ADOPTED.len() {
        let id = ChannelId::mint(&number.to_string(), "voice");
        anew.own = taken(anew.own.clone(), &Anew::mark(&id)).unwrap();
    }
    assert_eq!(taken(anew.own.clone(), &Anew::mark(&anew.earlier.id())), None);
    let first = Anew::mark(&ChannelId::mint("0", "voice"));
    assert_eq!(taken(anew.own.clone(), &first), Some(anew.own), "what it has it keeps");
}

#[test]
fn a_key_of_an_ended_cohort_is_something_to_adopt() {
    let mut anew = Anew::new();
    anew.earlier.keys.clear();
    anew.earlier.ended = anew.earlier.ended.map(|ended| ended.with("chat", "2026w30".parse().unwrap()));
    assert_eq!(anew.step(), AdoptionStep::Mark);
}

#[test]
fn what_is_not_there_yet_is_waited_for() {
    let mut anew = Anew::new();
    anew.earlier.access = Some(Access { service_account_uid: "sa".into(), may_open: true });
    assert!(matches!(anew.step(), AdoptionStep::Wait(_)), "its access is withdrawn first");
    let known = orphans::known(DOMAIN, &anew.scene.world);
    assert_eq!(marked(anew.earlier.clone(), &Anew::mark(&anew.own.id()), &known), None);
    let mut anew = Anew::new();
    anew.scene = anew.scene.without("cc-front/voice");
    assert!(matches!(anew.step(), AdoptionStep::Wait(_)), "it is applied later");
}

fn adoption(pairs: Vec<&AdoptingChannel>) -> Adoption {
    read(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Adoption",
        "metadata": {"name": "cc-front", "uid": "u", "generation": 1},
        "spec": {"trustDomain": DOMAIN, "requestedBy": "anna", "channels": pairs},
    }))
}

/// What these people say: a name approves, and one after a `!` denies.
fn decided(adoption: &Adoption, people: &[&str], change: Value) -> AdoptionDecision {
    let approvals: Vec<Approval> = people
        .iter()
        .map(|who| {
            let mut one = json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval",
                "metadata": {"name": format!("a-{}", who.trim_start_matches('!')), "creationTimestamp": "2026-11-22T10:00:00Z"},
                "spec": {
                    "target": {"kind": "Adoption", "name": "cc-front", "uid": "u", "digest": adoption.spec.digest()},
                    "decision": if who.starts_with('!') { "Deny" } else { "Approve" },
                    "approver": who.trim_start_matches('!'), "expires": "2026-11-29T00:00:00Z",
                },
            });
            crate::testing::merge(&mut one, change.clone());
            read(one)
        })
        .collect();
    let digest = adoption.spec.digest();
    let target = Target {
        kind: subrosa_crds::approval::TargetKind::Adoption,
        name: "cc-front",
        uid: "u",
        digest: &digest,
    };
    let since = Some(at("2026-11-20T00:00:00Z"));
    let tally = tally::count(&approvals, &target, since, &adoption.spec.requested_by, now());
    AdoptionDecision { needed: Some(2), tally, unguarded: None }
}

#[test]
fn enough_other_people_have_to_approve_exactly_this() {
    let anew = Anew::new();
    let asked = adoption(vec![&anew.pair]);
    let may = |people: &[&str], change| decided(&asked, people, change).may(now());
    assert!(may(&["bas", "cees"], json!({})));
    assert!(!may(&["bas"], json!({})) && !may(&["anna", "bas"], json!({})), "who asks does not count");
    assert!(!may(&["bas", "cees", "!daan"], json!({})));
    assert!(!may(&["bas", "system:serviceaccount:subrosa-system:subrosa"], json!({})));
    assert!(!may(&["bas", "cees"], json!({"spec": {"expires": "2026-11-22T11:00:00Z"}})));
    for (field, value) in [("uid", "other"), ("digest", "sha256:e"), ("kind", "Destruction")] {
        assert!(!may(&["bas", "cees"], json!({"spec": {"target": {field: value}}})), "{field}");
    }
    let mut more = anew.pair.clone();
    more.adopts = "abcdefghijklmnop".into();
    assert_ne!(adoption(vec![&anew.pair, &more]).spec.digest(), asked.spec.digest());
    let enough = decided(&asked, &["bas", "cees"], json!({}));
    assert!(!AdoptionDecision { needed: None, ..enough.clone() }.may(now()), "nobody knows how many have to");
    let unguarded = Some(Fault::new(Reason::GuardsEdited, "edited"));
    let unguarded = AdoptionDecision { unguarded, ..enough };
    assert!(!unguarded.may(now()) && !unguarded.allows(&AdoptionStep::Take, now()));
}

#[test]
fn what_was_begun_goes_on_when_approvals_expire_and_not_when_somebody_denies() {
    let anew = Anew::new();
    let asked = adoption(vec![&anew.pair]);
    let expired = json!({"spec": {"expires": "2026-11-22T11:00:00Z"}});
    let past = decided(&asked, &["bas", "cees"], expired);
    assert!(!past.allows(&AdoptionStep::Mark, now()) && past.allows(&AdoptionStep::Take, now()));
    let denied = decided(&asked, &["bas", "cees", "!daan"], json!({}));
    assert!(!denied.allows(&AdoptionStep::Mark, now()) && !denied.allows(&AdoptionStep::Take, now()));
}

#[test]
fn status_tells_how_far_it_is() {
    let mut anew = Anew::new();
    let mut lost = anew.pair.clone();
    lost.adopts = "abcdefghijklmnop".into();
    let asked = adoption(vec![&anew.pair, &lost]);
    let refused = AdoptionStep::Refuse(Fault::new(Reason::NotFound, "Vault has no record"));
    let told = |anew: &Anew, people: &[&str], second: &AdoptionStep| {
        let decided = decided(&asked, people, json!({}));
        let channels = [(&anew.pair.adopts, &anew.step()), (&lost.adopts, second)];
        let channels = channels.map(|(adopts, step)| outcome(adopts, step, None, &decided, now()));
        let found = status(&asked, Some(channels.to_vec()), &decided, now());
        let text = |text: &Option<String>| text.clone().unwrap();
        (text(&found.state), text(&found.approvals), found.adopted.unwrap(), found)
    };
    let (state, approvals, adopted, found) = told(&anew, &["bas"], &refused);
    assert_eq!((state.as_str(), approvals.as_str(), adopted), ("AwaitingApproval", "1/2", 0));
    assert!(found.conditions[0].message.contains("Vault has no record"), "{found:#?}");
    assert_eq!(told(&anew, &["bas", "cees", "!daan"], &refused).0, "ApprovalDenied");
    assert_eq!(told(&anew, &["bas", "cees"], &refused).0, "WorkUnderWay");
    let nothing = Anew { pair: lost.clone(), ..Anew::new() };
    assert_eq!(told(&nothing, &["bas", "cees"], &refused).0, "Refused");
    anew.adopt(false);
    assert_eq!(told(&anew, &["bas", "cees"], &AdoptionStep::Mark).0, "WorkUnderWay");
    let (state, _, adopted, found) = told(&anew, &["bas", "cees"], &refused);
    assert_eq!((state.as_str(), adopted), ("PartlyAdopted", 1));
    assert_eq!(found.channels[1].state, "NotFound");
    let (state, _, adopted, found) = told(&anew, &["bas", "cees"], &AdoptionStep::Done);
    assert_eq!((state.as_str(), adopted), ("Adopted", 2));
    assert_eq!(
        found.approved_by.iter().map(|one| one.approver.as_str()).collect::<Vec<_>>(),
        ["bas", "cees"]
    );
    // What was not looked at is told as it was.
    let again = Adoption { status: Some(found.clone()), ..asked.clone() };
    assert_eq!(status(&again, None, &decided(&asked, &["bas", "cees"], json!({})), now()), found);
}
