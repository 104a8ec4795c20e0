use serde_json::{Value, json};
use subrosa_crds::Reason;

use super::*;
use crate::testing::{DOMAIN, Scene, at, certificate, now};

fn standing(scene: &Scene, when: &str) -> Standing {
    judge(&scene.parties["p"], &scene.domains[DOMAIN], scene, at(when))
}

fn with(patch: Value) -> Scene {
    Scene::new().party("p", patch)
}

fn today(patch: Value) -> Standing {
    let scene = with(patch);
    judge(&scene.parties["p"], &scene.domains[DOMAIN], &scene, now())
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

#[test]
fn the_last_valid_day_ends_at_midnight_of_the_domains_time_zone() {
    let dpa = json!({"role": "Processor", "agreements": [{"type": "DPA", "validUntil": "2026-12-31"}]});
    let expires = Some((day("2026-12-31"), "DPA".to_owned()));
    let valid = Standing::Valid { expires };
    let expired = Standing::Expired { what: "DPA".into(), on: day("2026-12-31") };
    // Amsterdam is an hour ahead of UTC in winter.
    for (when, expected) in [
        ("2026-12-30T12:00:00Z", &valid),
        ("2026-12-31T00:00:00Z", &valid),
        ("2026-12-31T22:59:59Z", &valid),
        ("2026-12-31T23:00:00Z", &expired),
        ("2027-01-01T12:00:00Z", &expired),
    ] {
        assert_eq!(&standing(&with(dpa.clone()), when), expected, "{when}");
    }
    let samoa = with(dpa.clone()).domain(DOMAIN, json!({"timeZone": "Pacific/Pago_Pago"}));
    assert_eq!(standing(&samoa, "2027-01-01T10:59:59Z"), valid, "eleven hours behind");
    assert_eq!(standing(&samoa, "2027-01-01T11:00:00Z"), expired);
    let kiritimati = with(dpa).domain(DOMAIN, json!({"timeZone": "Pacific/Kiritimati"}));
    assert_eq!(standing(&kiritimati, "2026-12-31T09:59:59Z"), valid, "fourteen hours ahead");
    assert_eq!(standing(&kiritimati, "2026-12-31T10:00:00Z"), expired);
}

#[test]
fn a_processor_needs_a_dpa_and_a_baa_under_hipaa() {
    let agreements = |types: &[&str]| -> Value {
        types.iter().map(|one| json!({"type": one, "validUntil": "2027-01-01"})).collect()
    };
    let judged = |role: &str, types: &[&str], frameworks: Value| {
        let scene = with(json!({"role": role, "agreements": agreements(types)}))
            .domain(DOMAIN, json!({"frameworks": frameworks}));
        standing(&scene, "2026-11-22T12:00:00Z")
    };
    let gdpr = json!(["GDPR"]);
    let hipaa = json!(["GDPR", "HIPAA"]);
    let dpa = Standing::Missing { agreement: "DPA", basis: "GDPR Art. 28(3)" };
    let baa = Standing::Missing { agreement: "BAA", basis: "45 CFR 164.504(e)" };
    assert_eq!(judged("Processor", &[], gdpr.clone()), dpa);
    assert_eq!(judged("Processor", &["BAA"], hipaa.clone()), dpa);
    assert_eq!(judged("Processor", &["DPA"], hipaa.clone()), baa);
    for (role, types, frameworks) in [
        ("Processor", &["DPA"][..], gdpr),
        ("Processor", &["DPA", "BAA"], hipaa.clone()),
        ("Carrier", &[], hipaa.clone()),
        ("Insurer", &[], hipaa.clone()),
        ("Controller", &[], hipaa.clone()),
        ("Authority", &[], hipaa),
    ] {
        assert!(matches!(judged(role, types, frameworks), Standing::Valid { .. }), "{role} {types:?}");
    }
}

#[test]
fn whatever_ends_first_counts() {
    let patch = json!({
        "agreements": [
            {"type": "SLA", "validUntil": "2028-01-01"},
            {"type": "NDA", "validUntil": "2027-05-05"},
        ],
        "tls": {"mode": "None", "exception": {"control": "SR-TLS-01", "reason": "an old switch", "expires": "2027-06-01"}},
    });
    assert_eq!(today(patch), Standing::Valid { expires: Some((day("2027-05-05"), "NDA".into())) });
    assert_eq!(today(json!({})), Standing::Valid { expires: None });
}

#[test]
fn an_exception_ends_like_an_agreement() {
    let tls = json!({"tls": {"mode": "None", "exception": {"control": "SR-TLS-01", "reason": "an old switch", "expires": "2026-11-22"}}});
    let scene = with(tls);
    let what = "exception for SR-TLS-01".to_owned();
    let on = day("2026-11-22");
    let valid = Standing::Valid { expires: Some((on, what.clone())) };
    assert_eq!(standing(&scene, "2026-11-22T22:59:59Z"), valid);
    assert_eq!(standing(&scene, "2026-11-22T23:00:00Z"), Standing::Expired { what, on });
}

#[test]
fn no_day_of_the_calendar_is_refused() {
    for text in ["2027-02-30", "tomorrow", ""] {
        let Standing::Invalid { reason, message, .. } =
            today(json!({"agreements": [{"type": "SLA", "validUntil": text}]}))
        else {
            panic!("{text}");
        };
        assert_eq!(reason, Reason::InvalidDate);
        assert!(message.contains("SLA") && message.contains("YYYY-MM-DD"), "{message}");
    }
}

#[test]
fn addresses_that_are_nobodys_outside_are_refused() {
    for (range, why) in [
        ("10.0.0.0/8", "clusterCIDRs"),
        ("10.244.1.0/24", "clusterCIDRs"),
        ("0.0.0.0/0", "loopback"),
        ("8.0.0.0/5", "clusterCIDRs"),
        ("127.0.0.1/32", "loopback"),
        ("126.0.0.0/7", "loopback"),
        ("169.254.169.254/32", "link-local"),
        ("224.0.0.1/32", "multicast"),
        ("239.255.0.0/16", "multicast"),
        ("0.0.0.0/32", "unspecified"),
        ("0.1.2.3/32", "unspecified"),
        ("::/0", "loopback"),
        ("::1/128", "loopback"),
        ("::/128", "unspecified"),
        ("fe80::1/128", "link-local"),
        ("febf::/16", "link-local"),
        ("ff02::1/128", "multicast"),
        ("fd00:10::/64", "clusterCIDRs"),
        ("fc00::/7", "clusterCIDRs"),
        ("example.org", "no range"),
        ("203.0.113.7", "no range"),
    ] {
        let both = json!({"addresses": {"cidrs": ["203.0.113.0/28", range]}});
        let Standing::Invalid { reason, field, message } = today(both) else { panic!("{range} passed") };
        assert_eq!((reason, field.as_str()), (Reason::ForbiddenAddress, "spec.addresses.cidrs"), "{range}");
        assert!(message.starts_with(range) && message.contains(why), "{message}");
    }
    for range in [
        "203.0.113.7/32",
        "11.0.0.0/8",
        "126.0.0.0/8",
        "223.255.255.0/24",
        "2001:db8::/32",
        "fec0::/10",
        "2000::/3",
    ] {
        let one = today(json!({"addresses": {"cidrs": [range]}}));
        assert!(matches!(one, Standing::Valid { .. }), "{range}: {one:?}");
    }
}

#[test]
fn a_bundle_must_be_there_and_hold_certificates() {
    let patch = json!({"tls": {"mode": "Mutual", "caBundle": {"configMap": "carrier-ca", "key": "ca.crt"}}});
    let scene = with(patch);
    let reason = |scene: &Scene| match standing(scene, "2026-11-22T12:00:00Z") {
        Standing::Invalid { reason, field, message } => {
            assert_eq!(field, "spec.tls.caBundle");
            assert!(message.contains("carrier-ca") && message.contains("ca.crt"), "{message}");
            reason
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(&scene), Reason::CABundleNotFound);
    assert_eq!(reason(&scene.clone().bundle("other", &certificate(1))), Reason::CABundleNotFound);
    assert_eq!(reason(&scene.clone().bundle("carrier-ca", "")), Reason::CABundleMalformed);
    assert_eq!(reason(&scene.clone().bundle("carrier-ca", "no PEM at all")), Reason::CABundleMalformed);
    let key = certificate(1).replace("CERTIFICATE", "PRIVATE KEY");
    assert_eq!(reason(&scene.clone().bundle("carrier-ca", &key)), Reason::CABundleMalformed);
    let good = scene.bundle("carrier-ca", &certificate(1));
    assert_eq!(standing(&good, "2026-11-22T12:00:00Z"), Standing::Valid { expires: None });
}

#[test]
fn what_is_declared_wrongly_comes_before_what_has_ended() {
    let patch = json!({
        "role": "Processor",
        "addresses": {"cidrs": ["127.0.0.1/32"]},
        "agreements": [{"type": "SLA", "validUntil": "2020-01-01"}],
    });
    assert!(matches!(today(patch.clone()), Standing::Invalid { .. }));
    let mut outside = patch;
    crate::testing::merge(&mut outside, json!({"addresses": {"cidrs": ["203.0.113.0/28"]}}));
    assert!(matches!(today(outside), Standing::Missing { agreement: "DPA", .. }));
}
