//! Whether the API server serves the definitions that this build was made with.
//!
//! An operator that is newer than its definitions writes fields that they do not know, which the API server refuses
//! with an error that names no cause. What is served is published with the API itself, which every account may
//! read (ClusterRole `system:discovery`), so no right is needed for this.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::Client;
use serde_json::Value;
use subrosa_crds::{GROUP, VERSION};
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// How soon to look again while something is missing.
const SOON: Duration = Duration::from_secs(5);
/// How soon to look again while nothing is.
const SELDOM: Duration = Duration::from_secs(300);
/// How many missing fields are named.
const NAMED: usize = 3;
/// What to do.
const NEXT: &str = "upgrade the chart subrosa-crds first (helm upgrade subrosa-crds), or apply what `subrosa crds` of this \
                    version prints";

/// What was last found of the definitions.
#[derive(Default)]
pub struct Definitions(Mutex<DefinitionState>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum DefinitionState {
    /// Nobody has looked yet, or the API server did not say.
    #[default]
    Unknown,
    /// As this build needs them.
    Current,
    /// These are not served at all.
    Missing(String),
    /// These lack fields.
    Old(String),
}

impl Definitions {
    /// What is wrong with definitions that are served, and what to do.
    pub fn outdated(&self) -> Option<String> {
        match self.found() {
            DefinitionState::Old(said) => Some(said),
            DefinitionState::Unknown | DefinitionState::Current | DefinitionState::Missing(_) => None,
        }
    }

    /// What is waited for before anything was seen.
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

/// Looks at the definitions until `stop`.
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

/// Compares what is published with what this build needs.
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

/// The fields of `wanted` that `served` does not have, each where it begins.
fn lacking(path: &str, wanted: &Value, served: &Value, fields: &mut Vec<String>) {
    let properties = wanted.get("properties").and_then(Value::as_object);
    for (name, wanted) in properties.into_iter().flatten() {
        // What every object has is published as a reference.
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
