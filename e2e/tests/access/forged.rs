//! Whoever has the granter's token writes its record: the operator opens nothing by that which nobody approved.

use jiff::Timestamp;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use subrosa_crds::{AccessGrant, AccessRole};
use subrosa_e2e::{installation::AUDIENCE, wait};

use super::{
    grants::{PATIENCE, approve, ask, until, word},
    world::{NS, RECORDING, REVIEWER, World},
};

/// Role `by-request` may be granted, and the last two grant slots of login `strong` can be used.
pub async fn a_forged_record_opens_nothing_that_nobody_approved(world: &World) {
    let recording = world.sealed("voice", RECORDING).await;
    let claims = || json!({"amr": ["mfa"], "groups": ["all"]});
    let (approved, forged) = ("asked-and-approved", "asked-alone");
    let mut open = serde_json::Map::new();
    let mut sessions = Vec::new();
    let (mut people, mut uids) = (Vec::new(), Vec::new());
    for (name, person, slot) in [(approved, "gert", "002"), (forged, "mallory", "003")] {
        let session = world.login("strong", person, claims()).await.unwrap();
        ask(world, name, person, "1h").await;
        until(world, name, |status| word(status) == "False AwaitingApproval").await;
        let (uid, entry, entity) = entry(world, name, &session, slot).await;
        open.insert(uid.clone(), entry);
        uids.push(uid);
        people.push(entity);
        sessions.push(session);
    }
    approve(world, &world.reviewer, REVIEWER, approved, "Approve").await;

    // All that the granter's token can do, for both.
    let bao = world.env.openbao();
    let jwt = world.env.service_account_token(world.installed.names.namespace(), "subrosa-granter", AUDIENCE);
    let token = bao.kubernetes_login("kubernetes", "subrosa-granter", &jwt.await.unwrap()).await.unwrap();
    let read = bao.request("GET", "subrosa/data/grants", None).await.unwrap();
    let (mut record, version) = (read["data"]["data"].clone(), read["data"]["metadata"]["version"].clone());
    record["open"] = Value::Object(open);
    let body = json!({"data": record, "options": {"cas": version}});
    write(world, &token, "subrosa/data/grants", body).await;
    for (slot, entity) in ["002", "003"].into_iter().zip(&people) {
        let group = format!("subrosa_oosterlinde_grant_strong_{slot}");
        let text = format!(
            "path \"transit/decrypt/{{{{identity.groups.names.{group}.metadata.open}}}}.*\" {{ capabilities = [\"update\"] }}"
        );
        let policy = format!("sys/policies/acl/subrosa-grant.oosterlinde.strong.{slot}");
        write(world, &token, &policy, json!({"policy": text, "ttl": "1h"})).await;
        // Not before the operator opened it: a slot with members gets no new meaning.
        if slot == "002" {
            opened(world, slot).await;
        }
        write(world, &token, &format!("identity/group/name/{group}"), json!({"member_entity_ids": [entity]}))
            .await;
    }
    // The operator saw both in one look, and what people approved is there.
    assert!(world.opens(&sessions[0], &recording).await);
    assert!(!world.opens(&sessions[1], &recording).await, "nobody approved it");
    assert!(opens(world, "003").await.is_null());

    // A denial ends it, by the operator alone.
    approve(world, &world.reviewer, REVIEWER, approved, "Deny").await;
    let ended = wait::until(PATIENCE, || async {
        if world.opens(&sessions[0], &recording).await { Err("it opens") } else { Ok(()) }
    });
    ended.await.unwrap();
    let grants: Api<AccessGrant> = Api::namespaced(world.admin.clone(), NS);
    grants.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
}

/// What the record says of a grant that is approved: its UID, the entry, and the person's entity.
async fn entry(world: &World, name: &str, session: &str, slot: &str) -> (String, Value, String) {
    let grant = Api::<AccessGrant>::namespaced(world.admin.clone(), NS).get(name).await.unwrap();
    let role = Api::<AccessRole>::namespaced(world.admin.clone(), NS).get(&grant.spec.role).await.unwrap();
    let own = world.env.openbao().request_as(session, "GET", "auth/token/lookup-self", None).await.unwrap().1;
    let entity = own["data"]["entity_id"].as_str().unwrap().to_owned();
    let digest =
        grant.spec.digest(role.metadata.uid.as_deref().unwrap(), &role.spec.login, &role.spec.opens());
    let used = json!({
        "slot": format!("subrosa_oosterlinde_grant_strong_{slot}"), "channel": "voice", "dataClass": RECORDING,
    });
    let entry = json!({
        "namespace": NS, "name": name, "login": "strong", "digest": digest, "entity": entity, "duration": "1h",
        "approvedBy": [REVIEWER, "bas"], "slots": [used], "decided": Timestamp::now().to_string(),
    });
    (grant.metadata.uid.unwrap(), entry, entity)
}

async fn write(world: &World, token: &str, path: &str, body: Value) {
    let (status, answer) = world.env.openbao().request_as(token, "POST", path, Some(body)).await.unwrap();
    assert!([200, 204].contains(&status), "{path}: {status} {answer}");
}

async fn opens(world: &World, slot: &str) -> Value {
    let path = format!("identity/group/name/subrosa_oosterlinde_grant_strong_{slot}");
    world.env.openbao().request("GET", &path, None).await.unwrap()["data"]["metadata"]["open"].clone()
}

/// Waits until the operator lets a slot open something.
async fn opened(world: &World, slot: &str) {
    let found = wait::until(PATIENCE, || async {
        if opens(world, slot).await.is_null() { Err("it opens nothing yet") } else { Ok(()) }
    });
    if let Err(error) = found.await {
        panic!("slot {slot}: {error:#}\n{}", world.operator_log());
    }
}
