//! Served where somebody else issues the certificate.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use subrosa_crds::condition;
use subrosa_e2e::wait;

use crate::{
    foreign::Issuer,
    server::{Files, Server},
    stage::{Mount, NS, Stage, presented, serial, served},
};

/// The Secret of the other issuer.
const THEIRS: &str = "db-tls";

/// A Channel with their certificate; what it accepts is all that changes.
fn spec(port: u16, accepts: &[&str]) -> Value {
    let accepts: Vec<_> = accepts.iter().map(|name| json!({"name": name})).collect();
    json!({
        "listeners": [{"name": "tls", "port": port}], "accepts": accepts,
        "tls": {"reload": "Workload", "issuance": "External", "secretName": THEIRS},
    })
}

/// What the pods mount: their leaf and key, our trust files.
async fn mounted(stage: &Stage) -> Files {
    let mut files = Files::new();
    for (secret, wanted) in [(THEIRS, ["tls.crt", "tls.key"].as_slice()), ("db-trust", &["clients-ca.crt"])] {
        let data = stage.api::<Secret>().get(secret).await.unwrap().data.unwrap();
        for file in wanted {
            files.insert((*file).to_owned(), String::from_utf8(data[*file].0.clone()).unwrap());
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_issued_is_seen_too() {
    let stage = Stage::set().await;
    let issuer = Issuer::new("another issuer");
    let ip = [127, 0, 7, 61].into();
    let (server, port) = Server::listen(ip, 0).await;
    stage.apply(&issuer.secret(NS, THEIRS, "db.cc-data.svc")).await;
    stage.channel("db", spec(port, &[])).await;
    stage.status("db", |status| wait::is(status, condition::READY)).await;
    let first = mounted(&stage).await;
    server.load(&first);
    stage.pod("db-1", "db", ip, Mount::Named(THEIRS), Timestamp::now()).await;
    let current = stage.served("db", "True", "CurrentEverywhere").await;
    let one = issuer.serial(&stage.api::<Secret>().get(THEIRS).await.unwrap());
    assert_eq!(presented(&current), Some((one.clone(), "1/1".into())));

    // They renew it, and the pod goes on with what it had. A change of the Channel has the Secret read now.
    stage.apply(&issuer.secret(NS, THEIRS, "db.cc-data.svc")).await;
    let two = issuer.serial(&stage.api::<Secret>().get(THEIRS).await.unwrap());
    stage.channel("db", spec(port, &["later"])).await;
    let stale = stage.served("db", "False", "StaleCertificate").await;
    assert!(served(&stale).message.contains("db-1"), "{stale:?}");
    assert_eq!((serial(&stale), presented(&stale)), (two.clone(), Some((one, "1/1".into()))));
    assert!(wait::is(&stale, condition::READY), "it does not make the Channel unready");
    server.load(&mounted(&stage).await);
    let current = stage.served("db", "True", "CurrentEverywhere").await;
    assert_eq!(presented(&current), Some((two, "1/1".into())));

    // Our own Secret is none that its pods should mount.
    stage.delete_pod("db-1").await;
    server.load(&first);
    stage.pod("db-2", "db", ip, Mount::Whole, Timestamp::now()).await;
    let told = stage.served("db", "False", "NotMounted").await;
    assert!(served(&told).message.contains("no volume of it has the Secret db-tls"), "{told:?}");
}
