//! Logins that the TrustDomain does not declare any more: what their sessions opened ends, whichever process runs.

use std::time::Duration;

use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::TrustDomain;
use subrosa_e2e::wait;

use super::world::{DOMAIN, RECORDING, World, access, ready, reason, role};

const PATIENCE: Duration = Duration::from_secs(60);

/// The operator stands still when this begins, and role `reviewer` gives the group `b` a recording.
pub async fn what_a_login_gave_ends_with_the_login(world: &mut World) {
    let recording = world.sealed("voice", RECORDING).await;
    world.slots_have_rested().await;
    world.start_operator().await;
    world.apply(&role("night-shift", "night", &["b"], &[("voice", RECORDING)])).await;
    world.role("night-shift", ready).await;
    world.stop_operator();
    let strong = world.login("strong", "bas", json!({"amr": ["hwk"], "groups": ["b"]})).await.unwrap();
    let night = world.login("night", "zoe", json!({"amr": ["otp"], "groups": ["b"]})).await.unwrap();
    let opens =
        async |world: &World| (world.opens(&strong, &recording).await, world.opens(&night, &recording).await);
    assert_eq!(opens(world).await, (true, true));

    // The granter alone: it takes the members out of what is not declared any more.
    let all = access();
    declare(world, without(&all, "strong")).await;
    let status = world.role("reviewer", |status| reason(status).0 == "LoginMissing").await;
    assert!(reason(&status).1.contains("only clerk, night"), "{status:?}");
    assert_eq!(opens(world).await, (false, true));
    declare(world, Value::Null).await;
    world.role("night-shift", |status| reason(status).1.contains("no spec.access")).await;
    assert_eq!(opens(world).await, (false, false));
    declare(world, all.clone()).await;
    world.role("reviewer", ready).await;
    world.role("night-shift", ready).await;
    assert_eq!(opens(world).await, (true, true), "what the operator wrote stands, and the members are back");

    // The operator alone: it empties the slots themselves. It was down when the login went.
    declare(world, without(&all, "strong")).await;
    world.start_operator().await;
    until(world, || async { opens(world).await == (false, true) }).await;

    // The TrustDomain is deleted while nothing runs: it stays until nobody opens anything by it.
    world.stop_operator();
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    let uid = domains.get(DOMAIN).await.unwrap().metadata.uid.unwrap();
    let confirmed = json!({"metadata": {"annotations": {"subrosa.dev/confirm-delete": uid}}});
    domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(confirmed)).await.unwrap();
    domains.delete(DOMAIN, &DeleteParams::default()).await.unwrap();
    assert_eq!(opens(world).await, (false, true), "nobody took it away yet");
    world.start_operator().await;
    until(world, || async { domains.get_opt(DOMAIN).await.unwrap().is_none() }).await;
    assert_eq!(opens(world).await, (false, false));
}

async fn declare(world: &World, access: Value) {
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    let patch = json!({"spec": {"access": access}});
    domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

fn without(access: &Value, login: &str) -> Value {
    let mut access = access.clone();
    access["logins"].as_array_mut().unwrap().retain(|one| one["name"] != login);
    access
}

async fn until<F: Future<Output = bool>>(world: &World, holds: impl Fn() -> F) {
    let found = wait::until(PATIENCE, || async {
        if holds().await { Ok(()) } else { Err("it does not hold yet".to_owned()) }
    });
    if let Err(error) = found.await {
        panic!("{error:#}\n{}", world.operator_log());
    }
}
