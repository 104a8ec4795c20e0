use serde_json::json;

use super::*;

const FILES: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: cc-front, labels: {subrosa.dev/trust-domain: oosterlinde}}
---
apiVersion: subrosa.dev/v1alpha1
kind: TrustDomain
metadata: {name: oosterlinde}
spec:
  organisation: {name: Ziekenhuis Oosterlinde, country: NL, privacyContact: privacy-office}
  jurisdictions: [NL]
  timeZone: Europe/Amsterdam
  vault: {address: "https://openbao.security.svc:8200", auth: {kubernetes: {mount: kubernetes, role: subrosa, audience: vault}}}
  retentionPolicies: [contactcenter]
  network: {clusterCIDRs: [10.244.0.0/16]}
  access:
    provider: {issuer: "https://login.oosterlinde.example/realms/staff"}
    logins: [{name: strong, acceptedAmr: [mfa, hwk]}]
---
apiVersion: subrosa.dev/v1alpha1
kind: Channel
metadata: {name: voice, namespace: cc-front}
spec:
  workload: {selector: {matchLabels: {app: sbc}}, serviceAccountName: sbc}
  dataClasses: [call-recording, transcript]
  encryption: {workloadMay: [Seal, Open]}
---
apiVersion: subrosa.dev/v1alpha1
kind: AccessRole
metadata: {name: reviewer, namespace: cc-front, creationTimestamp: "2026-11-01T10:00:00Z"}
spec:
  login: strong
  grantedBy: anna
  subjects: [{group: CC-Quality}, {group: complaints}]
  allow: [{channels: [voice], dataClasses: [call-recording], actions: [Open]}]
---
apiVersion: subrosa.dev/v1alpha1
kind: AccessRole
metadata: {name: billing, creationTimestamp: "2026-11-02T10:00:00Z"}
spec:
  login: weak
  subjects: [{group: complaints}]
  conflictsWith: [reviewer]
  allow: [{channels: [voice, fax], dataClasses: [transcript], actions: [Open]}]
"#;

pub fn seen() -> AccessObjects {
    seen_of(FILES)
}

fn seen_of(files: &str) -> AccessObjects {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("all.yaml");
    std::fs::write(&file, files).unwrap();
    let (manifests, findings) = manifest::read(&Sources { files: vec![file], recursive: false }).unwrap();
    assert!(findings.is_empty());
    AccessObjects::of_files(manifests, "cc-front").unwrap()
}

