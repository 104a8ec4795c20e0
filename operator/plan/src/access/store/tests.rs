use serde_json::json;
use subrosa_crds::Reason;

use super::*;
use crate::{
    testing::{DOMAIN, Scene, merge, named, now, read},
    world::NamespaceFacts,
};

const CLUSTER: &str = "cluster-1";

fn new() -> New {
    New { store_id: "feed".into(), at: now() }
}

fn record() -> StoreRecord {
    StoreRecord {
        store_id: "beef".into(),
        trust_domain: DOMAIN.into(),
        trust_domain_uid: "uid-1".into(),
        cluster: CLUSTER.into(),
        adopted_at: now(),
        replaces: None,
    }
}

/// A world with one Channel and what its status says; the domain with this status and annotation.
struct Case {
    scene: Scene,
    domain: TrustDomain,
    id: ChannelId,
}

fn case(store_id: Option<&str>, authority: bool, adopt: Option<&str>) -> Case {
    let mut scene = Scene::new().channel("cc-front/voice", json!({}));
    let facts = NamespaceFacts { uid: CLUSTER.into(), ..NamespaceFacts::default() };
    scene.world.namespaces.insert(CLUSTER_NAMESPACE.into(), facts);
    let id = ChannelId::mint(&scene.world.namespaces["cc-front"].uid, "voice");
    if authority {
        let mut channel = serde_json::to_value(scene.get("cc-front/voice").object()).unwrap();
        let authority = json!({"generation": 1, "fingerprint": "x", "notAfter": "2027-01-01T00:00:00Z"});
        let status = json!({"id": id.to_string(), "trustDomain": DOMAIN, "authority": authority});
        merge(&mut channel, json!({"status": status}));
        let name = named("cc-front/voice");
        scene.world.put_channel(&name, Some(crate::testing::declaration(channel)));
    }
    let mut domain = serde_json::to_value(&*scene.world.domains[DOMAIN]).unwrap();
    merge(&mut domain, json!({"metadata": {"uid": "uid-1"}}));
    if let Some(id) = store_id {
        merge(
            &mut domain,
            json!({"status": {"vault": {"version": "2.7.2", "sealed": false, "storeId": id}}}),
        );
    }
    if let Some(adopt) = adopt {
        merge(&mut domain, json!({"metadata": {"annotations": {ADOPT_STORE_ANNOTATION: adopt}}}));
    }
    Case { scene, domain: read(domain), id }
}

impl Case {
    fn judge(&self, record: Option<StoreRecord>, recorded: &[ChannelId]) -> StoreDecision {
        let found = FoundStore { record, deleted: None, recorded: recorded.to_vec() };
        judge(&self.domain, &found, &new(), &self.scene.world)
    }
}

