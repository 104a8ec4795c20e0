//! Parties outside: open while both sides say so and the agreement holds, by the day.

use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};
use subrosa_crds::{ExternalParty, condition};
use subrosa_e2e::{pki::Authority, wait};

use crate::world::{World, channel, connection};

const NS: &str = "cc-front";
const FILE: &str = "external-carrier-ca.crt";
const FROM_CARRIER: &str = "from 203.0.113.0/28 TCP/5061";

#[tokio::test(flavor = "multi_thread")]
async fn parties_are_open_while_everything_says_so() {
    let world = World::start().await;
    world.governed(NS).await;
    let authority = Authority::new("carrier").unwrap();
    bundle(&world, "carrier-ca", authority.certificate_pem()).await;
    world
        .apply(&channel(NS, "voice", json!({
            "listeners": [{"name": "sips", "port": 5061}, {"name": "rtp", "port": 10000, "endPort": 20000, "protocol": "UDP"}],
            "accepts": [{"name": "carrier", "kind": "ExternalParty"}],
        })))
        .await;
    world.connection(NS, "voice", "carrier", "NotFound").await;
    world.ready(NS, "voice").await;
    consent_opens(&world, &authority).await;
    agreements_end_by_the_day(&world).await;
    the_bundle_is_needed(&world, &authority).await;
    a_processor_needs_its_agreements(&world).await;
    addresses_of_the_cluster_are_nobodys(&world).await;
    withdrawing_closes(&world).await;
}

async fn bundle(world: &World, name: &str, pem: &str) {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": world.installed.names.namespace()}, "data": {"ca.crt": pem},
    });
    world.apply(&map).await;
}

fn carrier(agreements: Value, channels: Value) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "ExternalParty", "metadata": {"name": "carrier"},
        "spec": {
            "role": "Carrier", "addresses": {"cidrs": ["203.0.113.0/28"]},
            "tls": {"mode": "Mutual", "caBundle": {"configMap": "carrier-ca", "key": "ca.crt"}},
            "agreements": agreements, "channels": channels,
        },
    })
}

fn consent() -> Value {
    json!([{"namespace": NS, "name": "voice", "direction": "Ingress", "ports": [5061]}])
}

/// A day in the trust domain's time zone, so many days from today.
fn day(offset: i64) -> String {
    let zone = jiff::tz::TimeZone::get(subrosa_e2e::installation::time_zone()).unwrap();
    let today = zone.to_datetime(Timestamp::now()).date();
    today.checked_add(offset.days()).unwrap().to_string()
}

fn dpa(until: i64) -> Value {
    json!([{"type": "DPA", "validUntil": day(until)}])
}

async fn party(world: &World, holds: impl Fn(&ExternalParty) -> bool) -> ExternalParty {
    let api: Api<ExternalParty> = Api::all(world.admin.clone());
    world
        .until("ExternalParty carrier", || async {
            let found = api.get("carrier").await.map_err(|error| error.to_string())?;
            let current = found.status.as_ref().and_then(|status| status.observed_generation)
                == found.metadata.generation;
            if current && holds(&found) { Ok(found) } else { Err(format!("{:#?}", found.status)) }
        })
        .await
}

fn says(party: &ExternalParty, kind: &str, status: &str, reason: &str) -> bool {
    let conditions = party.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    condition::find(conditions, kind).is_some_and(|found| found.status == status && found.reason == reason)
}

async fn closed(world: &World, state: &str) {
    world.connection(NS, "voice", "carrier", state).await;
    world.opens(NS, "voice", &[]).await;
    world.files_where(NS, "voice", |files| !files.0.contains_key(FILE)).await;
}

async fn open(world: &World, pem: &str) {
    world.whole(NS, "voice").await;
    world.opens(NS, "voice", &[FROM_CARRIER]).await;
    let files = world.files_where(NS, "voice", |files| files.0.contains_key(FILE)).await;
    let der = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
    assert_eq!(der(files.get(FILE)), der(pem), "exactly the party's authorities");
    assert_eq!(files.trusting(files.get(FILE).trim()), [FILE], "outside is in no file of the inside");
}

