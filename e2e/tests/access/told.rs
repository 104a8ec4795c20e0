//! What an AccessRole says that gives nothing, or not everything.

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use subrosa_crds::AccessRole;

use super::world::{CHAT, NS, RECORDING, World, ready, reason, role};

pub async fn what_is_not_given_is_told_with_the_next_step(world: &World) {
    world.slots_have_rested().await;
    let recording = world.sealed("voice", RECORDING).await;
    let told = async |name: &str, word: &str| {
        let status = world.role(name, |status| reason(status).0 == word).await;
        let message = reason(&status).1;
        assert!(message.contains("next: ") || word == "RightsPending", "{word}: {message}");
        message
    };
    world.apply(&role("no-login", "weak", &["cc-quality"], &[("voice", RECORDING)])).await;
    assert!(told("no-login", "LoginMissing").await.contains("only clerk, night, old, stepped, strong"));
    world.apply(&role("no-channel", "strong", &["cc-quality"], &[("fax", RECORDING)])).await;
    assert!(told("no-channel", "NotFound").await.contains("call-recording of fax"));
    world.apply(&role("no-class", "strong", &["cc-quality"], &[("voice", "voicemail")])).await;
    assert!(told("no-class", "UnknownDataClass").await.contains("voicemail of voice"));
    for name in ["no-login", "no-channel", "no-class"] {
        world.delete(name).await;
    }

    // Three slots, of which one is taken, and three groups, of which one is named.
    world
        .apply(&role("full", "strong", &["a"], &[("voice", RECORDING), ("voice", CHAT), ("video", CHAT)]))
        .await;
    world.role("full", ready).await;
    world.apply(&role("late", "strong", &["a"], &[("video", RECORDING)])).await;
    assert!(told("late", "SlotsExhausted").await.contains("spec.access.logins[].slots"));
    world.delete("late").await;
    world.apply(&role("crowd", "night", &["b", "c", "d"], &[("voice", CHAT)])).await;
    let message = told("crowd", "GroupsExhausted").await;
    assert!(message.contains("spec.access.provider.groups"), "{message}");
    world.delete("crowd").await;

    // Somebody else's login on the mount: what there is stays, nothing new is given, and what is taken away goes.
    let anna = world.login("strong", "anna", json!({"amr": ["mfa"], "groups": ["a", "b"]})).await.unwrap();
    assert!(world.opens(&anna, &recording).await);
    let recording = world.sealed("video", CHAT).await;
    assert!(world.opens(&anna, &recording).await);
    let foreign = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["x"], "token_policies": ["default"]});
    world.env.openbao().request("POST", "auth/subrosa-people/role/foreign", Some(foreign)).await.unwrap();
    assert!(told("full", "ForeignLogin").await.contains("foreign"));
    assert!(world.opens(&anna, &recording).await, "it stays");
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), NS);
    let taken =
        json!({"spec": {"allow": [{"channels": ["voice"], "dataClasses": [CHAT], "actions": ["Open"]}]}});
    roles.patch("full", &PatchParams::default(), &Patch::Merge(taken)).await.unwrap();
    world.role("full", |status| status.observed_generation == Some(2)).await;
    assert!(!world.opens(&anna, &recording).await, "what is taken away goes");
    world.env.openbao().request("DELETE", "auth/subrosa-people/role/foreign", None).await.unwrap();
    world.role("full", ready).await;

    // An unchanged world is written nothing.
    let version = async || roles.get("full").await.unwrap().metadata.resource_version;
    let before = version().await;
    world.granter.round().await;
    world.granter.round().await;
    assert_eq!(version().await, before);
}
