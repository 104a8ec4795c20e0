use serde_json::{Value, json};

use super::*;
use crate::{
    record::{grants::GrantEnd, revocations::RevocationsRecord},
    roles::{
        grants::testing::{approval, grant, open, role},
        revoked::tests::revocation,
        slots::REST,
    },
    testing::{DOMAIN, Scene, at},
};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn slot(metadata: &[(&str, &str)], people: &[&str]) -> GrantSlot {
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let people = people.iter().map(|id| (*id).to_owned()).collect();
    GrantSlot { name: "s".to_owned(), metadata, people, has_groups: false }
}

fn told_if(wanted: Option<&str>, may_begin: bool, slot: GrantSlot, now: Timestamp) -> String {
    let id = "abcdefghij234567".parse().unwrap();
    let wanted = wanted.map(|class| {
        let opened = OpenedClass { id, class: class.to_owned() };
        ("s".to_owned(), WantedSlot { opened, grant: "u".to_owned(), may_begin })
    });
    let changes = changes(&wanted.into_iter().collect(), &[slot], now);
    changes.first().map(|change| format!("{:?}", change.metadata)).unwrap_or_default()
}

fn told(wanted: Option<&str>, slot: GrantSlot, now: Timestamp) -> String {
    told_if(wanted, true, slot, now)
}

const CHAT: &str = r#"{"grant": "u", "open": "abcdefghij234567.chat"}"#;
const FREE: &str = r#"{"freed": "1800000000"}"#;

#[test]
fn a_slot_opens_what_its_grant_asks_for_and_a_slot_with_members_gets_no_new_meaning() {
    let opened = [("open", "abcdefghij234567.chat"), ("grant", "u")];
    assert_eq!(told(Some("chat"), slot(&[], &[]), NOW), CHAT);
    assert_eq!(told(Some("chat"), slot(&opened, &["e"]), NOW), "");
    assert_eq!(told(Some("chat"), slot(&[], &["e"]), NOW), "");
    assert_eq!(told(None, slot(&[], &["e"]), NOW), "");
    assert_eq!(told(None, slot(&opened, &["e"]), NOW), FREE);
    assert_eq!(told(Some("mail"), slot(&opened, &[]), NOW), FREE);
    let resting = || slot(&[("freed", "1800000000")], &[]);
    assert_eq!(told(Some("chat"), resting(), NOW), "");
    assert_eq!(told(Some("chat"), resting(), NOW + REST), CHAT);
    let strange = GrantSlot { has_groups: true, ..slot(&[], &[]) };
    assert_eq!(told(Some("chat"), strange, NOW), "");
}

#[test]
fn without_approvals_nothing_begins_and_what_began_stays_for_the_same_grant_alone() {
    let told = |slot: GrantSlot| told_if(Some("chat"), false, slot, NOW);
    assert_eq!(told(slot(&[], &[])), "", "nobody approved");
    let open = ("open", "abcdefghij234567.chat");
    assert_eq!(told(slot(&[open, ("grant", "u")], &["e"])), "", "Approvals that expired");
    assert_eq!(told(slot(&[open, ("grant", "other")], &["e"])), FREE, "the slot of another grant");
    assert_eq!(told(slot(&[open], &["e"])), FREE);
    // An earlier release opened it, and people approve.
    assert_eq!(told_if(Some("chat"), true, slot(&[open], &["e"]), NOW), CHAT);
    assert_eq!(told_if(Some("chat"), true, slot(&[open, ("grant", "other")], &[]), NOW), FREE);
}

/// What the operator sees.
struct Seen {
    record: GrantsRecord,
    grant: AccessGrant,
    role: AccessRole,
    approvals: Vec<Approval>,
    revoked: Vec<subrosa_crds::AccessRevocation>,
    guarded_since: Option<Timestamp>,
}

impl Seen {
    fn new() -> Self {
        let (grant, role) = (grant("inc", json!({})), role("reviewer", json!({})));
        let approvals = vec![approval("a", "bas", &grant, json!({}))];
        let mut open = open();
        open.digest =
            grant.spec.digest(&role.uid().unwrap_or_default(), &role.spec.login, &role.spec.opens());
        let mut record = GrantsRecord::default();
        record.open.insert("u-inc".to_owned(), open);
        let guarded_since = Some(at("2026-11-20T00:00:00Z"));
        Self { record, grant, role, approvals, revoked: Vec::new(), guarded_since }
    }

