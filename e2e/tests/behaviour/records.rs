//! What is remembered of keys: in records of their own, taken over from releases that kept them with the Channel, and watched
//! as long as their data may live.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use subrosa_crds::{ChannelStatus, channel::KeyStatus, condition};
use subrosa_e2e::alerts::History;
use subrosa_records::vault::setup::OPERATOR_POLICY;

use crate::world::{World, channel};

const NS: &str = "cc-records";
const CLASS: &str = "call-recording";
/// Weeks that have ended. Their data is due in three years of the policy below.
const ENDED: [&str; 4] = ["2026w20", "2026w21", "2026w22", "2026w23"];

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_ended_cohorts_have_records_and_are_watched() {
    let mut world = World::start().await;
    world.governed(NS).await;
    world.service_account(NS, "recorder").await;
    world.apply(&policy(json!({"keep": "3y"}))).await;
    world.apply(&recorder(&[CLASS])).await;
    world.whole(NS, "recorder").await;
    a_key_has_a_record_of_its_own(&world).await;
    what_an_earlier_release_wrote_is_taken_over(&mut world).await;
    what_a_rolled_back_release_drops_is_found_again(&mut world).await;
    what_a_later_release_wrote_stays(&mut world).await;
    data_that_is_kept_too_long_is_told(&world).await;
    a_fault_of_an_old_key_is_told_until_it_is_seen_mended(&mut world).await;
    a_fault_of_an_old_key_is_told(&mut world).await;
}

fn policy(terms: Value) -> Value {
    let mut class = json!({"name": CLASS, "cohort": "Week"});
    class.as_object_mut().unwrap().extend(terms.as_object().cloned().unwrap());
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy", "metadata": {"name": "contactcenter"},
        "spec": {"classes": [class, {"name": "chat-log", "keep": "1y"}]},
    })
}

fn recorder(classes: &[&str]) -> Value {
    let spec = json!({"workload": {"serviceAccountName": "recorder"}, "dataClasses": classes});
    channel(NS, "recorder", spec)
}

/// Status and reason of a condition.
fn says(status: &ChannelStatus, kind: &str) -> (String, String) {
    let found = condition::find(&status.conditions, kind).unwrap();
    (found.status.clone(), found.reason.clone())
}

/// The keys of every record of a class's keys, by cohort.
async fn records(world: &World) -> BTreeMap<String, Value> {
    let folder = format!("subrosa/metadata/keys/{}/{CLASS}", world.id(NS, "recorder").await);
    let bao = world.env.openbao();
    let months = bao.request("LIST", &folder, None).await.unwrap();
    let mut found = BTreeMap::new();
    for month in months["data"]["keys"].as_array().unwrap() {
        let path = format!("{}/{}", folder.replace("metadata", "data"), month.as_str().unwrap());
        let record = bao.request("GET", &path, None).await.unwrap()["data"]["data"].clone();
        assert_eq!(record["schema"], 1, "{record}");
        assert_eq!((&record["channel"]["name"], &record["class"]), (&json!("recorder"), &json!(CLASS)));
        for (cohort, key) in record["keys"].as_object().unwrap() {
            found.insert(cohort.clone(), key.clone());
        }
    }
    found
}

async fn a_key_has_a_record_of_its_own(world: &World) {
    let record = world.record(NS, "recorder").await;
    let active = record["keys"][CLASS].as_object().unwrap();
    assert_eq!((active.len(), &record["schema"]), (2, &json!(1)), "{record}");
    let kept = records(world).await;
    assert_eq!(kept.keys().collect::<Vec<_>>(), active.keys().collect::<Vec<_>>());
    for (cohort, key) in &kept {
        assert_eq!(active[cohort]["versions"], key["versions"]);
        assert_eq!((&key["terms"]["policy"], &key["terms"]["keep"]), (&json!("contactcenter"), &json!("3y")));
        assert!(key["due"].as_str().unwrap().starts_with("20"), "{key}");
        let decisions = format!("decisions/{}/{CLASS}/{cohort}", world.id(NS, "recorder").await);
        assert_eq!(key["decisions"], decisions);
    }
}

