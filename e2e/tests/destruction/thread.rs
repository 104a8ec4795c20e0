//! From a key that is due to the proof that it is gone.

use serde_json::json;

use crate::world::{NS, World, hold};

#[tokio::test(flavor = "multi_thread")]
async fn what_two_people_approve_is_destroyed_and_what_is_held_is_not() {
    let mut world = World::start(&["portal", "triage", "ward"]).await;
    world.look().await;
    let (gone, kept) = (world.sealed("portal").await, world.sealed("triage").await);
    world.apply(&hold("matter", json!({"namespaces": [NS], "channels": ["triage"]}))).await;
    world.look().await;
    let found = world.hold("matter").await.status.unwrap();
    assert_eq!((found.held, found.conditions[1].reason.as_str()), (Some(2), "Effective"), "{found:#?}");
    assert_eq!(
        world.decided("triage").await["holds"]["matter"]["uid"],
        world.hold("matter").await.metadata.uid.unwrap()
    );

    let order = world.list(&["portal", "triage"]).await;
    let name = order.metadata.name.clone().unwrap();
    world.approve("anna", &order).await;
    world.look().await;
    assert_eq!(world.state(&name).await, "NotDue", "{:#?}", world.destruction(&name).await.status);
    world.days_on(4).await;
    assert_eq!(world.state(&name).await, "AwaitingApproval", "{:#?}", world.destruction(&name).await.status);
    assert!(world.opens("portal", &gone).await);
    world.approve("bas", &order).await;
    world.look().await;
    let status = world.destruction(&name).await.status.unwrap();
    assert_eq!((status.set_aside, status.destroyed), (Some(1), Some(0)), "{status:#?}");
    assert!(!world.opens("portal", &gone).await && world.opens("triage", &kept).await);
    assert_eq!(world.transit(&world.key("portal")).await.unwrap()["soft_deleted"], true);

    world.restart().await;
    world.days_on(3).await;
    let status = world.destruction(&name).await.status.unwrap();
    let of = |channel: &str| status.keys.iter().find(|key| key.id == world.keys[channel].id).unwrap();
    let states = ["portal", "triage"].map(|channel| of(channel).state.as_str());
    assert_eq!(states, ["Destroyed", "Held"], "{status:#?}");
    assert!(world.transit(&world.key("portal")).await.is_none());
    assert!(!world.opens("portal", &gone).await && world.opens("triage", &kept).await);
    let proof = of("portal").canary.clone().unwrap();
    assert!(proof.starts_with("vault:v1:"), "{proof}");
    assert_eq!(
        status.approved_by.iter().map(|one| one.approver.as_str()).collect::<Vec<_>>(),
        ["anna", "bas"]
    );
    let told = world.events(&name).await;
    for reason in ["NotDue", "AwaitingApproval", "SetAside", "Held"] {
        assert!(told.contains(&reason.to_owned()), "{reason}: {told:?}");
    }
    // What nobody listed is as it was.
    assert!(world.transit(&world.key("ward")).await.is_some());
    assert_eq!(world.decided("ward").await.get("destruction"), None);
}
