//! A key alone that comes back, from a backup that an administrator took, while Vault and the cluster remember everything.

use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};
use subrosa_crds::{Destruction, approval::TargetKind};
use subrosa_destroyer::cluster::is_done;

use crate::world::{NS, World, hold};

/// What an administrator of Vault may do: take a copy of a key.
pub async fn backup(world: &World, key: &str) -> Value {
    let bao = world.env.openbao();
    let lets = json!({"exportable": true, "allow_plaintext_backup": true});
    bao.request("POST", &format!("transit/keys/{key}/config"), Some(lets)).await.unwrap();
    bao.request("GET", &format!("transit/backup/{key}"), None).await.unwrap()["data"]["backup"].clone()
}

async fn destructions(world: &World, selector: &str) -> Vec<Destruction> {
    let api: Api<Destruction> = Api::all(world.admin.clone());
    api.list(&ListParams::default().fields(selector)).await.unwrap().items
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_back_is_held_by_what_came_since_and_destroyed_anew() {
    let mut world = World::start(&["portal"]).await;
    world.look().await;
    let (key, sealed) = (world.key("portal"), world.sealed("portal").await);
    let backup = backup(&world, &key).await;
    world.days_on(4).await;
    let order = world.list(&["portal"]).await;
    let name = order.name_any();
    for who in ["anna", "bas"] {
        world.approve(who, &order).await;
    }
    world.look().await;
    world.days_on(3).await;
    let first = world.destruction(&name).await.status.unwrap();
    assert_eq!(first.state.as_deref(), Some("Destroyed"), "{first:#?}");
    assert!(!world.opens("portal", &sealed).await);
    // What is done is not read at every look.
    assert!(destructions(&world, "status.state!=Destroyed").await.is_empty());

    let bao = world.env.openbao();
    bao.request("POST", &format!("transit/restore/{key}"), Some(json!({"backup": backup}))).await.unwrap();
    assert!(world.opens("portal", &sealed).await);
    world.restart().await;
    world.look().await;
    let back = world.destruction(&name).await.status.unwrap();
    assert_eq!((back.state.as_deref(), back.destroyed), (Some("Resurrected"), Some(0)), "{back:#?}");
    assert_eq!((&back.approved_by, &back.keys[0].canary), (&first.approved_by, &first.keys[0].canary));
    assert_eq!(back.effective_at, None);

    // A court wants it: it is held, though it was past the point of no return before.
    world.apply(&hold("matter", json!({"namespaces": [NS]}))).await;
    world.look().await;
    assert!(
        world.decided("portal").await["holds"]["matter"].is_object(),
        "{:#}",
        world.decided("portal").await
    );
    world.release("matter").await;
    world.look().await;
    let matter = world.hold("matter").await;
    let digest = matter.status.as_ref().unwrap().release_digest.clone().unwrap();
    for who in ["anna", "bas"] {
        let uid = matter.uid().unwrap();
        world.decide("Approve", who, TargetKind::LegalHold, "matter", &uid, &digest).await;
    }
    world.look().await;

    // The operator lists it anew, and the old Approvals do nothing for it.
    world.stop_operator();
    world.start_operator().await;
    let anew = world
        .until("a new list", || async {
            let all = destructions(&world, "").await;
            let found = all.into_iter().find(|one| one.name_any() != name && !is_done(one));
            found.ok_or("none".to_owned())
        })
        .await;
    assert_eq!(anew.spec.keys, order.spec.keys);
    world.look().await;
    assert_eq!(world.state(&anew.name_any()).await, "AwaitingApproval");
    assert!(world.opens("portal", &sealed).await);
    for who in ["cees", "daan"] {
        world.approve(who, &anew).await;
    }
    world.look().await;
    assert_eq!(world.state(&anew.name_any()).await, "SetAside");
    world.days_on(3).await;
    assert_eq!(world.state(&anew.name_any()).await, "Destroyed");
    assert!(world.transit(&key).await.is_none());
    // What is back is looked at again every ten minutes.
    world.hours_on(1).await;
    let again = world.destruction(&name).await.status.unwrap();
    assert_eq!((again.state.as_deref(), again.destroyed), (Some("Destroyed"), Some(1)), "{again:#?}");
    assert!(
        again.keys[0].gone_again_at.is_some() && again.keys[0].destroyed_at == first.keys[0].destroyed_at
    );
    assert!(again.conditions.iter().any(|one| one.message.contains("had been back")), "{again:#?}");
}
