//! Who gives a role: nobody gets more through it than its author, or who approved it, may give.

use std::{
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{admissionregistration::v1::ValidatingAdmissionPolicyBinding, rbac::v1::RoleBinding};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use subrosa::grants::manifests;
use subrosa_crds::{
    AccessRole, AccessRoleStatus, Approval,
    condition::{self, GIVEN},
};
use subrosa_e2e::{Environment, operator, wait};
use subrosa_records::vault::setup::ProviderKeys;

use super::{
    provider::Provider,
    world::{NS, RECORDING, REVIEWER, World, access, ready, reason, role},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// May approve AccessRoles, and grant Channel `voice` alone.
const OWNER: &str = "gerda";
/// As Argo CD's: it writes AccessRoles.
const ARGO: &str = "system:serviceaccount:argocd:argocd-application-controller";
const ROLE: &str = "from-git";
const POLICY: &str = "subrosa-access-author";

/// A world in which the reviewer may grant both Channels.
pub async fn world() -> World {
    let env = Environment::builder().local().user(OWNER, &[]).user(REVIEWER, &[]).start().await.unwrap();
    let provider = Provider::new();
    let keys = ProviderKeys::Given(vec![provider.public_key()]);
    let world = World::of(env, access(), keys, provider).await;
    let group = "rbac.authorization.k8s.io";
    let user = |name: &str| json!({"apiGroup": group, "kind": "User", "name": name});
    let bind = |kind: &str, name: &str, role: &str, subject: Value| {
        json!({
            "apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": name, "namespace": NS},
            "roleRef": {"apiGroup": group, "kind": if role == "grant-voice" { "Role" } else { "ClusterRole" }, "name": role},
            "subjects": [subject],
        })
    };
    let voice = json!({
        "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": "grant-voice", "namespace": NS},
        "rules": [{"apiGroups": ["subrosa.dev"], "resources": ["channels"], "resourceNames": ["voice"], "verbs": ["grant"]}],
    });
    let mut approves = bind("ClusterRoleBinding", "owner-approves", "subrosa-approver", user(OWNER));
    approves["metadata"] = json!({"name": "owner-approves"});
    for object in [
        voice,
        approves,
        bind("RoleBinding", "owner-grants", "grant-voice", user(OWNER)),
        bind("RoleBinding", "reviewer-grants", "subrosa-channel-granter", user(REVIEWER)),
        bind("RoleBinding", "argo-writes", "subrosa-compliance", user(ARGO)),
    ] {
        world.apply(&object).await;
    }
    world
}

pub async fn a_role_that_nobody_may_give_gives_nothing(world: &mut World) {
    let recording = world.sealed("video", RECORDING).await;
    let argo = Argo(Api::namespaced(world.env.client_as(ARGO, &["system:authenticated"]).unwrap(), NS));
    argo.makes(role(ROLE, "night", &["a"], &[("video", RECORDING)])).await;
    let status = waits(world).await;
    assert!(reason(&status).1.contains(&format!("subrosa approve accessrole/{NS}/{ROLE}")), "{status:?}");
    assert_eq!(status.rights.as_deref(), Some("0/1"));
    let session = world.login("night", "rob", json!({"amr": ["otp"], "groups": ["a"]})).await.unwrap();
    assert!(!world.opens(&session, &recording).await);
    what_gives_nothing(world).await;
    let status = waits(world).await;
    assert!(!world.opens(&session, &recording).await, "{status:?}");

    // Who may grant it.
    let status = approved(world).await;
    assert_eq!(given(&status), ("True".to_owned(), "Approved".to_owned()));
    assert!(world.opens(&session, &recording).await);
    let unchanged = async || argo.0.get(ROLE).await.unwrap().metadata.resource_version;
    // The opening is told once, and what comes after it ten minutes later.
    for _ in 0..3 {
        world.granter.round().await;
    }
    let before = unchanged().await;
    world.granter.round().await;
    world.granter.round().await;
    assert_eq!(unchanged().await, before, "an unchanged world is written nothing");

    // What it says afterwards is nobody's again: the operator alone closes it.
    argo.changes(json!({"metadata": {"labels": {"team": "quality"}}})).await;
    world.role(ROLE, ready).await;
    assert!(world.opens(&session, &recording).await);
    argo.changes(json!({"spec": {"subjects": [{"group": "a"}, {"group": "b"}]}})).await;
    closed(world, &session, &recording).await;
    waits(world).await;
    let bindings: Api<RoleBinding> = Api::namespaced(world.admin.clone(), NS);
    assert!(bindings.get_opt(&format!("subrosa-access-{ROLE}")).await.unwrap().is_none());
    approved(world).await;
    assert!(bindings.get_opt(&format!("subrosa-access-{ROLE}")).await.unwrap().is_some());
    let until = wait::until(PATIENCE, || async {
        world.granter.round().await;
        if world.opens(&session, &recording).await { Ok(()) } else { Err("closed".to_owned()) }
    });
    until.await.unwrap();

    // And the granter alone.
    world.stop_operator();
    argo.changes(json!({"spec": {"grants": {"max": "24h"}}})).await;
    waits(world).await;
    assert!(!world.opens(&session, &recording).await);
    world.start_operator().await;
    approved(world).await;

    // Who denies takes it back, and what was approved before counts no more.
    let denied =
        subrosa(world, OWNER, &["deny", &format!("accessrole/{NS}/{ROLE}"), "--yes", "--expires", "1d"]);
    assert!(denied.status.success(), "{denied:?}");
    waits(world).await;
    assert!(!world.opens(&session, &recording).await);
    argo.0.delete(ROLE, &DeleteParams::default()).await.unwrap();
}