async fn consent_opens(world: &World, authority: &Authority) {
    world.apply(&carrier(json!([]), json!([]))).await;
    closed(world, "AwaitingConsent").await;
    let status = world.connection(NS, "voice", "carrier", "AwaitingConsent").await;
    let next = status.connections[0].next_step.clone().unwrap_or_default();
    assert!(
        next.contains("spec.channels of ExternalParty carrier") && next.contains("namespace: cc-front"),
        "{next}"
    );

    world
        .apply(&carrier(
            json!([]),
            json!([{"namespace": NS, "name": "voice", "direction": "Ingress", "ports": [443]}]),
        ))
        .await;
    closed(world, "ListenerMismatch").await;
    world.apply(&carrier(json!([]), consent())).await;
    open(world, authority.certificate_pem()).await;
    party(world, |party| says(party, condition::READY, "True", "InForce")).await;
    let status = world.whole(NS, "voice").await;
    assert_eq!(status.connections[0].listeners, ["sips"], "what was agreed, not all it has");
}

async fn agreements_end_by_the_day(world: &World) {
    let pem = world.files(NS, "voice").await.get(FILE).to_owned();
    world.apply(&carrier(dpa(-1), consent())).await;
    closed(world, "AgreementExpired").await;
    let expired =
        party(world, |party| says(party, condition::AGREEMENTS_VALID, "False", "AgreementExpired")).await;
    assert!(says(&expired, condition::READY, "False", "AgreementExpired"));
    let status = world.connection(NS, "voice", "carrier", "AgreementExpired").await;
    let reason = status.connections[0].reason.clone().unwrap_or_default();
    assert!(reason.contains("DPA") && reason.contains(&day(-1)), "{reason}");
    assert!(status.connections[0].next_step.as_deref().is_some_and(|next| next.contains("validUntil")));
    assert_eq!(wait::reason(&status, condition::CONNECTED), "AgreementExpired");
    // The workload itself is protected.
    world.ready(NS, "voice").await;

    // The last day is a valid day.
    world.apply(&carrier(dpa(0), consent())).await;
    open(world, &pem).await;
    party(world, |party| says(party, condition::AGREEMENTS_VALID, "True", "AgreementExpiring")).await;
    world.apply(&carrier(dpa(-30), consent())).await;
    closed(world, "AgreementExpired").await;
    world.apply(&carrier(dpa(400), consent())).await;
    open(world, &pem).await;
    let valid =
        party(world, |party| says(party, condition::AGREEMENTS_VALID, "True", "AgreementsValid")).await;
    assert_eq!(valid.status.unwrap().valid_until, Some(day(400)));
}

