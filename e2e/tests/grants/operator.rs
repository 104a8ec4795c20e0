//! What the operator writes: its binding, its Secrets, its NetworkPolicies, its finalizer, and no other.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    request::{
        Case,
        Expected::{self, Allowed, Denied, Forbidden},
        RBAC, Request, apply, delete, get, json_patch, merge, post, put,
    },
    world::{
        ADMIN, OFFICER, OPERATOR, World, channels, cluster_rbac, core, network_policies, operator_binding,
        role_bindings, role_ref, subrosa, user,
    },
};

const BINDING: &str = "subrosa-role-binding";
const SECRET: &str = "subrosa-secret";
const CONFIG_MAP: &str = "subrosa-config-map";
const NETWORK_POLICY: &str = "subrosa-network-policy";
const TRUST_DOMAIN: &str = "subrosa-trust-domain";

pub fn tries(what: &'static str, request: Request, expected: Expected) -> Case {
    Case { who: OPERATOR, what, request, expected }
}

/// The operator's binding with one field changed.
fn binding_with(pointer: &str, value: Value) -> Value {
    let mut binding = operator_binding();
    *binding.pointer_mut(pointer).unwrap() = value;
    binding
}

pub async fn binds_itself_where_it_governs(world: &World) -> Result<()> {
    let bind = |namespace: &str, body| post(role_bindings(namespace), body).dry();
    let itself = json!({ "kind": "ServiceAccount", "name": "subrosa", "namespace": "subrosa-system" });
    let another = |name: &str, namespace: &str| json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace });
    let subjects = |subjects| binding_with("/subjects", subjects);
    let only_itself = Denied(BINDING, "binds itself only");
    let ungoverned = Denied(BINDING, "belongs to no TrustDomain");
    let existing = format!("{}/subrosa", role_bindings("cc-west"));
    let mut local_role = operator_binding();
    local_role["roleRef"]["kind"] = json!("Role");
    let more = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "subrosa-namespace" },
        "rules": [{ "apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"] }],
    });
    world.must(ADMIN, post("/apis/rbac.authorization.k8s.io/v1/namespaces/cc-front/roles", more)).await?;
    let cases = vec![
        tries("reads Secrets before it is bound", get(core("cc-front", "secrets", "")), RBAC),
        tries("binds itself in a governed namespace", bind("cc-front", operator_binding()), Allowed),
        tries(
            "applies its binding",
            apply(format!("{}/subrosa", role_bindings("cc-front")), operator_binding()).dry(),
            Allowed,
        ),
        tries("binds itself in a namespace of nobody", bind("plain", operator_binding()), ungoverned),
        tries("binds itself in kube-system", bind("kube-system", operator_binding()), ungoverned),
        tries("binds itself at home", bind("subrosa-system", operator_binding()), ungoverned),
        tries(
            "makes a binding of another name",
            bind("cc-front", binding_with("/metadata/name", json!("more"))),
            Denied(BINDING, "RoleBinding subrosa only, not more"),
        ),
        tries(
            "binds another account",
            bind("cc-front", subjects(json!([another("default", "cc-front")]))),
            only_itself,
        ),
        tries(
            "binds its namesake elsewhere",
            bind("cc-front", subjects(json!([another("subrosa", "cc-front")]))),
            only_itself,
        ),
        tries(
            "binds somebody besides itself",
            bind("cc-front", subjects(json!([itself, another("default", "cc-front")]))),
            only_itself,
        ),
        tries("binds a user", bind("cc-front", subjects(json!([user("subrosa")]))), only_itself),
        tries("binds nobody", bind("cc-front", subjects(json!([]))), only_itself),
        tries(
            "binds cluster-admin",
            bind("cc-front", binding_with("/roleRef/name", json!("cluster-admin"))),
            Forbidden("attempting to grant RBAC permissions not currently held"),
        ),
        tries(
            "binds admin",
            bind("cc-front", binding_with("/roleRef/name", json!("admin"))),
            Forbidden("attempting to grant RBAC permissions not currently held"),
        ),
        tries(
            "binds a role it holds already",
            bind("cc-front", binding_with("/roleRef/name", json!("subrosa"))),
            Denied(BINDING, "binds ClusterRole subrosa-namespace only"),
        ),
        tries(
            "binds a Role of that name that holds more",
            bind("cc-front", local_role),
            Forbidden("attempting to grant RBAC permissions not currently held"),
        ),
        tries(
            "adds a subject to its binding",
            merge(&existing, json!({ "subjects": [itself, another("default", "cc-west")] })).dry(),
            only_itself,
        ),
        tries("replaces its binding", put(&existing, operator_binding()).dry(), RBAC),
        tries("deletes its binding", delete(&existing).dry(), RBAC),
        tries("lists bindings", get(role_bindings("cc-front")), RBAC),
        tries("lists bindings cluster-wide", get(cluster_rbac("rolebindings", "")), RBAC),
        tries(
            "lists bindings of its name cluster-wide",
            get(format!("{}?fieldSelector=metadata.name%3Dsubrosa", cluster_rbac("rolebindings", ""))),
            Allowed,
        ),
        tries(
            "lists bindings of another name",
            get(format!("{}?fieldSelector=metadata.name%3Dteam", cluster_rbac("rolebindings", ""))),
            RBAC,
        ),
        tries(
            "adds itself to the team's binding",
            merge(format!("{}/team", role_bindings("cc-front")), json!({ "subjects": [itself] })).dry(),
            RBAC,
        ),
        tries(
            "binds its namespace role cluster-wide",
            post(
                cluster_rbac("clusterrolebindings", ""),
                json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                    "metadata": { "name": "subrosa-more" },
                    "roleRef": role_ref("subrosa-namespace"), "subjects": [itself],
                }),
            )
            .dry(),
            RBAC,
        ),
        // The policy is about the operator, not about administrators.
        Case {
            who: ADMIN,
            what: "binds another account",
            request: bind("cc-front", subjects(json!([another("default", "cc-front")]))),
            expected: Allowed,
        },
        // For real: from here on it may.
        tries("binds itself", post(role_bindings("cc-front"), operator_binding()), Allowed),
    ];
    world.try_all("role binding", cases).await?;
    world
        .eventually("the operator's rights in cc-front", async || {
            Ok(world.call(OPERATOR, get(core("cc-front", "secrets", ""))).await?.status == 200)
        })
        .await
}

