//! Too much is due and approved at once: people are asked again, before anything of it is set aside.

use kube::ResourceExt as _;
use subrosa_crds::{approval::TargetKind, destruction::ListedKey};

use crate::{
    scale::{self, listed},
    world::{DOMAIN, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_at_once_waits_for_people_across_restarts() {
    let mut world = World::start(&["portal"]).await;
    world.stop_operator();
    let keys: Vec<ListedKey> = scale::keys(&world, 16).await.iter().map(listed).collect();
    world.breaker_percent = 50;
    world.restart().await;
    world.look().await;
    // There are those of the Channel beside them.
    let all = world.destroyer.metrics().text();
    assert!(!all.contains("subrosa_destroyer_frozen{"), "{all}");
    let order = world.list_keys(keys[..14].to_vec()).await;
    world.approve("anna", &order).await;
    world.look().await;
    assert_eq!(world.state(&order.name_any()).await, "AwaitingApproval", "one approves: nothing is at hand");
    world.approve("bas", &order).await;
    for _ in 0..2 {
        world.look().await;
        let status = world.destruction(&order.name_any()).await.status.unwrap();
        assert_eq!((status.state.as_deref(), status.set_aside), (Some("TooMuchDue"), Some(0)), "{status:#?}");
        let (reason, _, _) = world.frozen().await;
        assert_eq!(reason, "TooMuchDue");
        let told = world.told().await["frozen"]["message"].as_str().unwrap().to_owned();
        assert!(told.starts_with("14 of ") && told.contains(&order.name_any()), "{told}");
        let metric = format!("subrosa_destroyer_frozen{{trust_domain=\"{DOMAIN}\",reason=\"TooMuchDue\"}} 1");
        let metrics = world.destroyer.metrics().text();
        assert!(metrics.contains(&metric), "{metrics}");
        assert_eq!(world.transit(&keys[0].key_name()).await.unwrap()["soft_deleted"], false);
        world.restart().await;
    }
    // An Approval of the list again ends nothing; of the freeze, one is not enough.
    world.approve("cees", &order).await;
    let (_, digest, uid) = world.frozen().await;
    world.decide("Approve", "anna", TargetKind::TrustDomain, DOMAIN, &uid, &digest).await;
    world.look().await;
    assert_eq!(world.state(&order.name_any()).await, "TooMuchDue");
    world.decide("Approve", "bas", TargetKind::TrustDomain, DOMAIN, &uid, &digest).await;
    world.look().await;
    assert_eq!(set_aside(&world, &order.name_any()).await, Some(14));
    // What people were asked about is counted no more, and two keys are no half of all.
    world.restart().await;
    let rest = world.list_keys(keys[14..].to_vec()).await;
    for who in ["anna", "bas"] {
        world.approve(who, &rest).await;
    }
    world.look().await;
    assert_eq!(set_aside(&world, &rest.name_any()).await, Some(2));
    assert_eq!(world.frozen().await.0, "");
}

async fn set_aside(world: &World, name: &str) -> Option<i64> {
    world.destruction(name).await.status.unwrap().set_aside
}
