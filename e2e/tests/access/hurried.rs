//! Revocations beside many roles, many other revocations, and servers that fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;
use subrosa_crds::{
    AccessRevocation, AccessRole,
    condition::{self, READY},
};
use subrosa_e2e::{Tap, alerts::History, wait};

use super::{
    leavers::{Looking, release, revocation, told, until},
    world::{NS, RECORDING, REVIEWER, World, role},
};

const PATIENCE: Duration = Duration::from_secs(60);
const ALERT: &str = "SubrosaAccessRevocationNotDone";

/// While rounds go over five hundred roles of which none is in force, neither who leaves nor a role waits for one of them.
pub async fn a_revocation_waits_for_no_role(world: &World) {
    const ROLES: usize = 500;
    let looking = Looking::begin(&world.granter, true);
    let recording = world.sealed("voice", RECORDING).await;
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), NS);
    for number in 0..ROLES {
        let (login, channel) = if number % 10 == 0 { ("weak", "voice") } else { ("strong", "nowhere") };
        let one = role(&format!("crowd-{number}"), login, &["cc-quality"], &[(channel, RECORDING)]);
        roles.create(&PostParams::default(), &serde_json::from_value(one).unwrap()).await.unwrap();
    }
    broken_channels(world).await;
    people_leave(world, &recording).await;
    a_role_is_revoked(world, &recording).await;
    drop(looking);
    the_alert_tells_of_one_that_is_not_done(world).await;
    for one in roles.list(&ListParams::default()).await.unwrap().items {
        if one.name_any().starts_with("crowd-") {
            roles.delete(&one.name_any(), &DeleteParams::default()).await.unwrap();
        }
    }
}

async fn people_leave(world: &World, recording: &(String, String)) {
    const LEAVERS: usize = 40;
    let mut took = Vec::new();
    for number in 0..LEAVERS {
        if number % 10 == 0 {
            // It is never done, so it is looked at each time.
            let mut stuck = revocation(&format!("stuck-{number}"), json!({"user": "nobody"}));
            stuck["spec"]["trustDomains"] = json!(["nowhere"]);
            world.apply(&stuck).await;
        }
        let name = format!("leaver-{number}");
        let session = world.login("strong", &name, claims()).await.unwrap();
        assert!(world.opens(&session, recording).await);
        let began = Instant::now();
        world.apply(&revocation(&name, json!({"user": name}))).await;
        until(|| async { !world.opens(&session, recording).await }).await;
        took.push(began.elapsed());
    }
    print_and_judge("people", took);
}

/// A role among many that give nothing gives nothing either, and gives again when that is released. Another one keeps its slot, which
/// would have to rest otherwise.
async fn a_role_is_revoked(world: &World, recording: &(String, String)) {
    world.apply(&role("keeper", "strong", &["a"], &[("voice", RECORDING)])).await;
    let session = world.login("strong", "zoe", claims()).await.unwrap();
    assert!(world.opens(&session, recording).await);
    let keeper = world.login("strong", "kim", json!({"amr": ["mfa"], "groups": ["a"]})).await.unwrap();
    let mut took = Vec::new();
    for number in 0..10 {
        let name = format!("of-role-{number}");
        let began = Instant::now();
        world.apply(&revocation(&name, json!({"role": {"namespace": NS, "name": "reviewer"}}))).await;
        until(|| async { !world.opens(&session, recording).await }).await;
        took.push(began.elapsed());
        let status = told(world, &name, "Revoked").await;
        assert_eq!(status.trust_domains[0].roles, [format!("{NS}/reviewer")], "{status:?}");
        if number == 0 {
            until(|| async { world.opens(&keeper, recording).await }).await;
        }
        assert!(world.opens(&keeper, recording).await, "the other role goes on");
        release(world, &world.reviewer, REVIEWER, &name).await;
        until(|| async { world.opens(&session, recording).await }).await;
    }
    world.delete("keeper").await;
    print_and_judge("roles", took);
}

fn print_and_judge(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let (half, last) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{} revocations of {what} beside 500 roles: p50 {half:?}, p99 {last:?}", took.len());
    assert!(last < Duration::from_secs(5), "{what}: {took:?}");
}

