//! What Vault refuses of one slot, record or person holds up no other withdrawal.

use std::time::Duration;

use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};
use subrosa_crds::AccessGrant;
use subrosa_e2e::{installation::AUDIENCE, wait};
use tokio_util::sync::CancellationToken;

use super::{
    grants::{approve, ask, message, until, word},
    leavers::revocation,
    world::{NS, RECORDING, REVIEWER, World, ready, role},
};

const PATIENCE: Duration = Duration::from_secs(60);
const ROLE: &str = "by-request";
const GRANTER: &str = "subrosa-granter";
const OPERATOR: &str = "subrosa-operator";
/// The first grant slot of login `strong`, and its policy.
const SLOT: &str = "identity/group/name/subrosa_oosterlinde_grant_strong_000";
const POLICY: &str = "sys/policies/acl/subrosa-grant.oosterlinde.strong.000";

pub async fn a_grant_ends_whatever_vault_refuses_of_others(world: &mut World) {
    let recording = world.sealed("voice", RECORDING).await;
    let mut granted = role(ROLE, "strong", &["cc-quality"], &[("voice", RECORDING)]);
    granted["spec"]["grants"] = json!({"max": "1h"});
    world.apply(&granted).await;
    world.role(ROLE, ready).await;
    // The first look at the admission policy of Approvals: those count that are made some seconds later.
    let stuck = in_force(world, "stuck", "rob").await;
    let one = in_force(world, "one", "gert").await;
    assert!(world.opens(&stuck, &recording).await && world.opens(&one, &recording).await);

    // The granter alone: it neither empties the first slot nor removes its policy.
    world.stop_operator();
    let whole = narrowed(world, GRANTER, &[SLOT, POLICY]).await;
    approve(world, &world.reviewer, REVIEWER, "stuck", "Deny").await;
    let grants: Api<AccessGrant> = Api::namespaced(world.admin.clone(), NS);
    grants.delete("one", &DeleteParams::default()).await.unwrap();
    closes(world, &one, &recording, true).await;
    let status = until(world, "stuck", |status| word(status) == "False SetupOutdated").await;
    assert!(message(&status).contains("strong"), "{status:?}");
    assert!(world.opens(&stuck, &recording).await, "what nobody could end is not told as over");
    restored(world, GRANTER, &whole).await;
    closes(world, &stuck, &recording, true).await;
    until(world, "stuck", |status| word(status) == "False ApprovalDenied").await;

    the_operator_goes_on(world, &recording).await;
    without_a_record(world, &recording).await;
    without_the_groups_of_people(world, &recording).await;
    another_identity_of_who_leaves(world).await;
}

/// Vault does not show the auth mount of people, by whose groups roles exclude each other: a grant ends all the same, and none begins.
async fn without_the_groups_of_people(world: &mut World, recording: &(String, String)) {
    let mut excluding = role("excluding", "strong", &["nobody"], &[("video", RECORDING)]);
    excluding["spec"]["conflictsWith"] = json!([ROLE]);
    world.apply(&excluding).await;
    let session = in_force(world, "five", "gert").await;
    assert!(world.opens(&session, recording).await);
    world.stop_operator();
    // Vault shows a mount to whose policy mentions it.
    let whole = policy(world, GRANTER).await;
    let blind = whole.replace("\"auth/subrosa-people/", "\"auth/elsewhere/");
    assert_ne!(blind, whole);
    restored(world, GRANTER, &blind).await;
    let grants: Api<AccessGrant> = Api::namespaced(world.admin.clone(), NS);
    ask(world, "six", "rob", "1h").await;
    grants.delete("five", &DeleteParams::default()).await.unwrap();
    closes(world, &session, recording, true).await;
    approve(world, &world.reviewer, REVIEWER, "six", "Approve").await;
    until(world, "six", |status| message(status).contains("subrosa-people")).await;
    grants.delete("six", &DeleteParams::default()).await.unwrap();
    restored(world, GRANTER, &whole).await;
    world.delete("excluding").await;
    world.granter.round().await;
    world.start_operator().await;
}

/// The operator may neither change nor, then, see a slot that opens what nobody asks for any more.
async fn the_operator_goes_on(world: &mut World, recording: &(String, String)) {
    let bao = world.env.openbao();
    // The slots of before rest: two others follow.
    let stale = json!({"metadata": {"open": "abcdefghij234567.call-recording"}});
    bao.request("POST", SLOT, Some(stale)).await.unwrap();
    let whole = policy(world, OPERATOR).await;
    let grants: Api<AccessGrant> = Api::namespaced(world.admin.clone(), NS);
    for (name, person, capabilities) in [("two", "gert", "\"read\""), ("three", "rob", "\"deny\"")] {
        let narrow = format!("{whole}\npath \"{SLOT}\" {{ capabilities = [{capabilities}] }}\n");
        restored(world, OPERATOR, &narrow).await;
        if name == "two" {
            world.start_operator().await;
        }
        let session = in_force(world, name, person).await;
        assert!(world.opens(&session, recording).await, "{name}");
        // The granter does nothing.
        grants.delete(name, &DeleteParams::default()).await.unwrap();
        closes(world, &session, recording, false).await;
    }
    restored(world, OPERATOR, &whole).await;
    wait::until(PATIENCE, || async {
        let slot = world.env.openbao().request("GET", SLOT, None).await.unwrap();
        let open = &slot["data"]["metadata"]["open"];
        if open.is_null() { Ok(()) } else { Err(open.to_string()) }
    })
    .await
    .unwrap();
    for number in 0..4 {
        // They have rested long enough.
        let slot = format!("identity/group/name/subrosa_oosterlinde_grant_strong_{number:03}");
        let bao = world.env.openbao();
        bao.request("POST", &slot, Some(json!({"metadata": {"freed": "0"}}))).await.unwrap();
    }
}