    fn wanted(&self, domain: &str, withheld: &BTreeMap<RoleName, Fault>) -> Vec<bool> {
        let scene = Scene::new().channel("cc-front/voice", json!({"dataClasses": ["call-recording"]}));
        let record = RevocationsRecord::default();
        let standing = StandingRevocations::of(domain, &self.revoked, &record);
        let people = RevokedPeople::of(&self.revoked);
        let seen = GrantsSeen {
            domain,
            record: &self.record,
            grants: std::slice::from_ref(&self.grant),
            roles: std::slice::from_ref(&self.role),
            withheld,
            standing: &standing,
            people: &people,
            approvals: &self.approvals,
            guarded_since: self.guarded_since,
            now: at("2026-11-22T10:00:00Z"),
        };
        wanted(seen, &scene).into_values().map(|slot| slot.may_begin).collect()
    }

    fn told(&self) -> Vec<bool> {
        self.wanted(DOMAIN, &BTreeMap::new())
    }
}

/// After a change of what is seen.
fn after(change: impl FnOnce(&mut Seen)) -> Vec<bool> {
    let mut seen = Seen::new();
    change(&mut seen);
    seen.told()
}

#[test]
fn only_what_an_access_grant_and_its_role_say_is_opened() {
    assert_eq!(Seen::new().told(), [true]);
    assert!(Seen::new().wanted("westerlinde", &BTreeMap::new()).is_empty());
    for patch in [
        json!({"metadata": {"uid": "u-other"}}),
        json!({"metadata": {"deletionTimestamp": "2026-11-22T10:00:00Z"}}),
        json!({"spec": {"role": "other"}}),
        json!({"metadata": {"namespace": "cc-back"}}),
        json!({"spec": {"subject": {"user": "somebody-else"}}}),
    ] {
        assert!(after(|seen| seen.grant = grant("inc", patch.clone())).is_empty(), "{patch}");
    }
    for patch in [
        json!({"spec": {"grants": null}}),
        json!({"spec": {"login": "weak"}}),
        json!({"spec": {"allow": [{"channels": ["voice"], "dataClasses": ["fax"], "actions": ["Open"]}]}}),
        json!({"metadata": {"deletionTimestamp": "2026-11-22T10:00:00Z"}}),
    ] {
        assert!(after(|seen| seen.role = role("reviewer", patch.clone())).is_empty(), "{patch}");
    }
    // Whatever the record says, a slot of another kind or another login opens nothing by it.
    let used = |slot: &str| {
        after(|seen| {
            let open = seen.record.open.values_mut().flat_map(|open| &mut open.slots);
            open.for_each(|used| used.slot = slot.to_owned());
        })
    };
    assert_eq!(used("subrosa_oosterlinde_grant_strong_001"), [true]);
    assert!(used("subrosa_oosterlinde_open_strong_001").is_empty());
    assert!(used("subrosa_oosterlinde_grant_weak_001").is_empty());
    let overdue = Fault::new(subrosa_crds::Reason::ReviewOverdue, "overdue");
    let withheld = [(conflicts::name(&Seen::new().role), overdue)].into();
    assert!(Seen::new().wanted(DOMAIN, &withheld).is_empty());
    let end = GrantEnd { at: NOW, reason: "GrantExpired".into(), began: None };
    assert!(
        after(|seen| seen.record.open.values_mut().for_each(|open| open.ended = Some(end.clone())))
            .is_empty()
    );
}

#[test]
fn a_record_alone_opens_nothing() {
    // Whoever holds the granter's token writes it.
    assert_eq!(after(|seen| seen.approvals.clear()), [false]);
    assert_eq!(after(|seen| seen.guarded_since = None), [false]);
    let by = |approver: &str, patch: Value| {
        after(|seen| seen.approvals = vec![approval("a", approver, &seen.grant, patch)])
    };
    assert_eq!(by("bas", json!({})), [true]);
    for own in ["oidc:anna", "4f1c", "system:serviceaccount:subrosa-system:subrosa-granter"] {
        assert_eq!(by(own, json!({})), [false], "{own}");
    }
    assert_eq!(by("bas", json!({"spec": {"expires": "2026-11-22T09:59:00Z"}})), [false]);
    assert!(by("bas", json!({"spec": {"decision": "Deny"}})).is_empty(), "a denial ends it");
    let two = json!({"spec": {"grants": {"max": "4h", "approvals": 2}}});
    assert_eq!(after(|seen| seen.role = role("reviewer", two)), [false]);
    let shorter = json!({"spec": {"grants": {"max": "1h"}}});
    assert_eq!(after(|seen| seen.role = role("reviewer", shorter)), [false]);
    // What was approved is something else.
    assert!(
        after(|seen| seen.record.open.values_mut().for_each(|open| open.digest = "sha256:d".into()))
            .is_empty()
    );
    for subject in [json!({"user": "4F1C"}), json!({"user": "x", "kubernetesUser": "oidc:anna"})] {
        let revoked = revocation("r", subject.clone());
        assert!(after(|seen| seen.revoked.push(revoked)).is_empty(), "{subject}");
    }
}
