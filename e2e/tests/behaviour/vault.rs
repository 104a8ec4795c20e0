//! Vault short of a permission, away, or with a wrong clock; guards edited; keys changed behind the operator's back.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use subrosa::grants::manifests;
use subrosa_crds::{TrustDomain, condition};
use subrosa_e2e::{installation::AUDIENCE, wait};

use crate::{
    clock::WrongClock,
    world::{World, channel, says, vault},
};

const NS: &str = "cc-front";

#[tokio::test(flavor = "multi_thread")]
async fn vault_and_the_guards_are_watched() {
    let mut world = World::start().await;
    world.governed(NS).await;
    world
        .domain(|domain| {
            vault(domain) == ("True", "LoggedIn") && says(domain, condition::GUARDED) == ("True", "InPlace")
        })
        .await;
    world.service_account(NS, "voice").await;
    world
        .apply(&channel(
            NS,
            "voice",
            json!({"workload": {"serviceAccountName": "voice"}, "dataClasses": ["call-recording"]}),
        ))
        .await;
    world.whole(NS, "voice").await;
    let pid = world.operator_pid();
    an_edited_guard_is_noticed(&world).await;
    a_missing_permission_names_the_line(&world).await;
    a_stopped_vault_heals(&world).await;
    a_deletion_while_sealed_takes_access_after(&world).await;
    a_clock_out_of_step_is_told(&world).await;
    assert_eq!(world.operator_pid(), pid, "healed without a restart");
    keys_are_what_was_declared(&mut world).await;
}

async fn an_edited_guard_is_noticed(world: &World) {
    let api: Api<ValidatingAdmissionPolicy> = Api::all(world.admin.clone());
    let edit = json!({"spec": {"failurePolicy": "Ignore"}});
    api.patch("subrosa-deletion", &PatchParams::default(), &Patch::Merge(&edit)).await.unwrap();
    let domain = world.domain(|domain| says(domain, condition::GUARDED) == ("False", "NotInPlace")).await;
    let message =
        &condition::find(&domain.status.as_ref().unwrap().conditions, condition::GUARDED).unwrap().message;
    assert!(
        message.contains("subrosa-deletion") && message.contains("kubectl replace -f deploy/admission.yaml"),
        "{message}"
    );
    assert_eq!(says(&domain, condition::READY), ("False", "NotInPlace"));
    for manifest in manifests(&world.installed.names).unwrap() {
        world.apply(&manifest).await;
    }
    let domain = world.domain(|domain| says(domain, condition::GUARDED) == ("True", "InPlace")).await;
    assert_eq!(says(&domain, condition::READY), ("True", "InForce"));
}

async fn a_missing_permission_names_the_line(world: &World) {
    let bao = world.env.openbao();
    let path = "sys/policies/acl/subrosa-operator";
    let whole = bao.request("GET", path, None).await.unwrap()["data"]["policy"].as_str().unwrap().to_owned();
    let line = r#"path "transit-ca/sign/+" {"#;
    assert!(whole.contains(line), "{whole}");
    let start = whole.find(line).unwrap();
    let end = start + whole[start..].find("\n}\n").unwrap() + 3;
    let without = format!("{}{}", &whole[..start], &whole[end..]);
    bao.request("PUT", path, Some(json!({"policy": without}))).await.unwrap();
    world.apply(&channel(NS, "late", json!({}))).await;
    let told = world.not_ready(NS, "late", "VaultPermissionDenied").await;
    assert!(
        told.message.contains("path \"transit-ca/sign/+\"") && told.message.contains("vault-setup"),
        "{told:?}"
    );
    assert!(world.secret(NS, "late-mtls").await.is_none());
    world.opens(NS, "late", &[]).await;
    let status = world.channel(NS, "voice", |_| true).await;
    assert!(wait::is(&status, condition::READY), "others go on");
    bao.request("PUT", path, Some(json!({"policy": whole}))).await.unwrap();
    world.whole(NS, "late").await;

    // A leaf that is tried more often than leaves may be issued in an hour, and never signed.
    bao.request("PUT", path, Some(json!({"policy": without}))).await.unwrap();
    world.delete_secret(NS, "late-mtls").await;
    let mut tried = BTreeSet::new();
    while tried.len() < 5 {
        let noted = world
            .until("it goes on trying", || async {
                let record = world.record(NS, "late").await;
                let serial = record["issuances"][1]["serial"].as_str().unwrap_or_default().to_owned();
                if serial.is_empty() || tried.contains(&serial) {
                    Err(record.to_string())
                } else {
                    Ok(serial)
                }
            })
            .await;
        tried.insert(noted);
    }
    bao.request("PUT", path, Some(json!({"policy": whole}))).await.unwrap();
    world.files_where(NS, "late", |files| files.get("tls.crt").contains("BEGIN")).await;
    world.whole(NS, "late").await;
    assert_eq!(world.issuances(NS, "late").await, ["Missing"; 2], "what was never signed was not issued");
}

