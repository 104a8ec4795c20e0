//! How often something was opened is counted from OpenBao's own audit log, and told quietly.

use kube::Api;
use serde_json::json;
use subrosa_crds::AccessRole;

use super::world::{CHAT, NS, RECORDING, World, ready, role};

pub async fn what_was_opened_is_counted_from_the_audit_log(world: &World) {
    let (recording, chat) = (world.sealed("video", RECORDING).await, world.sealed("video", CHAT).await);
    world.apply(&role("counted", "night", &["cc-quality"], &[("video", RECORDING)])).await;
    world.apply(&role("others", "night", &["cc-quality"], &[("video", CHAT)])).await;
    world.role("others", ready).await;
    let counts = |count: i64| {
        move |status: &subrosa_crds::AccessRoleStatus| {
            let uses = status.uses.as_ref();
            ready(status)
                && uses.is_some_and(|uses| uses.reason == "UsesCounted" && uses.count == Some(count))
        }
    };
    let status = world.role("counted", counts(0)).await;
    let uses = status.uses.unwrap();
    assert!(uses.message.contains("no proof") && uses.since.is_some() && uses.last.is_none(), "{uses:?}");
    let session =
        world.login("night", "zoe", json!({"amr": ["otp"], "groups": ["cc-quality"]})).await.unwrap();
    let other =
        world.login("strong", "zoe", json!({"amr": ["mfa"], "groups": ["cc-quality"]})).await.unwrap();
    for _ in 0..3 {
        assert!(world.opens(&session, &recording).await);
        assert!(!world.opens(&other, &recording).await, "what is refused is no use");
    }
    let status = world.role("counted", counts(3)).await;
    assert!(status.uses.is_some_and(|uses| uses.last.is_some()));
    // Numbers alone change nothing soon, and another class is another role's.
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), NS);
    let version = async || roles.get("counted").await.unwrap().metadata.resource_version;
    let before = version().await;
    assert!(world.opens(&session, &recording).await && world.opens(&session, &chat).await);
    for _ in 0..3 {
        world.granter.round().await;
    }
    assert_eq!(version().await, before, "quiet");
    world.role("others", counts(1)).await;
    world.delete("counted").await;
    world.delete("others").await;
    world.granter.round().await;
}
