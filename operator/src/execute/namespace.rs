//! A governed namespace: the operator's right to write in it, and the default deny.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{ListParams, PostParams},
};
use subrosa_crds::{Reason, TrustDomain};
use subrosa_plan::{
    network,
    world::{fault::Fault, objects as labels, policy::PolicyFacts},
};

use super::objects;
use crate::{context::Context, grants::rbac, observe::Binding};

/// Whether an object has the labels of the operator's objects for a namespace.
fn ours(found: Option<&BTreeMap<String, String>>) -> bool {
    found.and_then(|labels| labels.get(labels::MANAGED_BY)).is_some_and(|manager| manager == labels::MANAGER)
}

/// Reads whether the operator has its RoleBinding in `namespace`.
///
/// # Errors
/// When the request to the API server fails.
pub async fn binding(ctx: &Context, namespace: &str) -> Result<Binding, Fault> {
    let api = objects::namespaced::<RoleBinding>(&ctx.client, namespace);
    let found = objects::find(&api, rbac::NAMESPACE_BINDING, |found: &RoleBinding| {
        ours(found.meta().labels.as_ref())
    })
    .await?;
    Ok(match found {
        objects::FoundObject::Ours(_) => Binding::Given { version: None },
        _ => Binding::Missing,
    })
}

/// Creates the operator's RoleBinding in `namespace`. A binding that is unchanged since the last check is not read
/// again.
///
/// # Errors
/// When the binding belongs to somebody else, or the API server refuses.
pub async fn prepare(ctx: &Context, namespace: &str, domain: &TrustDomain) -> Result<Binding, Fault> {
    let seen = ctx.cluster.read(|world| world.own_bindings.get(namespace).cloned());
    if let Some(known @ Binding::Given { version: Some(_) }) = ctx.cluster.binding(namespace)
        && matches!(&known, Binding::Given { version } if *version == seen)
    {
        return Ok(known);
    }
    let wanted = rbac::namespace_binding(&ctx.installation, namespace, &domain.name_any());
    let api = objects::namespaced::<RoleBinding>(&ctx.client, namespace);
    let same = |found: &RoleBinding| found.role_ref == wanted.role_ref && found.subjects == wanted.subjects;
    let is_ours = |found: &RoleBinding| ours(found.meta().labels.as_ref());
    let binding = match objects::find(&api, rbac::NAMESPACE_BINDING, is_ours).await? {
        objects::FoundObject::Ours(found) if same(&found) => *found,
        objects::FoundObject::None if !is_current(ctx, domain).await? => return Ok(Binding::Missing),
        found @ (objects::FoundObject::Ours(_) | objects::FoundObject::None) => {
            let exists = matches!(found, objects::FoundObject::Ours(_));
            let written = objects::put(&api, &wanted, exists, "/subjects", is_ours, same).await?;
            until_in_force(ctx, namespace).await?;
            written
        }
        objects::FoundObject::Foreign(_) => {
            return Err(objects::foreign("RoleBinding", namespace, rbac::NAMESPACE_BINDING));
        }
    };
    Ok(Binding::Given { version: binding.metadata.resource_version })
}

/// Whether `known` is the current version. A namespace that is staged and labelled at the same moment must be audited
/// from the start, whichever of the two watches is first.
async fn is_current(ctx: &Context, known: &TrustDomain) -> Result<bool, Fault> {
    let api: Api<TrustDomain> = Api::all(ctx.client.clone());
    let named = ListParams::default().fields(&format!("metadata.name={}", known.name_any()));
    let now = api.list(&named).await.map_err(|error| objects::fault("reading the TrustDomain", &error))?;
    Ok(now.items.iter().all(|now| now.metadata.generation <= known.metadata.generation))
}

/// How often, and with which pause, to check whether a new binding is in effect.
const ASKED: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until a new binding is in effect: the API server authorizes from its own watch, and would refuse earlier
/// requests.
async fn until_in_force(ctx: &Context, namespace: &str) -> Result<(), Fault> {
    let api: Api<SelfSubjectAccessReview> = Api::all(ctx.client.clone());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                resource: Some("secrets".into()),
                verb: Some("get".into()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    for _ in 0..ASKED {
        let answer = api
            .create(&PostParams::default(), &review)
            .await
            .map_err(|error| objects::fault("asking for the operator's rights", &error))?;
        if answer.status.is_some_and(|status| status.allowed) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Fault::new(
        Reason::NamespacePending,
        format!(
            "RoleBinding {} of namespace {namespace} gives the operator no rights yet: look whether ClusterRole {} is as installed",
            rbac::NAMESPACE_BINDING,
            rbac::NAMESPACE_ROLE
        ),
    ))
}

/// Writes the default deny of `namespace`.
///
/// # Errors
/// When the policy belongs to somebody else, or the API server refuses.
pub async fn deny(ctx: &Context, namespace: &str, domain: &str) -> Result<(), Fault> {
    let wanted = network::default_deny(namespace, domain);
    let spec = wanted.spec.clone().unwrap_or_default();
    let existing = ctx.cluster.read(|world| {
        world
            .network_policies
            .get(namespace)
            .and_then(|policies| policies.get(network::DEFAULT_DENY))
            .map(PolicyFacts::object)
    });
    let same = |found: &NetworkPolicy| found.spec.as_ref().is_some_and(|found| network::same(found, &spec));
    if existing.as_ref().is_some_and(same) {
        return Ok(());
    }
    let api = objects::namespaced::<NetworkPolicy>(&ctx.client, namespace);
    let is_ours = |found: &NetworkPolicy| ours(found.meta().labels.as_ref());
    if existing.as_ref().is_some_and(|found| !is_ours(found)) {
        return Err(objects::foreign("NetworkPolicy", namespace, network::DEFAULT_DENY));
    }
    objects::put(&api, &wanted, existing.is_some(), "/spec", is_ours, same).await.map(|_| ())
}
