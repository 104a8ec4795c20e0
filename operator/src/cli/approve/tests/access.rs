//! Approvals of AccessRoles, AccessGrants, AccessRevocations and uses of break-glass.

use subrosa_crds::{
    AccessGrant, AccessRevocation, AccessRole,
    access_role::{BreakGlassStatus, BreakGlassUse, uses_digest},
};

use super::*;

pub fn access_role(spec: Value) -> AccessRole {
    let mut role = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
        "metadata": {"name": "reviewer", "namespace": "cc-front", "uid": "u-role", "generation": 2},
        "spec": {
            "login": "strong", "subjects": [{"group": "cc-quality"}],
            "allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
            "review": {"every": "90d", "author": "Dirk"}, "grantedBy": "dirk",
        },
        "status": {
            "observedGeneration": 2, "rights": "0/1", "digest": format!("sha256:{}", "b".repeat(64)),
            "reviewDue": "2026-11-20T10:00:00Z",
        },
    });
    for (field, value) in spec.as_object().unwrap() {
        role["spec"][field] = value.clone();
    }
    serde_json::from_value(role).unwrap()
}

fn revocation(subject: Value, reason: &str) -> AccessRevocation {
    serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRevocation", "metadata": {"name": "leaver", "uid": "u-leaver"},
        "spec": {"subject": subject, "reason": "Exit", "note": "File 115"},
        "status": {
            "trustDomains": [{"name": "oosterlinde", "state": "Revoked", "entities": 1, "alsoHits": ["auth/ldap/"]}],
            "conditions": [{
                "type": "Ready", "status": "True", "reason": reason, "message": "1 entity is disabled",
                "lastTransitionTime": "2026-11-21T09:00:00Z",
            }],
        },
    }))
    .unwrap()
}

