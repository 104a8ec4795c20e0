use std::path::Path;

use clap::Parser as _;

use crate::cli::{exit::Exit, output::Screen};

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: super::Args,
}

/// Renders, with paths that do not depend on where the repository is.
pub fn render(line: &str) -> (Exit, String, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.to_str().unwrap();
    let line = line.replace("examples/", &format!("{root}/examples/"));
    let args = std::iter::once("render").chain(line.split(' '));
    let (mut screen, captured) = Screen::captured();
    let exit = super::run(&Line::parse_from(args).args, &mut screen).unwrap();
    (exit, captured.printed(), captured.said().replace(&format!("{root}/"), ""))
}

/// Renders one text.
pub fn render_text(text: &str, more: &str) -> (Exit, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.yaml");
    std::fs::write(&file, text).unwrap();
    let prefix = format!("{}/", directory.path().display());
    let (exit, printed, said) = render(&format!("-f {} --now 2026-11-22T12:00:00Z{more}", file.display()));
    (exit, printed, said.replace(&prefix, ""))
}

#[test]
fn the_contact_center_renders() {
    let (exit, printed, said) = render("-f examples/contact-center --now 2026-11-22T12:00:00Z");
    assert_eq!(exit, Exit::Done, "{said}");
    insta::assert_snapshot!("contact_center", printed);
    insta::assert_snapshot!("contact_center_notes", said);
}

/// The names of ConfigMaps for sealing that are mounted in a text.
fn mounted(text: &str) -> Vec<&str> {
    let names = text.split("configMap: {name: ").skip(1).filter_map(|rest| rest.split('}').next());
    names.filter(|name| name.ends_with("-sealing")).collect()
}

/// A pod that mounts another name waits for ever.
fn mounts_what_is_written(manifests: &str, printed: &str) {
    let mounted = mounted(manifests);
    let written = |name: &&str| printed.contains(&format!("\n  name: {name}\n"));
    assert_eq!(mounted.len(), printed.matches("-sealing\n").count(), "each is mounted: {mounted:?}");
    assert!(!mounted.is_empty() && mounted.iter().all(written), "{mounted:?}");
}

#[test]
fn the_contact_center_mounts_the_settings_that_are_written() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/contact-center");
    let texts = std::fs::read_dir(examples).unwrap();
    let text: String = texts.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    mounts_what_is_written(&text, &render("-f examples/contact-center --now 2026-11-22T12:00:00Z").1);
}

#[test]
fn an_asterisk_that_records_mounts_the_settings_that_are_written() {
    let domain = "-f examples/contact-center/10-trust-domain.yaml";
    let office =
        "-f examples/contact-center/00-namespaces.yaml -f examples/contact-center/10-retention-policy.yaml";
    let line = format!("-f examples/asterisk-recordings.yaml {domain} {office} --now 2026-11-22T12:00:00Z");
    let (exit, printed, said) = render(&line);
    assert_eq!(exit, Exit::Done, "{said}");
    mounts_what_is_written(include_str!("../../../../examples/asterisk-recordings.yaml"), &printed);
}

#[test]
fn the_first_channel_renders() {
    let (exit, printed, said) = render("-f examples/first-channel.yaml --now 2026-11-22T12:00:00Z");
    assert_eq!(exit, Exit::Done, "{said}");
    insta::assert_snapshot!("first_channel", printed);
    insta::assert_snapshot!("first_channel_notes", said);
}

#[test]
fn what_lets_the_probes_in_is_shown_where_it_is_asked_for() {
    let (_, without, _) = render("-f examples/first-channel.yaml");
    assert!(!without.contains("app: subrosa-operator"));
    let line =
        "-f examples/first-channel.yaml --probe-from-labels app=subrosa-operator --operator-namespace ops";
    let (exit, with, said) = render(line);
    assert_eq!(exit, Exit::Done, "{said}");
    assert_eq!(with.matches("app: subrosa-operator").count(), 1, "one of the two listens: {with}");
    assert!(with.contains("kubernetes.io/metadata.name: ops"), "{with}");
}

#[test]
fn the_same_twice_is_the_same_and_json_says_the_same() {
    let line = "-f examples/contact-center --now 2026-11-22T12:00:00Z";
    let (yaml, again) = (render(line).1, render(line).1);
    assert_eq!(yaml, again);
    let json: serde_json::Value = serde_json::from_str(&render(&format!("{line} -o json")).1).unwrap();
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&yaml).unwrap();
    assert_eq!(json["items"].as_array(), Some(&documents));
}

#[test]
fn an_agreement_closes_its_connection_by_the_day() {
    let day = |now: &str| render(&format!("-f examples/contact-center --now {now}"));
    let (exit, open, said) = day("2031-12-31T22:59:59Z");
    assert!(open.contains("198.51.100.16/28") && exit == Exit::Done, "{said}");
    assert!(said.contains("DPA ends after 2031-12-31"), "{said}");
    let (exit, closed, said) = day("2031-12-31T23:00:00Z");
    assert_eq!(exit, Exit::Done, "an ended agreement is a note");
    assert!(!closed.contains("198.51.100.16/28") && !closed.contains("external-transcription"));
    assert!(said.contains("AgreementExpired"), "{said}");
}

