//! Two trust domains in one OpenBao, and a namespace that moves from one to the other.

use std::time::Instant;

use kube::Api;
use serde_json::json;
use subrosa_crds::{TRUST_DOMAIN_LABEL, TrustDomain, condition};
use subrosa_e2e::{installation::AUDIENCE, wait};

use crate::{
    identity::{self, AT_ONCE},
    world::{DOMAIN, PATIENCE, World, channel, says},
};

const NS: &str = "cc-front";
const SECOND: &str = "westerlicht";

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_moves_leaves_nothing_in_the_first_vault() {
    let world = World::start().await;
    let (env, bao) = (&world.env, world.env.openbao());
    world.governed(NS).await;
    let (_, id, key) = world.sealing(NS, "voice").await;
    let token = identity::login(&world, NS, "voice").await;
    assert_eq!(identity::seal(&world, &token, &key).await.0, 200);

    // One auth mount for two is refused: the first domain's workloads would be locked out.
    let refused = world.installed.set_up_vault(env, SECOND, "").await.unwrap_err();
    assert!(format!("{refused:#}").contains(&format!("bound to trust domain {DOMAIN}")), "{refused:#}");
    world.installed.set_up_vault(env, SECOND, "2").await.unwrap();
    world.apply(&world.installed.further_domain(env, SECOND, "2")).await;
    assert_eq!(identity::seal(&world, &token, &key).await.0, 200, "the first goes on as before");

    world.label(NS, json!({TRUST_DOMAIN_LABEL: SECOND})).await;
    let moved = Instant::now();
    world
        .until("access in the first ends", || async {
            let (status, answer) = identity::seal(&world, &token, &key).await;
            if status == 403 { Ok(()) } else { Err(format!("{status} {answer}")) }
        })
        .await;
    assert!(moved.elapsed() < AT_ONCE, "access ended after {:?}", moved.elapsed());
    world
        .channel(NS, "voice", |status| wait::whole(status) && status.trust_domain.as_deref() == Some(SECOND))
        .await;
    // The record is written after the access has ended.
    let noted = || async {
        let record = bao.request("GET", &format!("subrosa/data/channels/{id}"), None).await.unwrap();
        if record["data"]["data"]["access"].is_null() { Ok(()) } else { Err(record.to_string()) }
    };
    world.until("the record notes it", noted).await;

    // It has what it needs in the second, and the end of the first takes nothing of it.
    let jwt = env.service_account_token(NS, "voice", AUDIENCE).await.unwrap();
    let second = bao.kubernetes_login("kubernetes2", "subrosa-workload", &jwt).await.unwrap();
    let seals = async || {
        let body = json!({"plaintext": "YQ=="});
        bao.request_as(&second, "POST", &format!("transit2/encrypt/{key}"), Some(body)).await.unwrap().0
    };
    assert_eq!(seals().await, 200);
    world.delete_domain().await;
    assert_eq!(seals().await, 200);
    world.whole(NS, "voice").await;

    // A third on the mounts of the second is told so, and nothing is made for it.
    world.apply(&world.installed.further_domain(env, "zuider", "2")).await;
    world.env.create_namespace("cc-south", &[(TRUST_DOMAIN_LABEL, "zuider")]).await.unwrap();
    world.apply(&channel("cc-south", "chat", json!({}))).await;
    let told = world.not_ready("cc-south", "chat", "VaultShared").await;
    assert!(told.message.contains(SECOND), "{told:?}");
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    let stalled = wait::until(PATIENCE, || async {
        let third = domains.get("zuider").await.map_err(|error| error.to_string())?;
        match says(&third, condition::STALLED) {
            ("True", "VaultShared") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    stalled.await.unwrap();
    let chat = world.id("cc-south", "chat").await;
    let records = bao.request("LIST", "subrosa2/metadata/channels", None).await.unwrap();
    assert!(!records.to_string().contains(chat.as_str()), "{records}");
    world.whole(NS, "voice").await;
}
