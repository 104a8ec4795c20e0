//! The label `subrosa.dev/trust-domain` follows the verb `govern`, by whichever way it is set.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    request::{
        Case,
        Expected::{Allowed, Denied},
        RBAC, Request, apply, get, json_patch, merge, post, put,
    },
    world::{ADMIN, AUDITOR, ENGINEER, OFFICER, OFFICER_WEST, OPERATOR, World},
};

const POLICY: &str = "subrosa-membership";

fn label(value: impl Into<Value>) -> Value {
    json!({ "metadata": { "labels": { "subrosa.dev/trust-domain": value.into() } } })
}

fn relabel(namespace: &str, value: impl Into<Value>) -> Request {
    merge(format!("/api/v1/namespaces/{namespace}"), label(value)).dry()
}

fn namespace(name: &str, labels: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } })
}

pub async fn is_decided_by_who_governs(world: &World) -> Result<()> {
    let front = "/api/v1/namespaces/cc-front";
    let governed = world.must(ENGINEER, get(front)).await?;
    let mut without = governed.clone();
    without["metadata"]["labels"].as_object_mut().unwrap().remove("subrosa.dev/trust-domain");
    let case = |who, what, request, expected| Case { who, what, request, expected };
    let into = |words| Denied(POLICY, words);
    let ungoverned = |name: &str| namespace(name, json!({ "tier": "test" }));
    let born_in = |name: &str, domain: &str| namespace(name, json!({ "subrosa.dev/trust-domain": domain }));
    let create = |body| post("/api/v1/namespaces", body).dry();

    let no_entry = into("to put namespaces into TrustDomain oosterlinde takes the verb govern");
    let no_exit = into("to take namespaces out of TrustDomain oosterlinde takes the verb govern");
    let cases = vec![
        case(ENGINEER, "puts a namespace into a domain", relabel("plain", "oosterlinde"), no_entry),
        case(OFFICER, "puts a namespace into a domain", relabel("plain", "oosterlinde"), Allowed),
        case(ADMIN, "puts a namespace into a domain", relabel("plain", "oosterlinde"), Allowed),
        case(OFFICER_WEST, "uses another office's domain", relabel("plain", "oosterlinde"), no_entry),
        case(OFFICER_WEST, "uses its own domain", relabel("plain", "westerlinde"), Allowed),
        case(OFFICER_WEST, "takes over from another", relabel("cc-front", "westerlinde"), no_exit),
        case(OFFICER_WEST, "hands over to another", relabel("cc-west", "oosterlinde"), no_entry),
        case(OFFICER_WEST, "releases its own", relabel("cc-west", Value::Null), Allowed),
        case(OFFICER, "moves between domains", relabel("cc-front", "westerlinde"), Allowed),
        case(OFFICER, "releases a namespace", relabel("cc-front", Value::Null), Allowed),
        case(AUDITOR, "releases a namespace", relabel("cc-front", Value::Null), RBAC),
        case(OPERATOR, "adopts a namespace", relabel("plain", "oosterlinde"), RBAC),
        case(OPERATOR, "releases a namespace", relabel("cc-front", Value::Null), RBAC),
        // Every way to change a label.
        case(ENGINEER, "removes the label", relabel("cc-front", Value::Null), no_exit),
        case(ENGINEER, "empties the label", relabel("cc-front", ""), into("is empty")),
        case(
            ENGINEER,
            "removes all labels by JSON patch",
            json_patch(front, json!([{ "op": "remove", "path": "/metadata/labels" }])).dry(),
            no_exit,
        ),
        case(ENGINEER, "replaces the namespace", put(front, without.clone()).dry(), no_exit),
        case(
            ENGINEER,
            "applies a namespace with the label",
            apply("/api/v1/namespaces/plain", born_in("plain", "oosterlinde")).dry(),
            no_entry,
        ),
        case(
            ENGINEER,
            "removes the label through status",
            merge(format!("{front}/status"), label(Value::Null)).dry(),
            no_exit,
        ),
        case(
            ENGINEER,
            "removes the label through finalize",
            put(format!("{front}/finalize"), without).dry(),
            no_exit,
        ),
        case(ENGINEER, "creates a namespace in a domain", create(born_in("new", "oosterlinde")), no_entry),
        case(
            ENGINEER,
            "applies a new namespace in a domain",
            apply("/api/v1/namespaces/new", born_in("new", "oosterlinde")).dry(),
            no_entry,
        ),
        // And what must stay possible.
        case(ENGINEER, "creates a namespace", create(ungoverned("new")), Allowed),
        case(ENGINEER, "creates a namespace without labels", create(namespace("new", Value::Null)), Allowed),
        case(ADMIN, "creates a namespace in a domain", create(born_in("new", "oosterlinde")), Allowed),
        case(ENGINEER, "replaces a namespace unchanged", put(front, governed).dry(), Allowed),
        case(
            ENGINEER,
            "sets another label",
            merge(front, json!({ "metadata": { "labels": { "team": "front" } } })).dry(),
            Allowed,
        ),
        case(
            ENGINEER,
            "sets another label of an ungoverned namespace",
            merge("/api/v1/namespaces/plain", json!({ "metadata": { "labels": { "team": "front" } } })).dry(),
            Allowed,
        ),
        // Whoever asks.
        case(
            ADMIN,
            "governs the operator's namespace",
            relabel("subrosa-system", "oosterlinde"),
            into("can never carry the label"),
        ),
        case(
            ADMIN,
            "governs kube-system",
            relabel("kube-system", "oosterlinde"),
            into("can never carry the label"),
        ),
        case(ADMIN, "writes an empty label", relabel("plain", ""), into("is empty")),
        case(ADMIN, "creates a namespace with an empty label", create(born_in("new", "")), into("is empty")),
    ];
    world.try_all("membership", cases).await
}
