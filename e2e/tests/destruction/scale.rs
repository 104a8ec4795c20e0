//! What a look takes with very many keys or Approvals. Not run by itself, for it measures this machine:
//! `cargo test -p subrosa-e2e --test destruction scale -- --ignored --nocapture --test-threads 1`.

#![allow(clippy::print_stdout)] // What was measured.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::date};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use subrosa_crds::destruction::MOST_KEYS;
use subrosa_crds::{
    Approval, DestructionStatus,
    cohort::Cohort,
    destruction::ListedKey,
    names::{ChannelId, ChannelRef},
    retention_policy::DataClass,
};
use subrosa_e2e::audit::{ApiAuditEntry, BaoAuditEntry};
use subrosa_plan::record::ended::Ended;

use crate::world::{CLASS, DOMAIN, NS, World};

/// How many requests are made at once to prepare.
const AT_ONCE: usize = 16;

/// How long a look took, and with how many requests to Vault and to the API server.
async fn look(world: &World, what: &str) -> Duration {
    let (bao, api) = (world.env.openbao().audit().mark(), world.env.audit().unwrap().mark());
    let began = Instant::now();
    world.destroyer.round().await;
    let took = began.elapsed();
    let bao: Vec<BaoAuditEntry> = world.env.openbao().audit().entries_since(bao).unwrap();
    let api: Vec<ApiAuditEntry> = world.env.audit().unwrap().entries_since(api).unwrap();
    let destroyer = |entry: &&ApiAuditEntry| entry.user.username.ends_with(":subrosa-destroyer");
    let writes = bao.iter().filter(|entry| entry.is_write()).count();
    println!(
        "{what}: {took:.2?}, {} requests to Vault ({writes} writes), {} to the API server",
        bao.len(),
        api.iter().filter(destroyer).count()
    );
    took
}

/// Makes so many keys of past days, a thousand for each of some Channels that are gone, with their records.
pub async fn keys(world: &World, count: usize) -> Vec<(ChannelId, Cohort)> {
    let class: DataClass =
        serde_json::from_value(json!({"name": CLASS, "keep": "1d", "cohort": "Day"})).unwrap();
    let mut all = Vec::new();
    for channel in 0..count.div_ceil(1000) {
        let id = ChannelId::mint("the namespace before", &format!("c-{channel}"));
        for day in 0..1000.min(count - channel * 1000) {
            let day = date(2022, 1, 1).checked_add(i64::try_from(day).unwrap().days()).unwrap();
            all.push((id.clone(), Cohort::of(day, class.cohort.unwrap())));
        }
    }
    let bao = world.env.openbao();
    let made = stream::iter(&all).map(|(id, cohort)| async move {
        let path = format!("transit/keys/{id}.{CLASS}.{cohort}");
        bao.request("POST", &path, Some(json!({"type": "aes256-gcm96"}))).await.unwrap();
    });
    made.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    let mut months = BTreeMap::<_, serde_json::Map<String, Value>>::new();
    for (id, cohort) in &all {
        let record = json!({
            "versions": {"1": "2022-01-01T08:00:00Z"}, "anchor": "CreatedAt", "closed": "2022-01-02T08:00:00Z", "due": "2022-02-02",
            "terms": {"policy": "contactcenter", "hash": "ab", "keep": "1d"}, "decisions": format!("decisions/{id}/{CLASS}/{cohort}"),
        });
        months.entry((id, cohort.month())).or_default().insert(cohort.to_string(), record);
    }
    let names: Vec<_> = (0..count.div_ceil(1000)).map(|channel| format!("c-{channel}")).collect();
    let name = |id: &ChannelId| {
        names.iter().find(|name| ChannelId::mint("the namespace before", name) == *id).unwrap()
    };
    for ((id, month), keys) in &months {
        let record = json!({"schema": 1, "channel": {"namespace": NS, "name": name(id)}, "class": CLASS, "keys": keys});
        let path = format!("subrosa/data/keys/{id}/{CLASS}/{month}");
        let body = json!({"data": record, "options": {"cas": 0}});
        bao.request("POST", &path, Some(body)).await.unwrap();
    }
    all
}

/// Writes the records of their Channels, in which the operator looks for cohorts that have ended.
async fn ended(world: &World, all: &[(ChannelId, Cohort)]) {
    let mut channels = BTreeMap::<_, (String, Ended)>::new();
    for one in all {
        let key = listed(one);
        let (name, cohorts) = channels.entry(key.id).or_default();
        *name = key.channel.name;
        *cohorts = std::mem::take(cohorts).with(CLASS, one.1);
    }
    for (id, (name, cohorts)) in channels {
        let record = json!({
            "schema": 1, "channel": {"namespace": NS, "name": name}, "namespaceUid": "the namespace before",
            "trustDomain": DOMAIN, "keys": {}, "ended": cohorts,
        });
        let path = format!("subrosa/data/channels/{id}");
        let body = json!({"data": record, "options": {"cas": 0}});
        world.env.openbao().request("POST", &path, Some(body)).await.unwrap();
    }
}