pub fn secret(name: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": kind,
        "metadata": {
            "name": name,
            "labels": { "app.kubernetes.io/managed-by": "subrosa", "subrosa.dev/channel": "voice" },
            "ownerReferences": [{
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "name": "voice", "uid": "voice-uid",
                "controller": true, "blockOwnerDeletion": false,
            }],
        },
        "data": { "tls.crt": "", "tls.key": "" },
    })
}

fn without(mut object: Value, pointer: &str, field: &str) -> Value {
    object.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(field);
    object
}

fn network_policy(name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": name },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress"] },
    })
}

pub async fn writes_its_own_objects_only(world: &World) -> Result<()> {
    let secrets = core("cc-front", "secrets", "");
    let voice = world.must(ADMIN, get(channels("cc-front", "voice"))).await?;
    let tls = || {
        let mut secret = secret("voice-mtls", "kubernetes.io/tls");
        secret["metadata"]["ownerReferences"][0]["uid"] = voice["metadata"]["uid"].clone();
        secret
    };
    // What the team has there.
    let foreign = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "database" } });
    world.must(ADMIN, post(&secrets, foreign)).await?;
    world.must(ADMIN, post(network_policies("cc-front", ""), network_policy("team"))).await?;
    for name in ["voice-mtls", "unlabelled", "orphaned"] {
        let mut own = tls();
        own["metadata"]["name"] = json!(name);
        world.must(OPERATOR, post(&secrets, own)).await?;
    }
    // What a tenant, or a deletion that orphans, may leave of the operator's own.
    let unlabelled = json!({ "metadata": { "labels": null } });
    world.must(ADMIN, merge(core("cc-front", "secrets", "unlabelled"), unlabelled)).await?;
    let orphaned = json!({ "metadata": { "ownerReferences": null } });
    world.must(ADMIN, merge(core("cc-front", "secrets", "orphaned"), orphaned)).await?;

    let named = |name: &str, mut object: Value| {
        object["metadata"]["name"] = json!(name);
        object
    };
    let mut token = named("stolen", secret("stolen", "kubernetes.io/service-account-token"));
    token["metadata"]["annotations"] = json!({ "kubernetes.io/service-account.name": "default" });
    token.as_object_mut().unwrap().remove("data");
    let no_other = Denied(SECRET, "that are owned by a Channel and labelled");
    let untouched = Denied(SECRET, "Secret database is not of Subrosa");
    let own_names = Denied(NETWORK_POLICY, "writes NetworkPolicies subrosa-default-deny, subrosa-channel-*");
    let item = |name: &str| core("cc-front", "secrets", name);
    let heal = |name: &str| apply(item(name), named(name, tls())).dry();
    let cases = vec![
        tries("writes a certificate", post(&secrets, named("ivr-mtls", tls())).dry(), Allowed),
        tries("applies a certificate", apply(item("voice-mtls"), tls()).dry(), Allowed),
        tries("heals one without its labels", heal("unlabelled"), Allowed),
        tries("heals one without its owner", heal("orphaned"), Allowed),
        tries("deletes one of its own", delete(item("orphaned")).dry(), Allowed),
        tries(
            "takes the trust from one without its owner",
            merge(item("orphaned"), json!({ "data": { "clients-ca.crt": "bm9ib2R5" } })).dry(),
            Allowed,
        ),
        tries(
            "writes a key into one without its owner",
            merge(item("orphaned"), json!({ "data": { "tls.key": "bWluZQ==" } })).dry(),
            no_other,
        ),
        tries(
            "adds another file to one without its owner",
            merge(item("orphaned"), json!({ "data": { "extra": "bWluZQ==" } })).dry(),
            no_other,
        ),
        tries("makes a token of a workload", post(&secrets, token).dry(), no_other),
        tries("writes an opaque Secret", post(&secrets, named("x", secret("x", "Opaque"))).dry(), no_other),
        tries(
            "writes a Secret without an owner",
            post(&secrets, named("x", without(tls(), "/metadata", "ownerReferences"))).dry(),
            no_other,
        ),
        tries(
            "writes a Secret without labels",
            post(&secrets, named("x", without(tls(), "/metadata", "labels"))).dry(),
            no_other,
        ),
        tries(
            "sheds the owner",
            merge(item("voice-mtls"), json!({ "metadata": { "ownerReferences": null } })).dry(),
            no_other,
        ),
        tries("changes a foreign Secret", merge(item("database"), json!({ "data": {} })).dry(), untouched),
        tries(
            "takes over a foreign Secret",
            merge(item("database"), json!({ "metadata": without(tls(), "/metadata", "name")["metadata"] }))
                .dry(),
            untouched,
        ),
        tries("deletes a foreign Secret", delete(item("database")).dry(), untouched),
        tries("deletes all Secrets", delete(&secrets).dry(), RBAC),
        tries("replaces its Secret", put(item("voice-mtls"), tls()).dry(), RBAC),
        tries(
            "writes the default deny",
            post(network_policies("cc-front", ""), network_policy("subrosa-default-deny")).dry(),
            Allowed,
        ),
        tries(
            "applies a Channel's policy",
            apply(
                network_policies("cc-front", "subrosa-channel-voice"),
                network_policy("subrosa-channel-voice"),
            )
            .dry(),
            Allowed,
        ),
        tries(
            "writes another policy",
            post(network_policies("cc-front", ""), network_policy("allow-all")).dry(),
            own_names,
        ),
        tries(
            "changes a team's policy",
            merge(network_policies("cc-front", "team"), json!({ "spec": { "podSelector": {} } })).dry(),
            own_names,
        ),
        tries("deletes a policy", delete(network_policies("cc-front", "team")).dry(), RBAC),
        tries(
            "writes a policy where it does not govern",
            post(network_policies("plain", ""), network_policy("subrosa-default-deny")).dry(),
            RBAC,
        ),
        // The policies are about the operator only.
        Case {
            who: ADMIN,
            what: "deletes a Secret",
            request: delete(item("database")).dry(),
            expected: Allowed,
        },
    ];
    world.try_all("own objects", cases).await?;
    config_maps(world, &voice["metadata"]["uid"]).await?;
    trust_domains(world).await
}

