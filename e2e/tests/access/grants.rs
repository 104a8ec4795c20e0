//! AccessGrants: one person opens what a role names, for a time that Vault ends.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use subrosa_crds::{
    AccessGrant, AccessGrantStatus, Approval,
    condition::{self, READY},
};
use subrosa_e2e::{installation::AUDIENCE, wait};

use super::{
    leavers::revocation,
    world::{NS, RECORDING, REVIEWER, World, ready, role},
};

pub const PATIENCE: Duration = Duration::from_secs(60);
const ROLE: &str = "by-request";
/// The administrator, who asks for all grants here.
const ADMIN: &str = "e2e-admin";
const POLICIES: &str = "sys/policies/acl/subrosa-grant.oosterlinde.strong";
const SLOTS: &str = "identity/group/name/subrosa_oosterlinde_grant_strong";

/// Role `reviewer` opens the same slot of login `strong`; the grant slots of it are used up afterwards, for they rest.
pub async fn one_person_opens_it_until_vault_ends_it(world: &mut World) {
    let recording = world.sealed("voice", RECORDING).await;
    let mut granted = role(ROLE, "strong", &["cc-quality"], &[("voice", RECORDING)]);
    granted["spec"]["grants"] = json!({"max": "1h"});
    world.apply(&granted).await;
    world.role(ROLE, ready).await;
    let login = async |world: &World, login: &str, amr: &str, who: &str| {
        world.login(login, who, json!({"amr": [amr], "groups": ["all"]})).await.unwrap()
    };
    let early = login(world, "strong", "mfa", "gert").await;

    // Nobody approved, and neither who asks nor who gets it approves.
    ask(world, "first", "gert", "15m").await;
    let status = until(world, "first", |status| word(status) == "False AwaitingApproval").await;
    assert_eq!(status.approvals.as_deref(), Some("0/1"));
    approver(world, &["oidc:gert", ADMIN]).await;
    let gert = world.env.client_as("oidc:gert", &["system:authenticated"]).unwrap();
    let since = Timestamp::now();
    // Longer than the admission policy of Approvals has to be there.
    while Timestamp::now().duration_since(since) < SignedDuration::from_secs(7) {
        approve(world, &gert, "oidc:gert", "first", "Approve").await;
        approve(world, &world.admin, ADMIN, "first", "Approve").await;
        world.granter.round().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let status = until(world, "first", |status| word(status) == "False AwaitingApproval").await;
    assert_eq!(status.approvals.as_deref(), Some("0/1"));
    assert!(!world.opens(&early, &recording).await);

    approve(world, &world.reviewer, REVIEWER, "first", "Approve").await;
    let status = until(world, "first", |status| word(status) == "True InForce").await;
    assert_eq!(status.approved_by[0].approver, REVIEWER);
    let now = login(world, "strong", "hwk", "Gert").await;
    assert!(world.opens(&now, &recording).await, "the person, in whatever case");
    assert!(world.opens(&early, &recording).await, "and in an earlier session after the same login");
    let (tired, other) =
        (login(world, "night", "otp", "gert").await, login(world, "strong", "mfa", "bas").await);
    assert!(!world.opens(&tired, &recording).await, "another login of the same person");
    assert!(!world.opens(&other, &recording).await, "another person");
    assert!(!world.opens(&now, &world.sealed("video", RECORDING).await).await, "another Channel");

    // What Vault has is what status says: the right time, and nothing else of a person.
    let (began, ends): (Timestamp, Timestamp) =
        (status.started_at.unwrap().parse().unwrap(), status.ends_at.unwrap().parse().unwrap());
    let lasts = ends.duration_since(began);
    assert!((SignedDuration::from_mins(15)..SignedDuration::from_mins(16)).contains(&lasts), "{lasts:?}");
    let bao = world.env.openbao();
    let policy = bao.request("GET", &format!("{POLICIES}.000"), None).await.unwrap();
    let in_vault: Timestamp = policy["data"]["expiration"].as_str().unwrap().parse().unwrap();
    assert_eq!(in_vault, ends);
    quiet(world, "first").await;
    told_nobody_more(world).await;
    the_granter_writes_no_other_policy(world).await;

    // Vault ends it while neither the operator nor the granter does anything: the same policy, for five seconds.
    world.stop_operator();
    let bao = world.env.openbao();
    let text = policy["data"]["policy"].clone();
    let body = json!({"policy": text, "ttl": "5s"});
    bao.request("POST", &format!("{POLICIES}.000"), Some(body)).await.unwrap();
    assert!(world.opens(&now, &recording).await);
    wait::until(PATIENCE, || async { closed(world, &now, &recording).await }).await.unwrap();
    assert!(!world.opens(&early, &recording).await);
    world.start_operator().await;
    // Within the minute in which it was first written: it is over all the same.
    for _ in 0..3 {
        world.granter.round().await;
    }
    let status = until(world, "first", |status| word(status) == "False GrantExpired").await;
    assert_eq!(status.started_at.map(|at| at.parse::<Timestamp>().unwrap()), Some(began));
    assert!(!world.opens(&now, &recording).await, "it does not begin again");
    assert!(people(world, 0).await.is_empty());
    wait::until(PATIENCE, || async {
        world.granter.round().await;
        if left(world) == 499 { Ok(()) } else { Err(left(world)) }
    })
    .await
    .unwrap();

    ends_at_once(world, &recording).await;
    nobody_has_an_excluded_role_by_a_group_too(world, &recording).await;
    world.delete(ROLE).await;
    let grants: Api<AccessGrant> = Api::namespaced(world.admin.clone(), NS);
    grants.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    wait::until(PATIENCE, || async {
        world.granter.round().await;
        let record = world.env.openbao().request("GET", "subrosa/data/grants", None).await.unwrap();
        let text = record["data"]["data"].to_string();
        if text.contains("\"over\"") || text.contains("\"open\"") { Err(text) } else { Ok(()) }
    })
    .await
    .unwrap();
}

/// What ends a grant before its time.
async fn ends_at_once(world: &World, recording: &(String, String)) {
    let grants: Api<AccessGrant> = Api::namespaced(world.admin.clone(), NS);
    for name in ["deleted", "denied", "revoked"] {
        world.login("strong", name, json!({"amr": ["mfa"], "groups": ["all"]})).await.unwrap();
        ask(world, name, name, "1h").await;
        until(world, name, |status| word(status) == "False AwaitingApproval").await;
        approve(world, &world.reviewer, REVIEWER, name, "Approve").await;
    }
    // Who never logged in, and for longer than the role says.
    ask(world, "nobody", "nobody-yet", "30m").await;
    ask(world, "long", "bas", "2h").await;
    let status = until(world, "long", |status| word(status) == "False NotGrantable").await;
    assert!(message(&status).contains("at most 1h"), "{status:?}");
    approve(world, &world.reviewer, REVIEWER, "nobody", "Approve").await;
    until(world, "nobody", |status| word(status) == "False PersonUnknown").await;

    let mut sessions = Vec::new();
    for name in ["deleted", "denied", "revoked"] {
        until(world, name, |status| word(status) == "True InForce").await;
        let session = world.login("strong", name, json!({"amr": ["mfa"], "groups": ["all"]})).await.unwrap();
        assert!(world.opens(&session, recording).await, "{name}");
        sessions.push(session);
    }
    // Each by the granter alone, in its next round.
    let ended = async |session: &String| {
        wait::until(PATIENCE, || async {
            world.granter.round().await;
            closed(world, session, recording).await
        })
        .await
        .unwrap();
    };
    grants.delete("deleted", &DeleteParams::default()).await.unwrap();
    ended(&sessions[0]).await;
    approve(world, &world.reviewer, REVIEWER, "denied", "Deny").await;
    ended(&sessions[1]).await;
    until(world, "denied", |status| word(status) == "False ApprovalDenied").await;
    assert!(world.opens(&sessions[2], recording).await, "the third goes on");
    world.apply(&revocation("by-request", json!({"role": {"namespace": NS, "name": ROLE}}))).await;
    ended(&sessions[2]).await;
    until(world, "revoked", |status| word(status) == "False Revoked").await;
    for number in 0..4 {
        let policy = format!("{POLICIES}.{number:03}");
        assert!(world.env.openbao().request("GET", &policy, None).await.is_err(), "no policy is left");
        assert!(people(world, number).await.is_empty());
    }
}

/// Two roles exclude each other: one is given to a group, the other for a time.
async fn nobody_has_an_excluded_role_by_a_group_too(world: &World, recording: &(String, String)) {
    const GRANTED: &str = "by-clerks";
    let mut granted = role(GRANTED, "clerk", &["cc-quality"], &[("voice", RECORDING)]);
    granted["spec"]["grants"] = json!({"max": "1h"});
    granted["spec"]["conflictsWith"] = json!(["by-group"]);
    world.apply(&granted).await;
    world.apply(&role("by-group", "night", &["a"], &[("voice", RECORDING)])).await;
    world.role("by-group", ready).await;
    let login = async |who: &str, group: &str| {
        world.login("clerk", who, json!({"amr": ["mfa"], "groups": [group]})).await.unwrap()
    };
    login("ines", "all").await;
    login("joost", "A").await;
    for who in ["ines", "joost"] {
        ask_for(world, GRANTED, who, who, "1h").await;
        until(world, who, |status| word(status) == "False AwaitingApproval").await;
        approve(world, &world.reviewer, REVIEWER, who, "Approve").await;
    }
    let status = until(world, "joost", |status| word(status) == "False ConflictingRoles").await;
    assert!(message(&status).contains("has by-group by group a"), "{status:?}");
    let status = until(world, "ines", |status| word(status) == "True InForce").await;
    assert!(message(&status).contains("as their last login showed it"), "{status:?}");
    let session = login("ines", "all").await;
    assert!(world.opens(&session, recording).await);
    // With the next login she has the other role: the grant is over, in every session.
    login("ines", "a").await;
    until(world, "ines", |status| word(status) == "False ConflictingRoles").await;
    assert!(!world.opens(&session, recording).await);
    for name in [GRANTED, "by-group"] {
        world.delete(name).await;
    }
}

/// An unchanged world is written nothing.
async fn quiet(world: &World, name: &str) {
    let grants: Api<AccessGrant> = Api::namespaced(world.admin.clone(), NS);
    let versions = async || {
        let record = world.env.openbao().request("GET", "subrosa/data/grants", None).await.unwrap();
        let grant = grants.get(name).await.unwrap();
        (grant.metadata.resource_version, record["data"]["metadata"]["version"].clone())
    };
    // Uses are told first.
    world.granter.round().await;
    let before = versions().await;
    world.granter.round().await;
    world.granter.round().await;
    assert_eq!(versions().await, before);
}

/// The command shows who can open it, and until when.
async fn told_nobody_more(world: &World) {
    let grants: Api<AccessGrant> = Api::namespaced(world.admin.clone(), NS);
    let found = grants.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(found.len(), 1);
    let metrics = world.granter.metrics().text();
    let told = "subrosa_granter_access_grants{trust_domain=\"oosterlinde\",state=\"in_force\"} 1";
    assert!(metrics.contains(told), "{metrics}");
    assert_eq!(left(world), 500);
}

/// How many more grants can be over before none begins any more.
fn left(world: &World) -> usize {
    let metrics = world.granter.metrics().text();
    let line = metrics.lines().find_map(|line| {
        line.strip_prefix("subrosa_granter_access_grants_left{trust_domain=\"oosterlinde\"} ")
    });
    line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

/// Whatever it tries: each policy has one text, and a time, and no slot of a login takes a person.
async fn the_granter_writes_no_other_policy(world: &World) {
    let bao = world.env.openbao();
    let jwt = world.env.service_account_token(world.installed.names.namespace(), "subrosa-granter", AUDIENCE);
    let token = bao.kubernetes_login("kubernetes", "subrosa-granter", &jwt.await.unwrap()).await.unwrap();
    let policy = format!("{POLICIES}.003");
    let text = "path \"transit/decrypt/{{identity.groups.names.subrosa_oosterlinde_grant_strong_003.metadata.open}}.*\" { \
                capabilities = [\"update\"] }";
    let all = "path \"*\" { capabilities = [\"update\"] }";
    let person = people(world, 0).await;
    let login = "sys/policies/acl/subrosa-login.oosterlinde.strong";
    let other = format!("{POLICIES}.009");
    let of_other_slot = text.replace("_003", "_002");
    let slot = format!("{SLOTS}_003");
    let (policy, other, slot) = (policy.as_str(), other.as_str(), slot.as_str());
    let tries: Vec<(&str, &str, Value)> = vec![
        ("POST", policy, json!({"policy": text})),
        ("POST", policy, json!({"policy": text, "ttl": "25h"})),
        ("POST", policy, json!({"policy": text, "ttl": "5s"})),
        ("POST", policy, json!({"policy": text, "ttl": 900})),
        ("POST", policy, json!({"policy": text, "ttl": ""})),
        ("POST", policy, json!({"policy": text, "ttl": "15m", "TTL": "8760h"})),
        ("POST", policy, json!({"policy": text, "expiration": "2099-01-01T00:00:00Z"})),
        ("POST", policy, json!({"policy": text, "ttl": "15m", "expiration": "2099-01-01T00:00:00Z"})),
        ("POST", policy, json!({"policy": text, "ttl": "15m", "cas_required": true})),
        ("POST", policy, json!({"policy": all, "ttl": "15m"})),
        ("POST", policy, json!({"policy": format!("{text}\n{all}"), "ttl": "15m"})),
        ("POST", policy, json!({"policy": of_other_slot, "ttl": "15m"})),
        ("POST", policy, json!({"rules": all, "ttl": "15m", "policy": text})),
        (
            "POST",
            policy,
            json!({"policy": text, "ttl": "15m", "allow_wildcards_in_identity_templates": true}),
        ),
        ("GET", policy, Value::Null),
        ("POST", other, json!({"policy": text, "ttl": "15m"})),
        ("DELETE", other, Value::Null),
        ("POST", "sys/policy/subrosa-grant.oosterlinde.strong.003", json!({"policy": text, "ttl": "15m"})),
        ("DELETE", "sys/policy/subrosa-grant.oosterlinde.strong.003", Value::Null),
        ("POST", login, json!({"policy": text, "ttl": "15m"})),
        ("DELETE", login, Value::Null),
        ("DELETE", "sys/policies/acl/subrosa-granter", Value::Null),
        ("GET", "sys/policy/subrosa-login.oosterlinde.strong", Value::Null),
        (
            "POST",
            "identity/group/name/subrosa_oosterlinde_open_strong_000",
            json!({"member_entity_ids": person}),
        ),
        ("POST", slot, json!({"metadata": {"open": "x"}})),
        ("POST", slot, json!({"policies": ["subrosa-granter"]})),
        ("POST", slot, json!({"member_group_ids": person})),
        ("DELETE", slot, Value::Null),
        ("DELETE", "subrosa/metadata/grants", Value::Null),
    ];
    for (method, path, body) in tries {
        let body = (!body.is_null()).then_some(body);
        let (status, answer) = bao.request_as(&token, method, path, body.clone()).await.unwrap();
        assert_eq!(status, 403, "the granter: {method} {path} {body:?}: {answer}");
    }
    // What it may, so that the refusals mean something.
    let write = Some(json!({"policy": text, "ttl": "15m"}));
    let (status, answer) = bao.request_as(&token, "POST", policy, write).await.unwrap();
    assert_eq!(status, 204, "{answer}");
    let (status, _) = bao.request_as(&token, "DELETE", policy, None).await.unwrap();
    assert_eq!(status, 204);
    // The operator says what a grant slot opens, and not for whom; it neither writes the record nor a policy.
    let jwt = world.env.service_account_token(world.installed.names.namespace(), "subrosa", AUDIENCE);
    let operator = bao.kubernetes_login("kubernetes", "subrosa", &jwt.await.unwrap()).await.unwrap();
    for (path, body) in [
        (format!("{SLOTS}_003"), json!({"member_entity_ids": person})),
        (format!("{SLOTS}_003"), json!({"member_group_ids": person})),
        (policy.to_owned(), json!({"policy": text, "ttl": "15m"})),
        ("subrosa/data/grants".to_owned(), json!({"data": {}, "options": {"cas": 0}})),
    ] {
        let (status, answer) = bao.request_as(&operator, "POST", &path, Some(body)).await.unwrap();
        assert_eq!(status, 403, "the operator: {path}: {answer}");
    }
}

/// The members of a grant slot of login `strong`.
async fn people(world: &World, number: u8) -> Vec<String> {
    let slot = world.env.openbao().request("GET", &format!("{SLOTS}_{number:03}"), None).await.unwrap();
    serde_json::from_value(slot["data"]["member_entity_ids"].clone()).unwrap_or_default()
}

async fn closed(world: &World, session: &str, sealed: &(String, String)) -> Result<(), String> {
    if world.opens(session, sealed).await { Err("it opens".to_owned()) } else { Ok(()) }
}

pub async fn ask(world: &World, name: &str, user: &str, duration: &str) {
    ask_for(world, ROLE, name, user, duration).await;
}

async fn ask_for(world: &World, role: &str, name: &str, user: &str, duration: &str) {
    let grant = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessGrant", "metadata": {"name": name, "namespace": NS},
        "spec": {
            "role": role, "subject": {"user": user}, "reason": "INC-4411", "duration": duration, "requestedBy": ADMIN,
        },
    });
    world.apply(&grant).await;
}

