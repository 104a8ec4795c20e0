mod access;

use serde_json::{Value, json};
use subrosa_crds::{
    Adoption, Approval,
    approval::{ApprovalTarget, TargetKind},
};
use subrosa_destroyer::cluster::Told;

use self::access::access_role;
use super::*;
use crate::cli::testing;

fn seen() -> EndObjects {
    let mut domain = testing::domain();
    domain.spec.vault.snapshots =
        Some(serde_json::from_value(json!({"maxAge": "24h", "retain": "30d"})).unwrap());
    domain.metadata.uid = Some("u-domain".into());
    let mut policy = testing::policy();
    policy.metadata.uid = Some("u-policy".into());
    let told: Told = serde_json::from_value(json!({
        "version": 7,
        "waiting": {"contactcenter": ["grace: 1d (14d binds)"]},
        "rules": {"contactcenter": {"approvals": 3, "grace": "14d", "mode": "Report"}},
        "guardedSince": "2026-11-20T00:00:00Z", "requester": "system:serviceaccount:subrosa-system:subrosa",
    }))
    .unwrap();
    EndObjects {
        domains: vec![domain],
        policies: vec![policy],
        holds: vec![testing::hold()],
        destructions: vec![testing::destruction()],
        adoptions: vec![adoption()],
        roles: vec![access_role(json!({}))],
        grants: Vec::new(),
        revocations: Vec::new(),
        approvals: vec![
            approval("bas", json!({})),
            approval("cor", json!({"expires": "2026-11-22T11:00:00Z"})),
        ],
        told: Some([("oosterlinde".to_owned(), told)].into()),
        namespace: "subrosa-system".into(),
        hidden: Vec::new(),
    }
}

fn approval(who: &str, patch: Value) -> Approval {
    let order = testing::destruction();
    let mut spec = json!({
        "target": {"kind": "Destruction", "name": order.name_any(), "uid": "u-order", "digest": order.spec.digest},
        "decision": "Approve", "approver": who, "expires": "2026-12-04T00:00:00Z",
    });
    for (field, value) in patch.as_object().unwrap() {
        spec[field] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval",
        "metadata": {"name": format!("approve-{who}"), "uid": format!("u-{who}"), "creationTimestamp": "2026-11-21T09:00:00Z"},
        "spec": spec,
    }))
    .unwrap()
}

fn adoption() -> Adoption {
    let pair = |name: &str, id: &str, adopts: &str| json!({"namespace": "cc-front", "name": name, "id": id, "adopts": adopts});
    serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Adoption", "metadata": {"name": "cc-front", "uid": "u-adoption"},
        "spec": {"trustDomain": "oosterlinde", "requestedBy": "dirk", "channels": [
            pair("voice", "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"), pair("chat", "cccccccccccccccc", "dddddddddddddddd"),
        ]},
        "status": {"channels": [
            {"adopts": "bbbbbbbbbbbbbbbb", "state": "AwaitingApproval"},
            {"adopts": "dddddddddddddddd", "state": "NothingToAdopt", "message": "another class\u{1b}[31m"},
        ]},
    }))
    .unwrap()
}

fn by(decision: Decision) -> Decider<'static> {
    Decider { user: "anna", decision, expires: "2026-12-06T12:00:00Z".parse().unwrap(), now: testing::now() }
}

fn named(text: &str) -> Named {
    text.parse().unwrap()
}

fn page(object: &str, seen: &EndObjects, decision: Decision) -> (ApprovalScope, String) {
    let (screen, _) = Screen::captured();
    shown(&named(object), seen, by(decision), &screen).unwrap()
}

fn order() -> String {
    format!("destruction/{}", testing::destruction().name_any())
}

