//! Break-glass: it opens while nothing but OpenBao runs, and who used it is told until somebody else reviewed it.

use std::{
    process::Command,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, Client, api::ListParams};
use serde_json::{Value, json};
use subrosa_crds::{
    AccessRole, AccessRoleStatus,
    condition::{self, BREAK_GLASS},
};
use subrosa_e2e::{alerts::History, wait};

use super::{
    lasting::cannot_be_renewed,
    world::{CHAT, NS, RECORDING, REVIEWER, World, ready, role},
};

const PATIENCE: Duration = Duration::from_secs(60);
const MOUNT: &str = "subrosa-people-break-glass";

pub async fn it_opens_while_nothing_else_runs_and_is_told_until_it_is_reviewed(world: &mut World) {
    let (recording, chat) = (world.sealed("voice", RECORDING).await, world.sealed("voice", CHAT).await);
    let mut emergency = role("emergency", "strong", &["cc-quality"], &[("voice", RECORDING)]);
    emergency["spec"]["breakGlass"] = json!({"group": "On-Call"});
    world.apply(&emergency).await;
    let status = world.role("emergency", |status| ready(status) && glass(status).0 == "True InForce").await;
    assert_eq!(status.break_glass.clone().unwrap_or_default().people, Some(0), "{status:?}");
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), NS);
    let before = roles.get("emergency").await.unwrap().metadata.resource_version;
    world.granter.round().await;
    assert_eq!(roles.get("emergency").await.unwrap().metadata.resource_version, before, "quiet");
    assert!(used(world).is_empty(), "nobody used it");

    // The operator is stopped, the granter does nothing, and the API server stands still.
    world.stop_operator();
    let api = world.env.control_plane().unwrap().pids()["kube-apiserver"];
    signal("STOP", api);
    let ivo = enter(world, "ivo", json!({"jti": "t1"})).await;
    let (opens, other) = match &ivo {
        Ok(ivo) => (world.opens(ivo, &recording).await, world.opens(ivo, &chat).await),
        Err(_) => (false, false),
    };
    signal("CONT", api);
    assert!(opens, "{ivo:?}");
    assert!(!other, "another class");
    let ivo = ivo.unwrap();
    cannot_be_renewed(world, &ivo).await;
    for (why, claims) in [
        ("a weaker second factor", json!({"jti": "x", "amr": ["otp"]})),
        ("none", json!({"jti": "x", "amr": ["pwd"]})),
        ("another group", json!({"jti": "x", "groups": ["cc-quality"]})),
        ("a group that begins the same", json!({"jti": "x", "groups": ["on-call-2"]})),
        ("no id of the token, so that another login would not be seen", json!({})),
    ] {
        assert!(enter(world, "rob", claims).await.is_err(), "{why}");
    }
    // The ordinary login of the same person.
    let plain = world.login("strong", "ivo", json!({"amr": ["hwk"], "groups": ["on-call"]})).await.unwrap();
    assert!(!world.opens(&plain, &recording).await);
    world.start_operator().await;

    let status = world.role("emergency", |status| glass(status).0 == "False UseNotReviewed").await;
    assert!(ready(&status), "the role gives what it gives");
    let told = status.break_glass.unwrap();
    assert_eq!((told.people, told.uses[0].person.as_str(), told.uses[0].logins), (Some(1), "ivo", 1));
    let first: Timestamp = told.uses[0].first.parse().unwrap();
    assert!(Timestamp::now().duration_since(first) < SignedDuration::from_mins(10), "{told:?}");
    assert_eq!(used(world).len(), 2, "{:?}", used(world));
    events(world, "BreakGlassUsed", 1).await;
    events(world, "UseNotReviewed", 1).await;
    told_when_it_is_late(world).await;

    // The same token is the same use; another one is told as well.
    enter_with(world, "ivo", "t1").await;
    let before = roles.get("emergency").await.unwrap().metadata.resource_version;
    world.granter.round().await;
    assert_eq!(roles.get("emergency").await.unwrap().metadata.resource_version, before);
    // In another second, which is how exact the time is.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    enter_with(world, "ivo", "t2").await;
    let old = told.digest.clone().unwrap();
    let status =
        world.role("emergency", |status| status.break_glass.as_ref().unwrap().uses[0].logins == 2).await;
    let digest = status.break_glass.unwrap().digest.unwrap();
    assert_ne!(digest, old);
    events(world, "BreakGlassUsed", 2).await;

    // By the user, under any name of theirs, and of what was before the second use: no reviews.
    let uid = roles.get("emergency").await.unwrap().metadata.uid.unwrap();
    approver(world, "oidc:ivo").await;
    let user = world.env.client_as("oidc:ivo", &["system:authenticated"]).unwrap();
    let count = AtomicI64::new(0);
    let approve = async |client: &Client, who: &str, digest: &str| {
        let name = format!("glass-{}", count.fetch_add(1, Ordering::Relaxed));
        let made =
            Api::all(client.clone()).create(&Default::default(), &approval(&name, who, &uid, digest)).await;
        made.unwrap();
        world.granter.round().await;
    };
    let since = Timestamp::now();
    while Timestamp::now().duration_since(since) < SignedDuration::from_secs(7) {
        approve(&user, "oidc:ivo", &digest).await;
        approve(&world.reviewer, REVIEWER, &old).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.role("emergency", |status| glass(status).0 == "False UseNotReviewed").await;
    approve(&world.reviewer, REVIEWER, &digest).await;
    let status = world.role("emergency", |status| glass(status).0 == "True InForce").await;
    let told = status.break_glass.unwrap();
    assert_eq!(told.reviewed.map(|one| one.approver).as_deref(), Some(REVIEWER));
    assert!(told.uses.is_empty() && told.digest.is_none());
    assert!(used(world).is_empty(), "{:?}", used(world));
    assert!(world.opens(&ivo, &recording).await, "a review takes nothing away");

    // Whatever the role says: a group that may not use it gets nothing.
    emergency["spec"]["breakGlass"] = json!({"group": "cc-quality"});
    world.apply(&emergency).await;
    world.role("emergency", |status| glass(status).0 == "False GroupNotEnrolled").await;
    assert!(!world.opens(&ivo, &recording).await);
    emergency["spec"]["breakGlass"] = json!({"group": "on-call"});
    world.apply(&emergency).await;

    cannot_see(world).await;
    world.role("emergency", |status| glass(status).0 == "True InForce").await;
    assert!(world.opens(&ivo, &recording).await);

    // Withdrawn: refused at once, by the granter alone.
    world.stop_operator();
    world.delete("emergency").await;
    wait::until(PATIENCE, || async {
        world.granter.round().await;
        if world.opens(&ivo, &recording).await { Err("it opens".to_owned()) } else { Ok(()) }
    })
    .await
    .unwrap();
    world.start_operator().await;
}

