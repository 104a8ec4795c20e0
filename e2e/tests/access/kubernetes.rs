//! What an AccessRole gives in Kubernetes: its groups get the Channels that it names, and nothing else. And a role that an older one
//! excludes, which gives nothing anywhere.

use std::time::Duration;

use http::{Method, Request};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use subrosa_crds::condition::{self, BOUND, STALLED};
use subrosa_e2e::wait;

use super::world::{CHAT, NS, RECORDING, World, ready, reason, role};

const PATIENCE: Duration = Duration::from_secs(60);
const OBJECT: &str = "subrosa-access-reviewer";
/// As the API server calls the group of the role.
const QUALITY: &str = "oidc:CC-Quality";

/// Role `reviewer` gives `CC-Quality` the recordings of Channel `voice`.
pub async fn groups_get_the_named_channels_and_nothing_else(world: &World) {
    let status = world.role("reviewer", ready).await;
    let bound = condition::find(&status.conditions, BOUND).unwrap();
    assert_eq!((bound.status.as_str(), bound.reason.as_str()), ("True", "InForce"));
    let channels = format!("/apis/subrosa.dev/v1alpha1/namespaces/{NS}/channels");
    let at = |rest: &str| format!("{channels}{rest}");
    assert!(may(world, QUALITY, Method::GET, &at("/voice")).await);
    for (group, method, path) in [
        ("CC-Quality", Method::GET, at("/voice")),
        ("oidc:cc-quality", Method::GET, at("/voice")),
        ("oidc:all", Method::GET, at("/voice")),
        (QUALITY, Method::GET, at("/video")),
        (QUALITY, Method::GET, at("")),
        (QUALITY, Method::GET, at("?watch=true&fieldSelector=metadata.name=voice&timeoutSeconds=1")),
        (QUALITY, Method::GET, "/apis/subrosa.dev/v1alpha1/channels".to_owned()),
        (QUALITY, Method::DELETE, at("/voice?dryRun=All")),
        (QUALITY, Method::GET, at("/voice/status")),
        (QUALITY, Method::GET, format!("/apis/subrosa.dev/v1alpha1/namespaces/{NS}/accessroles/reviewer")),
        (QUALITY, Method::GET, format!("/api/v1/namespaces/{NS}/secrets/voice-mtls")),
    ] {
        assert!(!may(world, group, method.clone(), &path).await, "{group}: {method} {path}");
    }
}

pub async fn what_somebody_changes_is_put_right(world: &World) {
    let bindings: Api<RoleBinding> = Api::namespaced(world.admin.clone(), NS);
    let roles: Api<Role> = Api::namespaced(world.admin.clone(), NS);
    let wanted = bindings.get(OBJECT).await.unwrap();
    let everybody = json!({"subjects": [{
        "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated",
    }]});
    bindings.patch(OBJECT, &PatchParams::default(), &Patch::Merge(everybody)).await.unwrap();
    let wider = json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]});
    roles.patch(OBJECT, &PatchParams::default(), &Patch::Merge(wider)).await.unwrap();
    let is_right = async || {
        let (binding, role) = (bindings.get_opt(OBJECT).await.unwrap(), roles.get(OBJECT).await.unwrap());
        binding.is_some_and(|binding| {
            (&binding.subjects, &binding.role_ref) == (&wanted.subjects, &wanted.role_ref)
        }) && role.rules.unwrap_or_default()[0].verbs == ["get"]
    };
    until(world, &is_right).await;

    // To another role it cannot be turned: it is made anew.
    bindings.delete(OBJECT, &DeleteParams::default()).await.unwrap();
    let mut elsewhere = wanted.clone();
    elsewhere.metadata.resource_version = None;
    elsewhere.metadata.uid = None;
    elsewhere.role_ref.kind = "ClusterRole".to_owned();
    elsewhere.role_ref.name = "view".to_owned();
    bindings.create(&PostParams::default(), &elsewhere).await.unwrap();
    until(world, &is_right).await;

    // Somebody else's object of that name stays, and is told of.
    world.apply(&role("taken", "night", &["a"], &[("video", CHAT)])).await;
    let foreign = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "subrosa-access-taken", "namespace": NS},
    });
    world.apply(&foreign).await;
    let status = world.role("taken", |status| reason(status).0 == "ForeignObject").await;
    assert!(condition::is_true(&status.conditions, STALLED));
    world.delete("taken").await;
    roles.delete("subrosa-access-taken", &DeleteParams::default()).await.unwrap();
}

pub async fn a_role_that_an_older_one_excludes_gives_nothing(world: &World) {
    let of_video = world.sealed("video", RECORDING).await;
    let mut billing = role("billing", "strong", &["cc-quality"], &[("video", RECORDING)]);
    billing["spec"]["conflictsWith"] = json!(["reviewer"]);
    world.apply(&billing).await;
    let status = world.role("billing", |status| reason(status).0 == "ConflictingRoles").await;
    assert!(reason(&status).1.contains("cc-quality in AccessRole reviewer"), "{status:?}");
    assert_eq!(status.rights.as_deref(), Some("0/1"));
    world.role("reviewer", ready).await;
    let anna =
        world.login("strong", "anna", json!({"amr": ["mfa"], "groups": ["cc-quality"]})).await.unwrap();
    assert!(!world.opens(&anna, &of_video).await);
    let bindings: Api<RoleBinding> = Api::namespaced(world.admin.clone(), NS);
    assert!(bindings.get_opt("subrosa-access-billing").await.unwrap().is_none());
    world.delete("billing").await;
}

/// Whether somebody of a group may do that.
async fn may(world: &World, group: &str, method: Method, path: &str) -> bool {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Impersonate-User", "anna")
        .header("Impersonate-Group", group)
        .header("Impersonate-Group", "system:authenticated")
        .body(Vec::new())
        .unwrap();
    match world.admin.request_text(request).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if status.code == 403 => false,
        Err(error) => panic!("{path}: {error}"),
    }
}

async fn until(world: &World, holds: &impl AsyncFn() -> bool) {
    let found = wait::until(PATIENCE, || async {
        world.granter.round().await;
        if holds().await { Ok(()) } else { Err("it does not hold yet".to_owned()) }
    });
    found.await.unwrap();
}