#[test]
fn what_would_be_destroyed_is_shown_before_anybody_decides() {
    let (scope, text) = page(&order(), &seen(), Decision::Approve);
    insta::assert_snapshot!("destruction", text);
    assert_eq!((scope.needed, scope.refusal), (Some(2), None));
    let ApprovalTarget { uid, digest, .. } = &scope.target;
    assert_eq!((uid.as_str(), digest), ("u-order", &testing::destruction().spec.digest));
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn a_hold_a_policy_and_a_freeze_are_shown() {
    let mut seen = seen();
    let (hold, text) = page("hold/matter-2026-114", &seen, Decision::Approve);
    assert!(text.contains("Nobody asks for its end yet"), "{text}");
    assert_eq!(hold.target.digest, testing::hold().spec.release_digest());
    let (policy, policy_text) = page("rtp/contactcenter", &seen, Decision::Approve);
    assert_eq!(policy.needed, Some(3), "as many as bind, not as many as it says");
    assert_eq!(policy.target.digest, subrosa_plan::destruction::rules::digest(&seen.policies[0]));
    let told = seen.told.as_mut().unwrap().get_mut("oosterlinde").unwrap();
    told.frozen = Some(
        serde_json::from_value(json!({
            "reason": "StoreRestored", "message": "Vault was restored\u{1b}[31m", "since": "2026-11-22T09:00:00Z",
            "digest": "sha256:beef",
        }))
        .unwrap(),
    );
    let (domain, domain_text) = page("td/oosterlinde", &seen, Decision::Approve);
    assert_eq!((domain.target.digest.as_str(), domain.target.uid.as_str()), ("sha256:beef", "u-domain"));
    insta::assert_snapshot!("others", format!("{text}\n{policy_text}\n{domain_text}"));
    let (_, text) = page(&order(), &seen, Decision::Approve);
    assert!(text.contains("All destruction is frozen: StoreRestored"), "{text}");
}

#[test]
fn the_grace_that_binds_is_shown_for_a_weaker_policy_and_for_one_that_is_gone() {
    let mut seen = seen();
    let text = |seen: &EndObjects| page(&order(), seen, Decision::Approve).1;
    seen.policies[0].spec.destruction.get_or_insert_default().grace = Some("1d".into());
    assert!(text(&seen).contains("14d later; nothing brings them back"), "{}", text(&seen));
    seen.policies.clear();
    assert!(text(&seen).contains("14d later; nothing brings them back"), "{}", text(&seen));
    seen.told = None;
    assert!(!text(&seen).contains("nothing brings them back"), "nobody knows: {}", text(&seen));
}

#[test]
fn an_adoption_is_shown_and_who_asks_for_it_does_not_approve() {
    let mut seen = seen();
    let (scope, text) = page("adoption/cc-front", &seen, Decision::Approve);
    insta::assert_snapshot!("adoption", text);
    assert!(!text.contains('\x1b'), "{text:?}");
    assert_eq!(
        (scope.needed, scope.refusal.clone()),
        (Some(3), None),
        "as many as the strictest rules that bind ask for"
    );
    assert_eq!(scope.target.digest, adoption().spec.digest());
    let of = |who: &str| approval(who, json!({"target": scope.target.clone()}));
    seen.approvals = vec![of("anna"), of("bas"), of("dirk")];
    let counted = seen.tally(&scope.counted(), scope.domain.as_deref(), testing::now());
    assert_eq!(counted.valid(testing::now()).len(), 2, "{counted:?}");
    seen.adoptions[0].spec.requested_by = "anna".into();
    let (own, _) = page("adoption/cc-front", &seen, Decision::Approve);
    assert!(own.refusal.is_some_and(|why| why.contains("who asks does not approve")));
    assert_eq!(page("adoption/cc-front", &seen, Decision::Deny).0.refusal, None);
}

/// The destroyer's count is the one that decides; what does not count for it is not counted here.
#[test]
fn people_are_counted_as_the_destroyer_counts() {
    let mut seen = seen();
    let counted = |seen: &EndObjects| {
        let (scope, text) = page(&order(), seen, Decision::Approve);
        (
            seen.tally(&scope.counted(), scope.domain.as_deref(), testing::now()).valid(testing::now()).len(),
            text,
        )
    };
    assert_eq!(counted(&seen).0, 1, "bas; cor's Approval has expired");
    let told = |seen: &mut EndObjects, change: &dyn Fn(&mut Told)| {
        change(seen.told.as_mut().unwrap().get_mut("oosterlinde").unwrap());
    };
    told(&mut seen, &|told| told.requester = "bas".into());
    assert_eq!(counted(&seen).0, 0, "who asks does not approve");
    told(&mut seen, &|told| told.requester = "subrosa".into());
    told(&mut seen, &|told| told.guarded_since = Some("2026-11-21T09:00:01Z".parse().unwrap()));
    let (count, text) = counted(&seen);
    assert!(count == 0 && text.contains("older than the admission policy"), "{text}");
    told(&mut seen, &|told| told.guarded_since = None);
    assert_eq!(counted(&seen).0, 0, "nobody can tell who approved");
    seen.told = None;
    assert_eq!(counted(&seen).0, 1, "who may not read it is told the most that there can be");
}

#[test]
fn what_is_not_there_and_what_may_not_be_read_are_told_apart() {
    let mut seen = seen();
    let (screen, _) = Screen::captured();
    let error = |object: &str, seen: &EndObjects| {
        shown(&named(object), seen, by(Decision::Approve), &screen).map(|_| ()).unwrap_err().to_string()
    };
    assert!(error("hold/other", &seen).contains("there is no LegalHold other"));
    assert!(error("td/oosterlinde", &seen).contains("nothing is frozen"));
    seen.told = None;
    seen.hidden = vec!["LegalHolds"];
    assert!(error("td/oosterlinde", &seen).contains("ConfigMap subrosa-system/subrosa-destroyer"));
    seen.holds.clear();
    assert!(error("hold/other", &seen).contains("cannot be read"));
    let (_, text) = page("rtp/contactcenter", &seen, Decision::Approve);
    assert!(text.contains("You may not read ConfigMap"), "{text}");
}

#[test]
fn a_list_that_the_operator_did_not_make_or_that_is_outdated_is_not_approved() {
    let refusal = |seen: &EndObjects, decision| page(&order(), seen, decision).0.refusal.unwrap_or_default();
    assert_eq!(refusal(&seen(), Decision::Approve), "");
    let mut forged = seen();
    forged.destructions[0].spec.keys.pop();
    assert!(refusal(&forged, Decision::Approve).contains("the operator did not make it"));
    assert!(refusal(&forged, Decision::Deny).contains("the operator did not make it"));
    let mut changed = seen();
    changed.policies[0].spec.classes[0].keep = "30d".into();
    assert!(refusal(&changed, Decision::Approve).contains("was changed since"));
    assert_eq!(refusal(&changed, Decision::Deny), "");
    let mut done = seen();
    done.destructions[0].status.as_mut().unwrap().destroyed = Some(4);
    assert!(refusal(&done, Decision::Deny).contains("nothing left"));
}

#[test]
fn no_machine_decides() {
    assert!(is_person("anna").is_ok() && is_person("oidc:system:anna").is_ok());
    for user in ["system:serviceaccount:subrosa-system:subrosa", "system:admin", "system:node:a"] {
        assert!(is_person(user).unwrap_err().to_string().contains("a person decides"), "{user}");
    }
}

#[test]
fn what_comes_next_follows_from_who_approves() {
    let mut seen = seen();
    let said = |seen: &EndObjects, decision| {
        let (scope, _) = page(&order(), seen, decision);
        let made = made::approval(scope.target.clone(), decision, "anna", by(decision).expires, 1);
        after(&made, &scope, seen, by(decision))
    };
    let one = said(&seen, Decision::Approve);
    assert!(one.contains("1 of 2 people: bas approve.") && one.contains("More people have to"), "{one}");
    seen.approvals.push(approval("anna", json!({})));
    let two = said(&seen, Decision::Approve);
    assert!(two.contains("2 of 2 people: anna, bas") && two.contains("sets the keys aside"), "{two}");
    seen.approvals.push(approval("dirk", json!({"decision": "Deny"})));
    let denied = said(&seen, Decision::Approve);
    assert!(denied.contains("approve-dirk denies it") && !denied.contains("sets the keys"), "{denied}");
    seen.destructions[0].status.as_mut().unwrap().set_aside = Some(3);
    let back = said(&seen, Decision::Deny);
    assert!(
        back.contains("3 keys set aside: brought back") && back.contains("2026-12-06T12:00:00Z"),
        "{back}"
    );
}

#[test]
fn an_approval_is_as_the_api_wants_it() {
    let (scope, _) = page(&order(), &seen(), Decision::Approve);
    let made =
        made::approval(scope.target, Decision::Approve, "anna", by(Decision::Approve).expires, 0x0bad_cafe);
    let value = serde_json::to_value(&made).unwrap();
    assert_eq!(subrosa_crds::validate::<Approval>(&value), [], "{value:#}");
    let expected = Decision::Approve;
    assert_eq!((made.spec.decision, made.spec.approver.as_str()), (expected, "anna"));
    assert_eq!(made.spec.target.kind, TargetKind::Destruction);
    assert_eq!(made.spec.expires, "2026-12-06T12:00:00Z");
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: ApproveArgs,
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let line = |line: &str| {
        <Line as clap::Parser>::try_parse_from(line.split_whitespace()).map(|line| line.args.common)
    };
    assert_eq!(line("approve hold/m --dry-run").unwrap().dry_run, Some(DryRun::Client));
    assert_eq!(line("approve hold/m --dry-run=client -o yaml").unwrap().output, Some(Format::Yaml));
    assert!(line("approve hold/m --dry-run=server").is_err() && line("approve pod/m").is_err());
    let args = line("approve hold/m --kubeconfig /nowhere").unwrap();
    let (mut screen, _) = Screen::captured();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if is_terminal() {
        return; // Somebody runs this test by hand, and would be asked.
    }
    let error = runtime.block_on(run(&args, Decision::Approve, &mut screen)).unwrap_err();
    assert!(error.to_string().contains("--yes"), "{error}");
}

#[test]
fn only_a_whole_yes_decides() {
    let (scope, _) = page(&order(), &seen(), Decision::Deny);
    let asked = question(&scope, by(Decision::Deny));
    let (mut screen, captured) = Screen::captured();
    let mut answered = |answer: &str| agreed(&asked, &mut answer.as_bytes(), &mut screen).unwrap();
    assert!(answered("yes\n") && answered(" yes \nno\n"));
    for no in ["", "\n", "y\n", "YES\n", "no\nyes\n", "yes!\n"] {
        assert!(!answered(no), "{no:?}");
    }
    let said = captured.said();
    assert!(
        said.contains("Deny Destruction contactcenter.20261120.") && said.contains("as anna, until"),
        "{said}"
    );
}