#[test]
fn who_can_open_it_in_an_emergency_is_told_too() {
    let login = "    breakGlass: {groups: [On-Call], acceptedAmr: [hwk]}\n";
    let with = |login: &str, group: &str| {
        let logins = "    logins: [{name: strong, acceptedAmr: [mfa, hwk]}]\n";
        let role = format!("  login: strong\n  breakGlass: {{group: {group}}}\n");
        FILES.replace(logins, &format!("{logins}{login}")).replace("  login: strong\n", &role)
    };
    let told = |files: &str| {
        let openings = who(&seen_of(files), Some("call-recording")).openings.into_iter();
        let of_glass = openings.filter(|one| one.login == "break-glass");
        of_glass
            .map(|one| format!("{} {} {} {}", one.group, one.state, one.gives, one.session.is_some()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&with(login, "on-call")), ["on-call Declared true true"]);
    assert_eq!(told(&with(login, "others")), ["others GroupNotEnrolled false true"]);
    assert_eq!(told(&with("", "on-call")), ["on-call LoginMissing false false"]);
    assert!(told(FILES).is_empty());
}

#[test]
fn a_service_account_is_told_as_a_machine() {
    let role = "---
apiVersion: subrosa.dev/v1alpha1
kind: AccessRole
metadata: {name: transcriber, namespace: cc-front}
spec:
  login: service-accounts
  grantedBy: anna
  subjects: [{serviceAccount: {name: transcriber}}]
  allow: [{channels: [voice], dataClasses: [call-recording], actions: [Open]}]
";
    let logins = "    logins: [{name: strong, acceptedAmr: [mfa, hwk]}]\n";
    let with = |accounts: &str| format!("{}{role}", FILES.replace(logins, &format!("{logins}{accounts}")));
    let asked = |namespace: &str, service_account: &str| Asked::Account {
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
    };
    let seen = seen_of(&with("    serviceAccounts: {ttl: 30m}\n"));
    let answer = Openings::of(&seen, asked("cc-front", "transcriber"));
    assert_eq!(rows(&answer), [" voice/call-recording transcriber Declared"]);
    let table = drawn(&answer, Paint(false));
    for shown in ["ServiceAccount cc-front/transcriber", "none: a machine", "30m", "service-accounts"] {
        assert!(table.contains(shown), "{shown}: {table}");
    }
    let value = serde_json::to_value(&answer).unwrap();
    assert_eq!(
        value["asked"],
        json!({"question": "what", "namespace": "cc-front", "serviceAccount": "transcriber"})
    );
    assert_eq!(value["openings"][0]["serviceAccount"], "transcriber");
    assert!(value["openings"][0].get("group").is_none());
    let nobody = Openings::of(&seen, asked("cc-back", "transcriber"));
    assert!(nobody.openings.is_empty() && nobody.nobody().contains("ServiceAccount cc-back/transcriber"));
    let who_can = who(&seen, Some("call-recording"));
    assert_eq!(who_can.openings.iter().filter(|one| one.service_account.is_some()).count(), 1);
    let group = Openings::of(&seen, Asked::Group { name: "transcriber".to_owned() });
    assert!(group.openings.is_empty(), "a group of that name is another");
    let without = Openings::of(&seen_of(&with("")), asked("cc-front", "transcriber"));
    assert_eq!(rows(&without), [" voice/call-recording transcriber LoginMissing"]);
}

fn who(seen: &AccessObjects, class: Option<&str>) -> Openings {
    let class = class.map(str::to_owned);
    Openings::of(seen, Asked::Channel { namespace: "cc-front".to_owned(), name: "voice".to_owned(), class })
}

fn rows(openings: &Openings) -> Vec<String> {
    let row = |one: &Opening| {
        format!("{} {}/{} {} {}", one.group, one.channel, one.data_class, one.role, one.state)
    };
    openings.openings.iter().map(row).collect()
}

#[test]
fn who_can_open_a_class_of_a_channel() {
    let answer = who(&seen(), Some("call-recording"));
    assert_eq!(
        rows(&answer),
        [
            "CC-Quality voice/call-recording reviewer Declared",
            "complaints voice/call-recording reviewer Declared",
        ]
    );
    let table = drawn(&answer, Paint(false));
    assert!(table.contains("mfa, hwk") && table.contains("15m"), "{table}");
    assert!(table.contains("The workload of Channel cc-front/voice opens its data too"), "{table}");
    let value = serde_json::to_value(&answer).unwrap();
    assert_eq!(
        value["asked"],
        json!({"question": "who", "namespace": "cc-front", "name": "voice", "class": "call-recording"})
    );
    assert_eq!(
        (&value["openings"][0]["gives"], &value["openings"][0]["session"]),
        (&json!(true), &json!("15m"))
    );
}

#[test]
fn each_action_is_a_line_and_resealing_is_told_as_what_it_is() {
    let told = |actions: &str, provider: &str| {
        let files = FILES
            .replacen(
                "dataClasses: [call-recording], actions: [Open]",
                &format!("dataClasses: [call-recording], actions: {actions}"),
                1,
            )
            .replace("realms/staff\"}", &format!("realms/staff\"{provider}}}"));
        let answer = who(&seen_of(&files), Some("call-recording"));
        let of_one = answer.openings.iter().filter(|one| one.group == "complaints");
        of_one.map(|one| format!("{:?} {}", one.action, one.state)).collect::<Vec<_>>()
    };
    assert_eq!(told("[Seal]", ""), ["Seal Declared"]);
    assert_eq!(told("[Reseal]", ""), ["Open Declared", "Seal Declared"]);
    assert_eq!(told("[List]", ""), ["List NoGroupsPrefix"]);
    assert_eq!(told("[List]", ", kubernetesGroupsPrefix: 'oidc:'"), ["List Declared"]);
}

#[test]
fn what_a_group_can_open_in_whatever_case_and_why_not() {
    let ask = |group: &str| rows(&Openings::of(&seen(), Asked::Group { name: group.to_owned() }));
    assert_eq!(ask("cc-QUALITY"), ["CC-Quality voice/call-recording reviewer Declared"]);
    assert_eq!(
        ask("complaints"),
        [
            "complaints fax/transcript billing ConflictingRoles",
            "complaints voice/call-recording reviewer Declared",
            "complaints voice/transcript billing ConflictingRoles",
        ]
    );
    let nobody = Openings::of(&seen(), Asked::Group { name: "nobody".to_owned() });
    assert!(drawn(&nobody, Paint(false)).starts_with("No AccessRole names group nobody."));
}

#[test]
fn what_files_lack_is_told() {
    let mut seen = seen();
    let of_billing = |seen: &AccessObjects| {
        let rows = rows(&Openings::of(seen, Asked::Group { name: "complaints".to_owned() }));
        rows.into_iter().filter(|row| row.contains("billing")).collect::<Vec<_>>().join("; ")
    };
    seen.roles.retain(|role| role.metadata.name.as_deref() == Some("billing"));
    let found = of_billing(&seen);
    assert_eq!(
        found,
        "complaints fax/transcript billing NotFound; complaints voice/transcript billing LoginMissing"
    );
    seen.channels[0].spec.data_classes.pop();
    assert!(of_billing(&seen).ends_with("UnknownDataClass"));
    assert!(who(&seen, Some("transcript")).missing(&seen).unwrap().contains("declares no data class"));
    seen.channels.clear();
    assert!(who(&seen, None).missing(&seen).unwrap().contains("there is no Channel cc-front/voice"));
}

#[test]
fn in_a_cluster_the_state_is_what_the_granter_found() {
    let mut seen = seen();
    seen.is_live = true;
    assert!(rows(&who(&seen, None)).iter().all(|row| row.ends_with("WorkUnderWay")));
    let status = json!({"observedGeneration": 1, "conditions": [{
        "type": "Ready", "status": "False", "reason": "ReviewOverdue", "message": "m", "lastTransitionTime": "2026-11-22T10:00:00Z",
    }]});
    seen.roles[0].metadata.generation = Some(1);
    seen.roles[0].status = Some(serde_json::from_value(status).unwrap());
    let answer = who(&seen, Some("call-recording"));
    assert!(answer.openings.iter().all(|one| one.state == "ReviewOverdue" && !one.gives));
    seen.roles[0].metadata.generation = Some(2);
    assert!(rows(&who(&seen, Some("call-recording"))).iter().all(|row| row.ends_with("WorkUnderWay")));
}

#[test]
fn a_single_person_is_told_with_the_time_until_when_while_it_lasts() {
    let mut seen = seen();
    let grant = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessGrant",
        "metadata": {"name": "inc-4411", "namespace": "cc-front"},
        "spec": {
            "role": "reviewer", "subject": {"user": "4F1C"}, "reason": "INC-4411", "duration": "2h", "requestedBy": "anna",
        },
    });
    seen.grants = vec![serde_json::from_value(grant).unwrap()];
    let what = |seen: &AccessObjects, user: &str| Openings::of(seen, Asked::User { user: user.to_owned() });
    assert_eq!(rows(&what(&seen, "4f1c")), [" voice/call-recording reviewer AwaitingApproval"]);
    seen.is_live = true;
    let status = |seen: &mut AccessObjects, truth: &str, reason: &str| {
        let status = json!({
            "endsAt": "2026-11-22T12:00:00Z",
            "conditions": [{
                "type": "Ready", "status": truth, "reason": reason, "message": "m", "lastTransitionTime": "2026-11-22T10:00:00Z",
            }],
        });
        seen.grants[0].status = Some(serde_json::from_value(status).unwrap());
    };
    status(&mut seen, "True", "InForce");
    let answer = what(&seen, "4f1c");
    assert!(answer.openings.iter().all(|one| one.gives && one.session.as_deref() == Some("15m")));
    assert!(drawn(&answer, Paint(false)).contains("4F1C (until 2026-11-22T12:00:00Z)"));
    let of_channel = who(&seen, Some("call-recording"));
    assert!(of_channel.openings.iter().any(|one| one.user.as_deref() == Some("4F1C")));
    let value = serde_json::to_value(&answer).unwrap();
    assert_eq!(value["asked"], json!({"question": "what", "user": "4f1c"}));
    assert!(value["openings"][0].get("group").is_none());
    assert!(what(&seen, "anna").openings.is_empty());
    status(&mut seen, "False", "GrantExpired");
    let over = what(&seen, "4f1c");
    assert!(drawn(&over, Paint(false)).starts_with("No AccessGrant gives 4f1c anything now."));
    assert!(who(&seen, None).openings.iter().all(|one| one.user.is_none()));
}
