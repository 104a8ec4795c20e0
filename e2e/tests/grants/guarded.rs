//! What the condition `Guarded` will say: whether the policies stand as they were meant.

use anyhow::{Result, ensure};
use kube::core::DynamicObject;
use serde_json::{Value, json};
use subrosa::grants::admission::{AdmissionObjects, RESTORE, gaps, policies};

use crate::{
    request::{delete, get, merge},
    world::{ADMIN, OPERATOR, World, admission},
};

const POLICIES: &str = "validatingadmissionpolicies";
const BINDINGS: &str = "validatingadmissionpolicybindings";

/// The gaps as the operator sees them, with its own rights.
async fn seen(world: &World) -> Result<Vec<String>> {
    let wanted = policies(&world.installation);
    let mut found: AdmissionObjects<DynamicObject, DynamicObject> =
        AdmissionObjects { policies: vec![], bindings: vec![] };
    for guard in &wanted {
        for (resource, list) in [(POLICIES, &mut found.policies), (BINDINGS, &mut found.bindings)] {
            let answer = world.call(OPERATOR, get(admission(resource, guard.name()))).await?;
            match answer.status {
                200 => list.push(serde_json::from_value(answer.body)?),
                404 => {}
                status => anyhow::bail!("{resource}/{}: {status} {}", guard.name(), answer.message()),
            }
        }
    }
    Ok(gaps(&wanted, &found).iter().map(ToString::to_string).collect())
}

pub async fn sees_every_edit(world: &World) -> Result<()> {
    ensure!(seen(world).await?.is_empty(), "as installed: {:?}", seen(world).await?);

    let warn = json!({ "spec": { "validationActions": ["Warn"] } });
    world.must(ADMIN, merge(admission(BINDINGS, "subrosa-deletion"), warn)).await?;
    let all =
        json!({ "spec": { "matchConstraints": { "objectSelector": { "matchLabels": { "none": "" } } } } });
    world.must(ADMIN, merge(admission(POLICIES, "subrosa-membership"), all)).await?;
    world.must(ADMIN, delete(admission(BINDINGS, "subrosa-secret"))).await?;
    let gaps = seen(world).await?;
    ensure!(gaps.len() == 3, "{gaps:?}");
    for (gap, words) in gaps.iter().zip([
        "ValidatingAdmissionPolicy subrosa-membership was edited: spec.matchConstraints.objectSelector",
        "ValidatingAdmissionPolicyBinding subrosa-deletion was edited: spec.validationActions[0]",
        "ValidatingAdmissionPolicyBinding subrosa-secret is missing",
    ]) {
        ensure!(gap.starts_with(words), "{gap}");
    }

    // As the condition will tell.
    let file = crate::world::root().join("deploy/admission.yaml");
    for step in ["apply", "replace"] {
        ensure!(RESTORE.contains(&format!("kubectl {step} -f deploy/admission.yaml")), "{RESTORE}");
        let output = world.kubectl(ADMIN, &[step, "-f", &file.to_string_lossy()]).await?;
        // Applied alone, what somebody added would stay, and one edit is refused beside it.
        ensure!(step == "apply" || output.status.success(), "{output:?}");
    }
    ensure!(seen(world).await?.is_empty(), "restored: {:?}", seen(world).await?);
    world.policies_in_force().await?;
    type_check(world).await
}

/// The API server compiles each expression against the types it applies to.
async fn type_check(world: &World) -> Result<()> {
    for guard in policies(&world.installation) {
        let path = admission(POLICIES, guard.name());
        let checked = async || -> Result<Value> {
            let policy = world.must(ADMIN, get(&path)).await?;
            let current = policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
            Ok(if current { policy["status"]["typeChecking"].clone() } else { Value::Null })
        };
        world.eventually("type checking", async || Ok(!checked().await?.is_null())).await?;
        let warnings = checked().await?["expressionWarnings"].clone();
        ensure!(warnings.is_null(), "{}: {warnings:#}", guard.name());
    }
    Ok(())
}
