//! What stops a destruction, and brings back what was set aside.

use std::fmt::Debug;

use jiff::SignedDuration;
use k8s_openapi::{
    api::admissionregistration::v1::ValidatingAdmissionPolicyBinding,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use subrosa_crds::{Destruction, LegalHold, RetentionPolicy, approval::TargetKind, condition};

use crate::world::{NS, World, hold, policy};

/// A key that two people approved, set aside.
pub async fn set_aside(world: &World, channel: &str) -> (Destruction, String) {
    let sealed = world.sealed(channel).await;
    let order = world.list(&[channel]).await;
    world.approve("anna", &order).await;
    world.approve("bas", &order).await;
    world.look().await;
    assert_eq!(
        world.state(&order.name_any()).await,
        "SetAside",
        "{:#?}",
        world.destruction(&order.name_any()).await.status
    );
    assert!(!world.opens(channel, &sealed).await);
    (order, sealed)
}

/// Deletes what an admission policy protects, as who administers the cluster can.
async fn delete<K>(world: &World, guard: &str, name: &str)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.admin.clone());
    bindings.delete(guard, &DeleteParams::default()).await.unwrap();
    let objects: Api<K> = Api::all(world.admin.clone());
    world
        .until("what nothing protects is deleted", || async {
            match objects.delete(name, &DeleteParams::default()).await {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    assert!(objects.get_opt(name).await.unwrap().is_none(), "{name} is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_a_denial_and_a_change_bring_a_key_back() {
    let world = World::start(&["held", "denied", "gone", "changed"]).await;
    world.look().await;
    world.days_on(4).await;

    let (order, sealed) = set_aside(&world, "held").await;
    world.apply(&hold("matter", json!({"namespaces": [NS], "channels": ["held"]}))).await;
    world.look().await;
    assert_eq!(world.state(&order.name_any()).await, "Held");
    assert!(world.opens("held", &sealed).await);

    let (order, sealed) = set_aside(&world, "denied").await;
    let (name, uid) = (order.name_any(), order.uid().unwrap());
    world.decide("Deny", "cees", TargetKind::Destruction, &name, &uid, &order.spec.digest).await;
    world.look().await;
    assert_eq!(world.state(&name).await, "ApprovalDenied");
    assert!(world.opens("denied", &sealed).await);

    // As with the definition of the kind: nothing that is deleted in the cluster destroys.
    let (order, sealed) = set_aside(&world, "gone").await;
    delete::<Destruction>(&world, "subrosa-destruction", &order.name_any()).await;
    world.look().await;
    // Nobody lists it any more, so nobody comes to it but by what is decided about it.
    assert!(world.opens("gone", &sealed).await, "{:#?}", world.decided("gone").await);

    let (order, sealed) = set_aside(&world, "changed").await;
    world.apply(&policy(json!({"grace": "2d"}))).await;
    world.look().await;
    let status = world.destruction(&order.name_any()).await.status.unwrap();
    assert_eq!((status.state.as_deref(), status.keys.len()), (Some("Voided"), 0), "{status:#?}");
    assert!(world.opens("changed", &sealed).await);
    // It stays so when the policy is as it was, and holds up no other list of its key.
    world.apply(&policy(json!({}))).await;
    world.look().await;
    assert_eq!(world.state(&order.name_any()).await, "Voided");
    let anew = world.list(&["changed"]).await;
    world.look().await;
    assert_eq!(world.state(&anew.name_any()).await, "AwaitingApproval");
    world.days_on(5).await;
    for channel in ["held", "denied", "gone", "changed"] {
        assert!(world.transit(&world.key(channel)).await.is_some(), "{channel}");
    }

    // The definitions go while a key is set aside: it waits.
    for who in ["anna", "bas"] {
        world.approve(who, &anew).await;
    }
    world.look().await;
    assert_eq!(world.state(&anew.name_any()).await, "SetAside");
    let definitions: Api<CustomResourceDefinition> = Api::all(world.admin.clone());
    for kind in ["destructions", "approvals", "legalholds"] {
        let name = format!("{kind}.subrosa.dev");
        definitions.delete(&name, &DeleteParams::default()).await.unwrap();
        // Until it is gone what it defines is served, and counts.
        world
            .until("the definition is gone", || async {
                match definitions.get_opt(&name).await {
                    Ok(None) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
    }
    world.days_on(5).await;
    assert!(world.transit(&world.key("changed")).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_ends_by_approvals_only() {
    let mut world = World::start(&["portal"]).await;
    world.apply(&hold("matter", json!({"namespaces": [NS]}))).await;
    world.look().await;
    let holds: Api<LegalHold> = Api::all(world.admin.clone());
    let first = world.hold("matter").await;
    world.release("matter").await;
    world.look().await;
    let asked = world.hold("matter").await.status.unwrap();
    assert_eq!((asked.approvals.as_deref(), asked.held), (Some("0/2"), Some(2)), "{asked:#?}");
    let digest = asked.release_digest.unwrap();
    world.decide("Approve", "anna", TargetKind::LegalHold, "matter", &first.uid().unwrap(), &digest).await;
    world.look().await;
    assert!(world.decided("portal").await["holds"]["matter"].is_object());
    world.decide("Approve", "bas", TargetKind::LegalHold, "matter", &first.uid().unwrap(), &digest).await;
    world.look().await;
    assert_eq!(world.decided("portal").await.get("holds"), None);
    let released = world.hold("matter").await.status.unwrap();
    assert_eq!(
        (released.held, released.conditions[1].reason.as_str()),
        (Some(0), "Released"),
        "{released:#?}"
    );

    // Without its object a hold holds on: it stands where the destroyer decides.
    world.apply(&hold("another", json!({"namespaces": [NS]}))).await;
    world.look().await;
    let finalizers = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    holds.patch("another", &PatchParams::default(), &finalizers).await.unwrap();
    delete::<LegalHold>(&world, "subrosa-legal-hold", "another").await;
    world.days_on(4).await;
    let order = world.list(&["portal"]).await;
    world.approve("anna", &order).await;
    world.approve("bas", &order).await;
    world.look().await;
    assert_eq!(world.state(&order.name_any()).await, "Held");

    // What an administrator of Vault deleted by hand is held by nobody.
    world.apply(&hold("third", json!({"namespaces": [NS]}))).await;
    world.look().await;
    assert_eq!(effective(&world, "third").await, ("True".into(), "Effective".into()));
    let path = format!("transit/keys/{}", world.key("portal"));
    let openbao = world.env.openbao();
    openbao
        .request("POST", &format!("{path}/config"), Some(json!({"deletion_allowed": true})))
        .await
        .unwrap();
    openbao.request("DELETE", &path, None).await.unwrap();
    world.restart().await;
    world.look().await;
    assert_eq!(effective(&world, "third").await, ("False".into(), "KeyMissing".into()));
    let status = world.hold("third").await.status.unwrap();
    assert!(status.conditions[1].message.contains(&world.key("portal")), "{status:#?}");
}

/// What condition Effective of a LegalHold says.
async fn effective(world: &World, name: &str) -> (String, String) {
    let status = world.hold(name).await.status.unwrap();
    let found = condition::find(&status.conditions, condition::EFFECTIVE).unwrap();
    (found.status.to_string(), found.reason.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn weaker_rules_bind_after_approvals_under_the_old_ones() {
    let mut world = World::start(&["portal", "triage", "ward"]).await;
    world.look().await;
    world.days_on(4).await;
    world.apply(&policy(json!({"approvals": 1}))).await;
    let order = world.list(&["portal"]).await;
    world.approve("anna", &order).await;
    world.look().await;
    let status = world.destruction(&order.name_any()).await.status.unwrap();
    assert_eq!((status.approvals.as_deref(), status.set_aside), (Some("1/2"), Some(0)), "{status:#?}");
    let policies: Api<RetentionPolicy> = Api::all(world.admin.clone());
    let changed = policies.get("contactcenter").await.unwrap();
    let digest = subrosa_plan::destruction::rules::digest(&changed);
    for who in ["anna", "bas"] {
        let uid = changed.uid().unwrap();
        world.decide("Approve", who, TargetKind::RetentionPolicy, "contactcenter", &uid, &digest).await;
    }
    world.look().await;
    let status = world.destruction(&order.name_any()).await.status.unwrap();
    assert_eq!((status.approvals.as_deref(), status.set_aside), (Some("1/1"), Some(1)), "{status:#?}");

    // What one hour may begin is counted across restarts, and a clock that is wrong begins nothing.
    world.most_batches = 1;
    world.hours_on(2).await;
    world.restart().await;
    let lists = [world.list(&["triage"]).await, world.list(&["ward"]).await];
    for list in &lists {
        world.approve("anna", list).await;
    }
    world.destroyer.clocks().skews(SignedDuration::from_secs(60));
    world.look().await;
    assert_eq!(states(&world, &lists).await, ["ClockSkew", "ClockSkew"]);
    world.destroyer.clocks().skews(SignedDuration::ZERO);
    world.look().await;
    assert_eq!(states(&world, &lists).await, ["RateLimited", "SetAside"]);
    world.restart().await;
    world.look().await;
    assert_eq!(states(&world, &lists).await, ["RateLimited", "SetAside"]);
    world.hours_on(2).await;
    assert_eq!(states(&world, &lists).await, ["SetAside", "SetAside"]);

    // A policy that only reports, and one that the law does not allow, bring back what was set aside and begin nothing.
    let mut unlawful = policy(json!({"approvals": 1}));
    unlawful["spec"]["classes"][0]["minimums"] =
        json!([{"jurisdiction": "NL", "period": "20y", "basis": "Burgerlijk Wetboek 7:454, paragraph 3"}]);
    for (changed, state) in
        [(policy(json!({"approvals": 1, "mode": "Report"})), "ReportOnly"), (unlawful, "Contradictory")]
    {
        world.apply(&changed).await;
        world.look().await;
        assert_eq!(states(&world, &lists).await, ["Voided", "Voided"]);
        let list = world.list(&["triage", "ward"]).await;
        world.approve("anna", &list).await;
        world.look().await;
        let status = world.destruction(&list.name_any()).await.status.unwrap();
        assert_eq!((status.state.as_deref(), status.set_aside), (Some(state), Some(0)), "{status:#?}");
        for channel in ["triage", "ward"] {
            assert_eq!(world.transit(&world.key(channel)).await.unwrap()["soft_deleted"], false);
        }
        if state == "ReportOnly" {
            // Report binds until people say otherwise.
            world.apply(&policy(json!({"approvals": 1}))).await;
            world.look().await;
            let changed = policies.get("contactcenter").await.unwrap();
            let (uid, digest) = (changed.uid().unwrap(), subrosa_plan::destruction::rules::digest(&changed));
            world
                .decide("Approve", "cees", TargetKind::RetentionPolicy, "contactcenter", &uid, &digest)
                .await;
            world.look().await;
        }
    }
}

/// The states of these lists, sorted.
async fn states(world: &World, lists: &[Destruction]) -> Vec<String> {
    let mut states = Vec::new();
    for list in lists {
        states.push(world.state(&list.name_any()).await);
    }
    states.sort();
    states
}