/// Changes the Channel's record while no operator runs that remembers another.
async fn rewritten(world: &mut World, change: impl FnOnce(&mut Value)) {
    world.stop_operator();
    let path = format!("subrosa/data/channels/{}", world.id(NS, "recorder").await);
    let found = world.env.openbao().request("GET", &path, None).await.unwrap();
    let mut record = found["data"]["data"].clone();
    change(&mut record);
    let body = json!({"options": {"cas": found["data"]["metadata"]["version"]}, "data": record});
    world.env.openbao().request("POST", &path, Some(body)).await.unwrap();
    world.start_operator().await;
}

/// A release before this one kept the keys of ended cohorts with the Channel, and knew no schema.
async fn what_an_earlier_release_wrote_is_taken_over(world: &mut World) {
    let id = world.id(NS, "recorder").await;
    let mut keys = BTreeMap::new();
    for cohort in ENDED {
        let path = format!("transit/keys/{id}.{CLASS}.{cohort}");
        world.env.openbao().request("POST", &path, Some(json!({"type": "aes256-gcm96"}))).await.unwrap();
        let made = world.env.openbao().request("GET", &path, None).await.unwrap();
        let second = made["data"]["keys"]["1"].as_i64().unwrap();
        let at = jiff::Timestamp::from_second(second).unwrap().to_string();
        keys.insert(cohort, json!({"closed": true, "versions": {"1": at}}));
    }
    rewritten(world, |record| {
        let fields = record.as_object_mut().unwrap();
        fields.remove("schema");
        fields.remove("ended");
        let known = fields["keys"][CLASS].as_object_mut().unwrap();
        known.values_mut().for_each(|key| {
            key.as_object_mut().unwrap().remove("kept");
        });
        known.extend(keys.into_iter().map(|(cohort, key)| (cohort.to_owned(), key)));
    })
    .await;
    settled(world).await;
    let kept = records(world).await;
    assert!(ENDED.iter().all(|cohort| kept[*cohort]["closed"].is_string()), "{kept:?}");
}

/// Waits until the Channel's record has the ended cohorts as a range, and status counts them.
async fn settled(world: &World) {
    world
        .until("the Channel's record keeps the keys in use alone", || async {
            let record = world.record(NS, "recorder").await;
            let active = record["keys"][CLASS].as_object().map(|keys| keys.len());
            let ended = &record["ended"][CLASS];
            if active == Some(2) && *ended == json!(["2026w20/2026w23"]) {
                Ok(())
            } else {
                Err(record.to_string())
            }
        })
        .await;
    world.channel(NS, "recorder", |status| status.other_keys.get("Closed") == Some(&4)).await;
}

/// An earlier release that runs again for a while drops what it does not know.
async fn what_a_rolled_back_release_drops_is_found_again(world: &mut World) {
    rewritten(world, |record| {
        let fields = record.as_object_mut().unwrap();
        fields.remove("schema");
        for field in ["ended", "peers", "follows", "tell"] {
            fields.remove(field);
        }
    })
    .await;
    settled(world).await;
    let record = world.record(NS, "recorder").await;
    assert!(record["follows"]["uid"].is_string(), "{record}");
}