fn claims() -> serde_json::Value {
    json!({"amr": ["mfa"], "groups": ["cc-quality"]})
}

/// On the granter's own metrics. Those that name no TrustDomain that there is are never done.
async fn the_alert_tells_of_one_that_is_not_done(world: &World) {
    let pending = || {
        let text = world.granter.metrics().text();
        let of_it = text.lines().filter(|line| line.starts_with("subrosa_granter_access_revocation_pending"));
        of_it.collect::<Vec<_>>().join("\n")
    };
    world.granter.revoke(false).await;
    let mut history = History::begin().unwrap();
    history.scrape(async || Some(pending())).await;
    assert!(history.is_true(ALERT, Duration::from_secs(600)).unwrap(), "{}", pending());
    world.forget_revocations().await;
    until(|| async {
        world.granter.revoke(false).await;
        pending().is_empty()
    })
    .await;
    history.scrape(async || Some(pending())).await;
    assert!(!history.is_true(ALERT, Duration::from_secs(600)).unwrap());
    // One that was just made is none of its business yet.
    let mut stuck = revocation("stuck", json!({"user": "nobody"}));
    stuck["spec"]["trustDomains"] = json!(["nowhere"]);
    world.apply(&stuck).await;
    until(|| async {
        world.granter.revoke(false).await;
        !pending().is_empty()
    })
    .await;
    let mut history = History::begin().unwrap();
    history.scrape(async || Some(pending())).await;
    assert!(!history.is_true(ALERT, Duration::ZERO).unwrap(), "{}", pending());
    assert!(history.is_true(ALERT, Duration::from_secs(600)).unwrap(), "{}", pending());
    world.forget_revocations().await;
}

/// Channels that cannot work beside the others.
async fn broken_channels(world: &World) {
    for number in 0..3 {
        let (name, peer) = (format!("broken-{number}"), json!([{"name": "nowhere", "namespace": "nowhere"}]));
        let channel = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": name, "namespace": NS},
            "spec": {
                "workload": {"selector": {"matchLabels": {"app": name}}, "serviceAccountName": name},
                "connectsTo": peer, "dataClasses": ["of-no-policy"],
            },
        });
        world.apply(&channel).await;
        wait::channel(&world.admin, NS, &name, PATIENCE, |status| {
            !wait::reason(status, READY).is_empty() && !wait::is(status, READY)
        })
        .await
        .unwrap();
    }
}