const WRONG: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {subrosa.dev/trust-domain: d}}
---
apiVersion: v1
kind: Namespace
metadata: {name: free}
---
apiVersion: subrosa.dev/v1alpha1
kind: TrustDomain
metadata: {name: d}
spec:
  organisation: {name: D, country: NL}
  jurisdictions: [NL]
  frameworks: [HIPAA]
  timeZone: Europe/Amsterdam
  vault: {address: "https://vault.example:8200", auth: {kubernetes: {}}}
  retentionPolicies: [p]
  network: {clusterCIDRs: [10.0.0.0/8]}
---
apiVersion: subrosa.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: p}
spec:
  classes:
  - {name: recording, keep: 90d, max: 91d}
  - {name: mail, keep: 10d, minimums: [{jurisdiction: US, period: 1y, basis: law}]}
---
apiVersion: subrosa.dev/v1alpha1
kind: ExternalParty
metadata: {name: near}
spec:
  role: Processor
  addresses:
    cidrs: [10.1.0.0/16]
  tls: {mode: OneWay}
  agreements: [{type: DPA, validUntil: 2027-01-01}]
  channels: [{namespace: a, name: one, direction: Egress, ports: [443]}]
---
apiVersion: subrosa.dev/v1alpha1
kind: Channel
metadata: {name: one, namespace: a}
spec:
  workload:
    selector: {matchLabels: {app: one}}
    serviceAccount: one
  listeners:
  - name: http
    port: 70000
---
apiVersion: subrosa.dev/v1alpha1
kind: Channel
metadata: {name: two, namespace: a}
spec:
  workload:
    selector: {matchLabels: {app: two}}
    serviceAccountName: two
  tls:
    duration: 200d
    dnsNames: [two.example.org]
  dataClasses: [recording, faxes]
  connectsTo:
  - {name: three, listeners: [smtp]}
  - {name: gone}
---
apiVersion: subrosa.dev/v1alpha1
kind: Channel
metadata: {name: three, namespace: a}
spec:
  workload: {selector: {matchLabels: {app: two}}}
  listeners: [{name: http, port: 80}]
  accepts:
  - {name: two}
---
apiVersion: subrosa.dev/v1alpha1
kind: Channel
metadata: {name: lost, namespace: free}
spec:
  workload: {selector: {matchLabels: {app: lost}}}
---
apiVersion: subrosa.dev/v1alpha1
kind: Chanel
metadata: {name: typo, namespace: a}
---
apiVersion: subrosa.dev/v1alpha1
kind: Channel
metadata: {name: one, namespace: a}
"#;

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_line() {
    let (exit, printed, said) = render_text(WRONG, "");
    assert_eq!((exit, printed.as_str()), (Exit::Wrong, ""));
    insta::assert_snapshot!("wrong", said);
}

const LONELY: &str = "
apiVersion: subrosa.dev/v1alpha1
kind: Channel
metadata: {name: recorder}
spec:
  workload:
    selector: {matchLabels: {app: recorder}}
    serviceAccountName: recorder
  dataClasses: [call-recording]
  encryption: {workloadMay: [Seal, Open]}
  connectsTo:
  - {name: transcription, kind: ExternalParty}
  - {name: keycloak, kind: Service}
  - {name: db, namespace: data}
";

#[test]
fn what_was_not_given_is_a_note_and_its_place_is_kept() {
    let (exit, printed, said) = render_text(LONELY, " -n cc");
    assert_eq!(exit, Exit::Done, "{said}");
    insta::assert_snapshot!("lonely", format!("{printed}===\n{said}"));
}

#[test]
fn an_audited_namespace_gets_no_policy() {
    let domain = WRONG.split("---\n").nth(2).unwrap().replace("[p]", "[p]\n  #");
    let domain = domain.replace("clusterCIDRs", "mode: Audit, clusterCIDRs");
    let text = format!(
        "{domain}---\n{}---\n{}",
        WRONG.split("---\n").next().unwrap(),
        "apiVersion: subrosa.dev/v1alpha1\nkind: Channel\nmetadata: {name: one, namespace: a}\nspec: {workload: {selector: {matchLabels: {app: one}}}}\n"
    );
    let (exit, printed, said) = render_text(&text, "");
    assert_eq!(exit, Exit::Done, "{said}");
    assert!(printed.contains("kind: Secret") && !printed.contains("kind: NetworkPolicy"), "{printed}");
    assert!(said.contains("reported, not written"), "{said}");
}

#[test]
fn hidden_numbers_are_not_repeated() {
    let text = WRONG
        .replace("name: D,", "name: call 0612345678,")
        .replace("vault.example", "admin:hunter2@vault.example");
    let (exit, _, said) = render_text(&text, "");
    assert_eq!(exit, Exit::Wrong);
    assert!(!said.contains("0612345678") && !said.contains("hunter2"), "{said}");
    assert!(said.contains("organisation.name") && said.contains("vault.address"), "{said}");
}