/// A release that knows a later schema wrote the record, and this one runs again.
async fn what_a_later_release_wrote_stays(world: &mut World) {
    let path = format!("subrosa/data/channels/{}", world.id(NS, "recorder").await);
    let found =
        async |world: &World| world.env.openbao().request("GET", &path, None).await.unwrap()["data"].clone();
    rewritten(world, |record| {
        record["schema"] = json!(2);
        record["escrow"] = json!({"agent": "notary"});
    })
    .await;
    let before = found(world).await;
    // Something that would be noted.
    world.apply(&recorder(&[CLASS, "chat-log"])).await;
    let told = world.not_ready(NS, "recorder", "RecordNewer").await;
    assert!(told.message.contains("schema 2"), "{}", told.message);
    let after = found(world).await;
    assert_eq!(
        (&before["data"], &before["metadata"]["version"]),
        (&after["data"], &after["metadata"]["version"])
    );
    world.apply(&recorder(&[CLASS])).await;
    rewritten(world, |record| record["schema"] = json!(1)).await;
    world.ready(NS, "recorder").await;
    assert_eq!(world.record(NS, "recorder").await["escrow"]["agent"], "notary", "unknown fields stay");
}

/// With shorter terms the ended weeks are past what the policy allows: that is told, alarmed, and no fault of the Channel.
async fn data_that_is_kept_too_long_is_told(world: &World) {
    const ALERT: &str = "SubrosaRetentionOverdue";
    let mut history = History::begin().unwrap();
    history.scrape(async || world.metrics_with("condition=\"Retained\",status=\"True\"").await).await;
    assert!(!history.is_true(ALERT, Duration::ZERO).unwrap());

    world.apply(&policy(json!({"keep": "4w", "max": "8w"}))).await;
    let late = |status: &ChannelStatus| {
        let is_late = |key: &&KeyStatus| key.state == "KeptTooLong";
        status.keys.iter().filter(is_late).map(|key| key.cohort.clone()).collect::<Vec<_>>()
    };
    let status = world.channel(NS, "recorder", |status| late(status) == ENDED).await;
    assert_eq!(says(&status, condition::RETAINED), ("False".to_owned(), "KeptTooLong".to_owned()));
    assert_eq!(says(&status, condition::READY).0, "True");
    history.scrape(async || world.metrics_with("reason=\"KeptTooLong\"").await).await;
    assert!(history.is_true(ALERT, Duration::ZERO).unwrap());
    let drawn = world.subrosa(&["status", "--retention", "-n", NS]);
    assert!(drawn.contains("2026w20") && drawn.contains("KeptTooLong"), "{drawn}");

    world.apply(&policy(json!({"keep": "3y"}))).await;
    let status = world.channel(NS, "recorder", |status| late(status).is_empty()).await;
    assert_eq!(says(&status, condition::RETAINED), ("True".to_owned(), "Scheduled".to_owned()));
}

/// Makes the operator's policy one with which no key can be looked at, or gives it back what it had.
async fn look_is_allowed(world: &World, allowed: bool) {
    let path = format!("sys/policies/acl/{OPERATOR_POLICY}");
    let bao = world.env.openbao();
    let policy = bao.request("GET", &path, None).await.unwrap()["data"]["policy"].clone();
    let (list, none) = ("[\"list\"]", "[\"deny\"]");
    let of = |capabilities: &str| format!("path \"transit/keys\" {{\n  capabilities = {capabilities}");
    let (from, to) = if allowed { (of(none), of(list)) } else { (of(list), of(none)) };
    let changed = policy.as_str().unwrap().replace(&from, &to);
    assert_ne!(changed, policy.as_str().unwrap());
    bao.request("POST", &path, Some(json!({"policy": changed}))).await.unwrap();
}

