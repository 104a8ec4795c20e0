use serde_json::{Value, json};

use super::*;
use crate::testing::{at, merge, read};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn login(person: &str, token: &str, time: &str) -> GlassLogin {
    GlassLogin {
        alias: format!("alias-{person}"),
        person: person.to_owned(),
        entity: format!("entity-{person}"),
        token: token.to_owned(),
        at: at(&format!("2026-11-22T{time}:00Z")),
    }
}

fn roles(roles: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
    let people = |people: &[&str]| people.iter().map(|person| format!("entity-{person}")).collect();
    roles.iter().map(|(uid, all)| ((*uid).to_owned(), people(all))).collect()
}

fn observe_at(
    record: &mut BreakGlassRecord,
    logins: &[GlassLogin],
    roles: &BTreeMap<String, BTreeSet<String>>,
    now: &str,
) -> Vec<String> {
    let news = observe(record, logins, roles, HOUR, at(&format!("2026-11-22T{now}:00Z")));
    news.into_iter().map(|one| format!("{} {}", one.role, one.person)).collect()
}

fn role() -> AccessRole {
    read(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
        "metadata": {"name": "reviewer", "namespace": "cc-front", "uid": "u"},
        "spec": {
            "login": "strong", "subjects": [{"group": "quality"}], "breakGlass": {"group": "on-call"},
            "allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
        },
    }))
}

fn approval(digest: &str, patch: Value) -> Approval {
    let mut approval = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval",
        "metadata": {"name": "a", "uid": "uid-a", "creationTimestamp": "2026-11-22T11:00:00Z"},
        "spec": {
            "target": {"kind": "AccessRole", "namespace": "cc-front", "name": "reviewer", "uid": "u", "digest": digest},
            "decision": "Approve", "approver": "petra", "expires": "2026-11-29T00:00:00Z",
        },
    });
    merge(&mut approval, patch);
    read(approval)
}

#[test]
fn each_token_is_a_use_and_the_same_one_is_told_once() {
    let (mut record, both) = (BreakGlassRecord::default(), roles(&[("u", &["bas"]), ("v", &["rob"])]));
    let first = [login("bas", "t1", "09:00")];
    assert_eq!(observe_at(&mut record, &first, &both, "09:01"), ["u bas"]);
    let known = record.clone();
    assert!(observe_at(&mut record, &first, &both, "09:02").is_empty());
    assert_eq!(record, known, "quiet");
    assert_eq!(observe_at(&mut record, &[login("bas", "t2", "09:30")], &both, "09:31"), ["u bas"]);
    let found = unreviewed(&record, "u", "3d", &TimeZone::UTC);
    assert_eq!((found.people, found.listed[0].logins), (1, 2));
    assert_eq!(found.listed[0].first, "2026-11-22T09:00:00Z");
    assert_eq!((found.last, found.due), (Some(at("2026-11-22T09:30:00Z")), Some(at("2026-11-25T09:00:00Z"))));
    assert_eq!(unreviewed(&record, "v", "3d", &TimeZone::UTC), UnreviewedUses::default());
}

#[test]
fn who_is_in_no_group_is_told_everywhere_and_without_a_role_of_none() {
    let (mut record, both) = (BreakGlassRecord::default(), roles(&[("u", &[]), ("v", &[])]));
    assert_eq!(observe_at(&mut record, &[login("bas", "t", "09:00")], &both, "09:01"), ["u bas", "v bas"]);
    let mut record = BreakGlassRecord::default();
    assert_eq!(observe_at(&mut record, &[login("bas", "t", "09:00")], &roles(&[]), "09:01"), [" bas"]);
    pass_on(&mut record, &["u".to_owned()]);
    assert_eq!(unreviewed(&record, "u", "3d", &TimeZone::UTC).people, 1);
    assert!(!record.uses.contains_key(OF_NO_ROLE));
}

#[test]
fn a_session_counts_for_a_role_that_came_while_it_lasts() {
    let (mut record, one) = (BreakGlassRecord::default(), roles(&[("u", &["bas"])]));
    let logins = [login("bas", "t", "09:00")];
    observe_at(&mut record, &logins, &one, "09:01");
    let two = roles(&[("u", &["bas"]), ("v", &["bas"])]);
    assert_eq!(observe_at(&mut record.clone(), &logins, &two, "09:59"), ["v bas"]);
    assert!(observe_at(&mut record, &logins, &two, "10:00").is_empty(), "the session is over");
}

#[test]
fn the_uses_of_a_role_that_is_gone_are_not_hidden() {
    let mut record = BreakGlassRecord::default();
    observe_at(&mut record, &[login("bas", "t", "09:00")], &roles(&[("u", &["bas"])]), "09:01");
    pass_on(&mut record, &[]);
    assert_eq!(record.uses.keys().collect::<Vec<_>>(), [OF_NO_ROLE], "it waits for a role");
    pass_on(&mut record, &["v".to_owned(), "w".to_owned()]);
    assert_eq!(record.uses.keys().collect::<Vec<_>>(), ["v", "w"]);
    let before = record.clone();
    pass_on(&mut record, &["v".to_owned(), "w".to_owned()]);
    assert_eq!(record, before);
}

