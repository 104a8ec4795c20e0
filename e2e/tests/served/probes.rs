//! Each reason of Served, on a real API server, against servers that really answer so.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::json;
use subrosa_crds::{Channel, condition};
use subrosa_e2e::{alerts::History, wait};

use crate::{
    server::Server,
    stage::{Mount, NS, Stage, presented, serial, served},
};

const ALERT: &str = "SubrosaCertificateNotServed";

fn ip(number: u8) -> IpAddr {
    [127, 0, 7, number].into()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pods_serve_is_seen_and_said() {
    let mut stage = Stage::set().await;
    let (first, port) = Server::listen(ip(1), 0).await;
    let (second, _) = Server::listen(ip(2), port).await;
    let spec = |common_name: &str| {
        json!({
            "listeners": [{"name": "tls", "port": port}], "tls": {"reload": "Workload", "commonName": common_name},
        })
    };
    stage.channel("db", spec("db")).await;
    let issued = stage.files("db", None).await;
    let before = stage.served("db", "Unknown", "NotProbed").await;
    assert!(served(&before).message.contains("no pod of this Channel is ready"), "{before:?}");
    the_policy_lets_the_operator_in(&stage, port).await;

    let mut history = History::begin().unwrap();
    // Two pods with the issued files.
    let started = Timestamp::now();
    for (number, server) in [(1, &first), (2, &second)] {
        server.load(&issued);
        stage.pod(&format!("db-{number}"), "db", ip(number), Mount::Whole, started).await;
    }
    let current = stage.status("db", |status| presented(status).is_some_and(|(_, pods)| pods == "2/2")).await;
    let one = serial(&current);
    assert!(wait::is(&current, condition::SERVED), "{current:?}");
    assert_eq!(served(&current).reason, "CurrentEverywhere");
    assert_eq!(presented(&current), Some((one.clone(), "2/2".into())));
    let ready = condition::find(&current.conditions, condition::READY).unwrap();
    assert_eq!(ready.reason, "InForceUnproven", "nobody has seen that packets are blocked");
    assert!(ready.message.contains("probes saw the certificate on every ready pod"), "{ready:?}");
    nothing_is_written_for_what_is_known(&mut stage).await;
    told_by_the_alert(&stage, &mut history, "status=\"True\",reason=\"CurrentEverywhere\"", false).await;

    // A renewal that nobody took yet, then one of two.
    stage.channel("db", spec("sql")).await;
    let renewed = stage.files("db", Some(&issued)).await;
    let stale = stage.served("db", "False", "StaleCertificate").await;
    told_by_the_alert(&stage, &mut history, "status=\"False\",reason=\"StaleCertificate\"", true).await;
    let message = served(&stale).message;
    assert!(
        message.contains("db-1") && message.contains("db-2") && message.contains("within two minutes"),
        "{message}"
    );
    assert_eq!(presented(&stale), Some((one.clone(), "2/2".into())), "what they still present");
    assert!(wait::is(&stale, condition::READY), "it does not make the Channel unready");
    let two = serial(&stale);
    assert_ne!(one, two);
    first.load(&renewed);
    let half = stage.status("db", |status| presented(status) == Some((one.clone(), "1/2".into()))).await;
    assert!(!served(&half).message.contains("db-1"), "{half:?}");
    second.load(&renewed);
    let done = stage.served("db", "True", "CurrentEverywhere").await;
    // A look that is missed in between starts no new hour, so it stays true for some minutes.
    let minutes = Duration::from_secs(6 * 60);
    history.scrape(async || stage.metrics_with("status=\"True\",reason=\"CurrentEverywhere\"").await).await;
    assert!(!history.is_true(ALERT, minutes).unwrap());
    assert_eq!(presented(&done), Some((two, "2/2".into())));

    // A third pod that is otherwise in each way.
    let (third, _) = Server::listen(ip(3), port).await;
    third.load(&issued);
    stage.pod("db-3", "db", ip(3), Mount::SubPath, started).await;
    let told = stage.served("db", "False", "SubPathMount").await;
    assert!(served(&told).message.contains("db-3") && served(&told).message.contains("subPath"), "{told:?}");
    stage.delete_pod("db-3").await;
    stage.served("db", "True", "CurrentEverywhere").await;

    stage.channel("other", json!({"listeners": [{"name": "tls", "port": port}]})).await;
    third.load(&stage.files("other", None).await);
    stage.pod("db-3", "db", ip(3), Mount::Not, started).await;
    let told = stage.served("db", "False", "NotMounted").await;
    assert!(served(&told).message.contains("no volume of it has the Secret db-mtls"), "{told:?}");
    stage.delete_pod("db-3").await;
    stage.served("db", "True", "CurrentEverywhere").await;
    stage.pod("db-3", "db", ip(3), Mount::Whole, started).await;
    let told = stage.served("db", "False", "NotMounted").await;
    assert!(served(&told).message.contains("did not sign"), "{told:?}");
    stage.delete_pod("db-3").await;

    drop(third);
    let (plain, _) = Server::listen(ip(4), port).await;
    stage.pod("db-4", "db", ip(4), Mount::Whole, started).await;
    stage.served("db", "False", "ServedInPlaintext").await;
    drop(plain);
    stage.delete_pod("db-4").await;
    stage.pod("db-5", "db", ip(5), Mount::Whole, started).await;
    stage.served("db", "False", "NotListening").await;
    stage.delete_pod("db-5").await;
    stage.served("db", "True", "CurrentEverywhere").await;
}

/// What the alert says once the metrics have these labels.
async fn told_by_the_alert(stage: &Stage, history: &mut History, labels: &str, expected: bool) {
    history.scrape(async || stage.metrics_with(labels).await).await;
    assert_eq!(history.is_true(ALERT, Duration::ZERO).unwrap(), expected, "{labels}");
}

async fn the_policy_lets_the_operator_in(stage: &Stage, port: u16) {
    let policy = stage.api::<NetworkPolicy>().get("subrosa-channel-db").await.unwrap();
    let ingress = serde_json::to_value(policy.spec.unwrap().ingress).unwrap();
    let labels = json!({"app.kubernetes.io/name": "subrosa", "app.kubernetes.io/component": "operator"});
    let expected = json!([{
        "from": [{
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "subrosa-system"}},
            "podSelector": {"matchLabels": labels},
        }],
        "ports": [{"protocol": "TCP", "port": port}],
    }]);
    assert_eq!(ingress, expected, "in {NS}");
}

/// Neither while everything is current, nor by an operator that has to look at everything again.
async fn nothing_is_written_for_what_is_known(stage: &mut Stage) {
    // The operator looks at the keys of a new trust domain some seconds later, and says so.
    stage
        .status("db", |found| wait::is(found, condition::KEYS_READY) && wait::is(found, condition::RETAINED))
        .await;
    let before = stage.api::<Channel>().get("db").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(json!(stage.api::<Channel>().get("db").await.unwrap()), json!(before));
    stage.kill_operator();
    stage.start_operator().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let after = stage.api::<Channel>().get("db").await.unwrap();
    assert_eq!(json!(after), json!(before), "a restart of the operator is no news");
}