/// Where an earlier `vault-setup` did not let the granter see who logged in, status says so.
async fn cannot_see(world: &World) {
    let bao = world.env.openbao();
    let path = "sys/policies/acl/subrosa-granter";
    let policy = bao.request("GET", path, None).await.unwrap()["data"]["policy"].as_str().unwrap().to_owned();
    let blind = policy.replace("path \"identity/entity-alias/id\" {", "path \"identity/elsewhere\" {");
    assert_ne!(blind, policy);
    bao.request("POST", path, Some(json!({"policy": blind}))).await.unwrap();
    let status = world.role("emergency", |status| glass(status).0 != "False GroupNotEnrolled").await;
    let found = world.role("emergency", |status| glass(status).0 == "Unknown UsesNotSeen").await;
    assert!(glass(&found).1.contains("vault-setup"), "{status:?}");
    bao.request("POST", path, Some(json!({"policy": policy}))).await.unwrap();
}

/// Both alerts, on the granter's own metrics.
async fn told_when_it_is_late(world: &World) {
    let mut history = History::begin().unwrap();
    history.scrape(async || Some(used(world).join("\n"))).await;
    for (days, used, late) in [(0, true, false), (2, true, false), (4, true, true)] {
        let later = Duration::from_secs(days * 24 * 3600);
        assert_eq!(history.is_true("SubrosaBreakGlassUsed", later).unwrap(), used, "{days} days");
        assert_eq!(history.is_true("SubrosaBreakGlassReviewOverdue", later).unwrap(), late, "{days} days");
    }
}

/// What the metrics say of it.
fn used(world: &World) -> Vec<String> {
    let text = world.granter.metrics().text();
    text.lines().filter(|line| line.starts_with("subrosa_break_glass_")).map(str::to_owned).collect()
}

/// A session by break-glass, of somebody on call with a security key, with these claims instead.
pub async fn enter(world: &World, subject: &str, claims: Value) -> Result<String, String> {
    let mut all = json!({"amr": ["hwk"], "groups": ["all", "on-call"]});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let body = json!({"role": "break-glass", "jwt": world.provider.token(subject, all)});
    let path = format!("auth/{MOUNT}/login");
    let (status, answer) = world.env.openbao().request_as("", "POST", &path, Some(body)).await.unwrap();
    match answer["auth"]["client_token"].as_str() {
        Some(token) if status == 200 => Ok(token.to_owned()),
        _ => Err(format!("{status} {}", answer["errors"])),
    }
}

async fn enter_with(world: &World, subject: &str, token: &str) {
    enter(world, subject, json!({"jti": token})).await.unwrap();
}

/// Status and reason of condition BreakGlass, and what it says.
pub fn glass(status: &AccessRoleStatus) -> (String, String) {
    let found = condition::find(&status.conditions, BREAK_GLASS);
    found.map(|one| (format!("{} {}", one.status, one.reason), one.message.clone())).unwrap_or_default()
}

fn signal(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().unwrap().success());
}

fn approval(name: &str, who: &str, uid: &str, digest: &str) -> subrosa_crds::Approval {
    let expires = (Timestamp::now() + SignedDuration::from_hours(24)).to_string();
    serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval", "metadata": {"name": name},
        "spec": {
            "target": {"kind": "AccessRole", "namespace": NS, "name": "emergency", "uid": uid, "digest": digest},
            "decision": "Approve", "approver": who, "expires": expires,
        },
    }))
    .unwrap()
}

async fn approver(world: &World, user: &str) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "on-call-approves"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "subrosa-approver"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    world.apply(&binding).await;
}

async fn events(world: &World, reason: &str, expected: usize) {
    let events: Api<Event> = Api::namespaced(world.admin.clone(), NS);
    let found = events.list(&ListParams::default()).await.unwrap().items;
    let told: Vec<_> = found.iter().filter(|event| event.reason.as_deref() == Some(reason)).collect();
    assert_eq!(told.len(), expected, "{reason}");
    assert!(told.iter().all(|event| event.type_.as_deref() == Some("Warning")));
    assert!(told.iter().all(|event| event.note.as_deref().is_some_and(|note| note.contains("ivo"))));
}
