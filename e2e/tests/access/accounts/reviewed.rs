//! A review of a role that names a ServiceAccount: overdue, it gives it nothing, and gives again after the review.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use jiff::{SignedDuration, Timestamp};
use kube::Api;
use serde_json::json;
use subrosa_crds::{AccessRole, AccessRoleStatus};
use subrosa_e2e::wait;
use subrosa_granter::Granter;

use super::{NS, PATIENCE, login, of_accounts};
use crate::world::{CHAT, REVIEWER, World, ready, reason};

const ROLE: &str = "reviewed";
/// What the clock of the granter shows that looks when the review is due, in seconds.
static SHOWN: AtomicI64 = AtomicI64::new(0);

fn shown() -> Timestamp {
    Timestamp::from_second(SHOWN.load(Ordering::Relaxed)).unwrap()
}

pub async fn an_overdue_role_gives_it_nothing_until_it_is_reviewed(world: &World) {
    let chat = world.sealed("voice", CHAT).await;
    let mut reviewed = of_accounts(ROLE, &["archiver"], CHAT);
    reviewed["spec"]["review"] = json!({"every": "30d", "author": "e2e-admin"});
    world.apply(&reviewed).await;
    let status = world.role(ROLE, ready).await;
    let digest = status.digest.unwrap();
    let session = login(world, NS, "archiver").await.unwrap();
    assert!(world.opens(&session, &chat).await);
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), NS);
    let metadata = roles.get(ROLE).await.unwrap().metadata;
    let (uid, made) = (metadata.uid.unwrap(), metadata.creation_timestamp.unwrap().0);
    // It stands still, so that the review of a minute later ends a minute after what it shows.
    SHOWN.store(made.as_second() + 30 * 24 * 3600, Ordering::Relaxed);
    let late = world.granter_with(None, shown).await;
    let status = until(world, &late.granter, |status| reason(status).0 == "ReviewOverdue").await;
    assert_eq!(status.effective.unwrap().count, 0);
    assert!(!world.opens(&session, &chat).await, "the session that there is opens nothing");
    let again = login(world, NS, "archiver").await.unwrap();
    assert!(!world.opens(&again, &chat).await, "nor a new one");

    // One counts that is younger than the first look at the admission policy.
    let count = AtomicU32::new(0);
    let status = until(world, &late.granter, |status| {
        let is_ready = ready(status);
        if !is_ready {
            let name = format!("{ROLE}-account-{}", count.fetch_add(1, Ordering::Relaxed));
            let expires = (Timestamp::now() + SignedDuration::from_hours(24 * 80)).to_string();
            let approval = json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval", "metadata": {"name": name},
                "spec": {
                    "target": {"kind": "AccessRole", "namespace": NS, "name": ROLE, "uid": uid, "digest": digest},
                    "decision": "Approve", "approver": REVIEWER, "expires": expires,
                },
            });
            let all: Api<subrosa_crds::Approval> = Api::all(world.reviewer.clone());
            tokio::spawn(async move {
                let made = serde_json::from_value(approval).unwrap();
                all.create(&Default::default(), &made).await.unwrap();
            });
        }
        is_ready
    })
    .await;
    assert_eq!(status.reviewed.map(|one| one.approver).as_deref(), Some(REVIEWER));
    assert!(world.opens(&session, &chat).await && world.opens(&again, &chat).await);
    world.delete(ROLE).await;
}

async fn until(
    world: &World,
    granter: &Granter,
    holds: impl Fn(&AccessRoleStatus) -> bool,
) -> AccessRoleStatus {
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), NS);
    let found = wait::until(PATIENCE, || async {
        granter.round().await;
        let status = roles.get(ROLE).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        if holds(&status) { Ok(status) } else { Err(format!("{status:?}")) }
    });
    found.await.unwrap()
}
