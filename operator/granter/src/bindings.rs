//! Role and RoleBinding of each AccessRole, as [`rbac`] plans them.

use std::{collections::BTreeSet, fmt};

use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::NamespaceResourceScope,
    runtime::reflector::{ObjectRef, Store},
};
use serde::{Serialize, de::DeserializeOwned};
use subrosa_crds::{AccessRole, Reason, TrustDomain};
use subrosa_plan::{
    roles::{
        self,
        rbac::{self, ObjectStep, RoleObjects},
        status::BoundFacts,
    },
    world::fault::Fault,
};
use subrosa_process::cluster::refused;

use crate::{FIELD_MANAGER, view::ClusterView};

/// Writes the Role and the RoleBinding of `role`, or deletes them if it gives nothing. Returns the resulting state.
pub async fn write(
    client: &Client,
    view: &ClusterView,
    domain: &TrustDomain,
    role: &AccessRole,
    is_withheld: bool,
) -> BoundFacts {
    let access = domain.spec.access.as_ref().filter(|_| domain.meta().deletion_timestamp.is_none());
    let prefix = access.and_then(|access| access.provider.kubernetes_groups_prefix.as_deref());
    let gives = roles::is_there(role) && !is_withheld;
    let named = view.rights(role).into_iter().filter(|(_, named)| gives && named.is_ok());
    let channels: BTreeSet<String> = named.map(|((channel, _, _), _)| channel).collect();
    let wanted = prefix.and_then(|prefix| rbac::wanted(role, prefix, &channels));
    let reserved = prefix.map(|prefix| rbac::reserved(role, prefix)).unwrap_or_default();
    match (settle(client, view, role, wanted.as_ref()).await, &wanted) {
        (Err(fault), _) => BoundFacts::Fault(fault),
        (Ok(()), _) if gives && !reserved.is_empty() => BoundFacts::ReservedGroups(reserved),
        (Ok(()), Some(_)) => BoundFacts::InForce(channels.len()),
        (Ok(()), None) if prefix.is_none() && gives => BoundFacts::NoPrefix,
        (Ok(()), None) => BoundFacts::Nothing,
    }
}

/// Whether `role` has a RoleBinding.
pub fn is_bound(view: &ClusterView, role: &AccessRole) -> bool {
    let name = rbac::object_name(&role.name_any());
    view.bindings.get(&ObjectRef::new(&name).within(&role.namespace().unwrap_or_default())).is_some()
}

/// Deletes the Role and the RoleBinding of `role`.
pub async fn remove(client: &Client, view: &ClusterView, role: &AccessRole) -> BoundFacts {
    match settle(client, view, role, None).await {
        Ok(()) => BoundFacts::Nothing,
        Err(fault) => BoundFacts::Fault(fault),
    }
}

/// Deletes the RoleBinding before the Role and creates it after the Role, so it never refers to a wider or missing Role.
async fn settle(
    client: &Client,
    view: &ClusterView,
    role: &AccessRole,
    wanted: Option<&RoleObjects>,
) -> Result<(), Fault> {
    let name = rbac::object_name(&role.name_any());
    let namespace = role.namespace().unwrap_or_default();
    let one = One { client, namespace: &namespace, name: &name };
    let binding = one.found(&view.bindings);
    let has_role = one.found(&view.kubernetes_roles);
    let binding_step = rbac::binding_step(binding.as_ref(), wanted.map(|wanted| &wanted.binding));
    let role_step = rbac::role_step(has_role.as_ref(), wanted.map(|wanted| &wanted.role));
    let (of_binding, of_role) = (wanted.map(|wanted| &wanted.binding), wanted.map(|wanted| &wanted.role));
    if binding_step == ObjectStep::Delete {
        one.take(binding_step, binding.as_ref(), None).await?;
    }
    one.take(role_step, has_role.as_ref(), of_role).await?;
    match binding_step {
        ObjectStep::Delete if of_binding.is_some() => one.take(ObjectStep::Create, None, of_binding).await,
        ObjectStep::Delete => Ok(()),
        step => one.take(step, binding.as_ref(), of_binding).await,
    }
}

/// The objects of one AccessRole.
struct One<'a> {
    client: &'a Client,
    namespace: &'a str,
    name: &'a str,
}

impl One<'_> {
    fn found<K>(&self, store: &Store<K>) -> Option<K>
    where
        K: Resource<DynamicType = ()> + Clone,
    {
        store.get(&ObjectRef::new(self.name).within(self.namespace)).map(|found| K::clone(&found))
    }

    async fn take<K>(&self, step: ObjectStep, found: Option<&K>, wanted: Option<&K>) -> Result<(), Fault>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Serialize
            + fmt::Debug,
    {
        let kind = K::kind(&());
        let api = Api::<K>::namespaced(self.client.clone(), self.namespace);
        let foreign = || {
            let message = format!(
                "{kind} {} is there and not Subrosa's, so it is left as it is; next: delete or rename it",
                self.name
            );
            Fault::new(Reason::ForeignObject, message)
        };
        let post = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let done = match (step, wanted) {
            (ObjectStep::Keep, _) => return Ok(()),
            (ObjectStep::Leave, _) => return Err(foreign()),
            (ObjectStep::Create, None) | (ObjectStep::Patch, None) => return Ok(()),
            (ObjectStep::Create, Some(wanted)) => match api.create(&post, wanted).await {
                // The watch may be behind. Our own object is checked again with its event.
                Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
                    let named = ListParams::default().fields(&format!("metadata.name={}", self.name));
                    let found = api.list(&named).await.map_err(|error| refused(&K::plural(&()), &error))?;
                    let is_ours = found.items.iter().any(|found| rbac::is_ours(found.meta()));
                    return if is_ours { Ok(()) } else { Err(foreign()) };
                }
                made => made.map(drop),
            },
            (ObjectStep::Patch, Some(wanted)) => {
                let patch =
                    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
                api.patch(self.name, &patch, &Patch::Merge(wanted)).await.map(drop)
            }
            (ObjectStep::Delete, _) => {
                let preconditions = Preconditions { uid: found.and_then(K::uid), resource_version: None };
                let of = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
                match api.delete(self.name, &of).await {
                    Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                    deleted => deleted.map(drop),
                }
            }
        };
        done.map_err(|error| refused(&K::plural(&()), &error))?;
        tracing::info!(namespace = self.namespace, name = self.name, ?step, "{kind}");
        if let (ObjectStep::Delete, Some(wanted)) = (step, wanted) {
            api.create(&post, wanted).await.map_err(|error| refused(&K::plural(&()), &error))?;
        }
        Ok(())
    }
}