/// One of these keys, as a Destruction lists it.
pub fn listed((id, cohort): &(ChannelId, Cohort)) -> ListedKey {
    let name = (0..)
        .map(|channel| format!("c-{channel}"))
        .find(|name| ChannelId::mint("the namespace before", name) == *id)
        .unwrap();
    ListedKey {
        channel: ChannelRef::new(NS, name),
        id: id.to_string(),
        data_class: CLASS.into(),
        cohort: cohort.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn many_keys() {
    for count in [2_000, 10_000] {
        // With a Channel that is Ready the store has its owner.
        let mut world = World::start(&["portal"]).await;
        world.stop_operator();
        let began = Instant::now();
        let all = keys(&world, count).await;
        ended(&world, &all).await;
        println!("{count} keys made in {:.1?}", began.elapsed());
        world.restart().await;
        look(&world, &format!("{count} keys, never seen before")).await;
        look(&world, &format!("{count} keys, a look between")).await;
        world.restart().await;
        look(&world, &format!("{count} keys, after a start")).await;
        let matter = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "LegalHold", "metadata": {"name": "matter"},
            "spec": {"selector": {"namespaces": [NS]}, "matter": "m"},
        });
        world.apply(&matter).await;
        look(&world, &format!("{count} keys, a LegalHold of all")).await;
        look(&world, &format!("{count} keys, held")).await;
        // The operator lists what is due.
        world.start_operator().await;
        let began = Instant::now();
        world.listed_by_the_operator().await;
        println!("{count} keys: the first list of the operator after {:.1?}", began.elapsed());
        let lists: Api<subrosa_crds::Destruction> = Api::all(world.admin.clone());
        world
            .until("every list", || async {
                let found = lists.list(&ListParams::default()).await.unwrap().items;
                let listed: usize = found.iter().map(|one| one.spec.keys.len()).sum();
                if listed >= count { Ok(()) } else { Err(listed.to_string()) }
            })
            .await;
        println!("{count} keys: listed after {:.1?}", began.elapsed());
        look(&world, &format!("{count} keys, listed: first look")).await;
        look(&world, &format!("{count} keys, listed: a look between")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_many_keys_is_carried_out_whole() {
    carried_out(60).await;
}

/// The longest list there is.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn a_list_of_a_thousand_keys_is_carried_out_whole() {
    carried_out(MOST_KEYS).await;
}

/// A list of so many keys, from its Approvals to its record.
async fn carried_out(count: usize) {
    // With a Channel that is Ready the store has its owner.
    let mut world = World::start(&["portal"]).await;
    world.stop_operator();
    let all: Vec<_> = keys(&world, count).await.iter().map(listed).collect();
    world.restart().await;
    look(&world, &format!("{count} keys, never seen before")).await;
    let order = world.list_keys(all.clone()).await;
    for who in ["anna", "bas"] {
        world.approve(who, &order).await;
    }
    let (name, total) = (order.name_any(), i64::try_from(all.len()).unwrap());
    let began = Instant::now();
    let until = async |world: &World, what: &str, hours: i64, holds: &dyn Fn(&DestructionStatus) -> bool| loop {
        look(world, what).await;
        let status = world.destruction(&name).await.status.unwrap();
        if holds(&status) {
            return status;
        }
        assert!(
            began.elapsed() < Duration::from_secs(600),
            "{what}: {:?} {:?}",
            status.state,
            status.conditions
        );
        // What does not fit into an hour is done in a later one.
        if hours > 0 {
            world.hours_on(hours).await;
        }
    };
    until(&world, &format!("{count} keys, set aside"), 0, &|status| status.set_aside == Some(total)).await;
    world.days_on(3).await;
    let status =
        until(&world, &format!("{count} keys, destroyed"), 2, &|status| status.destroyed_at.is_some()).await;
    println!("{count} keys from their Approvals to their record: {:.1?}", began.elapsed());
    assert_eq!((status.state.as_deref(), status.destroyed), (Some("Destroyed"), Some(total)));
    let canaries: BTreeSet<_> = status.keys.iter().filter_map(|key| key.canary.as_ref()).collect();
    assert_eq!(canaries.len(), all.len(), "each has a proof of its own");
    let left = world.env.openbao().request("LIST", "transit/keys", None).await.unwrap_or_default();
    let left: Vec<_> = left["data"]["keys"].as_array().cloned().unwrap_or_default();
    assert!(all.iter().all(|key| !left.contains(&json!(key.key_name()))), "{left:?}");
    let record = serde_json::to_vec(&world.destruction(&name).await).unwrap();
    println!("its record has {} KiB", record.len() / 1024);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn many_approvals() {
    let world = World::start(&["portal"]).await;
    world.look().await;
    let order = world.list(&["portal"]).await;
    look(&world, "no Approvals").await;
    let approvals: Api<Approval> = Api::all(world.env.client_as("anna", &["system:authenticated"]).unwrap());
    let expires = (Timestamp::now() + SignedDuration::from_hours(24 * 14)).to_string();
    let made = stream::iter(0..10_000).map(|number| {
        let approvals = approvals.clone();
        let approval: Approval = serde_json::from_value(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval", "metadata": {"name": format!("old-{number}")},
            "spec": {
                "target": {
                    "kind": "Destruction", "name": format!("contactcenter.20250101.{number:08x}"), "uid": "u",
                    "digest": format!("sha256:{:064x}", number),
                },
                "decision": "Approve", "approver": "anna", "expires": expires,
            },
        }))
        .unwrap();
        async move { drop(approvals.create(&PostParams::default(), &approval).await.unwrap()) }
    });
    made.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    for who in ["anna", "bas"] {
        world.approve(who, &order).await;
    }
    for _ in 0..3 {
        look(&world, "10,000 Approvals of lists that are gone, one list open").await;
    }
    let all: Api<Approval> = Api::all(world.admin.clone());
    for (what, limit) in [("50 at a time", 50), ("500 at a time", 500)] {
        let (began, mut params, mut requests) = (Instant::now(), ListParams::default().limit(limit), 0);
        loop {
            let page = all.list(&params).await.unwrap();
            requests += 1;
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
        println!("all Approvals, {what}: {:.2?}, {requests} requests", began.elapsed());
    }
    let denials = ListParams::default().fields("spec.target.kind=Adoption,spec.decision=Deny");
    let began = Instant::now();
    all.list(&denials).await.unwrap();
    println!("denials of Adoptions, as the operator asks every 15 s: {:.2?}", began.elapsed());
}