#[test]
fn a_review_counts_by_somebody_who_did_not_use_it_of_exactly_these_uses() {
    let (mut record, one) = (BreakGlassRecord::default(), roles(&[("u", &["bas"])]));
    observe_at(&mut record, &[login("bas", "t", "09:00")], &one, "09:01");
    let digest = uses_digest(&unreviewed(&record, "u", "3d", &TimeZone::UTC).listed);
    let since = Some(at("2026-11-20T00:00:00Z"));
    let noted = |record: &BreakGlassRecord, approvals: &[Approval]| {
        let mut record = record.clone();
        let mark = review(&mut record, &role(), approvals, since, at("2026-11-22T12:00:00Z"));
        (mark.map(|mark| mark.approver), record.uses.is_empty())
    };
    assert_eq!(noted(&record, &[approval(&digest, json!({}))]), (Some("petra".to_owned()), true));
    let by = |who: &str| json!({"spec": {"approver": who}});
    for patch in [
        by("bas"),
        by("BAS"),
        by("oidc:Bas"),
        by("https://login.example#bas"),
        by("bas@oosterlinde.example"),
        json!({"spec": {"expires": "2026-11-22T11:30:00Z"}}),
        json!({"spec": {"decision": "Deny"}}),
        json!({"spec": {"target": {"namespace": "cc-back"}}}),
        json!({"spec": {"target": {"uid": "v"}}}),
        json!({"metadata": {"creationTimestamp": "2026-11-19T10:00:00Z"}}),
    ] {
        assert_eq!(noted(&record, &[approval(&digest, patch.clone())]), (None, false), "{patch}");
    }
    assert_eq!(noted(&record, &[approval(&digest, by("bastiaan"))]).0.as_deref(), Some("bastiaan"));
    let deny = approval(
        &digest,
        json!({"metadata": {"name": "b"}, "spec": {"approver": "cees", "decision": "Deny"}}),
    );
    assert_eq!(noted(&record, &[approval(&digest, json!({})), deny]).0, None, "somebody denies");
    observe_at(&mut record, &[login("bas", "t2", "10:00")], &one, "10:01");
    assert_eq!(noted(&record, &[approval(&digest, json!({}))]), (None, false), "a use came after it");
}

#[test]
fn the_oldest_are_listed_and_reviewed_first() {
    let mut record = BreakGlassRecord::default();
    let all: Vec<_> = (0..25).map(|n| login(&format!("p{n:02}"), "t", &format!("09:{n:02}"))).collect();
    observe_at(&mut record, &all, &roles(&[("u", &[])]), "10:00");
    let found = unreviewed(&record, "u", "3d", &TimeZone::UTC);
    assert_eq!((found.people, found.listed.len(), found.listed[0].person.as_str()), (25, MAX_LISTED, "p00"));
    let approvals = [approval(&uses_digest(&found.listed), json!({}))];
    let since = Some(at("2026-11-20T00:00:00Z"));
    assert!(review(&mut record, &role(), &approvals, since, at("2026-11-22T12:00:00Z")).is_some());
    let left = unreviewed(&record, "u", "3d", &TimeZone::UTC);
    assert_eq!((left.people, left.listed[0].person.as_str()), (5, "p20"));
    assert!(review(&mut record, &role(), &approvals, since, at("2026-11-22T12:00:00Z")).is_none());
}

#[test]
fn an_alias_that_is_gone_leaves_its_use() {
    let mut record = BreakGlassRecord::default();
    observe_at(&mut record, &[login("bas", "t", "09:00")], &roles(&[("u", &["bas"])]), "09:01");
    forget(&mut record, &[]);
    assert!(record.seen.is_empty());
    assert_eq!(unreviewed(&record, "u", "3d", &TimeZone::UTC).people, 1);
}

#[test]
fn a_login_without_room_is_left_out_as_a_whole_and_told_when_there_is_room() {
    let (mut record, now) = (BreakGlassRecord::default(), at("2026-11-22T10:00:00Z"));
    let long = "x".repeat(400_000);
    let one = |name: &&str| GlassLogin { person: long.clone(), ..login(name, "t", "09:30") };
    let people: Vec<_> = ["bas", "gert", "rob"].iter().map(one).collect();
    let both = roles(&[("u", &[]), ("v", &[])]);
    let told = observe(&mut record, &people, &both, HOUR, now);
    assert_eq!(told.len(), 2, "one person, of both roles");
    assert_eq!((record.seen.len(), record.uses["u"].len(), record.uses["v"].len()), (1, 1, 1));
    assert!(record::bytes(&record) < record::MOST_BYTES);
    assert!(crowded(&record, &people).is_some_and(|fault| fault.message.contains("2 more logins")));
    let known = record.clone();
    assert!(observe(&mut record, &people, &both, HOUR, now).is_empty());
    assert_eq!(record, known, "quiet");
    record.uses.clear();
    assert_eq!(observe(&mut record, &people, &both, HOUR, now).len(), 2, "after a review the next one");
    assert!(crowded(&record, &people[..2]).is_none(), "{:?}", record.seen.keys());
}

#[test]
fn what_is_passed_on_stays_with_one_role_where_there_is_no_room_for_more() {
    let mut record = BreakGlassRecord::default();
    let bas = GlassLogin { person: "x".repeat(500_000), ..login("bas", "t", "09:30") };
    observe(&mut record, &[bas], &roles(&[]), HOUR, at("2026-11-22T10:00:00Z"));
    pass_on(&mut record, &["u".to_owned(), "v".to_owned()]);
    assert_eq!(record.uses.keys().collect::<Vec<_>>(), ["u"]);
    assert!(record::bytes(&record) < record::MOST_BYTES);
}