#[test]
fn a_release_shows_what_was_revoked_and_no_leaver_makes_one() {
    let mut seen = seen();
    let refusal = |seen: &EndObjects| page("accessrevocation/leaver", seen, Decision::Approve).0.refusal;
    seen.revocations = vec![revocation(json!({"user": "4f1c"}), "Revoked")];
    let (scope, text) = page("accessrevocation/leaver", &seen, Decision::Approve);
    for part in ["4f1c", "Exit", "File 115", "oosterlinde: Revoked", "auth/ldap/"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!((scope.needed, scope.refusal), (Some(1), None));
    assert_eq!(scope.target.digest, seen.revocations[0].spec.release_digest());
    seen.revocations = vec![revocation(json!({"user": "4f1c", "kubernetesUser": "ANNA"}), "Revoked")];
    assert!(refusal(&seen).unwrap().contains("names you"));
    seen.revocations = vec![revocation(json!({"user": "4f1c"}), "Released")];
    assert!(refusal(&seen).unwrap().contains("nothing left"));
}

#[test]
fn a_review_shows_who_may_open_what_and_the_author_makes_none() {
    let role = "accessrole/cc-front/reviewer";
    let mut seen = seen();
    let (scope, text) = page(role, &seen, Decision::Approve);
    for part in ["cc-quality", "call-recording of Channel voice", "strong", "90d", "2026-11-20T10:00:00Z"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!((scope.needed, scope.refusal), (Some(1), None));
    assert_eq!(scope.target.namespace.as_deref(), Some("cc-front"));
    assert_eq!(Some(&scope.target.digest), seen.roles[0].status.as_ref().unwrap().digest.as_ref());
    let refusal = |seen: &EndObjects| page(role, seen, Decision::Approve).0.refusal.unwrap_or_default();
    seen.roles = vec![access_role(json!({"review": {"every": "90d", "author": "ANNA"}}))];
    assert!(refusal(&seen).contains("you wrote it"));
    seen.roles = vec![access_role(json!({"review": null}))];
    assert!(refusal(&seen).contains("no spec.review"));
    // What the granter did not look at yet is not what would be approved.
    seen.roles[0].metadata.generation = Some(3);
    let (screen, _) = Screen::captured();
    let error = shown(&named(role), &seen, by(Decision::Approve), &screen).unwrap_err();
    assert!(error.to_string().contains("did not look"), "{error}");
}

#[test]
fn a_role_that_nobody_gives_is_given_by_an_approval_that_names_its_channels() {
    let object = "accessrole/cc-front/reviewer";
    let mut seen = seen();
    seen.roles = vec![access_role(json!({"grantedBy": null, "review": {"every": "90d", "author": "anna"}}))];
    let (scope, text) = page(object, &seen, Decision::Approve);
    for part in [
        "Who gives it",
        "voice: whoever approves has the verb grant",
        "cc-quality",
        "call-recording of Channel voice",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let digest = seen.roles[0].spec.scope_digest();
    assert_eq!(
        (scope.target.channels.as_slice(), &scope.target.digest),
        (&["voice".to_owned()][..], &digest)
    );
    assert_eq!((scope.needed, &scope.refusal), (Some(1), &None), "its author may give it");
    let denial = page(object, &seen, Decision::Deny).0;
    assert_eq!((denial.target.channels.len(), &denial.target.digest), (0, &digest));
    // Where it is given as it is now, its review is what is decided.
    let given = json!([{
        "type": "Given", "status": "True", "reason": "Approved", "message": "bas gives it", "lastTransitionTime": "2026-11-21T09:00:00Z",
    }]);
    seen.roles[0].status.as_mut().unwrap().conditions = serde_json::from_value(given).unwrap();
    let (scope, _) = page(object, &seen, Decision::Approve);
    assert!(scope.target.channels.is_empty() && scope.refusal.unwrap().contains("you wrote it"));
    seen.roles[0].metadata.generation = Some(3);
    let (scope, _) = page(object, &seen, Decision::Approve);
    assert_eq!(scope.target.channels, ["voice"], "it was changed since");
    let many: Vec<_> = (0..25).map(|number| format!("c-{number}")).collect();
    let allow = json!([{"channels": many, "dataClasses": ["call-recording"], "actions": ["Open"]}]);
    seen.roles = vec![access_role(json!({"grantedBy": null, "allow": allow}))];
    assert!(page(object, &seen, Decision::Approve).0.refusal.unwrap().contains("25 Channels"));
}

#[test]
fn a_grant_shows_who_gets_what_and_neither_who_asks_nor_who_gets_it_approves() {
    let object = "accessgrant/cc-front/inc-4411";
    let mut seen = seen();
    let role = access_role(json!({"grants": {"max": "4h"}, "conflictsWith": ["billing"]}));
    let asked = |user: &str, by: &str, reason: &str| -> AccessGrant {
        let mut grant: AccessGrant = serde_json::from_value(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessGrant",
            "metadata": {"name": "inc-4411", "namespace": "cc-front", "uid": "u-grant"},
            "spec": {
                "role": "reviewer", "subject": {"user": user}, "reason": "INC-4411", "duration": "2h", "requestedBy": by,
            },
            "status": {
                "approvals": "0/2",
                "conditions": [{
                    "type": "Ready", "status": "False", "reason": reason, "message": "0 people approved of 2",
                    "lastTransitionTime": "2026-11-21T09:00:00Z",
                }],
            },
        }))
        .unwrap();
        let digest = grant.spec.digest(&role.uid().unwrap_or_default(), &role.spec.login, &role.spec.opens());
        grant.status.as_mut().unwrap().digest = Some(digest);
        grant
    };
    seen.roles = vec![role.clone()];
    seen.grants = vec![asked("4f1c", "bas", "AwaitingApproval")];
    let (scope, text) = page(object, &seen, Decision::Approve);
    for part in ["4f1c", "2h", "INC-4411", "bas", "strong", "call-recording of Channel voice", "billing"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!((scope.needed, scope.refusal), (Some(2), None));
    assert_eq!(Some(&scope.target.digest), seen.grants[0].status.as_ref().unwrap().digest.as_ref());
    let refusal = |seen: &EndObjects| page(object, seen, Decision::Approve).0.refusal.unwrap_or_default();
    for (user, by) in [("Anna", "bas"), ("4f1c", "oidc:ANNA")] {
        seen.grants = vec![asked(user, by, "AwaitingApproval")];
        assert!(refusal(&seen).contains("neither approves it"), "{user} {by}");
    }
    seen.grants = vec![asked("4f1c", "bas", "InForce")];
    assert!(refusal(&seen).contains("in force"));
    assert_eq!(page(object, &seen, Decision::Deny).0.refusal, None);
    seen.grants = vec![asked("4f1c", "bas", "GrantExpired")];
    seen.grants[0].status.as_mut().unwrap().ends_at = Some("2026-11-21T09:00:00Z".into());
    assert!(refusal(&seen).contains("it is over"));
    // The role is another than the granter looked at.
    seen.grants = vec![asked("4f1c", "bas", "AwaitingApproval")];
    seen.roles[0].spec.login = "weak".into();
    assert!(refusal(&seen).contains("status.digest"));
    seen.grants[0].status = None;
    let (screen, _) = Screen::captured();
    let error = shown(&named(object), &seen, by(Decision::Approve), &screen).unwrap_err();
    assert!(error.to_string().contains("did not look"), "{error}");
}

#[test]
fn uses_of_break_glass_are_shown_and_who_used_it_reviews_none() {
    let object = "breakglass/cc-front/reviewer";
    let mut seen = seen();
    let (screen, _) = Screen::captured();
    let error = shown(&named(object), &seen, by(Decision::Approve), &screen).unwrap_err();
    assert!(error.to_string().contains("no use of break-glass"), "{error}");
    let used = |person: &str| BreakGlassUse {
        first: "2026-11-22T09:00:00Z".to_owned(),
        last: "2026-11-22T10:00:00Z".to_owned(),
        person: person.to_owned(),
        logins: 2,
    };
    let told = |seen: &mut EndObjects, person: &str| {
        let mut role = access_role(json!({"breakGlass": {"group": "on-call"}}));
        let uses = vec![used(person)];
        role.status.as_mut().unwrap().break_glass = Some(BreakGlassStatus {
            digest: Some(uses_digest(&uses)),
            people: Some(1),
            uses,
            ..Default::default()
        });
        seen.roles = vec![role];
    };
    told(&mut seen, "ivo");
    let (scope, text) = page(object, &seen, Decision::Approve);
    for part in ["ivo", "2026-11-22T10:00:00Z", "on-call", "call-recording of Channel voice"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!((scope.refusal, scope.target.kind), (None, TargetKind::AccessRole));
    assert_eq!(scope.target.digest, uses_digest(&[used("ivo")]));
    told(&mut seen, "Anna");
    assert!(page(object, &seen, Decision::Approve).0.refusal.unwrap().contains("you used it"));
    seen.roles[0].status.as_mut().unwrap().break_glass.as_mut().unwrap().uses.push(used("zoe"));
    assert!(page(object, &seen, Decision::Deny).0.refusal.unwrap().contains("did not write it"));
}
