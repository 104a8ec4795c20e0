use clap::Parser as _;
use serde_json::{Value, json};

use super::*;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: LeaverArgs,
}

fn args(line: &[&str]) -> LeaverArgs {
    Line::try_parse_from(["leaver"].iter().chain(line)).map(|line| line.args).unwrap()
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn seen() -> AccessObjects {
    let domain = |name: &str, mount: &str| {
        json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "TrustDomain", "metadata": {"name": name},
            "spec": {
                "organisation": {"name": "Ziekenhuis", "country": "NL", "privacyContact": "privacy-office"},
                "jurisdictions": ["NL"], "timeZone": "Europe/Amsterdam",
                "vault": {
                    "address": "https://openbao.security.svc:8200",
                    "auth": {"kubernetes": {"mount": format!("kubernetes-{name}"), "role": "subrosa", "audience": "vault"}},
                },
                "retentionPolicies": ["contactcenter"], "network": {"clusterCIDRs": ["10.244.0.0/16"]},
                "access": {
                    "provider": {"issuer": "https://login.example", "mount": mount},
                    "logins": [{"name": "strong", "acceptedAmr": ["mfa"]}],
                    "breakGlass": {"groups": ["on-call"], "acceptedAmr": ["hwk"]},
                    "serviceAccounts": (name == "a").then(|| json!({"slots": 4})),
                },
            },
        })
    };
    let role = |name: &str, namespace: &str, login: &str, subject: Value| {
        json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "login": login, "subjects": [subject],
                "allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
            },
        })
    };
    let grant = |name: &str, user: &str, by: &str, ends: Option<&str>| {
        json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessGrant", "metadata": {"name": name, "namespace": "cc-front"},
            "spec": {"role": "reviewer", "subject": {"user": user}, "reason": "INC", "duration": "1h", "requestedBy": by},
            "status": {"endsAt": ends},
        })
    };
    let approval = |name: &str, by: &str, decision: &str, expires: &str| {
        json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval", "metadata": {"name": name},
            "spec": {
                "target": {"kind": "LegalHold", "name": "matter", "uid": "u", "digest": "d"},
                "decision": decision, "approver": by, "expires": expires,
            },
        })
    };
    AccessObjects {
        domains: vec![
            read(domain("a", "people")),
            read(domain("b", "people")),
            read(domain("c", "others")),
        ],
        roles: vec![
            read(role("reviewer", "cc-front", "strong", json!({"group": "Quality"}))),
            read(role("machines", "cc-front", "service-accounts", json!({"serviceAccount": {"name": "transcriber"}}))),
            read(role("others", "cc-front", "service-accounts", json!({"serviceAccount": {"name": "archiver"}}))),
            read(role("elsewhere", "cc-back", "service-accounts", json!({"serviceAccount": {"name": "transcriber"}}))),
        ],
        channels: vec![read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": "scribe", "namespace": "cc-front"},
            "spec": {"workload": {"selector": {"matchLabels": {"app": "scribe"}}, "serviceAccountName": "transcriber"}},
        }))],
        revocations: ["transcriber", "archiver"]
            .map(|name| {
                read(json!({
                    "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRevocation", "metadata": {"name": format!("of-{name}")},
                    "spec": {"subject": {"serviceAccount": {"namespace": "cc-front", "name": name}}, "reason": "Incident"},
                }))
            })
            .into(),
        grants: vec![
            read(grant("hers", "ANNA", "oidc:bas", None)),
            read(grant("over", "anna", "oidc:bas", Some("2026-11-01T10:00:00Z"))),
            read(grant("of-others", "bas", "oidc:Anna", None)),
            read(grant("neither", "bas", "oidc:bas", None)),
        ],
        approvals: vec![
            read(approval("counts", "oidc:anna", "Approve", "2026-12-31T00:00:00Z")),
            read(approval("denies", "oidc:anna", "Deny", "2026-12-31T00:00:00Z")),
            read(approval("expired", "oidc:anna", "Approve", "2026-11-01T00:00:00Z")),
            read(approval("of-bas", "oidc:bas", "Approve", "2026-12-31T00:00:00Z")),
        ],
        ..AccessObjects::default()
    }
}

