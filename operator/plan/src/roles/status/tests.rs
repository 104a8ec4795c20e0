use serde_json::json;

use super::*;

fn role() -> AccessRole {
    let manifest = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
        "metadata": {"name": "reviewer", "namespace": "cc-front", "generation": 3},
        "spec": {
            "login": "strong", "subjects": [{"group": "CC-Quality"}],
            "allow": [{"channels": ["voice", "chat"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
        },
    });
    serde_json::from_value(manifest).unwrap()
}

fn facts(rights: [Right; 2]) -> RoleFacts {
    let class = |channel: &str| (channel.to_owned(), "call-recording".to_owned(), AccessAction::Open);
    RoleFacts {
        rights: [(class("chat"), rights[0]), (class("voice"), rights[1])].into(),
        ttl: "15m".to_owned(),
        ..RoleFacts::default()
    }
}

fn told(facts: &RoleFacts) -> (String, String, Option<String>, bool) {
    let status = status(&role(), facts, &BoundFacts::NoPrefix, Timestamp::UNIX_EPOCH);
    let ready = condition::find(&status.conditions, READY).unwrap();
    let stalled = condition::is_true(&status.conditions, STALLED);
    (ready.status.clone(), ready.reason.clone(), status.rights, stalled)
}

#[test]
fn ready_is_only_what_can_be_opened_wholly() {
    let cases = [
        ([Right::Granted, Right::Granted], "True", "InForce", "2/2", false),
        ([Right::Granted, Right::Pending], "False", "RightsPending", "1/2", false),
        ([Right::NoSlot, Right::Granted], "False", "SlotsExhausted", "1/2", true),
        ([Right::NoChannel, Right::NoClass], "False", "NotFound", "0/2", true),
        ([Right::Granted, Right::NoClass], "False", "UnknownDataClass", "1/2", true),
    ];
    for (rights, truth, reason, count, stalled) in cases {
        let expected = (truth.to_owned(), reason.to_owned(), Some(count.to_owned()), stalled);
        assert_eq!(told(&facts(rights)), expected);
    }
    let mut crowded = facts([Right::Granted, Right::Granted]);
    crowded.groups_left_out.insert("cc-quality".to_owned());
    assert_eq!(told(&crowded).1, "GroupsExhausted");
}

#[test]
fn a_right_to_list_is_given_by_kubernetes_alone() {
    let right = |action| ("voice".to_owned(), "call-recording".to_owned(), action);
    let (open, list) = (right(AccessAction::Open), right(AccessAction::List));
    let all = RoleFacts {
        rights: [(open.clone(), Right::Granted), (list, Right::Granted)].into(),
        ..RoleFacts::default()
    };
    let told = |bound: &BoundFacts| {
        let status = status(&role(), &all, bound, Timestamp::UNIX_EPOCH);
        let ready = condition::find(&status.conditions, READY).unwrap();
        let stalled = condition::is_true(&status.conditions, STALLED);
        (ready.reason.clone(), status.rights.unwrap(), stalled, ready.message.clone())
    };
    let (reason, rights, stalled, message) = told(&BoundFacts::InForce(1));
    assert_eq!((reason.as_str(), rights.as_str(), stalled), ("InForce", "2/2", false));
    assert!(message.starts_with("1 data class can be opened, 1 data class can be listed in Kubernetes"));
    let (reason, rights, stalled, message) = told(&BoundFacts::NoPrefix);
    assert_eq!((reason.as_str(), rights.as_str(), stalled), ("NoGroupsPrefix", "1/2", true));
    assert!(message.contains("next: spec.access.provider.kubernetesGroupsPrefix"), "{message}");
    assert_eq!(told(&BoundFacts::Nothing).0, "NothingGiven");
    let crowded = RoleFacts { rights: [(right(AccessAction::Seal), Right::NoSlot)].into(), ..all.clone() };
    let status = status(&role(), &crowded, &BoundFacts::InForce(1), Timestamp::UNIX_EPOCH);
    let ready = condition::find(&status.conditions, READY).unwrap();
    assert!(
        ready
            .message
            .contains("call-recording of voice (Seal); next: raise spec.access.logins[].sealSlots and")
    );
}

#[test]
fn what_nobody_could_look_at_is_not_counted() {
    for (reason, truth) in [(Reason::VaultUnreachable, "Unknown"), (Reason::LoginMissing, "False")] {
        let mut seen = facts([Right::Granted, Right::Granted]);
        seen.fault = Some(Fault::new(reason, "it does not answer"));
        let (ready, told_reason, rights, _) = told(&seen);
        assert_eq!((ready.as_str(), told_reason.as_str(), rights), (truth, reason.as_str(), None));
    }
}

#[test]
fn the_digest_is_of_what_can_be_opened_by_whom() {
    let digest =
        |rights| status(&role(), &facts(rights), &BoundFacts::NoPrefix, Timestamp::UNIX_EPOCH).digest;
    assert_ne!(digest([Right::Granted, Right::Granted]), digest([Right::Granted, Right::NoClass]));
    // What is not open yet, or not now, is what somebody reviews all the same.
    assert_eq!(digest([Right::Granted, Right::Granted]), digest([Right::Withheld, Right::Pending]));
}

#[test]
fn what_is_withheld_is_told_before_anything_else() {
    let mut seen = facts([Right::Withheld, Right::NoChannel]);
    seen.withheld = Some(Fault::new(Reason::ConflictingRoles, "an older one"));
    let expected = ("False".to_owned(), "ConflictingRoles".to_owned(), Some("0/2".to_owned()), true);
    assert_eq!(told(&seen), expected);
}

#[test]
fn what_kubernetes_gives_is_a_condition_of_its_own_and_only_a_fault_of_it_is_none_of_ready() {
    let all = facts([Right::Granted, Right::Granted]);
    let foreign = Fault::new(Reason::ForeignObject, "somebody else's");
    let unreachable = Fault::new(Reason::KubernetesUnreachable, "no answer");
    for (facts, bound_is, ready_is) in [
        (BoundFacts::InForce(2), "True InForce", "True InForce"),
        (BoundFacts::NoPrefix, "False NoGroupsPrefix", "True InForce"),
        (BoundFacts::ReservedGroups(["system:a".to_owned()].into()), "False ReservedGroup", "True InForce"),
        (BoundFacts::Nothing, "False NothingGiven", "True InForce"),
        (BoundFacts::Fault(foreign), "False ForeignObject", "False ForeignObject"),
        (BoundFacts::Fault(unreachable), "Unknown KubernetesUnreachable", "Unknown KubernetesUnreachable"),
    ] {
        let status = status(&role(), &all, &facts, Timestamp::UNIX_EPOCH);
        let told = |kind| {
            let found = condition::find(&status.conditions, kind).unwrap();
            format!("{} {}", found.status, found.reason)
        };
        assert_eq!((told(BOUND).as_str(), told(READY).as_str()), (bound_is, ready_is));
    }
}

#[test]
fn an_overdue_review_suspends() {
    let mut seen = facts([Right::Withheld, Right::Withheld]);
    seen.withheld = Some(Fault::new(Reason::ReviewOverdue, "overdue"));
    let due = Timestamp::UNIX_EPOCH;
    seen.review = Some(ReviewFacts { due, last: None });
    let status = status(&role(), &seen, &BoundFacts::Nothing, due);
    assert!(condition::is_true(&status.conditions, SUSPENDED));
    assert!(condition::is_true(&status.conditions, STALLED));
    assert_eq!(status.review_due.as_deref(), Some("1970-01-01T00:00:00Z"));
}

#[test]
fn a_role_of_service_accounts_says_that_it_is_a_machines_and_who_is_not_there() {
    let mut role = role();
    role.spec.login = "service-accounts".to_owned();
    role.spec.subjects = serde_json::from_value(
        json!([{"serviceAccount": {"name": "worker"}}, {"serviceAccount": {"name": "gone"}}]),
    )
    .unwrap();
    let mut seen = facts([Right::Granted, Right::Granted]);
    let told = |facts: &RoleFacts| {
        let status = status(&role, facts, &BoundFacts::NoPrefix, Timestamp::UNIX_EPOCH);
        let of = |kind| {
            let found = condition::find(&status.conditions, kind).unwrap();
            format!("{} {} {}", found.status, found.reason, found.message)
        };
        (of(READY), of(BOUND), condition::is_true(&status.conditions, STALLED))
    };
    let (ready, bound, stalled) = told(&seen);
    assert!(ready.starts_with(
        "True InForce 2 data classes can be opened by ServiceAccounts, without a second factor"
    ));
    assert!(bound.starts_with("False NothingGiven it is for ServiceAccounts") && !stalled, "{bound}");
    seen.accounts_missing.insert("gone".to_owned());
    let (ready, _, stalled) = told(&seen);
    assert!(
        ready.starts_with("False ServiceAccountNotFound spec.subjects: there is no ServiceAccount gone")
            && stalled,
        "{ready}"
    );
    seen.rights.values_mut().for_each(|right| *right = Right::NoSlot);
    assert!(told(&seen).0.contains("raise spec.access.serviceAccounts.slots"), "{}", told(&seen).0);
}
