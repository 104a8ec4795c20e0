use serde_json::{Value, json};

use super::*;
use crate::testing::{at, merge, read};

const NOON: &str = "2026-11-22T12:00:00Z";

fn role(patch: Value) -> AccessRole {
    let mut role = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
        "metadata": {"name": "reviewer", "namespace": "cc-front", "uid": "u"},
        "spec": {
            "login": "strong", "subjects": [{"group": "quality"}],
            "allow": [{"channels": ["voice", "chat"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
        },
    });
    merge(&mut role, patch);
    read(role)
}

fn approval(name: &str, patch: Value) -> Approval {
    let mut approval = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval",
        "metadata": {"name": name, "uid": format!("uid-{name}"), "creationTimestamp": "2026-11-22T10:00:00Z"},
        "spec": {
            "target": {
                "kind": "AccessRole", "namespace": "cc-front", "name": "reviewer", "uid": "u",
                "digest": role(json!({})).spec.scope_digest(), "channels": ["voice", "chat", "mail"],
            },
            "decision": "Approve", "approver": "bas", "expires": "2026-11-29T00:00:00Z",
        },
    });
    merge(&mut approval, patch);
    read(approval)
}

fn found(approvals: &[Approval], before: Option<&ReviewMark>) -> Option<ReviewMark> {
    let since = Some(at("2026-11-20T00:00:00Z"));
    noted(&role(json!({})), approvals, since, before, at(NOON))
}

fn record(mark: ReviewMark) -> ReviewsRecord {
    ReviewsRecord { given: [("u".to_owned(), mark)].into(), ..ReviewsRecord::default() }
}

fn gives(role: &AccessRole, record: &ReviewsRecord) -> bool {
    ungiven([role], record).is_empty()
}

#[test]
fn an_approval_of_all_its_channels_and_of_exactly_what_it_says_gives_it() {
    let mark = found(&[approval("a", json!({}))], None).unwrap();
    assert_eq!((mark.approver.as_str(), mark.at), ("bas", at("2026-11-22T10:00:00Z")));
    assert_eq!(found(&[approval("a", json!({}))], Some(&mark)), None, "it is noted already");
    let target = |field: &str, value: Value| json!({"spec": {"target": {field: value}}});
    for patch in [
        target("channels", json!(["voice"])),
        target("channels", Value::Null),
        target("digest", json!("sha256:e")),
        target("uid", json!("v")),
        target("namespace", json!("cc-back")),
        target("name", json!("other")),
        json!({"spec": {"expires": "2026-11-22T11:00:00Z"}}),
        json!({"spec": {"decision": "Deny"}}),
        json!({"spec": {"approver": "system:serviceaccount:argocd:argocd"}}),
        json!({"metadata": {"creationTimestamp": "2026-11-19T10:00:00Z"}}),
    ] {
        assert_eq!(found(&[approval("a", patch.clone())], None), None, "{patch}");
    }
    let unguarded = noted(&role(json!({})), &[approval("a", json!({}))], None, None, at(NOON));
    assert_eq!(unguarded, None, "nobody checked the approver");
}

#[test]
fn a_role_gives_what_its_author_or_an_approver_gives_and_nothing_after_a_change() {
    let mark = found(&[approval("a", json!({}))], None).unwrap();
    let approved = record(mark);
    let nothing = ReviewsRecord::default();
    assert!(!gives(&role(json!({})), &nothing));
    assert!(gives(&role(json!({})), &approved));
    assert!(gives(&role(json!({"spec": {"grantedBy": "anna"}})), &nothing));
    for patch in [
        json!({"spec": {"subjects": [{"group": "all"}]}}),
        json!({"spec": {"login": "weak"}}),
        json!({"spec": {"allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}]}}),
        json!({"spec": {"breakGlass": {"group": "on-call"}}}),
        json!({"spec": {"grants": {"max": "8h"}}}),
        json!({"spec": {"conflictsWith": ["billing"]}}),
        json!({"spec": {"review": {"every": "90d", "author": "anna"}}}),
        json!({"metadata": {"uid": "anew"}}),
    ] {
        assert!(!gives(&role(patch.clone()), &approved), "{patch}");
    }
    let fault = ungiven([&role(json!({}))], &nothing).into_values().next().unwrap();
    assert_eq!(fault.reason, Reason::AwaitingApproval);
    assert!(
        fault.message.contains("chat, voice")
            && fault.message.contains("approve accessrole/cc-front/reviewer")
    );
}

#[test]
fn a_denial_takes_it_back_for_good() {
    let mark = found(&[approval("a", json!({}))], None).unwrap();
    let deny =
        approval("d", json!({"spec": {"decision": "Deny", "approver": "cor", "target": {"channels": null}}}));
    let back = found(&[approval("a", json!({})), deny.clone()], Some(&mark)).unwrap();
    assert!(!gives(&role(json!({})), &record(back.clone())));
    assert_eq!(found(&[approval("a", json!({})), deny], Some(&back)), None, "it is noted already");
    assert_eq!(
        found(&[approval("a", json!({}))], Some(&back)),
        None,
        "what was approved before counts no more"
    );
    let anew = approval("b", json!({"metadata": {"creationTimestamp": "2026-11-22T12:00:00Z"}}));
    assert!(found(&[anew], Some(&back)).is_some());
}

#[test]
fn what_was_approved_before_an_author_gave_it_is_not_given_again_without_the_author() {
    let mark = found(&[approval("a", json!({}))], None).unwrap();
    let own = role(json!({"spec": {"grantedBy": "anna", "subjects": [{"group": "fewer"}]}}));
    let back = noted(&own, [], None, Some(&mark), at(NOON)).unwrap();
    assert_eq!(noted(&own, [], None, Some(&back), at(NOON)), None, "it is noted already");
    assert_eq!(noted(&own, [], None, None, at(NOON)), None);
    assert!(!gives(&role(json!({})), &record(back.clone())));
    assert_eq!(found(&[approval("a", json!({}))], Some(&back)), None);
}

#[test]
fn the_condition_says_who_gives_it_and_not_more_than_was_checked() {
    let told = |giver: Giver, unchecked: Option<Fault>| {
        let verdict = verdict(Some(&GivenFacts { giver, unchecked }), None, &role(json!({}))).unwrap();
        format!("{} {}", verdict.truth.as_str(), verdict.reason)
    };
    let missing = || Some(Fault::new(Reason::NotInPlace, "the policy is missing"));
    let author = || Giver::Author("anna".to_owned());
    let approver = || Giver::Approver(found(&[approval("a", json!({}))], None).unwrap());
    assert_eq!(told(author(), None), "True AuthorMayGrant");
    assert_eq!(told(author(), missing()), "Unknown NotInPlace");
    assert_eq!(told(approver(), missing()), "True Approved");
    assert_eq!(told(Giver::Nobody, None), "False AwaitingApproval");
    let fault = Fault::new(Reason::VaultUnreachable, "no answer");
    let unknown = verdict(None, Some(&fault), &role(json!({}))).unwrap();
    assert_eq!((unknown.truth, unknown.reason), (Truth::Unknown, Reason::VaultUnreachable));
}
