//! Notes about Channels with presets.

use subrosa_crds::channel::{Reload, WorkloadKind};
use subrosa_plan::world::declaration::Declaration;

use super::given::FromFile;
use crate::cli::finding::Finding;

/// The server needs restarts, but no workload to restart is named.
pub fn note(declared: &FromFile<Declaration>) -> Option<Finding> {
    let channel = &declared.object;
    let preset = channel.preset().filter(|preset| preset.facts().reload == Reload::Restart)?;
    (channel.reload() == Reload::None && channel.workload_ref().is_none()).then(|| {
        let message = format!(
            "{preset} is restarted for a new certificate: name what runs its pods in workload.ref, such as {{kind: {:?}, name: …}}; without it somebody has to restart it before the certificate ends",
            WorkloadKind::Deployment
        );
        declared.manifest.note("spec.workload", message)
    })
}

#[cfg(test)]
mod tests {
    use subrosa_crds::preset::Preset;

    use super::super::tests::{render, render_text};
    use crate::cli::exit::Exit;

    #[test]
    fn every_example_of_a_preset_renders() {
        for preset in Preset::ALL {
            let name = preset.as_str().to_lowercase();
            let (exit, printed, said) =
                render(&format!("-f examples/presets/{name} --now 2026-11-22T12:00:00Z"));
            assert_eq!(exit, Exit::Done, "{preset}: {said}");
            assert!(printed.contains("kind: Secret") && printed.contains("kind: NetworkPolicy"), "{preset}");
            for wrong in ["selects none of the pods", "workload.ref", ": error:"] {
                assert!(!said.contains(wrong), "{preset}: {said}");
            }
        }
    }

    const BOTH: &str = "
apiVersion: subrosa.dev/v1alpha1
kind: Channel
metadata: {name: db, namespace: a}
spec:
  preset: PostgreSQL
  workload: {selector: {matchLabels: {app: db}}}
  accepts:
  - {name: web, listeners: [postgres]}
---
apiVersion: subrosa.dev/v1alpha1
kind: Channel
metadata: {name: web, namespace: a}
spec:
  preset: Mosquitto
  workload: {selector: {matchLabels: {app: web}}}
  listeners: [{name: mqtts, port: 8884}]
  connectsTo: [{name: db}]
";

    #[test]
    fn what_a_preset_gives_is_agreed_on_like_what_is_written() {
        let (exit, printed, said) = render_text(BOTH, "");
        assert_eq!(exit, Exit::Done, "{said}");
        assert_eq!(printed.matches("port: 5432").count(), 2, "one rule on each side: {printed}");
        assert!(
            said.contains("Mosquitto is restarted") && !said.contains("PostgreSQL is restarted"),
            "{said}"
        );
    }

    #[test]
    fn what_a_preset_does_not_allow_is_said_with_its_line() {
        let plain = BOTH.replace("port: 8884", "port: 1883").replace("[postgres]", "[postgres, sql]");
        let (exit, _, said) = render_text(&plain, "");
        assert_eq!(exit, Exit::Wrong);
        assert!(said.contains("x.yaml:8: error: Channel a/db: spec.accepts"), "{said}");
        assert!(said.contains("x.yaml:17: error: Channel a/web: spec.listeners"), "{said}");
        let exception =
            "exception: [{control: SR-TLS-02, reason: old meters, expires: 2027-01-01}]\n  listeners";
        let (exit, _, said) = render_text(&BOTH.replace("listeners: [{", &format!("{exception}: [{{")), "");
        assert_eq!(exit, Exit::Done, "{said}");
    }
}
