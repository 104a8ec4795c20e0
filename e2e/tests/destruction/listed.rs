//! What the operator lists, what it says of a key that is set aside, and that it misses none that was destroyed.

use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};
use subrosa_crds::{Destruction, condition, names::ChannelRef};
use subrosa_e2e::wait;
use subrosa_plan::record::channel::ChannelRecord;

use crate::world::{CLASS, DOMAIN, NS, World};

/// A day whose data was due long ago.
const COHORT: &str = "20200105";

/// Gives the Channel a key of a cohort of long ago, as if it had sealed such data under that policy then.
pub async fn aged(world: &World, channel: &str, class: &str, policy: &str) -> String {
    let id = &world.keys[channel].id;
    let (key, _) = old_key(world, channel, id, class, policy).await;
    ended(world, id, class, COHORT).await;
    key
}

/// Notes in the record of the Channel that a cohort has ended.
async fn ended(world: &World, id: &str, class: &str, cohort: &str) {
    let path = format!("subrosa/data/channels/{id}");
    let read = world.env.openbao().request("GET", &path, None).await.unwrap();
    let mut record = read["data"]["data"].clone();
    record["ended"][class] = json!([cohort]);
    let version = read["data"]["metadata"]["version"].as_u64().unwrap();
    write(world, &format!("channels/{id}"), record, version).await;
}

/// Gives the Channel a key of data whose date nobody ever told, of a class that the policy has no more. Its record says until
/// when it could wait.
async fn open(world: &World, channel: &str, class: &str, reseal_by: &str) -> String {
    let id = &world.keys[channel].id;
    let cohort = format!("open-{COHORT}");
    let (key, made) = transit_key(world, id, class, &cohort).await;
    let mut record = record(id, class, &cohort, "contactcenter", &made);
    record["resealBy"] = json!(reseal_by);
    record.as_object_mut().unwrap().remove("due");
    let month = json!({
        "schema": 1, "channel": {"namespace": NS, "name": channel}, "class": class, "keys": {&cohort: record},
    });
    write(world, &format!("keys/{id}/{class}/open-2020m01"), month, 0).await;
    ended(world, id, class, &cohort).await;
    key
}

/// A key of a cohort of long ago with its own record, and when it was made.
async fn old_key(world: &World, channel: &str, id: &str, class: &str, policy: &str) -> (String, String) {
    let (key, made) = transit_key(world, id, class, COHORT).await;
    let keys = json!({COHORT: record(id, class, COHORT, policy, &made)});
    let month = json!({
        "schema": 1, "channel": {"namespace": NS, "name": channel}, "class": class, "keys": keys,
    });
    write(world, &format!("keys/{id}/{class}/2020m01"), month, 0).await;
    (key, made)
}

/// A key that Vault makes now, and when that was.
async fn transit_key(world: &World, id: &str, class: &str, cohort: &str) -> (String, String) {
    let key = format!("{id}.{class}.{cohort}");
    let made = Some(json!({"type": "aes256-gcm96"}));
    world.env.openbao().request("POST", &format!("transit/keys/{key}"), made).await.unwrap();
    let made = world.transit(&key).await.unwrap()["keys"]["1"].as_i64().unwrap();
    (key, jiff::Timestamp::from_second(made).unwrap().to_string())
}

/// What the operator wrote of a key.
fn record(id: &str, class: &str, cohort: &str, policy: &str, made: &str) -> Value {
    json!({
        "versions": {"1": made}, "anchor": "CreatedAt",
        "terms": {"policy": policy, "hash": "ab", "keep": "1d"}, "closed": "2020-01-06T00:00:00Z",
        "due": "2020-01-07", "decisions": format!("decisions/{id}/{class}/{cohort}"),
    })
}

