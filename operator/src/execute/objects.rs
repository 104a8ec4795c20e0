//! Writes Kubernetes objects: create first, apply later, and never another owner's.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use subrosa_crds::{FIELD_MANAGER, Reason};
use subrosa_plan::world::fault::Fault;

/// A Kubernetes error as a fault for status.
pub fn fault(what: &str, error: &kube::Error) -> Fault {
    let reason = match error {
        kube::Error::Api(status) if status.code == 403 => Reason::KubernetesForbidden,
        kube::Error::Api(status) if status.code == 409 => Reason::KubernetesConflict,
        kube::Error::Api(_) => Reason::KubernetesRefused,
        _ => Reason::KubernetesUnreachable,
    };
    Fault::new(reason, format!("{what}: {error}"))
}

/// All items of a list, page by page.
///
/// # Errors
/// When the request to the API server fails.
pub async fn pages<K>(api: &Api<K>, mut params: ListParams) -> kube::Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let mut found = Vec::new();
    loop {
        let page = api.list(&params).await?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// The page size.
const PAGE: u32 = 50;

/// The objects that `fields` selects. All objects where the API server or the CRD does not support the field
/// selector, so callers must filter again.
///
/// # Errors
/// When the request to the API server fails.
pub async fn selected<K>(api: &Api<K>, fields: &str) -> kube::Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    match pages(api, ListParams::default().fields(fields).limit(PAGE)).await {
        Err(kube::Error::Api(status)) if status.code == 400 => {
            pages(api, ListParams::default().limit(PAGE)).await
        }
        // The CRD is not installed yet, so there are none.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        other => other,
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Whether the object with this UID is the controller of `object`.
pub fn owned_by(object: &impl Resource, uid: &str) -> bool {
    object.owner_references().iter().any(|owner| owner.uid == uid && owner.controller == Some(true))
}

/// The existing object of a name.
pub enum FoundObject<K> {
    /// There is none.
    None,
    /// It is ours.
    Ours(Box<K>),
    /// It belongs to somebody else and stays untouched, or has lost its owner reference.
    Foreign(Box<K>),
}

/// Reads the object of that name; `ours` decides whether it is ours.
///
/// # Errors
/// When the request to the API server fails.
pub async fn find<K>(api: &Api<K>, name: &str, ours: impl Fn(&K) -> bool) -> Result<FoundObject<K>, Fault>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    match api.get_opt(name).await {
        Ok(None) => Ok(FoundObject::None),
        Ok(Some(object)) if ours(&object) => Ok(FoundObject::Ours(Box::new(object))),
        Ok(Some(object)) => Ok(FoundObject::Foreign(Box::new(object))),
        Err(error) => Err(fault(&format!("reading {} {name}", K::kind(&())), &error)),
    }
}

/// The fault when somebody else's object has the name.
pub fn foreign(kind: &str, namespace: &str, name: &str) -> Fault {
    Fault::new(
        Reason::ForeignObject,
        format!(
            "{kind} {namespace}/{name} exists and was not made by Subrosa: rename or delete it, it is never taken over"
        ),
    )
}

/// Whether it is the fault from [`foreign`].
pub fn is_foreign(fault: &Fault) -> bool {
    fault.reason == Reason::ForeignObject
}

/// Creates `wanted`, or updates our existing object: by server-side apply and, where fields of others remain below
/// `whole` (such as `/spec`), by replacing that part.
///
/// # Errors
/// When it is foreign, or the API server refuses.
pub async fn put<K>(
    api: &Api<K>,
    wanted: &K,
    exists: bool,
    whole: &'static str,
    ours: impl Fn(&K) -> bool,
    same: impl Fn(&K) -> bool,
) -> Result<K, Fault>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    let name = wanted.name_any();
    let what = format!("{} {}/{name}", K::kind(&()), wanted.namespace().unwrap_or_default());
    if !exists {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match api.create(&params, wanted).await {
            Ok(made) => return Ok(made),
            Err(error) if !is_conflict(&error) => return Err(fault(&format!("creating {what}"), &error)),
            // Another writer was first, perhaps this operator before a restart: check whose it is.
            Err(_) => match find(api, &name, &ours).await? {
                FoundObject::Ours(_) => {}
                FoundObject::Foreign(_) => {
                    return Err(foreign(&K::kind(&()), &wanted.namespace().unwrap_or_default(), &name));
                }
                FoundObject::None => {
                    return Err(Fault::new(
                        Reason::KubernetesConflict,
                        format!("{what} came and went: trying again"),
                    ));
                }
            },
        }
    }
    let applied = apply(api, wanted).await.map_err(|error| fault(&format!("applying {what}"), &error))?;
    if same(&applied) {
        return Ok(applied);
    }
    // Another manager added fields there, which server-side apply keeps.
    let value = serde_json::to_value(wanted).ok().and_then(|value| value.pointer(whole).cloned());
    let version = applied.resource_version();
    let changes = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "replace", "path": whole, "value": value},
    ]);
    patch_json(api, &name, changes, &format!("replacing {whole} of {what}")).await
}

async fn apply<K>(api: &Api<K>, wanted: &K) -> kube::Result<K>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    api.patch(&wanted.name_any(), &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(wanted)).await
}

/// Makes `owner` the only owner of an object that lost its owner reference, unless it changed meanwhile.
///
/// # Errors
/// When the API server refuses.
pub async fn take_back<K>(api: &Api<K>, object: &K, owner: OwnerReference) -> Result<K, Fault>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let name = object.name_any();
    let what = format!("taking back {} {}/{name}", K::kind(&()), object.namespace().unwrap_or_default());
    let changes = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": object.resource_version()},
        {"op": "add", "path": "/metadata/ownerReferences", "value": [owner]},
    ]);
    patch_json(api, &name, changes, &what).await
}

/// Patches exactly the version that was seen: the first of the `changes` tests it.
///
/// # Errors
/// When the API server refuses.
pub async fn patch_json<K>(api: &Api<K>, name: &str, changes: Value, what: &str) -> Result<K, Fault>
where
    K: Clone + DeserializeOwned + Debug,
{
    let patch = serde_json::from_value(changes)
        .map_err(|error| Fault::new(Reason::Internal, format!("{what}: {error}")))?;
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    api.patch(name, &params, &Patch::Json::<()>(patch)).await.map_err(|error| fault(what, &error))
}

/// The objects of a kind in `namespace`.
pub fn namespaced<K>(client: &Client, namespace: &str) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(client.clone(), namespace)
}
