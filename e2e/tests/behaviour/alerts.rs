//! Each fault that an alert is for, made on a real cluster: the alert's expression becomes true over the metrics that the
//! operator gives then, and was not before.

use std::time::Duration;

use serde_json::json;
use subrosa_e2e::alerts::History;

use crate::world::{World, channel};

const NS: &str = "cc-front";
const NOW: Duration = Duration::ZERO;
const MINUTE: Duration = Duration::from_secs(60);

/// An hour's leaf, renewed by the workload alone.
fn short(common_name: &str) -> serde_json::Value {
    channel(NS, "sbc", json!({"tls": {"duration": "1h", "reload": "Workload", "commonName": common_name}}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_renewed_stays_in_the_metrics() {
    let mut world = World::start().await;
    world.governed(NS).await;
    for manifest in [short("sbc"), channel(NS, "long", json!({}))] {
        world.apply(&manifest).await;
    }
    world.whole(NS, "long").await;
    let before = world.whole(NS, "sbc").await.certificate.unwrap();
    let told = |certificate: &subrosa_crds::channel::CertificateStatus| {
        (certificate.serial.clone(), certificate.not_after.clone(), certificate.issuer.clone())
    };
    let mut history = History::begin().unwrap();
    let late = ["SubrosaCertificateNotRenewed", "SubrosaCertificateExpired"];
    world.expires_at(&before.not_after).await;
    history.scrape(async || world.metrics().await).await;
    assert!(!history.is_true("SubrosaVaultSealed", NOW).unwrap());
    assert!(!history.is_true("SubrosaChannelsNotReady", NOW).unwrap());
    for alert in late {
        assert!(!history.is_true(alert, NOW).unwrap(), "{alert}");
    }

    world.env.openbao().seal().await.unwrap();
    vault_is_asked(&world, &mut history).await;
    assert!(history.is_true("SubrosaVaultSealed", NOW).unwrap(), "{}", world.metrics().await.unwrap());
    world.apply(&short("another")).await;
    world.not_ready(NS, "sbc", "VaultSealed").await;
    let status = world.channel(NS, "sbc", |status| status.certificate.is_some()).await;
    assert_eq!(told(&status.certificate.unwrap()), told(&before));
    world.expires_at(&before.not_after).await;
    // After a restart not even the record is known: the Secret is.
    world.restart_operator().await;
    world.not_ready(NS, "sbc", "VaultSealed").await;
    let status = world.channel(NS, "sbc", |status| status.certificate.is_some()).await;
    assert_eq!(told(&status.certificate.unwrap()), told(&before));
    world.expires_at(&before.not_after).await;
    vault_is_asked(&world, &mut history).await;
    for alert in ["SubrosaReconcileFailing", "SubrosaChannelsNotReady"] {
        assert!(history.is_true(alert, NOW).unwrap(), "{alert}: {}", world.metrics().await.unwrap());
    }
    for alert in late {
        assert!(!history.is_true(alert, 30 * MINUTE).unwrap(), "{alert}");
        assert!(history.is_true(alert, 120 * MINUTE).unwrap(), "{alert}");
    }
    assert!(!history.is_true("SubrosaAbsent", NOW).unwrap());
    world.stop_operator();
    history.scrape(async || world.metrics().await).await;
    assert!(history.is_true("SubrosaAbsent", MINUTE).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_that_should_not_be_and_closed_that_should_be_open_is_told() {
    let world = World::start().await;
    world.governed(NS).await;
    world.apply(&channel(NS, "voice", json!({"connectsTo": [{"name": "other"}]}))).await;
    world.apply(&channel(NS, "other", json!({"listeners": [{"name": "sips", "port": 5061}]}))).await;
    world.connection(NS, "voice", "other", "AwaitingConsent").await;
    let mut history = History::begin().unwrap();
    history.scrape(async || world.metrics_with("subrosa_connections{state=\"AwaitingConsent\"").await).await;
    assert!(!history.is_true("SubrosaIsolationWidened", NOW).unwrap());
    assert!(!history.is_true("SubrosaConnectionAwaitingConsent", 60 * MINUTE).unwrap());
    assert!(history.is_true("SubrosaConnectionAwaitingConsent", 1441 * MINUTE).unwrap());

    let foreign = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "open", "namespace": NS},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
    });
    world.apply(&foreign).await;
    history.scrape(async || world.metrics_with("reason=\"ForeignPolicy\"").await).await;
    assert!(history.is_true("SubrosaIsolationWidened", NOW).unwrap());

    world.env.openbao().stop();
    vault_is_asked(&world, &mut history).await;
    assert!(history.is_true("SubrosaVaultUnreachable", NOW).unwrap(), "{}", world.metrics().await.unwrap());
    assert!(!history.is_true("SubrosaVaultSealed", NOW).unwrap());
}

/// Scrapes whenever Vault was asked again: a TrustDomain that changes asks it anew, sooner than the 15 s between looks.
async fn vault_is_asked(world: &World, history: &mut History) {
    for time in 0..5 {
        let before = requests(&world.metrics().await.unwrap());
        let mut domain = world.installed.trust_domain(&world.env);
        let staged =
            json!([{"namespace": format!("cc-none-{time}"), "mode": "Audit", "until": "2099-01-01"}]);
        domain["spec"]["network"]["staged"] = staged;
        world.apply(&domain).await;
        let asked = || async {
            let text = world.metrics().await.unwrap_or_default();
            if requests(&text) > before { Ok(()) } else { Err(text) }
        };
        world.until("Vault is asked again", asked).await;
        history.scrape(async || world.metrics().await).await;
    }
}

/// How many requests to Vault these metrics count, whatever came of them.
fn requests(metrics: &str) -> u64 {
    let counted = metrics.lines().filter(|line| line.starts_with("subrosa_vault_requests_total{"));
    counted.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}