/// That a grant is over cannot be noted: it ends all the same.
async fn without_a_record(world: &mut World, recording: &(String, String)) {
    let session = in_force(world, "four", "gert").await;
    assert!(world.opens(&session, recording).await);
    world.stop_operator();
    let whole = policy(world, GRANTER).await;
    let (before, after) = whole.split_once("path \"subrosa/data/grants\"").unwrap();
    let read = after.replacen("[\"create\", \"read\", \"update\"]", "[\"read\"]", 1);
    assert_ne!(read, after);
    restored(world, GRANTER, &format!("{before}path \"subrosa/data/grants\"{read}")).await;
    approve(world, &world.reviewer, REVIEWER, "four", "Deny").await;
    closes(world, &session, recording, true).await;
    until(world, "four", |status| word(status) == "False SetupOutdated").await;
    restored(world, GRANTER, &whole).await;
    until(world, "four", |status| word(status) == "False ApprovalDenied").await;
    world.start_operator().await;
}

/// Vault refuses to disable one entity of a person: the other one is disabled, and it is not told as done.
async fn another_identity_of_who_leaves(world: &World) {
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bot", "namespace": NS}});
    world.apply(&account).await;
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(world.admin.clone(), NS);
    let uid = accounts.get("bot").await.unwrap().metadata.uid.unwrap();
    let bao = world.env.openbao();
    let person = world.login("strong", &uid, json!({"amr": ["mfa"], "groups": ["all"]})).await.unwrap();
    let jwt = world.env.service_account_token(NS, "bot", AUDIENCE).await.unwrap();
    let workload = bao.kubernetes_login("kubernetes", "subrosa-workload", &jwt).await.unwrap();
    let lives = async |session: &str| {
        bao.request_as(session, "GET", "auth/token/lookup-self", None).await.unwrap().0 == 200
    };
    assert!(lives(&person).await && lives(&workload).await);
    let own = bao.request_as(&person, "GET", "auth/token/lookup-self", None).await.unwrap().1;
    let entity = format!("identity/entity/id/{}", own["data"]["entity_id"].as_str().unwrap());
    let whole = narrowed(world, GRANTER, &[&entity]).await;
    world.apply(&revocation("bot", json!({"user": uid}))).await;
    let looks = world.granter.revoke_until(CancellationToken::new(), Duration::from_secs(1));
    let ended = async {
        let gone = wait::until(PATIENCE, || async {
            if lives(&workload).await { Err("the other identity lives") } else { Ok(()) }
        });
        gone.await.unwrap();
        assert!(lives(&person).await);
        let all: Api<subrosa_crds::AccessRevocation> = Api::all(world.admin.clone());
        assert!(all.get("bot").await.unwrap().status.is_none_or(|status| status.done_at.is_none()));
        restored(world, GRANTER, &whole).await;
        super::leavers::told(world, "bot", "Revoked").await;
        assert!(!lives(&person).await);
    };
    tokio::select! {
        () = looks => {}
        () = ended => {}
    }
}

/// A session of a person whose grant is in force.
async fn in_force(world: &World, name: &str, person: &str) -> String {
    let login =
        async || world.login("strong", person, json!({"amr": ["mfa"], "groups": ["all"]})).await.unwrap();
    login().await;
    ask(world, name, person, "1h").await;
    until(world, name, |status| word(status) == "False AwaitingApproval").await;
    let status = wait::until(PATIENCE, || async {
        approve(world, &world.reviewer, REVIEWER, name, "Approve").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.granter.round().await;
        let grants: Api<AccessGrant> = Api::namespaced(world.admin.clone(), NS);
        let status = grants.get(name).await.unwrap().status.unwrap_or_default();
        if word(&status) == "True InForce" { Ok(()) } else { Err(format!("{status:?}")) }
    });
    if let Err(error) = status.await {
        panic!("AccessGrant {name}: {error:#}\n{}", world.operator_log());
    }
    login().await
}

/// Waits until a session opens nothing any more, with rounds of the granter or without.
async fn closes(world: &World, session: &str, sealed: &(String, String), rounds: bool) {
    let closed = wait::until(PATIENCE, || async {
        if rounds {
            world.granter.round().await;
        }
        if world.opens(session, sealed).await { Err("it opens".to_owned()) } else { Ok(()) }
    });
    if let Err(error) = closed.await {
        panic!("{error:#}\n{}", world.operator_log());
    }
}

/// Takes every right on these paths from a policy; returns what it was.
async fn narrowed(world: &World, name: &str, paths: &[&str]) -> String {
    let whole = policy(world, name).await;
    let denied = paths.iter().map(|path| format!("path \"{path}\" {{ capabilities = [\"deny\"] }}\n"));
    restored(world, name, &format!("{whole}\n{}", denied.collect::<String>())).await;
    whole
}

async fn policy(world: &World, name: &str) -> String {
    let found = world.env.openbao().request("GET", &format!("sys/policies/acl/{name}"), None).await.unwrap();
    found["data"]["policy"].as_str().unwrap().to_owned()
}

async fn restored(world: &World, name: &str, text: &str) {
    let body: Value = json!({"policy": text});
    world.env.openbao().request("POST", &format!("sys/policies/acl/{name}"), Some(body)).await.unwrap();
}