/// A tenth of all requests of the granter, to the API server and to Vault, those of the revocation itself too.
pub async fn revocations_are_done_while_a_tenth_of_everything_fails(world: &World) {
    const LEAVERS: usize = 10;
    world.slots_have_rested().await;
    let recording = world.sealed("voice", RECORDING).await;
    let tap = Tap::new();
    let (failed, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (fails, asks) = (Arc::clone(&failed), Arc::clone(&asked));
    tap.fail_where(move |_, _| {
        asks.fetch_add(1, Ordering::Relaxed);
        let fails_now = rand::random::<f64>() < 0.1;
        fails.fetch_add(usize::from(fails_now), Ordering::Relaxed);
        fails_now
    });
    let (api, bao) = (world.env.proxy_api(&tap).await.unwrap(), world.env.proxy_openbao(&tap).await.unwrap());
    world.reach(&bao.endpoint().url).await;
    let another = world.another_granter(api.endpoint()).await;
    let looking = Looking::begin(&another.granter, true);
    let mut sessions = Vec::new();
    for number in 0..LEAVERS {
        let who = format!("unlucky-{number}");
        sessions.push(world.login("strong", &who, claims()).await.unwrap());
        world.apply(&revocation(&who, json!({"user": who}))).await;
    }
    let began = Instant::now();
    for session in &sessions {
        until(|| async { !world.opens(session, &recording).await }).await;
    }
    let people = began.elapsed();
    let zoe = world.login("strong", "zoe", claims()).await.unwrap();
    until(|| async { world.opens(&zoe, &recording).await }).await;
    let named = json!({"role": {"namespace": NS, "name": "reviewer"}});
    world.apply(&revocation("unlucky-role", named)).await;
    until(|| async { !world.opens(&zoe, &recording).await }).await;
    let all: Api<AccessRevocation> = Api::all(world.admin.clone());
    until(|| async {
        let all = all.list(&ListParams::default()).await.unwrap().items;
        all.iter().all(|one| {
            let ready = one.status.as_ref().and_then(|status| condition::find(&status.conditions, READY));
            ready.is_some_and(|ready| ready.reason == "Revoked")
        })
    })
    .await;
    let (failed, asked) = (failed.load(Ordering::Relaxed), asked.load(Ordering::Relaxed));
    println!(
        "{LEAVERS} people in {people:?}, a role, and all told, while {failed} of {asked} requests failed"
    );
    assert!(failed > 10, "{failed} of {asked}");
    drop(looking);
    tap.fail_where(|_, _| false);
    world.forget_revocations().await;
    world.reach(world.env.openbao().url()).await;
    world.role("reviewer", super::world::ready).await;
}

/// However many left before: who of them logs in once more is found by one list, and the others are looked at in turn.
pub async fn many_leavers_are_swept_with_few_requests(world: &World, leavers: usize) {
    let recording = world.sealed("voice", RECORDING).await;
    let (tap, asked) = (Tap::new(), Arc::new(AtomicUsize::new(0)));
    let asks = Arc::clone(&asked);
    tap.fail_where(move |_, _| {
        asks.fetch_add(1, Ordering::Relaxed);
        false
    });
    let bao = world.env.proxy_openbao(&tap).await.unwrap();
    // Of every second one there is an entity.
    let mut first = None;
    for number in (0..leavers).step_by(2) {
        let session = world.login("strong", &format!("gone-{number}"), claims()).await.unwrap();
        first = first.or(Some(session));
    }
    let first = first.unwrap();
    let own = world.env.openbao().request_as(&first, "GET", "auth/token/lookup-self", None).await.unwrap().1;
    let entity = format!("identity/entity/id/{}", own["data"]["entity_id"].as_str().unwrap());
    for number in 0..leavers {
        let who = format!("gone-{number}");
        world.apply(&revocation(&who, json!({"user": who.to_uppercase()}))).await;
    }
    world.reach(&bao.endpoint().url).await;
    let another = world.another_granter(world.env.api()).await;
    let all: Api<AccessRevocation> = Api::all(world.admin.clone());
    let is_done = |one: &AccessRevocation| one.status.as_ref().is_some_and(|status| status.done_at.is_some());
    until(|| async {
        another.granter.revoke(false).await;
        all.list(&ListParams::default()).await.unwrap().items.iter().all(is_done)
    })
    .await;
    let of_one_sweep = async || {
        let before = asked.load(Ordering::Relaxed);
        let began = Instant::now();
        another.granter.revoke(true).await;
        (asked.load(Ordering::Relaxed) - before, began.elapsed())
    };
    let (at_start, _) = of_one_sweep().await;
    let (requests, took) = of_one_sweep().await;
    println!(
        "a sweep over {leavers} leavers: {requests} requests to Vault in {took:?}; the first one {at_start}"
    );
    assert!(requests <= 80, "{requests} requests for {leavers} leavers");

    // An entity that is made later is disabled by the next sweep.
    let late = world.login("strong", "Gone-1", claims()).await.unwrap();
    assert!(world.opens(&late, &recording).await);
    let (requests, _) = of_one_sweep().await;
    assert!(!world.opens(&late, &recording).await);
    assert!(requests <= 90, "{requests} requests for {leavers} leavers");
    // One that somebody enabled is disabled when its turn comes.
    world.env.openbao().request("POST", &entity, Some(json!({"disabled": false}))).await.unwrap();
    let mut sweeps = 0;
    while world.opens(&first, &recording).await {
        sweeps += 1;
        assert!(sweeps <= leavers / 20 + 1, "nobody looks at it again");
        of_one_sweep().await;
    }
    // Nothing is written while nothing changes.
    let versions = async || {
        let all = all.list(&ListParams::default()).await.unwrap().items;
        all.into_iter().map(|one| one.metadata.resource_version).collect::<Vec<_>>()
    };
    of_one_sweep().await;
    let before = versions().await;
    of_one_sweep().await;
    assert_eq!(versions().await, before);
    world.forget_revocations().await;
    world.reach(world.env.openbao().url()).await;
}