/// Approvals that give nothing: of too little, by who may not, and of none of the Channels.
async fn what_gives_nothing(world: &World) {
    let refused = subrosa(world, OWNER, &["approve", &format!("accessrole/{NS}/{ROLE}"), "--yes"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("you may not grant video of namespace cc-front"),
        "{said}"
    );
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), NS);
    let role = roles.get(ROLE).await.unwrap();
    let owner = world.env.client_for_token(world.env.user_token(OWNER).unwrap()).unwrap();
    let refused = approve(&owner, OWNER, &role, &["video"]).await.unwrap_err();
    assert!(refused.to_string().contains("gerda may not grant Channel video"), "{refused}");
    // They count as soon as the policy has stood for five seconds, and give nothing all the same.
    for _ in 0..2 {
        approve(&owner, OWNER, &role, &["voice"]).await.unwrap();
        approve(&world.reviewer, REVIEWER, &role, &[]).await.unwrap();
        world.granter.round().await;
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
}

/// A role whose author nobody checked is told of, and gives what it says.
pub async fn an_author_whom_nobody_checks_is_told(world: &World) {
    world.apply(&role("own", "strong", &["b"], &[("voice", RECORDING)])).await;
    let status = world.role("own", ready).await;
    assert_eq!(given(&status), ("True".to_owned(), "AuthorMayGrant".to_owned()));
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.admin.clone());
    bindings.delete(POLICY, &DeleteParams::default()).await.unwrap();
    let status = world.role("own", |status| given(status).1 == "NotInPlace").await;
    assert!(given(&status).0 == "Unknown" && ready(&status), "{status:?}");
    for manifest in manifests(&world.installed.names).unwrap() {
        if manifest["kind"] == "ValidatingAdmissionPolicyBinding" && manifest["metadata"]["name"] == POLICY {
            world.apply(&manifest).await;
        }
    }
    world.role("own", |status| given(status).0 == "True").await;
    world.delete("own").await;
}

struct Argo(Api<AccessRole>);

impl Argo {
    /// As it stands in Git: nobody gives it.
    async fn makes(&self, mut role: Value) {
        role["spec"].as_object_mut().unwrap().remove("grantedBy");
        self.0.create(&PostParams::default(), &serde_json::from_value(role).unwrap()).await.unwrap();
    }

    async fn changes(&self, patch: Value) {
        self.0.patch(ROLE, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}

async fn waits(world: &World) -> AccessRoleStatus {
    let waits = |status: &AccessRoleStatus| reason(status).0 == "AwaitingApproval";
    let status = world.role(ROLE, waits).await;
    assert_eq!(given(&status), ("False".to_owned(), "AwaitingApproval".to_owned()));
    status
}

/// Ready, after the reviewer approved it: an Approval counts that is younger than the first look at the admission policy.
async fn approved(world: &World) -> AccessRoleStatus {
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), NS);
    let status = wait::until(PATIENCE, || async {
        let said = subrosa(world, REVIEWER, &["approve", &format!("accessrole/{NS}/{ROLE}"), "--yes"]);
        world.granter.round().await;
        let status = roles.get(ROLE).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        if ready(&status) { Ok(status) } else { Err(format!("{status:?} {said:?}")) }
    });
    status.await.unwrap()
}

/// The operator closes it, while the granter does nothing.
async fn closed(world: &World, session: &str, sealed: &(String, String)) {
    let closed = wait::until(PATIENCE, || async {
        if world.opens(session, sealed).await { Err("open".to_owned()) } else { Ok(()) }
    });
    closed.await.unwrap();
}

fn given(status: &AccessRoleStatus) -> (String, String) {
    let given = condition::find(&status.conditions, GIVEN);
    given.map(|given| (given.status.clone(), given.reason.clone())).unwrap_or_default()
}

async fn approve(client: &Client, who: &str, role: &AccessRole, channels: &[&str]) -> kube::Result<Approval> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let expires = (Timestamp::now() + SignedDuration::from_hours(24)).to_string();
    let approval = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval",
        "metadata": {"name": format!("{who}-{}", COUNT.fetch_add(1, Ordering::Relaxed))},
        "spec": {
            "target": {
                "kind": "AccessRole", "namespace": NS, "name": ROLE, "uid": role.metadata.uid,
                "digest": role.spec.scope_digest(), "channels": channels,
            },
            "decision": "Approve", "approver": who, "expires": expires,
        },
    });
    Api::all(client.clone()).create(&PostParams::default(), &serde_json::from_value(approval).unwrap()).await
}

/// What a person gets from the command line.
fn subrosa(world: &World, who: &str, arguments: &[&str]) -> Output {
    let kubeconfig = world.env.kubeconfig_for_token(who, world.env.user_token(who).unwrap()).unwrap();
    Command::new(operator::binary().unwrap()).args(arguments).env("KUBECONFIG", kubeconfig).output().unwrap()
}
