//! Checks that the API server serves the CRDs that this build needs.
//!
//! An operator that is newer than its CRDs writes unknown fields, which the API server rejects without naming the
//! cause. The served schemas are part of the API discovery, which every account may read (ClusterRole
//! `system:discovery`), so no further right is needed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::Client;
use serde_json::Value;
use subrosa_crds::{GROUP, VERSION};
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// The pause while something is missing.
const SOON: Duration = Duration::from_secs(5);
/// The pause while everything is current.
const SELDOM: Duration = Duration::from_secs(300);
/// How many missing fields a message names.
const NAMED: usize = 3;
/// The next step.
const NEXT: &str = "upgrade the chart subrosa-crds first (helm upgrade subrosa-crds), or apply what `subrosa crds` of this \
                    version prints";

/// The last result for the CRDs.
#[derive(Default)]
pub struct Definitions(Mutex<DefinitionState>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum DefinitionState {
    /// Not checked yet, or the API server did not answer.
    #[default]
    Unknown,
    /// All that this build needs.
    Current,
    /// These CRDs are not served.
    Missing(String),
    /// These CRDs lack fields.
    Old(String),
}

impl Definitions {
    /// What is wrong with the served CRDs, and the next step.
    pub fn outdated(&self) -> Option<String> {
        match self.found() {
            DefinitionState::Old(said) => Some(said),
            DefinitionState::Unknown | DefinitionState::Current | DefinitionState::Missing(_) => None,
        }
    }

    /// What the operator waits for before the first check.
    pub fn waiting(&self) -> String {
        match self.found() {
            DefinitionState::Old(said) | DefinitionState::Missing(said) => said,
            DefinitionState::Unknown | DefinitionState::Current => {
                "waiting for the API server: it has not shown everything there is yet".to_owned()
            }
        }
    }

    fn found(&self) -> DefinitionState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, found: DefinitionState) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == found {
            return;
        }
        match (&found, &*last) {
            (DefinitionState::Old(said) | DefinitionState::Missing(said), _) => tracing::error!("{said}"),
            (DefinitionState::Current, DefinitionState::Old(_) | DefinitionState::Missing(_)) => {
                tracing::info!("the definitions are those of this version now");
            }
            _ => {}
        }
        *last = found;
    }
}

/// Checks the CRDs until `stop`.
pub async fn follow(ctx: Arc<Context>, stop: CancellationToken) {
    loop {
        let found = look(&ctx.client).await;
        let pause = if found == DefinitionState::Current { SELDOM } else { SOON };
        ctx.definitions.note(found);
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

async fn look(client: &Client) -> DefinitionState {
    let path = format!("/openapi/v3/apis/{GROUP}/{VERSION}");
    let request = match http::Request::get(&path).body(Vec::new()) {
        Ok(request) => request,
        Err(_) => return DefinitionState::Unknown,
    };
    match client.request::<Value>(request).await {
        Ok(published) => judge(&published),
        Err(kube::Error::Api(status)) if status.code == 404 => judge(&Value::Null),
        Err(error) => {
            tracing::debug!(%error, "what is served could not be read");
            DefinitionState::Unknown
        }
    }
}

/// Compares the served schemas with the needed ones.
fn judge(published: &Value) -> DefinitionState {
    let mut missing = Vec::new();
    let mut old = Vec::new();
    for definition in subrosa_crds::all() {
        let name = format!("{}.{}", definition.spec.names.plural, definition.spec.group);
        let Ok(wanted) = serde_json::to_value(&definition) else { continue };
        let Some(wanted) = wanted.pointer("/spec/versions/0/schema/openAPIV3Schema") else { continue };
        let Some(served) = of_kind(published, &definition.spec.names.kind) else {
            missing.push(name);
            continue;
        };
        let mut fields = Vec::new();
        lacking("", wanted, served, &mut fields);
        if !fields.is_empty() {
            let more = fields.len().saturating_sub(NAMED);
            fields.truncate(NAMED);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            old.push(format!("{name} lacks {}{more}", fields.join(", ")));
        }
    }
    if !missing.is_empty() {
        return DefinitionState::Missing(format!(
            "waiting for definitions that the API server does not serve: {}; {NEXT}",
            missing.join(", ")
        ));
    }
    if !old.is_empty() {
        return DefinitionState::Old(format!(
            "definitions are older than this operator: {}; {NEXT}",
            old.join("; ")
        ));
    }
    DefinitionState::Current
}

fn of_kind<'a>(published: &'a Value, kind: &str) -> Option<&'a Value> {
    let schemas = published.pointer("/components/schemas")?.as_object()?;
    schemas.values().find(|schema| {
        let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
        kinds.into_iter().flatten().any(|one| {
            one.get("kind").and_then(Value::as_str) == Some(kind)
                && one.get("group").and_then(Value::as_str) == Some(GROUP)
        })
    })
}

