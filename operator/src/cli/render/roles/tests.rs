use super::super::tests::render_text;
use crate::cli::exit::Exit;

/// A TrustDomain with a login, and a Channel.
pub const HOSPITAL: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: cc-front, labels: {subrosa.dev/trust-domain: oosterlinde}}
---
apiVersion: subrosa.dev/v1alpha1
kind: TrustDomain
metadata: {name: oosterlinde}
spec:
  organisation: {name: Ziekenhuis Oosterlinde, country: NL}
  jurisdictions: [NL]
  timeZone: Europe/Amsterdam
  vault: {address: "https://openbao.security.svc:8200", auth: {kubernetes: {}}}
  retentionPolicies: [contactcenter]
  network: {clusterCIDRs: [10.244.0.0/16]}
  access:
    provider:
      issuer: https://login.oosterlinde.example/realms/staff
      kubernetesGroupsPrefix: "oidc:"
      groups: 3
    logins:
    - name: strong
      acceptedAmr: [mfa]
      slots: 2
    breakGlass: {groups: [On-Call], acceptedAmr: [hwk]}
---
apiVersion: subrosa.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: contactcenter}
spec:
  classes: [{name: call-recording, keep: 90d}, {name: transcript, keep: 90d}]
---
apiVersion: subrosa.dev/v1alpha1
kind: Channel
metadata: {name: voice, namespace: cc-front}
spec:
  workload: {selector: {matchLabels: {app: sbc}}, serviceAccountName: sbc}
  dataClasses: [call-recording, transcript]
"#;

const REVIEWER: &str = "---
apiVersion: subrosa.dev/v1alpha1
kind: AccessRole
metadata: {name: reviewer, namespace: cc-front}
spec:
  grantedBy: anna
  login: strong
  subjects: [{group: CC-Quality}]
  allow: [{channels: [voice], dataClasses: [call-recording], actions: [Open]}]
  breakGlass: {group: on-call}
---
apiVersion: subrosa.dev/v1alpha1
kind: AccessRole
metadata: {name: complaints, namespace: cc-front}
spec:
  grantedBy: anna
  login: strong
  subjects: [{group: complaints}]
  allow:
  - channels: [voice]
    dataClasses: [call-recording, transcript]
    actions: [Open]
";

fn rendered(roles: &str) -> (Exit, String, String) {
    render_text(&format!("{HOSPITAL}{roles}"), "")
}

/// Only what is of AccessRoles.
fn of_roles(printed: &str) -> String {
    let is_of_a_role = |text: &&str| {
        ["subrosa-access-", "BindGroup", "EnrolAccount", "OpenSlot", "SetMembers"]
            .iter()
            .any(|word| text.contains(word))
    };
    printed.split("---\n").filter(is_of_a_role).collect::<Vec<_>>().join("---\n")
}

#[test]
fn what_a_role_becomes_is_shown_with_its_groups_by_name() {
    let (exit, printed, said) = rendered(REVIEWER);
    assert_eq!(exit, Exit::Done, "{said}");
    insta::assert_snapshot!("roles", of_roles(&printed));
}

const TRANSCRIBER: &str = "---
apiVersion: subrosa.dev/v1alpha1
kind: AccessRole
metadata: {name: transcriber, namespace: cc-front}
spec:
  grantedBy: anna
  login: service-accounts
  subjects: [{serviceAccount: {name: transcriber}}]
  allow: [{channels: [voice], dataClasses: [call-recording], actions: [Open]}]
";

#[test]
fn a_role_of_service_accounts_becomes_an_alias_and_a_slot_of_its_own() {
    let glass = "    breakGlass: {groups";
    let hospital = HOSPITAL.replace(glass, &format!("    serviceAccounts: {{slots: 1}}\n{glass}"));
    let (exit, printed, said) = render_text(&format!("{hospital}{TRANSCRIBER}"), "");
    assert_eq!(exit, Exit::Done, "{said}");
    insta::assert_snapshot!("accounts", of_roles(&printed));
    let (exit, _, said) = rendered(TRANSCRIBER);
    assert_ne!(exit, Exit::Done);
    assert!(said.contains("spec.login: \"service-accounts\": LoginMissing: TrustDomain oosterlinde has no spec.access.serviceAccounts"), "{said}");
    let more = TRANSCRIBER.replace("[call-recording]", "[call-recording, transcript]");
    let (_, _, said) = render_text(&format!("{hospital}{more}"), "");
    assert!(said.contains("spec.access.serviceAccounts.slots") && said.contains("SlotsExhausted"), "{said}");
}

/// The line of a finding, and what it says of AccessRoles.
fn findings(roles: &str) -> (Exit, Vec<String>) {
    let (exit, _, said) = rendered(roles);
    let of_access = |line: &&str| line.contains("AccessRole") || line.contains("spec.access");
    (exit, said.lines().filter(of_access).map(str::to_owned).collect())
}

