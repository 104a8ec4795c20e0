//! Each fault that an alert about the end of data is for, made on a real cluster and a real Vault: the alert's expression becomes
//! true over the metrics that the destroyer gives then, and was not before.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::{Api, ResourceExt as _, api::DeleteParams};
use serde_json::json;
use subrosa_crds::approval::TargetKind;
use subrosa_e2e::alerts::History;

use crate::world::{DOMAIN, World, hold};

const NOW: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3600);
const NOT_LOOKING: &str = "SubrosaDestroyerNotLooking";
const FAILING: &str = "SubrosaDestroyerFailing";
const FROZEN: &str = "SubrosaDestroyerFrozen";
const RESURRECTED: &str = "SubrosaKeyResurrected";
const AWAITING: &str = "SubrosaDestructionAwaitingApproval";
const OVERDUE: &str = "SubrosaLegalHoldReviewOverdue";

async fn scrape(world: &World, history: &mut History) {
    history.scrape(async || Some(world.destroyer.metrics().text())).await;
}

/// That of all alerts exactly these are true now.
fn only(history: &History, expected: &[&str], world: &World) {
    for alert in [NOT_LOOKING, FAILING, FROZEN, RESURRECTED, AWAITING, OVERDUE, "SubrosaDestroyerAbsent"] {
        let is_true = history.is_true(alert, NOW).unwrap();
        assert_eq!(is_true, expected.contains(&alert), "{alert}\n{}", world.destroyer.metrics().text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyer_that_cannot_look_is_told() {
    let world = World::start(&["portal"]).await;
    let mut history = History::begin().unwrap();
    world.look().await;
    scrape(&world, &mut history).await;
    only(&history, &[], &world);
    assert!(!history.is_true(NOT_LOOKING, HOUR).unwrap());
    assert!(history.is_true(NOT_LOOKING, 3 * HOUR).unwrap(), "it looks no more");

    world.env.openbao().seal().await.unwrap();
    world.look().await;
    scrape(&world, &mut history).await;
    only(&history, &[FAILING], &world);
    world.env.openbao().unseal().await.unwrap();
    world
        .until("a look that ends well", || async {
            world.destroyer.round().await;
            let text = world.destroyer.metrics().text();
            if text.contains("subrosa_destroyer_failing{") { Err(text) } else { Ok(()) }
        })
        .await;
    scrape(&world, &mut history).await;
    only(&history, &[], &world);

    // Nothing at all can be read of the cluster.
    let bindings: Api<ClusterRoleBinding> = Api::all(world.admin.clone());
    bindings.delete("subrosa-destroyer", &DeleteParams::default()).await.unwrap();
    world
        .until("that it may not read", || async {
            world.destroyer.round().await;
            let text = world.destroyer.metrics().text();
            if text.contains("reason=\"KubernetesForbidden\"") { Ok(()) } else { Err(text) }
        })
        .await;
    scrape(&world, &mut history).await;
    only(&history, &[FAILING], &world);
    assert!(history.is_true(NOT_LOOKING, 3 * HOUR).unwrap());
    history.scrape(async || None).await;
    only(&history, &["SubrosaDestroyerAbsent"], &world);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_people_what_is_frozen_and_what_is_back_is_told() {
    // Times are counted from its beginning, and one of 0 would say that there is none.
    let mut history = History::begin().unwrap();
    let mut world = World::start(&["portal", "triage"]).await;
    let mut matter = hold("matter", json!({"channels": ["triage"]}));
    matter["spec"]["reviewEvery"] = "3d".into();
    world.apply(&matter).await;
    world.look().await;
    world.days_on(4).await;
    scrape(&world, &mut history).await;
    only(&history, &[OVERDUE], &world);
    let today = Timestamp::now() + SignedDuration::from_hours(24 * 4);
    matter["spec"]["reviewedOn"] = today.strftime("%F").to_string().into();
    world.apply(&matter).await;
    let order = world.list(&["portal"]).await;
    let name = order.name_any();
    world.look().await;
    scrape(&world, &mut history).await;
    only(&history, &[], &world);
    assert!(!history.is_true(AWAITING, 24 * HOUR).unwrap());
    assert!(history.is_true(AWAITING, 169 * HOUR).unwrap(), "{}", world.destroyer.metrics().text());

    let snapshot = world.env.openbao().snapshot().await.unwrap();
    world.approve("anna", &order).await;
    world.approve("bas", &order).await;
    world.look().await;
    world.days_on(3).await;
    assert_eq!(world.state(&name).await, "Destroyed");
    scrape(&world, &mut history).await;
    only(&history, &[], &world);
    assert!(!history.is_true(AWAITING, 169 * HOUR).unwrap(), "nothing waits any more");

    world.env.openbao_mut().restore(snapshot).await.unwrap();
    world.restart().await;
    world.look().await;
    assert_eq!(world.state(&name).await, "Resurrected");
    let mut history = History::begin().unwrap();
    scrape(&world, &mut history).await;
    only(&history, &[FROZEN, RESURRECTED], &world);
    let (reason, digest, uid) = world.frozen().await;
    assert_eq!(reason, "StoreRestored");
    for who in ["anna", "bas"] {
        world.decide("Approve", who, TargetKind::TrustDomain, DOMAIN, &uid, &digest).await;
    }
    world.look().await;
    scrape(&world, &mut history).await;
    only(&history, &[RESURRECTED], &world);
}
