//! What status says of a Channel that is moved.

use super::*;
use crate::{certificate::ExternalFacts, world::certificate::Validity};

/// A certificate of somebody else, from the first to the last of November.
fn external(scene: &Scene) -> (Plan, Applied) {
    let (plan, mut applied) = in_force(scene);
    let validity = Validity { not_before: at("2026-11-01T00:00:00Z"), not_after: at("2026-12-01T00:00:00Z") };
    applied.observed = CurrentCertificate::External(ExternalFacts {
        serial: "0a".into(),
        fingerprint: testing::fingerprint("0a"),
        issuer: "CN=old".into(),
        spiffe_id: None,
        validity,
        key_problem: None,
        key_matches: true,
    })
    .into();
    (plan, applied)
}

#[test]
fn somebody_elses_certificate_is_shown_as_such_and_told_when_its_renewal_is_late() {
    let scene =
        scene().channel(VOICE, voice(json!({"tls": {"issuance": "External", "secretName": "voice-tls"}})));
    let (plan, applied) = external(&scene);
    assert_eq!((plan.secret_name.as_str(), plan.external.as_deref()), ("voice-trust", Some("voice-tls")));
    let status = judged(&scene, &plan, &applied);
    let shown = status.certificate.clone().unwrap();
    assert_eq!((shown.secret_name.as_deref(), shown.issuer.as_str()), (Some("voice-tls"), "CN=old"));
    assert_eq!((shown.serial.as_str(), shown.spiffe_id.as_str()), ("0a", ""));
    assert_eq!(shown.renew_at, "2026-11-26T00:00:00Z");
    assert_eq!(said(&status, condition::READY), says("True", "InForceUnproven"));

    let late = at("2026-11-27T00:00:00Z");
    let status = channel(scene.get(VOICE), &plan, &applied, &scene, late);
    assert_eq!(said(&status, condition::READY), says("False", "ExternalCertificateExpiring"));
    assert_eq!(said(&status, condition::CONNECTED), says("True", "AllOpen"), "it is valid still");
}

#[test]
fn further_authorities_that_cannot_be_trusted_are_told_of_also_while_audited() {
    let entry =
        json!({"name": "old", "expires": "2027-01-31", "caBundle": {"configMap": "old", "key": "ca.crt"}});
    let staged =
        json!({"network": {"staged": [{"namespace": "cc-front", "mode": "Audit", "until": "2027-02-01"}]}});
    let scene = scene().domain(DOMAIN, staged).channel(VOICE, voice(json!({"tls": {"extraTrust": [entry]}})));
    assert_eq!(said(&status(&scene), condition::READY), says("False", "CABundleNotFound"));
    let scene = scene.bundle("old", &testing::certificate(7));
    let status = status(&scene);
    assert_eq!(said(&status, condition::READY), says("False", "AuditMode"));
    let [exception] = status.exceptions.as_slice() else { panic!("{:?}", status.exceptions) };
    assert_eq!((exception.control.as_str(), exception.overdue), ("extraTrust/old", false));
}