/// What was found outlives the operator: another one tells it before it has looked at any key, and until it saw it mended.
async fn a_fault_of_an_old_key_is_told_until_it_is_seen_mended(world: &mut World) {
    let key = format!("{}.{CLASS}.{}", world.id(NS, "recorder").await, ENDED[0]);
    let config = format!("transit/keys/{key}/config");
    let deletable = |yes: bool| Some(json!({"deletion_allowed": yes}));
    world.env.openbao().request("POST", &config, deletable(true)).await.unwrap();
    world.restart_operator().await;
    world.not_ready(NS, "recorder", "IrreversibleKey").await;
    look_is_allowed(world, false).await;
    world.restart_operator().await;
    // It has looked at the Channel, and at no key of an ended cohort.
    world.apply(&recorder(&["call-recording", "chat-log"])).await;
    let bad = ("False".to_owned(), "IrreversibleKey".to_owned());
    let status =
        world.channel(NS, "recorder", |status| status.keys.iter().any(|key| key.data_class == "chat-log"));
    let status = status.await;
    for kind in [condition::KEYS_READY, condition::RETAINED, condition::READY] {
        assert_eq!(says(&status, kind), bad, "{kind}");
    }
    // Nobody remembers, and nobody can look: nothing is claimed, and what is in force is in force.
    world.stop_operator();
    let bao = world.env.openbao();
    bao.request("DELETE", "subrosa/metadata/key-findings", None).await.unwrap();
    world.start_operator().await;
    let status = world.ready(NS, "recorder").await;
    let unseen = ("Unknown".to_owned(), "KeysUnseen".to_owned());
    assert_eq!(
        (says(&status, condition::KEYS_READY), says(&status, condition::RETAINED)),
        (unseen.clone(), unseen)
    );
    world
        .domain(|domain| crate::world::says(domain, condition::KEYS_INTACT) == ("Unknown", "KeysUnseen"))
        .await;
    look_is_allowed(world, true).await;
    world.not_ready(NS, "recorder", "IrreversibleKey").await;
    // Seen mended by the operator that runs.
    world.env.openbao().request("POST", &config, deletable(false)).await.unwrap();
    let status = world.ready(NS, "recorder").await;
    assert_eq!(says(&status, condition::KEYS_READY).0, "True");
    let kept = world.env.openbao().request("GET", "subrosa/data/key-findings", None).await.unwrap();
    let kept = &kept["data"]["data"];
    assert!(kept["allSeen"].is_string() && kept["faults"].is_null(), "{kept}");
}

async fn a_fault_of_an_old_key_is_told(world: &mut World) {
    let id = world.id(NS, "recorder").await;
    let key = |cohort: &str| format!("transit/keys/{id}.{CLASS}.{cohort}");
    let bao = world.env.openbao();
    let flags = json!({"exportable": true, "deletion_allowed": true});
    bao.request("POST", &format!("{}/config", key(ENDED[0])), Some(flags)).await.unwrap();
    let deletable = json!({"deletion_allowed": true});
    for cohort in [ENDED[1], ENDED[2]] {
        bao.request("POST", &format!("{}/config", key(cohort)), Some(deletable.clone())).await.unwrap();
        bao.request("DELETE", &key(cohort), None).await.unwrap();
    }
    // Versions are told apart by the second in which they were made.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    bao.request("POST", &key(ENDED[2]), Some(json!({"type": "aes256-gcm96"}))).await.unwrap();
    bao.request("DELETE", &format!("{}/soft-delete", key(ENDED[3])), None).await.unwrap();
    // The look at all keys begins anew with the operator.
    world.restart_operator().await;
    let states = [
        (ENDED[0], "Irreversible"),
        (ENDED[1], "Missing"),
        (ENDED[2], "Replaced"),
        (ENDED[3], "SoftDeleted"),
    ];
    let status = world
        .channel(NS, "recorder", |status| {
            let state = |cohort: &str| {
                status.keys.iter().find(|key| key.cohort == cohort).map(|key| key.state.as_str())
            };
            states.iter().all(|(cohort, expected)| state(cohort) == Some(expected))
        })
        .await;
    for kind in [condition::KEYS_READY, condition::RETAINED, condition::READY] {
        let found = condition::find(&status.conditions, kind).unwrap();
        assert_eq!(
            (found.status.as_str(), found.reason.as_str()),
            ("False", "KeyMissing"),
            "{kind}: {}",
            found.message
        );
    }
    let found = condition::find(&status.conditions, condition::KEYS_READY).unwrap();
    assert!(found.message.contains(&format!("{id}.{CLASS}.{}", ENDED[1])), "{}", found.message);
    assert!(found.message.contains("3 more"), "{}", found.message);
}
