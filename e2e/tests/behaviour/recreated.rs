//! A namespace that is deleted and made anew does not inherit the consents that others gave to the one before.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use subrosa_crds::CONSENTS_ANNOTATION;

use crate::world::{World, channel};

const DATA: &str = "cc-data";
const WEB: &str = "cc-web";

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_namespace_awaits_consent_anew() {
    let world = World::start().await;
    world.governed(DATA).await;
    world.governed(WEB).await;
    let db = channel(
        DATA,
        "db",
        json!({"listeners": [{"name": "sql", "port": 5432}], "accepts": [{"name": "portal", "namespace": WEB}]}),
    );
    let portal = channel(WEB, "portal", json!({"connectsTo": [{"name": "db", "namespace": DATA}]}));
    world.apply(&db).await;
    world.apply(&portal).await;
    world.connection(DATA, "db", "portal", "Open").await;
    let opened = world.channel_policy(DATA, "db").await;
    let before = world.files(WEB, "portal").await.authority().to_owned();

    world.delete_namespace(WEB).await;
    world.governed(WEB).await;
    // Whoever may make namespaces and knows the names declares the same.
    world.apply(&portal).await;
    let status = world.connection(DATA, "db", "portal", "AwaitingConsent").await;
    let entry = status.connections.iter().find(|one| one.name == "portal").unwrap();
    let uid = Api::<Namespace>::all(world.admin.clone()).get(WEB).await.unwrap().uid().unwrap();
    let wanted = format!("{CONSENTS_ANNOTATION}: {WEB}={uid}");
    assert!(entry.next_step.as_deref().is_some_and(|next| next.contains(&wanted)), "{entry:?}");
    assert_eq!(entry.consents, Some(format!("{WEB}={uid}")));
    let closed = world.channel_policy(DATA, "db").await;
    assert_eq!(closed.ingress.unwrap_or_default().len(), 0, "it stays closed");
    let new =
        world.files_where(WEB, "portal", |files| files.authority() != before).await.authority().to_owned();
    assert!(world.files(DATA, "db").await.trusting(&new).is_empty(), "nor is it trusted");

    // What a person runs who was told.
    assert_eq!(world.subrosa(&["adopt", "--consents", "--namespace", WEB]), "", "nobody waits there");
    let printed = world.subrosa(&["adopt", "--consents"]);
    assert_eq!(printed.lines().count(), 1, "{printed}");
    assert!(printed.ends_with(&format!(" {CONSENTS_ANNOTATION}={WEB}={uid}\n")), "{printed}");
    world.annotate(&printed, "channel", DATA, "db").await;
    world.connection(DATA, "db", "portal", "Open").await;
    assert_eq!(world.channel_policy(DATA, "db").await.ingress, opened.ingress);
    world.files_where(DATA, "db", |files| !files.trusting(&new).is_empty()).await;
    assert_eq!(world.subrosa(&["adopt", "--consents"]), "", "nobody waits any more");
}