/// The fields of `wanted` that `served` lacks, each by its topmost missing path.
fn lacking(path: &str, wanted: &Value, served: &Value, fields: &mut Vec<String>) {
    let properties = wanted.get("properties").and_then(Value::as_object);
    for (name, wanted) in properties.into_iter().flatten() {
        // Fields of every object are published as references.
        if path.is_empty() && matches!(name.as_str(), "metadata" | "apiVersion" | "kind") {
            continue;
        }
        let field = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match served.get("properties").and_then(|served| served.get(name)) {
            Some(served) => lacking(&field, wanted, served, fields),
            None => fields.push(field),
        }
    }
    for inside in ["items", "additionalProperties"] {
        if let (Some(wanted), Some(served)) = (wanted.get(inside), served.get(inside)) {
            lacking(path, wanted, served, fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As the API server publishes it: each kind by its group, version and kind.
    fn published() -> Value {
        let mut schemas = serde_json::Map::new();
        for definition in subrosa_crds::all() {
            let kind = definition.spec.names.kind.clone();
            let whole = serde_json::to_value(&definition).unwrap();
            let mut schema = whole.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().clone();
            schema["x-kubernetes-group-version-kind"] =
                json!([{"group": GROUP, "version": VERSION, "kind": kind}]);
            schemas.insert(format!("dev.subrosa.v1alpha1.{kind}"), schema);
        }
        json!({"components": {"schemas": schemas}})
    }

    #[test]
    fn what_this_build_brings_is_current() {
        assert_eq!(judge(&published()), DefinitionState::Current);
    }

    #[test]
    fn what_is_not_served_is_named() {
        assert!(
            matches!(judge(&Value::Null), DefinitionState::Missing(said) if said.contains("channels.subrosa.dev"))
        );
        let mut one = published();
        one["components"]["schemas"].as_object_mut().unwrap().remove("dev.subrosa.v1alpha1.TrustDomain");
        let DefinitionState::Missing(said) = judge(&one) else { panic!("not missing") };
        assert!(said.contains("trustdomains.subrosa.dev") && !said.contains("channels"), "{said}");
    }

    #[test]
    fn a_field_that_is_lacking_is_named_where_it_begins() {
        let mut old = published();
        let channel = &mut old["components"]["schemas"]["dev.subrosa.v1alpha1.Channel"]["properties"];
        channel["spec"]["properties"]["tls"]["properties"].as_object_mut().unwrap().remove("extraTrust");
        channel["status"]["properties"]["exceptions"]["items"]["properties"]
            .as_object_mut()
            .unwrap()
            .remove("daysLeft");
        let DefinitionState::Old(said) = judge(&old) else { panic!("not old") };
        assert!(
            said.contains("channels.subrosa.dev lacks spec.tls.extraTrust, status.exceptions.daysLeft"),
            "{said}"
        );
        assert!(said.contains("subrosa-crds"), "the next step: {said}");
        let definitions = Definitions::default();
        assert_eq!(definitions.outdated(), None, "what nobody saw is not old");
        definitions.note(DefinitionState::Old(said.clone()));
        assert_eq!(definitions.outdated(), Some(said));
        definitions.note(DefinitionState::Current);
        assert_eq!(definitions.outdated(), None);
    }

    #[test]
    fn what_is_newer_is_current() {
        let mut newer = published();
        newer["components"]["schemas"]["dev.subrosa.v1alpha1.Channel"]["properties"]["spec"]["properties"]
            ["later"] = json!({"type": "string"});
        assert_eq!(judge(&newer), DefinitionState::Current);
    }
}