async fn write(world: &World, path: &str, data: Value, cas: u64) {
    let body = json!({"options": {"cas": cas}, "data": data});
    world.env.openbao().request("POST", &format!("subrosa/data/{path}"), Some(body)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_lists_what_is_due_and_misses_no_key_that_was_destroyed() {
    let mut world = World::start(&["portal"]).await;
    world.stop_operator();
    let key = aged(&world, "portal", CLASS, "contactcenter").await;
    world.start_operator().await;
    let order = world.listed_by_the_operator().await;
    assert_eq!((order.spec.due.as_str(), order.spec.keys.len()), ("2020-01-07", 1));
    assert_eq!(order.spec.keys[0].key_name(), key);
    assert!(order.name_any().starts_with("contactcenter.20200107."), "{}", order.name_any());
    // Listed once, whatever was kept in memory.
    world.stop_operator();
    world.start_operator().await;
    // Keys are listed once an hour: one that begins to look sees what was made since.
    world.restart().await;
    world.look().await;
    world.approve("anna", &order).await;
    world.approve("bas", &order).await;
    world.look().await;
    assert_eq!(
        world.state(&order.name_any()).await,
        "SetAside",
        "{:#?}",
        world.destruction(&order.name_any()).await.status
    );
    world.days_on(3).await;
    assert_eq!(world.state(&order.name_any()).await, "Destroyed");
    assert!(world.transit(&key).await.is_none());
    world.stop_operator();
    world.start_operator().await;
    // The list of all keys comes with the start: the key that is gone is no fault, and is counted.
    let counted = |status: &subrosa_crds::ChannelStatus| {
        status.other_keys.get("Destroyed") == Some(&1) && wait::is(status, condition::KEYS_READY)
    };
    let status = world.channel("portal", counted).await;
    assert!(wait::is(&status, condition::RETAINED), "{status:#?}");
    let destructions: Api<Destruction> = Api::all(world.admin.clone());
    assert_eq!(destructions.list(&ListParams::default()).await.unwrap().items.len(), 1);
}

/// Of a Channel that is gone nobody closes the keys that it had in use.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_channel_had_in_use_when_it_went_is_listed_when_it_is_due() {
    let mut world = World::start(&[]).await;
    world.stop_operator();
    let mut record = ChannelRecord::new(ChannelRef::new(NS, "gone"), "a namespace that is gone", DOMAIN);
    let id = record.id();
    let (key, made) = old_key(&world, "gone", id.as_str(), CLASS, "contactcenter").await;
    let active = record.key_mut(CLASS, COHORT.parse().unwrap());
    active.versions.insert(1, made.parse().unwrap());
    active.kept = true;
    let mut record = serde_json::to_value(record).unwrap();
    record["schema"] = json!(1);
    write(&world, &format!("channels/{id}"), record, 0).await;
    world.start_operator().await;
    let order = world.listed_by_the_operator().await;
    assert_eq!((order.spec.keys[0].key_name(), order.spec.due.as_str()), (key, "2020-01-07"));
    world.restart().await;
    world.look().await;
    for who in ["anna", "bas"] {
        world.approve(who, &order).await;
    }
    world.look().await;
    let status = world.destruction(&order.name_any()).await.status;
    assert_eq!(world.state(&order.name_any()).await, "SetAside", "{status:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_keeps_its_schedule_when_its_policy_is_renamed_or_its_class_dropped() {
    let mut world = World::start(&["portal"]).await;
    world.stop_operator();
    let renamed = aged(&world, "portal", CLASS, "renamed").await;
    let dropped = aged(&world, "portal", "fax", "contactcenter").await;
    // Nobody resealed it, and no policy has the class: it is listed by the day of its record.
    let open = open(&world, "portal", "memo", "2020-02-07").await;
    world.start_operator().await;
    let destructions: Api<Destruction> = Api::all(world.admin.clone());
    let mut found = world
        .until("three Destructions", || async {
            let found = destructions.list(&ListParams::default()).await.unwrap().items;
            if found.len() == 3 { Ok(found) } else { Err(format!("{}", found.len())) }
        })
        .await;
    found.sort_by_key(|one| one.name_any());
    let keys: Vec<_> = found.iter().map(|one| one.spec.keys[0].key_name()).collect();
    assert_eq!(keys, [dropped, open, renamed]);
    assert!(!found[0].spec.retention_policy.is_gone());
    assert_eq!(found[1].spec.due, "2020-02-07");
    assert!(found[2].spec.retention_policy.is_gone() && found[2].name_any().starts_with("renamed.20200107."));
    world.restart().await;
    world.look().await;
    for one in &found {
        world.approve("anna", one).await;
    }
    world.look().await;
    for one in &found {
        let status = world.destruction(&one.name_any()).await.status.unwrap();
        // Of a policy that nobody knows any more, as many as the strictest one that there is asks for.
        let so = (status.state.as_deref(), status.approvals.as_deref());
        assert_eq!(so, (Some("AwaitingApproval"), Some("1/2")), "{status:#?}");
        world.approve("bas", one).await;
    }
    world.look().await;
    world.days_on(3).await;
    for (one, key) in found.iter().zip(&keys) {
        assert_eq!(
            world.state(&one.name_any()).await,
            "Destroyed",
            "{:#?}",
            world.destruction(&one.name_any()).await
        );
        assert!(world.transit(key).await.is_none());
    }
}
