//! What it takes to see one generation of an authority follow another. Half a year is not waited for: what the
//! record says about *when* is moved into the past with the root token while the operator is stopped. Every
//! certificate and every step is the operator's own.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use subrosa_crds::ChannelStatus;

use crate::world::{DOMAIN, World};

/// Lets Channels of the domain be named below one more suffix: other name constraints ask for another generation,
/// once the present one has stood for a while.
pub async fn ask_for_another(world: &mut World, namespace: &str, channel: &str) {
    allow(world, namespace, channel, 0, &["oosterlinde.example"]).await;
}

/// Allows these suffixes, where the generation at this place of the record has stood for a while.
pub async fn allow(world: &mut World, namespace: &str, channel: &str, stands: usize, suffixes: &[&str]) {
    rewrite(world, namespace, channel, |record| back(&mut record["authority"][stands]["publishedAt"], 1))
        .await;
    let mut domain = world.installed.trust_domain(&world.env);
    domain["spec"]["certificateAuthority"] = json!({ "allowedDNSSuffixes": suffixes });
    assert_eq!(domain["metadata"]["name"], DOMAIN);
    world.apply(&domain).await;
}

/// Waits until the peers are noted to hold generation 2, and has every leaf they had then expire: they have
/// certainly loaded it. Returns when generation 2 signs.
pub async fn let_it_sign(world: &mut World, namespace: &str, channel: &str) {
    world
        .until("the record notes who holds generation 2", || async {
            let record = world.record(namespace, channel).await;
            let holders = record["authority"][1]["loadedBy"].as_object().cloned().unwrap_or_default();
            if holders.is_empty() { Err(record.to_string()) } else { Ok(()) }
        })
        .await;
    rewrite(world, namespace, channel, |record| {
        let holders = record["authority"][1]["loadedBy"].as_object_mut().unwrap();
        holders.values_mut().for_each(|at| back(at, 24 * 40));
    })
    .await;
    world
        .channel(namespace, channel, |status| {
            status.authority.as_ref().is_some_and(|one| one.generation == 2)
        })
        .await;
}

/// Has the last leaf of generation 1 expire.
pub async fn expire_the_first(world: &mut World, namespace: &str, channel: &str) {
    rewrite(world, namespace, channel, |record| {
        back(&mut record["authority"][0]["lastLeafNotAfter"], 24 * 40);
    })
    .await;
}

/// The generation that is published and does not sign yet.
pub fn next(status: &ChannelStatus) -> Option<i64> {
    status.authority.as_ref()?.next
}

/// How many certificates these are.
pub fn count(pem: &str) -> usize {
    pem.matches("-----BEGIN CERTIFICATE-----").count()
}

/// Changes a Channel's record while no operator runs that remembers another.
async fn rewrite(world: &mut World, namespace: &str, channel: &str, change: impl FnOnce(&mut Value)) {
    world.stop_operator();
    let path = format!("subrosa/data/channels/{}", world.id(namespace, channel).await);
    let found = world.env.openbao().request("GET", &path, None).await.unwrap();
    let mut record = found["data"]["data"].clone();
    change(&mut record);
    let body = json!({"options": {"cas": found["data"]["metadata"]["version"]}, "data": record});
    world.env.openbao().request("POST", &path, Some(body)).await.unwrap();
    world.start_operator().await;
}

/// Moves a time of the record back by `hours`.
fn back(at: &mut Value, hours: i64) {
    let then: Timestamp = at.as_str().unwrap().parse().unwrap();
    *at = json!(then - SignedDuration::from_hours(hours));
}
