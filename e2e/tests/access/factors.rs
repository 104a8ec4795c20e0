//! Second factors by the claim `acr`, and a login that asks for none.

use std::time::Duration;

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{
    TrustDomain,
    condition::{self, STALLED},
};
use subrosa_e2e::wait;

use super::world::{CHAT, DOMAIN, RECORDING, World, access, ready, reason, role};

const PATIENCE: Duration = Duration::from_secs(60);

/// What other tests use of the group `a` is not changed.
pub async fn a_level_of_authentication_is_asked_for_in_its_exact_spelling(world: &World) {
    let chat = world.sealed("video", CHAT).await;
    world.apply(&role("levels", "stepped", &["a"], &[("video", CHAT)])).await;
    world.role("levels", ready).await;
    for acr in [json!("gold"), json!("2"), json!(["silver", "gold"])] {
        let claims = json!({"acr": acr, "groups": ["a"]});
        let session = world.login("stepped", "rob", claims.clone()).await.unwrap();
        assert!(world.opens(&session, &chat).await, "{claims}");
    }
    for claims in [
        json!({"acr": "Gold", "groups": ["a"]}),
        json!({"acr": "silver", "groups": ["a"]}),
        json!({"acr": "1", "groups": ["a"]}),
        json!({"acr": 2, "groups": ["a"]}),
        json!({"acr": "", "groups": ["a"]}),
        json!({"acr": [], "groups": ["a"]}),
        json!({"acr": null, "groups": ["a"]}),
        json!({"amr": ["mfa", "gold"], "groups": ["a"]}),
        json!({"acr": "gold"}),
        json!({"acr": "gold", "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x.example"}}}),
        json!({"acr": "gold", "hasgroups": true}),
    ] {
        assert!(world.login("stepped", "rob", claims.clone()).await.is_err(), "{claims}");
    }
    world.delete("levels").await;
}

/// A login without a second factor gives until the last day of its exception, and no longer, whichever process runs.
pub async fn a_login_without_a_second_factor_gives_until_its_last_day(world: &mut World) {
    let recording = world.sealed("video", RECORDING).await;
    world.apply(&role("old-ward", "old", &["a"], &[("video", RECORDING)])).await;
    let status = world.role("old-ward", ready).await;
    let exception = status.exception.unwrap();
    assert_eq!((exception.control.as_str(), exception.overdue), ("SR-ACC-02", false));
    let counted = "subrosa_granter_access_roles_without_second_factor{trust_domain=\"oosterlinde\"} 1";
    let text = world.granter.metrics().text();
    assert!(text.contains(counted), "{text}");
    let session = world.login("old", "rob", json!({"groups": ["a"]})).await.unwrap();
    assert!(world.opens(&session, &recording).await);

    // The granter alone.
    world.stop_operator();
    let last_day = async |world: &World, day: &str| {
        let mut access = access();
        let logins = access["logins"].as_array_mut().unwrap();
        logins.iter_mut().find(|login| login["name"] == "old").unwrap()["exception"]["expires"] = json!(day);
        declare(world, access).await;
    };
    last_day(world, "2020-01-31").await;
    let status = world.role("old-ward", |status| reason(status).0 == "ExceptionExpired").await;
    assert!(reason(&status).1.contains("2020-01-31") && reason(&status).1.contains("next: "), "{status:?}");
    assert!(condition::is_true(&status.conditions, STALLED) && status.exception.unwrap().overdue);
    assert_eq!(status.effective.unwrap().count, 0);
    assert!(!world.opens(&session, &recording).await);
    declare(world, access()).await;
    world.role("old-ward", ready).await;
    assert!(world.opens(&session, &recording).await, "another day was agreed on");

    // The operator alone: it empties the slots of the login.
    world.start_operator().await;
    last_day(world, "2020-01-31").await;
    let found = wait::until(PATIENCE, || async {
        if world.opens(&session, &recording).await { Err("it opens".to_owned()) } else { Ok(()) }
    });
    if let Err(error) = found.await {
        panic!("{error:#}\n{}", world.operator_log());
    }
    world.delete("old-ward").await;
    declare(world, access()).await;
}

pub async fn declare(world: &World, access: Value) {
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    let patch = json!({"spec": {"access": access}});
    domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}