/// What tells a workload how to seal, and nothing else that configures a program.
async fn config_maps(world: &World, uid: &Value) -> Result<()> {
    let maps = core("cc-front", "configmaps", "");
    let item = |name: &str| core("cc-front", "configmaps", name);
    let settings = |name: &str| {
        let mut map = secret(name, "");
        map["kind"] = json!("ConfigMap");
        map["metadata"]["ownerReferences"][0]["uid"] = uid.clone();
        map["data"] = json!({ "sealing.yaml": "" });
        map.as_object_mut().unwrap().remove("type");
        map
    };
    let own = || settings("voice-sealing");
    let theirs =
        |name: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
    for name in ["app", "chat-sealing"] {
        world.must(ADMIN, post(&maps, theirs(name))).await?;
    }
    world.must(OPERATOR, post(&maps, own())).await?;
    let no_other = Denied(CONFIG_MAP, "that are owned by a Channel and labelled");
    let of = |name: &'static str| {
        Denied(
            CONFIG_MAP,
            if name == "app" {
                "ConfigMap app is not of Subrosa"
            } else {
                "ConfigMap chat-sealing is not of Subrosa"
            },
        )
    };
    let cases = vec![
        tries("tells how to seal", apply(item("voice-sealing"), own()).dry(), Allowed),
        tries("removes what told it", delete(item("voice-sealing")).dry(), Allowed),
        tries("lists ConfigMaps where it governs", get(&maps), Allowed),
        tries("makes a ConfigMap of another name", post(&maps, settings("app-config")).dry(), no_other),
        tries("makes that of another Channel", post(&maps, settings("ivr-sealing")).dry(), no_other),
        tries(
            "makes one without an owner",
            post(&maps, named_without(own(), "ivr", "ownerReferences")).dry(),
            no_other,
        ),
        tries("makes one without labels", post(&maps, named_without(own(), "ivr", "labels")).dry(), no_other),
        tries(
            "sheds its owner",
            merge(item("voice-sealing"), json!({ "metadata": { "ownerReferences": null } })).dry(),
            no_other,
        ),
        tries("changes a team's ConfigMap", merge(item("app"), json!({ "data": {} })).dry(), of("app")),
        tries("deletes a team's ConfigMap", delete(item("app")).dry(), of("app")),
        tries(
            "takes over one of that name",
            merge(
                item("chat-sealing"),
                json!({ "metadata": without(own(), "/metadata", "name")["metadata"] }),
            )
            .dry(),
            of("chat-sealing"),
        ),
        tries("deletes one of that name", delete(item("chat-sealing")).dry(), of("chat-sealing")),
        tries("deletes all ConfigMaps", delete(&maps).dry(), RBAC),
        tries("replaces its ConfigMap", put(item("voice-sealing"), own()).dry(), RBAC),
        tries("writes ConfigMaps at home", post(core("subrosa-system", "configmaps", ""), own()).dry(), RBAC),
        tries(
            "writes ConfigMaps where it does not govern",
            post(core("plain", "configmaps", ""), own()).dry(),
            RBAC,
        ),
    ];
    world.try_all("ConfigMaps", cases).await
}