/// Looks until the status of a grant holds.
pub async fn until(
    world: &World,
    name: &str,
    holds: impl Fn(&AccessGrantStatus) -> bool,
) -> AccessGrantStatus {
    let grants: Api<AccessGrant> = Api::namespaced(world.admin.clone(), NS);
    let found = wait::until(PATIENCE, || async {
        world.granter.round().await;
        let grant = grants.get(name).await.map_err(|error| error.to_string())?;
        let status = grant.status.unwrap_or_default();
        if holds(&status) { Ok(status) } else { Err(format!("{status:?}")) }
    });
    match found.await {
        Ok(status) => status,
        Err(error) => panic!("AccessGrant {name}: {error:#}\n{}", world.operator_log()),
    }
}

pub fn word(status: &AccessGrantStatus) -> String {
    let ready = condition::find(&status.conditions, READY);
    ready.map(|ready| format!("{} {}", ready.status, ready.reason)).unwrap_or_default()
}

pub fn message(status: &AccessGrantStatus) -> String {
    condition::find(&status.conditions, READY).map(|ready| ready.message.clone()).unwrap_or_default()
}

pub async fn approve(world: &World, client: &Client, who: &str, name: &str, decision: &str) {
    static COUNT: AtomicI64 = AtomicI64::new(0);
    let grant = Api::<AccessGrant>::namespaced(world.admin.clone(), NS).get(name).await.unwrap();
    let expires = (Timestamp::now() + SignedDuration::from_hours(24)).to_string();
    let approval: Approval = serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval",
        "metadata": {"name": format!("grant-{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))},
        "spec": {
            "target": {
                "kind": "AccessGrant", "namespace": NS, "name": name, "uid": grant.metadata.uid,
                "digest": grant.status.unwrap_or_default().digest,
            },
            "decision": decision, "approver": who, "expires": expires,
        },
    }))
    .unwrap();
    // A right that was just bound takes a moment.
    let approvals: Api<Approval> = Api::all(client.clone());
    wait::until(PATIENCE, || async { approvals.create(&Default::default(), &approval).await.map(drop) })
        .await
        .unwrap();
}

async fn approver(world: &World, users: &[&str]) {
    let subject =
        |user: &&str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "grants-approve"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "subrosa-approver"},
        "subjects": users.iter().map(subject).collect::<Vec<_>>(),
    });
    world.apply(&binding).await;
}