fn reason(standing: &StoreDecision) -> &str {
    match standing {
        StoreDecision::Not { fault, .. } | StoreDecision::Pending(fault) => fault.reason.as_str(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn its_own_record_is_its_own() {
    let own = StoreDecision::Own { store_id: "beef".into() };
    assert_eq!(
        case(None, false, None).judge(Some(record()), &[]),
        own,
        "etcd was restored: status lost the id"
    );
    assert_eq!(case(Some("beef"), true, None).judge(Some(record()), &[]), own);
    // The TrustDomain was made anew.
    let before = StoreRecord { trust_domain_uid: "uid-0".into(), ..record() };
    assert_eq!(case(None, false, None).judge(Some(before), &[]), StoreDecision::Write(record()));
}

#[test]
fn what_is_another_ones_is_left_alone_until_it_is_adopted() {
    let other_cluster = StoreRecord { cluster: "cluster-2".into(), ..record() };
    let other_domain = StoreRecord { trust_domain: "westerlicht".into(), ..record() };
    let replaced = StoreRecord { store_id: "dead".into(), ..record() };
    for (there, expected) in [
        (other_cluster, "StoreOfAnotherCluster"),
        (other_domain, "StoreOfAnotherDomain"),
        (replaced, "RecordsLost"),
    ] {
        let known = Some("beef");
        let standing = case(known, true, None).judge(Some(there.clone()), &[]);
        assert_eq!(reason(&standing), expected);
        let StoreDecision::Not { fault, adopt } = standing else { panic!("it is not ours") };
        assert_eq!(adopt.as_ref(), Some(&there.store_id));
        assert!(
            fault.message.contains(&format!("{ADOPT_STORE_ANNOTATION}: {}", there.store_id)),
            "{fault:?}"
        );
        assert_eq!(reason(&case(known, true, Some("another")).judge(Some(there.clone()), &[])), expected);
        let adopted = StoreRecord { store_id: "feed".into(), replaces: Some("beef".into()), ..record() };
        let own = StoreDecision::Own { store_id: "feed".into() };
        assert_eq!(
            case(known, true, Some(&there.store_id)).judge(Some(adopted.clone()), &[]),
            own,
            "before status says so"
        );
        assert_eq!(
            case(known, true, Some(&there.store_id)).judge(Some(there), &[]),
            StoreDecision::Write(adopted)
        );
    }
}

#[test]
fn an_annotation_that_stays_adopts_nothing_a_second_time() {
    // Both clusters have adopted once. Each annotation names an id that is gone.
    let there = StoreRecord { cluster: "cluster-2".into(), store_id: "feed".into(), ..record() };
    assert_eq!(
        reason(&case(Some("beef"), true, Some("dead")).judge(Some(there), &[])),
        "StoreOfAnotherCluster"
    );
    assert_eq!(reason(&case(Some("beef"), true, Some("none")).judge(None, &[])), "RecordsLost");
    let again = case(Some("beef"), true, Some("none-after-beef")).judge(None, &[]);
    assert!(matches!(again, StoreDecision::Write(_)), "{again:?}");
}

#[test]
fn an_empty_store_is_new_only_where_nothing_was_made() {
    let new = StoreRecord { store_id: "feed".into(), ..record() };
    assert_eq!(case(None, false, None).judge(None, &[]), StoreDecision::Write(new.clone()));
    assert_eq!(reason(&case(Some("beef"), false, None).judge(None, &[])), "RecordsLost");
    assert_eq!(reason(&case(None, true, None).judge(None, &[])), "RecordsLost");
    assert_eq!(case(None, true, Some("none")).judge(None, &[]), StoreDecision::Write(new));
}

#[test]
fn an_empty_store_is_not_new_where_channels_have_certificates_of_others() {
    let with = |status: serde_json::Value| {
        let mut case = case(None, false, None);
        let mut channel = serde_json::to_value(case.scene.get("cc-front/voice").object()).unwrap();
        merge(&mut channel, json!({"status": {"id": case.id.to_string(), "trustDomain": DOMAIN}}));
        merge(&mut channel, json!({ "status": status }));
        let name = named("cc-front/voice");
        case.scene.world.put_channel(&name, Some(crate::testing::declaration(channel)));
        case
    };
    let ready = |truth: &str, reason: &str| {
        let at = "2026-01-01T00:00:00Z";
        json!({"conditions": [{"type": "Ready", "status": truth, "reason": reason, "message": "", "lastTransitionTime": at}]})
    };
    // A status with an id alone was written before anything was made: Vault was out of reach.
    let fresh = with(ready("False", "VaultUnreachable")).judge(None, &[]);
    assert!(matches!(fresh, StoreDecision::Write(_)), "{fresh:?}");
    for made in [
        ready("True", "InForce"),
        ready("False", "RecordsLost"),
        json!({"keys": [{"dataClass": "chat-log", "cohort": "20260101", "state": "Current"}]}),
    ] {
        assert_eq!(reason(&with(made.clone()).judge(None, &[])), "RecordsLost", "{made}");
        let mut elsewhere = made;
        merge(&mut elsewhere, json!({"trustDomain": "westerlicht"}));
        assert!(matches!(with(elsewhere).judge(None, &[]), StoreDecision::Write(_)));
    }
}

#[test]
fn records_without_one_of_the_store_are_those_of_an_earlier_release() {
    let (stranger, with) = (ChannelId::mint("another", "chat"), case(None, true, None));
    let ours = with.judge(None, &[stranger.clone(), with.id.clone()]);
    assert!(matches!(ours, StoreDecision::Write(_)), "{ours:?}");
    assert_eq!(reason(&with.judge(None, std::slice::from_ref(&stranger))), "StoreUnknown");
    let adopted = case(None, true, Some("none")).judge(None, &[stranger]);
    assert!(matches!(adopted, StoreDecision::Write(_)), "{adopted:?}");
}

#[test]
fn without_the_cluster_nothing_is_judged() {
    let mut case = case(None, false, None);
    case.scene.world.namespaces.remove(CLUSTER_NAMESPACE);
    assert_eq!(reason(&case.judge(None, &[])), "StorePending");
}

#[test]
fn a_channel_that_had_an_authority_is_not_newborn() {
    let (mut scene, id) = {
        let case = case(None, true, None);
        (case.scene, case.id)
    };
    let name = named("cc-front/voice");
    assert_eq!(lost(&name, &id, &scene.world).unwrap().reason, Reason::RecordLost);
    assert!(lost(&name, &ChannelId::mint("a", "b"), &scene.world).is_none(), "its namespace is new");
    let with = |scene: &mut Scene, patch: serde_json::Value| {
        let mut channel = serde_json::to_value(scene.get("cc-front/voice").object()).unwrap();
        merge(&mut channel, json!({ "status": patch }));
        scene.world.put_channel(&named("cc-front/voice"), Some(crate::testing::declaration(channel)));
    };
    // With certificates of others it has keys at the most.
    with(&mut scene, json!({"authority": null}));
    assert!(lost(&name, &id, &scene.world).is_none(), "nothing was made");
    with(&mut scene, json!({"keys": [{"dataClass": "chat-log", "cohort": "20260101", "state": "Current"}]}));
    assert!(lost(&name, &id, &scene.world).is_some());
    // Once it was told, it stands until the Channel is made anew: keys are not told without the record.
    let ready = json!({"type": "Ready", "status": "False", "reason": "RecordLost", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    with(&mut scene, json!({"keys": null, "conditions": [ready]}));
    assert!(lost(&name, &id, &scene.world).is_some());
    scene.world.namespaces.get_mut("cc-front").unwrap().trust_domain = Some("westerlicht".into());
    assert!(lost(&name, &id, &scene.world).is_none(), "it comes from another trust domain");
}