/// An object for another Channel, without one field of its metadata.
fn named_without(mut object: Value, channel: &str, field: &str) -> Value {
    object["metadata"]["name"] = json!(format!("{channel}-sealing"));
    object["metadata"]["labels"]["subrosa.dev/channel"] = json!(channel);
    without(object, "/metadata", field)
}

async fn trust_domains(world: &World) -> Result<()> {
    let domain = subrosa("trustdomains", "oosterlinde");
    let finalizer = |name: &str| merge(&domain, json!({ "metadata": { "finalizers": [name] } }));
    let nothing_else =
        Denied(TRUST_DOMAIN, "changes the finalizer subrosa.dev/withdraw-access of a TrustDomain");
    let metadata = |field: &str| merge(&domain, json!({ "metadata": { field: { "a": "b" } } })).dry();
    let cases = vec![
        tries("sets a foreign finalizer", finalizer("example.org/stay").dry(), nothing_else),
        tries("sets its finalizer", finalizer("subrosa.dev/withdraw-access"), Allowed),
        tries(
            "lifts its finalizer",
            json_patch(&domain, json!([{ "op": "remove", "path": "/metadata/finalizers" }])),
            Allowed,
        ),
        tries(
            "points a TrustDomain at another Vault",
            merge(&domain, json!({ "spec": { "vault": { "address": "https://elsewhere:8200" } } })).dry(),
            nothing_else,
        ),
        tries("sets an annotation", metadata("annotations"), nothing_else),
        tries("sets a label", metadata("labels"), nothing_else),
        tries(
            "reports",
            merge(format!("{domain}/status"), json!({ "status": { "observedGeneration": 1 } })).dry(),
            Allowed,
        ),
        tries(
            "changes the spec through status",
            // Goes through and changes nothing but status: the resource has the subresource.
            merge(format!("{domain}/status"), json!({ "spec": { "timeZone": "UTC" } })),
            Allowed,
        ),
        Case {
            who: OFFICER,
            what: "changes the time zone",
            request: merge(&domain, json!({ "spec": { "timeZone": "UTC" } })).dry(),
            expected: Allowed,
        },
    ];
    world.try_all("trust domains", cases).await?;
    let after = world.must(ADMIN, get(&domain)).await?;
    anyhow::ensure!(after["spec"]["timeZone"] == "Europe/Amsterdam", "{after}");
    anyhow::ensure!(after["metadata"].get("finalizers").is_none(), "{after}");
    Ok(())
}
