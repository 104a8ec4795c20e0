//! The certificates of a Channel with one certificate per pod.

use subrosa_crds::{channel::CertificateStatus, names::ChannelRef};

use crate::{channel::Plan, record::channel::ChannelRecord, world::World};

/// The certificate of a running pod that expires first, and how many there are; `None` where no pod has one.
///
/// The operator cannot see whether a pod uses it: the key is on the pod's node.
pub(super) fn certificate(
    name: &ChannelRef,
    plan: &Plan,
    record: &ChannelRecord,
    world: &World,
) -> Option<CertificateStatus> {
    let running = world.running_uids(&name.namespace);
    let current: Vec<_> = record.pods.as_ref()?.current(&running).collect();
    let first = current.iter().min_by_key(|issued| (issued.not_after, &issued.serial))?;
    Some(CertificateStatus {
        serial: first.serial.clone(),
        issuer: plan.authority.subject(first.generation).to_string(),
        spiffe_id: plan.leaf.spiffe_id(),
        not_before: first.not_before.to_string(),
        not_after: first.not_after.to_string(),
        renew_at: first.renew_at.to_string(),
        secret_name: None,
        pods: i64::try_from(current.len()).ok(),
        served: None,
    })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::{
        record::pods::{IssuedToPod, PodCertificates, PodNames},
        testing::{Scene, named, now},
        world::{PodFacts, certificate::after},
    };

    #[test]
    fn the_first_that_ends_of_those_that_run_is_told() {
        let pod = |uid: &str| PodFacts { uid: uid.into(), ..PodFacts::default() };
        let scene = Scene::new()
            .channel("cc-front/voice", json!({"tls": {"delivery": "PodCertificate", "reload": "Workload"}}))
            .pod_with("cc-front/a", pod("a"))
            .pod_with("cc-front/b", pod("b"))
            .pod_with("cc-front/ended", PodFacts { finished: true, ..pod("ended") });
        let ends = |hours| after(now(), SignedDuration::from_hours(hours));
        let names = || PodNames { common_name: "voice".into(), dns_names: [].into() };
        let issued = [("a", 9), ("b", 5), ("ended", 1)].into_iter().fold(
            PodCertificates { in_force: true, ..PodCertificates::default() },
            |record, (uid, hours)| {
                let (not_before, not_after) = (now(), ends(hours));
                let issued = IssuedToPod {
                    serial: uid.into(),
                    generation: 2,
                    not_before,
                    not_after,
                    renew_at: ends(1),
                };
                record.noted(uid, names(), issued, now())
            },
        );
        let plan = scene.plan("cc-front/voice");
        let record = |pods| ChannelRecord { pods, ..scene.first_record("cc-front/voice") };
        let told = |pods| certificate(&named("cc-front/voice"), &plan, &record(pods), &scene);
        let first = told(Some(issued)).unwrap();
        assert_eq!((first.serial.as_str(), first.not_after), ("b", ends(5).to_string()));
        assert_eq!((first.pods, first.secret_name), (Some(2), None));
        assert!(first.issuer.ends_with(".2"), "{}", first.issuer);
        assert_eq!(told(Some(PodCertificates::default())), None, "none was issued");
    }
}
