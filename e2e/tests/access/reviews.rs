//! Reviews: an overdue role gives nothing, and gives again after somebody who did not write it looked at it.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{events::v1::Event, rbac::v1::RoleBinding};
use kube::{Api, Client, api::ListParams};
use serde_json::json;
use subrosa_crds::{
    AccessRole,
    condition::{self, SUSPENDED},
};
use subrosa_e2e::{alerts::History, wait};

use super::world::{NS, RECORDING, REVIEWER, World, ready, reason, role};

const PATIENCE: Duration = Duration::from_secs(60);
/// What the granter's clock shows, in seconds; 0 while it goes.
static SHOWN: AtomicI64 = AtomicI64::new(0);

/// The clock of the granter in these tests.
pub fn clock() -> Timestamp {
    match SHOWN.load(Ordering::Relaxed) {
        0 => Timestamp::now(),
        seconds => Timestamp::from_second(seconds).unwrap(),
    }
}

/// Slots of login `night` are used, and left as they were.
pub async fn an_overdue_role_gives_nothing_until_it_is_reviewed(world: &World) {
    let recording = world.sealed("video", RECORDING).await;
    let mut reviewed = role("reviewed", "night", &["a"], &[("video", RECORDING)]);
    reviewed["spec"]["review"] = json!({"every": "30d", "author": "e2e-admin"});
    world.apply(&reviewed).await;
    let status = world.role("reviewed", ready).await;
    assert!(status.review_due.is_some() && status.reviewed.is_none(), "{status:?}");
    let session = world.login("night", "rob", json!({"amr": ["otp"], "groups": ["a"]})).await.unwrap();
    assert!(world.opens(&session, &recording).await);
    let digest = status.digest.clone().unwrap();
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), NS);
    let metadata = roles.get("reviewed").await.unwrap().metadata;
    let (uid, made) = (metadata.uid.unwrap(), metadata.creation_timestamp.unwrap().0);
    // It stands still, so that the review of a minute later ends a minute after what it shows.
    let days = |count: i64| SHOWN.store(made.as_second() + count * 24 * 3600, Ordering::Relaxed);

    days(20);
    world.role("reviewed", ready).await;
    event(world, "ReviewDue").await;
    days(30);
    let status = world.role("reviewed", |status| reason(status).0 == "ReviewOverdue").await;
    assert!(condition::is_true(&status.conditions, SUSPENDED));
    assert!(!world.opens(&session, &recording).await, "the session that there is opens nothing");
    let bindings: Api<RoleBinding> = Api::namespaced(world.admin.clone(), NS);
    assert!(bindings.get_opt("subrosa-access-reviewed").await.unwrap().is_none());
    assert_eq!(
        status.digest.as_deref(),
        Some(digest.as_str()),
        "what would be given again is what is reviewed"
    );
    let effective = status.effective.unwrap();
    assert_eq!((effective.count, effective.rules.len()), (0, 0));
    assert_ne!(effective.digest, digest, "nothing of that is in force");
    event(world, "ReviewOverdue").await;
    told_when_it_is_late(world).await;

    // Of something else, and by the author: no reviews.
    let other = format!("sha256:{}", "0".repeat(64));
    approve(&world.reviewer, "other", REVIEWER, &uid, &other).await;
    for _ in 0..3 {
        world.granter.round().await;
    }
    world.role("reviewed", |status| reason(status).0 == "ReviewOverdue").await;
    assert!(!world.opens(&session, &recording).await);
    let forged = approval("forged", "somebody", &uid, &digest);
    assert!(Api::all(world.reviewer.clone()).create(&Default::default(), &forged).await.is_err());

    // One counts that is younger than the first look at the admission policy.
    let count = AtomicI64::new(0);
    let status = wait::until(PATIENCE, || async {
        let name = format!("reviewed-{}", count.fetch_add(1, Ordering::Relaxed));
        approve(&world.reviewer, &name, REVIEWER, &uid, &digest).await;
        world.granter.round().await;
        let status =
            roles.get("reviewed").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        if ready(&status) { Ok(status) } else { Err(format!("{status:?}")) }
    });
    let status = status.await.unwrap();
    assert_eq!(status.reviewed.map(|one| one.approver).as_deref(), Some(REVIEWER));
    assert!(!condition::is_true(&status.conditions, SUSPENDED));
    assert!(world.opens(&session, &recording).await, "and the session opens again");
    SHOWN.store(0, Ordering::Relaxed);
    world.delete("reviewed").await;
    world.granter.round().await;
}

/// The alert becomes true when the day has come: Prometheus has a clock of its own, which the granter's does not move.
async fn told_when_it_is_late(world: &World) {
    const ALERT: &str = "SubrosaAccessReviewOverdue";
    let due = || {
        let text = world.granter.metrics().text();
        let told =
            text.lines().filter(|line| line.starts_with("subrosa_accessrole_review_due_timestamp_seconds"));
        told.collect::<Vec<_>>().join("\n")
    };
    let mut history = History::begin().unwrap();
    history.scrape(async || Some(due())).await;
    for (days, expected) in [(0, false), (29, false), (30, true)] {
        let later = Duration::from_secs(days * 24 * 3600);
        assert_eq!(history.is_true(ALERT, later).unwrap(), expected, "{days} days: {}", due());
    }
}

fn approval(name: &str, who: &str, uid: &str, digest: &str) -> subrosa_crds::Approval {
    // Longer than the clock is ahead.
    let expires = (Timestamp::now() + SignedDuration::from_hours(24 * 80)).to_string();
    serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval", "metadata": {"name": name},
        "spec": {
            "target": {"kind": "AccessRole", "namespace": NS, "name": "reviewed", "uid": uid, "digest": digest},
            "decision": "Approve", "approver": who, "expires": expires,
        },
    }))
    .unwrap()
}

async fn approve(client: &Client, name: &str, who: &str, uid: &str, digest: &str) {
    let made = Api::all(client.clone()).create(&Default::default(), &approval(name, who, uid, digest)).await;
    made.unwrap();
}

async fn event(world: &World, reason: &str) {
    let events: Api<Event> = Api::namespaced(world.admin.clone(), NS);
    let found = wait::until(PATIENCE, || async {
        world.granter.round().await;
        let events = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let is_it = |event: &Event| event.reason.as_deref() == Some(reason);
        if events.items.iter().any(is_it) { Ok(()) } else { Err(format!("no Event {reason}")) }
    });
    found.await.unwrap();
}
