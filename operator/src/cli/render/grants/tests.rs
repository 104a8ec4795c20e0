use super::super::{roles::tests::HOSPITAL, tests::render_text};
use crate::cli::exit::Exit;

const ROLE: &str = "---
apiVersion: subrosa.dev/v1alpha1
kind: AccessRole
metadata: {name: reviewer, namespace: cc-front}
spec:
  login: strong
  subjects: [{group: CC-Quality}]
  grants: {max: 4h, approvals: 2}
  allow: [{channels: [voice], dataClasses: [call-recording], actions: [Open]}]
";

const GRANT: &str = "---
apiVersion: subrosa.dev/v1alpha1
kind: AccessGrant
metadata: {name: inc-4411, namespace: cc-front}
spec: {role: reviewer, subject: {user: 4f1c7b1e}, reason: INC-4411, duration: 2h, requestedBy: anna}
";

fn rendered(text: &str) -> (Exit, String, String) {
    render_text(&format!("{HOSPITAL}{text}"), "")
}

#[test]
fn what_a_grant_becomes_is_shown_with_the_person_and_the_time() {
    let (exit, printed, said) = rendered(&format!("{ROLE}{GRANT}"));
    assert_eq!(exit, Exit::Done, "{said}");
    assert!(!said.contains("AccessGrant"), "{said}");
    let of_the_grant = printed.split("---\n").filter(|text| text.contains("name: inc-4411"));
    insta::assert_snapshot!("grants", of_the_grant.collect::<Vec<_>>().join("---\n"));
}

#[test]
fn what_would_give_nothing_is_told_with_its_line_and_value() {
    let both = format!("{ROLE}{GRANT}");
    for (from, to, exit, expected) in [
        (
            "  grants: {max: 4h, approvals: 2}\n",
            "",
            Exit::Wrong,
            "spec.role: \"reviewer\": NotGrantable: AccessRole reviewer has no",
        ),
        (
            "max: 4h",
            "max: 1h",
            Exit::Wrong,
            "spec.duration: \"2h\": NotGrantable: AccessRole reviewer is granted for at most 1h",
        ),
        (
            "role: reviewer",
            "role: other",
            Exit::Done,
            "spec.role: AccessRole cc-front/other is not among the files",
        ),
        ("duration: 2h", "duration: 3h", Exit::Wrong, "spec.duration: \"3h\""),
        (
            "[call-recording]",
            "[call-recording, transcript]",
            Exit::Wrong,
            "SlotsExhausted: AccessRole reviewer opens 2 pairs",
        ),
    ] {
        let one_slot = format!("{HOSPITAL}{both}").replace("slots: 2", "slots: 2\n      grantSlots: 1");
        let changed = one_slot.replace(from, to);
        assert_ne!(changed, one_slot, "{from}");
        let (found, _, said) = render_text(&changed, "");
        assert_eq!(found, exit, "{to}: {said}");
        let line = said.lines().find(|line| line.contains("AccessGrant cc-front/inc-4411"));
        assert!(line.is_some_and(|line| line.contains(expected)), "{to}: {said}");
    }
    let free = format!("{HOSPITAL}{both}").replace(", labels: {subrosa.dev/trust-domain: oosterlinde}", "");
    let (exit, _, said) = render_text(&free, "");
    assert_eq!(exit, Exit::Wrong);
    assert!(
        said.contains(
            "AccessGrant cc-front/inc-4411: metadata.namespace: \"cc-front\": NamespaceNotGoverned"
        ),
        "{said}"
    );
}