#[test]
fn what_would_be_stalled_is_an_error_with_its_line_and_value() {
    let cases = [
        (
            "login: strong\n  subjects: [{group: CC",
            "login: weak\n  subjects: [{group: CC",
            "spec.login: \"weak\": LoginMissing: TrustDomain oosterlinde has no login weak, only strong",
        ),
        (
            "[call-recording, transcript]\n    actions",
            "[call-recording, fax]\n    actions",
            "spec.allow[0].dataClasses[1]: \"fax\": UnknownDataClass: Channel cc-front/voice declares no data class fax",
        ),
        ("breakGlass: {group: on-call}", "conflictsWith: [complaints]\n  # ", ""),
    ];
    for (from, to, expected) in cases {
        let (exit, found) = findings(&REVIEWER.replace(from, to));
        let said = found.join("\n");
        assert_eq!(exit == Exit::Wrong, !expected.is_empty(), "{to}: {said}");
        assert!(said.contains(expected), "{to}: {said}");
    }
    let both = REVIEWER.replace(
        "[{group: complaints}]",
        "[{group: complaints}, {group: cc-QUALITY}]\n  conflictsWith: [reviewer]",
    );
    let (exit, found) = findings(&both);
    assert_eq!(exit, Exit::Wrong);
    let line =
        both.lines().position(|line| line.contains("conflictsWith")).unwrap() + HOSPITAL.lines().count() + 1;
    assert_eq!(
        found,
        [format!(
            "x.yaml:{line}: error: AccessRole cc-front/complaints: spec.conflictsWith[0]: \"reviewer\": ConflictingRoles: both name \
             cc-quality, and the younger of the two would give nothing: take that out of one of them"
        )]
    );
}

#[test]
fn a_role_outside_of_a_trust_domain_or_without_a_login_at_all_is_an_error() {
    let free = HOSPITAL.replace(", labels: {subrosa.dev/trust-domain: oosterlinde}", "");
    let role = REVIEWER.split("---\n").nth(1).unwrap();
    let (exit, _, said) = render_text(&format!("{free}---\n{role}"), "");
    assert_eq!(exit, Exit::Wrong);
    assert!(
        said.contains("AccessRole cc-front/reviewer: metadata.namespace: \"cc-front\": NamespaceNotGoverned"),
        "{said}"
    );
    let begin = HOSPITAL.find("  access:").unwrap();
    let end = HOSPITAL.find("---\napiVersion: subrosa.dev/v1alpha1\nkind: RetentionPolicy").unwrap();
    let without = format!("{}{}", &HOSPITAL[..begin], &HOSPITAL[end..]);
    let (exit, _, said) = render_text(&format!("{without}---\n{role}"), "");
    assert_eq!(exit, Exit::Wrong);
    assert!(said.contains("LoginMissing: TrustDomain oosterlinde has no spec.access"), "{said}");
}

#[test]
fn more_than_vault_has_room_for_is_an_error_of_the_trust_domain() {
    let more =
        REVIEWER.replace("channels: [voice]\n    dataClasses", "channels: [voice, chat]\n    dataClasses");
    let (exit, found) = findings(&more);
    assert_eq!(exit, Exit::Wrong, "{found:?}");
    let of_domain = found.iter().find(|line| line.contains("SlotsExhausted")).unwrap();
    assert!(
        of_domain.contains("TrustDomain oosterlinde: spec.access.logins[0].slots: 2: SlotsExhausted"),
        "{of_domain}"
    );
    assert!(of_domain.contains("open 4 pairs"), "{of_domain}");
    let many = REVIEWER.replace("[{group: complaints}]", "[{group: a}, {group: b}, {group: c}]");
    let (exit, found) = findings(&many);
    assert_eq!(exit, Exit::Wrong);
    assert!(
        found.iter().any(|line| line.contains("spec.access.provider.groups: 3: GroupsExhausted")),
        "{found:?}"
    );
}

#[test]
fn what_was_not_given_and_what_only_an_emergency_lacks_are_notes() {
    let roles = REVIEWER.replace("{group: on-call}", "{group: others}").replace(
        "allow: [{channels: [voice], dataClasses: [call-recording]",
        "allow: [{channels: [chat], dataClasses: [fax]",
    );
    let (exit, found) = findings(&roles.replace("[call-recording, transcript]", "[transcript]"));
    assert_eq!(exit, Exit::Done, "{found:?}");
    let said = found.join("\n");
    assert!(
        said.contains("spec.allow[0].channels[0]: Channel cc-front/chat is not among the files"),
        "{said}"
    );
    assert!(said.contains("spec.breakGlass.group: GroupNotEnrolled: others is none of the groups"), "{said}");
    let (exit, printed, said) = render_text(REVIEWER, "");
    assert_eq!(exit, Exit::Done, "{said}");
    assert!(said.contains("spec.login: TrustDomain <trust-domain> is not among the files"), "{said}");
    assert!(printed.contains("subrosa_<trust-domain>_open_strong_<slot for"), "{printed}");
}

#[test]
fn other_kinds_are_checked_and_said_not_to_be_shown() {
    let leaver = "---\napiVersion: subrosa.dev/v1alpha1\nkind: AccessRevocation\nmetadata: {name: leaver}\nspec: {subject: {user: anna}, reason: Exit}\n";
    let (exit, _, said) = rendered(leaver);
    assert_eq!(exit, Exit::Done, "{said}");
    assert!(said.contains("note: AccessRevocation leaver: it is checked"), "{said}");
    let (exit, _, said) = rendered(&leaver.replace("reason: Exit", "reason: Holiday"));
    assert_eq!(exit, Exit::Wrong);
    assert!(said.contains("AccessRevocation leaver: spec.reason: \"Holiday\""), "{said}");
}
