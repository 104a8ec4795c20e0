//! What the operator does never shows as a difference between Git and the cluster.

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::fleet::{Fleet, is_ours, title};

/// An object without what is no part of a comparison.
fn compared(object: &Value) -> Value {
    let mut object = object.clone();
    object.as_object_mut().unwrap().remove("status");
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["resourceVersion", "managedFields"] {
        metadata.remove(field);
    }
    object
}

/// What a client-side three-way merge would make of `live`, where what was applied last is `target` (RFC 7386). A list
/// is replaced as a whole: a default inside an item would be a difference for ever.
fn merged(live: &Value, target: &Value) -> Value {
    let (Some(old), Some(new)) = (live.as_object(), target.as_object()) else { return target.clone() };
    let mut result = old.clone();
    for (field, value) in new {
        let merged = merged(old.get(field).unwrap_or(&Value::Null), value);
        result.insert(field.clone(), merged);
    }
    Value::Object(result)
}

pub async fn nothing_of_theirs_is_written(fleet: &Fleet) -> Result<()> {
    for manifest in &fleet.manifests {
        let live = fleet.live(manifest).await?;
        let again = fleet.would_become(manifest).await?;
        ensure!(
            compared(&again) == compared(&live),
            "{} differs by server-side apply:\n{again:#}\n{live:#}",
            title(manifest)
        );
        owns_nothing(&live, manifest)?;
        // Of other kinds the API server fills in defaults, which Argo CD knows.
        if is_ours(manifest) {
            let merged = merged(&live, manifest);
            ensure!(
                merged == live,
                "{} differs by client-side apply:\n{merged:#}\n{live:#}",
                title(manifest)
            );
        }
    }
    Ok(())
}

/// The operator owns nothing but status, and the finalizer of a TrustDomain.
fn owns_nothing(live: &Value, manifest: &Value) -> Result<()> {
    for entry in live["metadata"]["managedFields"].as_array().into_iter().flatten() {
        if entry["manager"] != "subrosa" || entry["subresource"] == "status" {
            continue;
        }
        let finalizer = json!({"f:finalizers": {".": {}, "v:\"subrosa.dev/withdraw-access\"": {}}});
        let allowed =
            manifest["kind"] == "TrustDomain" && entry["fieldsV1"] == json!({"f:metadata": finalizer});
        ensure!(allowed, "the operator owns {} of {}", entry["fieldsV1"], title(manifest));
    }
    Ok(())
}

/// The same eyes see what they should.
pub async fn a_change_would_be_seen(fleet: &Fleet) -> Result<()> {
    let voice = fleet.ours().find(|one| one["metadata"]["name"] == "voice").unwrap();
    let (api, name) = fleet.api(voice).await?;
    let edit = json!({"spec": {"tls": {"reload": "None"}}});
    api.patch(&name, &PatchParams::default(), &Patch::Merge(&edit)).await?;
    let refused = fleet.would_become(voice).await;
    ensure!(refused.is_err_and(|error| format!("{error:#}").contains("conflict")), "a conflict was not seen");
    let live = fleet.live(voice).await?;
    ensure!(merged(&live, voice) != live, "a difference was not seen");
    fleet.apply(voice).await.map(drop)
}
