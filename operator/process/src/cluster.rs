//! The connection to the API server.

use std::{fmt, time::Duration};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client, Config, Resource, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use subrosa_crds::{Reason, common::ConfigMapKey};
use subrosa_plan::{access::store::CLUSTER_NAMESPACE, world::fault::Fault};

/// The deadline for an answer of the API server; watches have a shorter one.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client with a deadline for each request and for each silence of a watch.
///
/// # Errors
/// When the configuration is invalid.
pub fn client(mut config: Config, patience: Option<Duration>) -> kube::Result<Client> {
    let patience = patience.unwrap_or(PATIENCE);
    config.connect_timeout = Some(patience);
    config.read_timeout = Some(patience);
    config.write_timeout = Some(patience);
    Client::try_from(config)
}

/// The cluster: the UID of its namespace kube-system.
///
/// # Errors
/// When the request to the API server fails.
pub async fn identity(client: &Client) -> Result<String, Fault> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let found =
        namespaces.get_metadata(CLUSTER_NAMESPACE).await.map_err(|error| refused("namespaces", &error))?;
    Ok(found.metadata.uid.unwrap_or_default())
}

/// The text of a CA bundle in a ConfigMap of `namespace`.
///
/// # Errors
/// When it does not exist.
pub async fn bundle(client: &Client, namespace: &str, key: &ConfigMapKey) -> Result<String, Fault> {
    let missing = || {
        let message = format!(
            "spec.vault.caBundle: ConfigMap {} has no key {} in namespace {namespace}",
            key.config_map, key.key
        );
        Fault::new(Reason::CABundleNotFound, message)
    };
    let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let found = maps.get_opt(&key.config_map).await.map_err(|error| refused("configmaps", &error))?;
    found.and_then(|map| map.data?.remove(&key.key)).ok_or_else(missing)
}

/// Writes the changed fields of an object's status, if the object was not changed since it was read. `api` is that of the
/// object's namespace.
///
/// # Errors
/// When the API server refuses.
pub async fn write_status<K, S>(
    api: &Api<K>,
    manager: &str,
    object: &K,
    before: Option<&S>,
    status: &S,
) -> Result<Option<K>, Fault>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
    S: Serialize + PartialEq,
{
    if before == Some(status) {
        return Ok(None);
    }
    let mut fields = serde_json::to_value(status).unwrap_or_default();
    if let Some(before) = before {
        remove_fields(&serde_json::to_value(before).unwrap_or_default(), &mut fields);
    }
    let patch = json!({
        "metadata": { "resourceVersion": object.resource_version(), "uid": object.uid() },
        "status": fields,
    });
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let written = api.patch_status(&object.name_any(), &params, &Patch::Merge(&patch)).await;
    written.map(Some).map_err(|error| refused(&K::plural(&()), &error))
}

/// Names the fields of `before` that are gone, at any depth, as null: a merge patch (RFC 7396) removes no others.
fn remove_fields(before: &Value, fields: &mut Value) {
    if let (Value::Object(before), Value::Object(fields)) = (before, fields) {
        for (name, before) in before {
            match fields.get_mut(name) {
                Some(field) => remove_fields(before, field),
                None => drop(fields.insert(name.clone(), Value::Null)),
            }
        }
    }
}

/// An error of the API server as a fault for status.
pub fn refused(resource: &str, error: &kube::Error) -> Fault {
    let reason = match error {
        kube::Error::Api(status) if status.code == 403 => Reason::KubernetesForbidden,
        kube::Error::Api(status) if status.code == 409 => Reason::KubernetesConflict,
        kube::Error::Api(_) => Reason::KubernetesRefused,
        _ => Reason::KubernetesUnreachable,
    };
    Fault::new(reason, format!("the API server does not serve {resource}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_named_as_null_at_any_depth() {
        let before = json!({"a": {"b": 1, "c": {"d": [1], "e": 2}}, "f": 3, "g": [{"h": 1}]});
        let mut fields = json!({"a": {"b": 2, "c": {"e": 2}}, "g": [{}]});
        remove_fields(&before, &mut fields);
        assert_eq!(fields, json!({"a": {"b": 2, "c": {"d": null, "e": 2}}, "f": null, "g": [{}]}));
    }
}