fn leaver(line: &[&str]) -> Leaver {
    let (args, now) = (args(line), "2026-11-22T10:00:00Z".parse().unwrap());
    Leaver::of(&seen(), &revocation(&args, "cc-front", now).unwrap(), &args.groups, now)
}

#[test]
fn everything_that_would_end_is_listed_first() {
    let found = leaver(&["Anna", "--kubernetes-user", "oidc:anna", "--group", "quality"]);
    let domains: Vec<_> = found.trust_domains.iter().map(told).collect();
    assert_eq!(domains.len(), 3);
    assert!(domains[0].contains("auth/people/, auth/kubernetes-a/, auth/people-break-glass/"), "{domains:?}");
    assert!(domains[0].contains("TrustDomain b too") && !domains[2].contains("too"), "{domains:?}");
    assert_eq!(found.grants, ["cc-front/hers of AccessRole reviewer"]);
    assert_eq!(found.asked_for, ["cc-front/of-others of AccessRole reviewer"]);
    assert_eq!(found.approvals, ["counts of LegalHold matter"]);
    assert_eq!(found.roles, ["cc-front/reviewer"]);
    let text = drawn(&found);
    assert!(text.contains("AccessRevocations that name them already: none"), "{text}");
    let made = serde_json::to_value(&found).unwrap();
    assert_eq!(made["revocation"]["metadata"]["name"], "leaver-20261122-100000");
    assert_eq!(made["revocation"]["spec"]["reason"], "Exit");
}

#[test]
fn a_service_account_has_roles_of_its_namespace_and_goes_on_as_a_workload() {
    for written in ["transcriber", "cc-front/transcriber"] {
        let found = leaver(&["--service-account", written]);
        assert_eq!(found.service_account.as_deref(), Some("cc-front/transcriber"));
        assert_eq!(found.roles, ["cc-front/machines"]);
        assert_eq!(found.standing, ["of-transcriber"]);
        let domains: Vec<_> = found.trust_domains.iter().map(told).collect();
        assert_eq!(domains.len(), 1, "the only one with a login for them: {domains:?}");
        assert!(domains[0].contains("auth/people-service-accounts/"), "{domains:?}");
        assert!(found.notes.iter().any(|note| note.contains("cc-front/scribe")), "{:?}", found.notes);
        let made = serde_json::to_value(&found).unwrap();
        let subject = json!({"serviceAccount": {"namespace": "cc-front", "name": "transcriber"}});
        assert_eq!(made["revocation"]["spec"]["subject"], subject);
        assert_eq!((&made["person"], &made["grants"]), (&Value::Null, &json!([])));
        let text = drawn(&found);
        assert!(text.contains("AccessRoles that give it nothing any more:\n  cc-front/machines\n"), "{text}");
    }
    let other = leaver(&["--service-account", "cc-back/transcriber"]);
    assert_eq!(other.roles, ["cc-back/elsewhere"]);
    assert!(other.standing.is_empty() && other.notes.len() == 2, "{:?}", other.notes);
    for line in [
        &["leaver"][..],
        &["leaver", "anna", "--service-account", "a"],
        &["leaver", "--service-account", "a", "--group", "b"],
    ] {
        assert!(Line::try_parse_from(line).is_err(), "{line:?}");
    }
}

#[test]
fn it_is_limited_to_trust_domains_and_refused_where_the_cluster_would() {
    let found = leaver(&["anna", "--trust-domain", "b", "--reason", "JobChange"]);
    assert_eq!(found.trust_domains.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(found.roles.is_empty() && found.notes[0].contains("--group"));
    let refused =
        revocation(&args(&["anna", "--name", "Not.A.Label"]), "cc-front", Timestamp::now()).unwrap_err();
    assert!(
        refused.to_string().contains("metadata.name") || refused.to_string().contains("DNS"),
        "{refused}"
    );
}