async fn the_bundle_is_needed(world: &World, authority: &Authority) {
    let maps: Api<ConfigMap> = world.api(world.installed.names.namespace());
    maps.delete("carrier-ca", &DeleteParams::default()).await.unwrap();
    closed(world, "Refused").await;
    party(world, |party| says(party, condition::STALLED, "True", "CABundleNotFound")).await;
    bundle(world, "carrier-ca", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n").await;
    party(world, |party| says(party, condition::STALLED, "True", "CABundleMalformed")).await;
    closed(world, "Refused").await;
    // A leaf is a certificate, and no authority's.
    let leaf = authority.client("carrier", "carrier").unwrap().certificate_pem;
    bundle(world, "carrier-ca", &format!("{}{leaf}", authority.certificate_pem())).await;
    party(world, |party| {
        let stalled = condition::find(&party.status.as_ref().unwrap().conditions, condition::STALLED);
        stalled.is_some_and(|found| {
            found.message.contains("certificate 2 of 2") && found.message.contains("CA:TRUE")
        })
    })
    .await;
    closed(world, "Refused").await;
    let status = world.connection(NS, "voice", "carrier", "Refused").await;
    let reason = status.connections[0].reason.clone().unwrap_or_default();
    assert!(reason.contains("ConfigMap carrier-ca"), "{reason}");
    bundle(world, "carrier-ca", authority.certificate_pem()).await;
    open(world, authority.certificate_pem()).await;
    // Theirs is rotated: the file follows.
    let next = Authority::new("carrier, next").unwrap();
    let both = format!("{}{}", authority.certificate_pem(), next.certificate_pem());
    bundle(world, "carrier-ca", &both).await;
    world.files_where(NS, "voice", |files| files.get(FILE).matches("BEGIN").count() == 2).await;
    bundle(world, "carrier-ca", authority.certificate_pem()).await;
    world.files_where(NS, "voice", |files| files.get(FILE).matches("BEGIN").count() == 1).await;
    open(world, authority.certificate_pem()).await;
}

async fn a_processor_needs_its_agreements(world: &World) {
    let pem = world.files(NS, "voice").await.get(FILE).to_owned();
    let as_processor = |agreements: Value| {
        let mut party = carrier(agreements, consent());
        party["spec"]["role"] = json!("Processor");
        party
    };
    let refused =
        subrosa_e2e::installation::apply_object(&world.admin, &as_processor(json!([]))).await.unwrap_err();
    assert!(format!("{refused:#}").contains("DPA"), "{refused:#}");
    world.apply(&as_processor(dpa(400))).await;
    open(world, &pem).await;
    let mut domain = world.installed.trust_domain(&world.env);
    domain["spec"]["frameworks"] = json!(["GDPR", "HIPAA"]);
    domain["spec"]["jurisdictions"] = json!(["NL", "EU", "US"]);
    world.apply(&domain).await;
    closed(world, "Refused").await;
    party(world, |party| says(party, condition::AGREEMENTS_VALID, "False", "AgreementMissing")).await;
    let status = world.connection(NS, "voice", "carrier", "Refused").await;
    let next = status.connections[0].next_step.clone().unwrap_or_default();
    assert!(next.contains("{type: BAA"), "{next}");
    let with_baa = json!([{"type": "DPA", "validUntil": day(400)}, {"type": "BAA", "validUntil": day(300)}]);
    world.apply(&as_processor(with_baa)).await;
    open(world, &pem).await;
    world.apply(&carrier(dpa(400), consent())).await;
    open(world, &pem).await;
}

async fn addresses_of_the_cluster_are_nobodys(world: &World) {
    let pem = world.files(NS, "voice").await.get(FILE).to_owned();
    let mut within = carrier(dpa(400), consent());
    within["spec"]["addresses"]["cidrs"] = json!(["203.0.113.0/28", "10.244.7.0/24"]);
    world.apply(&within).await;
    closed(world, "Refused").await;
    let told = party(world, |party| says(party, condition::STALLED, "True", "ForbiddenAddress")).await;
    let message =
        &condition::find(&told.status.as_ref().unwrap().conditions, condition::STALLED).unwrap().message;
    assert!(message.contains("10.244.7.0/24") && message.contains("10.244.0.0/16"), "{message}");
    world.apply(&carrier(dpa(400), consent())).await;
    open(world, &pem).await;
}

async fn withdrawing_closes(world: &World) {
    let api: Api<ExternalParty> = Api::all(world.admin.clone());
    api.delete("carrier", &DeleteParams::default()).await.unwrap();
    closed(world, "NotFound").await;
    let status = world.ready(NS, "voice").await;
    assert_eq!(connection(&status, "carrier"), Some("NotFound"));
}

/// Bundles that are too large together stop neither the certificate nor a withdrawal, and are told.
#[tokio::test(flavor = "multi_thread")]
async fn bundles_that_do_not_fit_are_refused_and_everything_else_goes_on() {
    let world = World::start().await;
    world.governed(NS).await;
    // As large as the roots of an operating system: four fit into a Secret, and five do not.
    let mut roots = String::new();
    for number in 0.. {
        roots.push_str(
            Authority::new(&format!("root {number} {}", "x".repeat(40))).unwrap().certificate_pem(),
        );
        if roots.len() > 220 * 1024 {
            break;
        }
    }
    let twice = Authority::new("twice").unwrap();
    roots.push_str(&twice.certificate_pem().repeat(2));
    bundle(&world, "roots", &roots).await;
    let party_of = |number: usize| {
        let consent = json!([{"namespace": NS, "name": "sbc", "direction": "Ingress", "ports": [5061]}]);
        let mut party = carrier(json!([]), consent);
        party["metadata"]["name"] = json!(format!("p{number}"));
        party["spec"]["tls"]["caBundle"]["configMap"] = json!("roots");
        party
    };
    let sbc = |parties: usize, tls: Value| {
        let accepts: Vec<_> = (1..=parties)
            .map(|number| json!({"name": format!("p{number}"), "kind": "ExternalParty"}))
            .collect();
        channel(
            NS,
            "sbc",
            json!({
                "listeners": [{"name": "sips", "port": 5061}], "connectsTo": [{"name": "ivr"}], "accepts": accepts, "tls": tls,
            }),
        )
    };
    let ivr = |accepts: Value| {
        channel(NS, "ivr", json!({"listeners": [{"name": "sips", "port": 5061}], "accepts": accepts}))
    };
    for number in 1..=5 {
        world.apply(&party_of(number)).await;
    }
    world.apply(&ivr(json!([{"name": "sbc"}]))).await;
    world.apply(&sbc(3, json!({}))).await;
    world.whole(NS, "sbc").await;
    let status = world.whole(NS, "sbc").await;
    assert!(condition::find(&status.conditions, condition::TRUST_FITS).is_none(), "there is room");

    // The warning comes while everything fits.
    world.apply(&sbc(4, json!({}))).await;
    let status = world.whole(NS, "sbc").await;
    assert_eq!(wait::reason(&status, condition::TRUST_FITS), "TrustNearlyFull");
    world.event(NS, "sbc", "TrustNearlyFull").await;

    // The fifth is refused by its name; the Channel is as Ready as before, with what it had.
    world.apply(&sbc(5, json!({}))).await;
    let status = world.connection(NS, "sbc", "p5", "Refused").await;
    assert_eq!(wait::reason(&status, condition::TRUST_FITS), "TrustTooLarge");
    let told = &condition::find(&status.conditions, condition::TRUST_FITS).unwrap().message;
    assert!(told.contains("key ca.crt of ConfigMap roots, of ExternalParty p5"), "{told}");
    assert!(wait::is(&status, condition::READY), "{:#?}", status.conditions);
    world.event(NS, "sbc", "TrustTooLarge").await;
    let files = world.files(NS, "sbc").await;
    let outside: Vec<_> = files.names().into_iter().filter(|name| name.starts_with("external-")).collect();
    assert_eq!(outside.len(), 4, "{outside:?}");
    assert_eq!(files.get("external-p1-ca.crt").matches(twice.certificate_pem().trim()).count(), 1);
    let api: Api<ExternalParty> = Api::all(world.admin.clone());
    let p1 = api.get("p1").await.unwrap().status.unwrap();
    let told = &condition::find(&p1.conditions, condition::READY).unwrap().message;
    assert!(told.contains("left out of key ca.crt of ConfigMap roots: 1 that stands there twice"), "{told}");

    // A withdrawal goes through, and a certificate is issued.
    let ivr_ca = world.files(NS, "ivr").await.authority().to_owned();
    assert!(!files.trusting(&ivr_ca).is_empty());
    world.apply(&ivr(json!([]))).await;
    world.files_where(NS, "sbc", |files| files.trusting(&ivr_ca).is_empty()).await;
    let serial = status.certificate.unwrap().serial;
    world.apply(&sbc(5, json!({"commonName": "edge"}))).await;
    world
        .channel(NS, "sbc", |status| {
            wait::is(status, condition::READY)
                && status.certificate.as_ref().is_some_and(|certificate| certificate.serial != serial)
        })
        .await;

    // One that is larger than any certificate authority needs is not read at all.
    bundle(&world, "huge", &roots.repeat(3)).await;
    let mut huge = party_of(5);
    huge["spec"]["tls"]["caBundle"]["configMap"] = json!("huge");
    world.apply(&huge).await;
    let refused = || async {
        let found = api.get("p5").await.map_err(|error| error.to_string())?;
        if says(&found, condition::STALLED, "True", "CABundleTooLarge") {
            Ok(())
        } else {
            Err(format!("{:#?}", found.status))
        }
    };
    world.until("p5 says that its bundle is too large", refused).await;
}
