//! What the operator may change of a workload: the annotation by which it restarts it, and nothing else.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    operator::tries,
    request::{
        Case,
        Expected::{Allowed, Denied},
        RBAC, apply, delete, get, json_patch, merge, post, put,
    },
    world::{ADMIN, OPERATOR, World},
};

const WORKLOAD: &str = "subrosa-workload";
const ANNOTATION: &str = "subrosa.dev/restarted-for";

fn path(kind: &str, name: &str) -> String {
    let plural = format!("{}s", kind.to_lowercase());
    let all = format!("/apis/apps/v1/namespaces/cc-front/{plural}");
    if name.is_empty() { all } else { format!("{all}/{name}") }
}

fn workload(kind: &str) -> Value {
    let mut spec = json!({
        "selector": {"matchLabels": {"app": "sbc"}},
        "template": {
            "metadata": {"labels": {"app": "sbc"}, "annotations": {"team": "voice"}},
            "spec": {"containers": [{"name": "main", "image": "registry.example/sbc:1"}]},
        },
    });
    if kind != "DaemonSet" {
        spec["replicas"] = json!(2);
    }
    if kind == "StatefulSet" {
        spec["serviceName"] = json!("sbc");
    }
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "sbc"}, "spec": spec})
}

/// As the operator applies it.
fn restart(kind: &str, serial: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "sbc"},
        "spec": {"template": {"metadata": {"annotations": {ANNOTATION: serial}}}},
    })
}

pub async fn are_restarted_and_nothing_else(world: &World) -> Result<()> {
    let mut cases = Vec::new();
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        world.must(ADMIN, post(path(kind, ""), workload(kind))).await?;
        let sbc = path(kind, "sbc");
        let nothing_else =
            Denied(WORKLOAD, "sets the annotation subrosa.dev/restarted-for of the pod template of sbc");
        let template = |metadata: Value| json!({"spec": {"template": {"metadata": metadata}}});
        let with = |what: &'static str, change: Value| tries(what, merge(&sbc, change).dry(), nothing_else);
        // An API server takes a moment to learn of a policy.
        let image =
            json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "evil"}]}}}});
        world
            .eventually(WORKLOAD, async || {
                let answer = world.call(OPERATOR, merge(&sbc, image.clone()).dry()).await?;
                Ok(answer.message().contains(&format!("'{WORKLOAD}'")))
            })
            .await?;
        cases.extend([
            tries("restarts a workload", apply(&sbc, restart(kind, "0a")), Allowed),
            tries("restarts it again", apply(&sbc, restart(kind, "0b")), Allowed),
            tries(
                "takes its annotation away",
                merge(&sbc, template(json!({"annotations": {ANNOTATION: null}}))).dry(),
                Allowed,
            ),
            with("changes the image", image),
            with("sets another annotation of the template", template(json!({"annotations": {"a": "b"}}))),
            with(
                "changes another annotation beside its own",
                template(json!({"annotations": {"team": "mine", ANNOTATION: "0c"}})),
            ),
            with("removes the team's annotation", template(json!({"annotations": {"team": null}}))),
            with("adds a label to the pods", template(json!({"labels": {"more": "b"}}))),
            with(
                "has the pods run as another",
                json!({"spec": {"template": {"spec": {"serviceAccountName": "other"}}}}),
            ),
            with("keeps the pods it has", json!({"spec": {"minReadySeconds": 60}})),
            with("labels the workload", json!({"metadata": {"labels": {"a": "b"}}})),
            with("annotates the workload", json!({"metadata": {"annotations": {"a": "b"}}})),
            with("holds it back from deletion", json!({"metadata": {"finalizers": ["example.org/stay"]}})),
            tries(
                "empties the template's annotations",
                json_patch(&sbc, json!([{"op": "remove", "path": "/spec/template/metadata/annotations"}]))
                    .dry(),
                nothing_else,
            ),
            tries("replaces it", put(&sbc, workload(kind)).dry(), RBAC),
            tries("deletes it", delete(&sbc).dry(), RBAC),
            tries("makes another", post(path(kind, ""), workload(kind)).dry(), RBAC),
            tries("lists them", get(path(kind, "")), RBAC),
            Case {
                who: ADMIN,
                what: "annotates the workload",
                request: merge(&sbc, json!({"metadata": {"annotations": {"a": "b"}}})).dry(),
                expected: Allowed,
            },
        ]);
        if kind != "DaemonSet" {
            cases.push(with("scales it down", json!({"spec": {"replicas": 0}})));
            cases.push(tries(
                "scales it down by the other way",
                merge(format!("{sbc}/scale"), json!({"spec": {"replicas": 0}})).dry(),
                RBAC,
            ));
        }
    }
    world.try_all("workloads", cases).await?;
    let found = world.must(ADMIN, get(path("Deployment", "sbc"))).await?;
    anyhow::ensure!(found["spec"]["template"]["metadata"]["annotations"][ANNOTATION] == "0b", "{found}");
    Ok(())
}