async fn a_stopped_vault_heals(world: &World) {
    let bao = world.env.openbao();
    bao.stop();
    world.apply(&channel(NS, "later", json!({}))).await;
    let told = world.not_ready(NS, "later", "VaultUnreachable").await;
    assert!(told.message.contains("check that Vault runs"), "{told:?}");
    let stays = world.channel_policy(NS, "voice").await;
    world.domain(|domain| vault(domain) == ("False", "VaultUnreachable")).await;
    assert_eq!(world.channel_policy(NS, "voice").await, stays);
    // Nobody touched it, and its keys are out of reach all the same.
    world.not_ready(NS, "voice", "VaultUnreachable").await;
    bao.restart().await.unwrap();
    world.whole(NS, "later").await;
    world.domain(|domain| vault(domain) == ("True", "LoggedIn")).await;
    world.whole(NS, "voice").await;
}

async fn a_deletion_while_sealed_takes_access_after(world: &World) {
    world.service_account(NS, "short").await;
    let short = json!({"workload": {"serviceAccountName": "short"}, "dataClasses": ["chat-log"]});
    world.apply(&channel(NS, "short", short)).await;
    let status = world.whole(NS, "short").await;
    let current = status.keys.iter().find(|key| key.state == "Current").unwrap();
    let key = format!("transit/encrypt/{}.chat-log.{}", status.id.as_deref().unwrap(), current.cohort);
    let bao = world.env.openbao();
    let jwt = world.env.service_account_token(NS, "short", AUDIENCE).await.unwrap();
    let token = bao.kubernetes_login("kubernetes", "subrosa-workload", &jwt).await.unwrap();
    let seal =
        async || bao.request_as(&token, "POST", &key, Some(json!({"plaintext": "YQ=="}))).await.unwrap().0;
    assert_eq!(seal().await, 200);
    bao.seal().await.unwrap();
    world.delete_channel(NS, "short").await;
    // The domain was looked at without it, and Vault was sealed then: voice, late and later are left.
    world
        .domain(|domain| {
            let counted = domain.status.as_ref().and_then(|status| status.channels.as_ref());
            vault(domain) == ("False", "VaultSealed") && counted.is_some_and(|counted| counted.total == 3)
        })
        .await;
    bao.unseal().await.unwrap();
    world
        .until("access ends once Vault is back", || async {
            let status = seal().await;
            if status == 403 { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
}

async fn a_clock_out_of_step_is_told(world: &World) {
    let clock = WrongClock::start(&world.env).await;
    let mut domain = world.installed.trust_domain(&world.env);
    domain["spec"]["vault"] = json!({
        "address": clock.address, "allowInsecure": true,
        "auth": {"kubernetes": {"mount": "kubernetes", "role": "subrosa", "audience": "vault"}},
    });
    clock.set_ahead(600);
    world.apply(&domain).await;
    let told = world.domain(|domain| vault(domain) == ("False", "ClockSkew")).await;
    let status = told.status.unwrap();
    let message = &condition::find(&status.conditions, condition::VAULT_REACHABLE).unwrap().message;
    assert!(message.contains("NTP"), "{message}");
    assert!(status.vault.unwrap().insecure, "plain HTTP is shown");
    clock.set_ahead(0);
    world.domain(|domain| vault(domain) == ("True", "LoggedIn")).await;
    world.apply(&world.installed.trust_domain(&world.env)).await;
    let insecure = |domain: &TrustDomain| {
        domain.status.as_ref().and_then(|status| status.vault.as_ref()).is_some_and(|vault| vault.insecure)
    };
    world.domain(|domain| vault(domain) == ("True", "LoggedIn") && !insecure(domain)).await;
    world.whole(NS, "voice").await;
}

async fn keys_are_what_was_declared(world: &mut World) {
    let status = world.whole(NS, "voice").await;
    let shown = status.keys.iter().find(|key| key.state == "Current").unwrap().clone();
    let next = status.keys.iter().find(|key| key.state == "Next").unwrap().clone();
    let key = format!("{}.call-recording.{}", status.id.as_deref().unwrap(), shown.cohort);
    let read = async |world: &World| {
        world.env.openbao().request("GET", &format!("transit/keys/{key}"), None).await.unwrap()
    };
    let every = 30 * 24 * 3600;
    assert_eq!(read(world).await["data"]["auto_rotate_period"], every, "30d unless declared");
    assert!(shown.next_rotation.is_some());
    assert_eq!(next.next_rotation, None, "the next cohort's does not rotate yet");
    assert!(shown.due.is_some() && next.due > shown.due);

    let config = format!("transit/keys/{key}/config");
    world.env.openbao().request("POST", &config, Some(json!({"auto_rotate_period": "0"}))).await.unwrap();
    world.restart_operator().await;
    world
        .until("rotation is set again", || async {
            let found = read(world).await["data"]["auto_rotate_period"].clone();
            if found == every { Ok(()) } else { Err(found.to_string()) }
        })
        .await;
    world.whole(NS, "voice").await;
    let faster = json!({"workload": {"serviceAccountName": "voice"}, "dataClasses": ["call-recording"], "encryption": {"rotateEvery": "24h"}});
    world.apply(&channel(NS, "voice", faster.clone())).await;
    world
        .until("rotation is as declared", || async {
            let found = read(world).await["data"]["auto_rotate_period"].clone();
            if found == 24 * 3600 { Ok(()) } else { Err(found.to_string()) }
        })
        .await;

    world.env.openbao().request("POST", &config, Some(json!({"exportable": true}))).await.unwrap();
    world.restart_operator().await;
    let told = world.not_ready(NS, "voice", "IrreversibleKey").await;
    assert!(told.message.contains(&key) && told.message.contains("exportable"), "{told:?}");
    let status = world
        .channel(NS, "voice", |status| wait::reason(status, condition::KEYS_READY) == "IrreversibleKey")
        .await;
    assert!(
        status.keys.iter().any(|key| key.cohort == shown.cohort && key.state == "Irreversible"),
        "{status:?}"
    );
    world.event(NS, "voice", "IrreversibleKey").await;
    assert_eq!(read(world).await["data"]["exportable"], true, "nobody can take it back, and it says so");

    // A key that was there and is gone is not made again under its name.
    let gone = format!("{}.call-recording.{}", status.id.as_deref().unwrap(), next.cohort);
    let bao = world.env.openbao();
    bao.request("POST", &format!("transit/keys/{gone}/config"), Some(json!({"deletion_allowed": true})))
        .await
        .unwrap();
    bao.request("DELETE", &format!("transit/keys/{gone}"), None).await.unwrap();
    world.restart_operator().await;
    let missing = |status: &subrosa_crds::ChannelStatus| {
        status.keys.iter().any(|key| key.cohort == next.cohort && key.state == "Missing")
    };
    world.channel(NS, "voice", missing).await;
    let (status, _) = world
        .env
        .openbao()
        .request_as(world.env.openbao().root_token(), "GET", &format!("transit/keys/{gone}"), None)
        .await
        .unwrap();
    assert_eq!(status, 404, "sealing under it must fail");
}
