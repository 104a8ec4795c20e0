//! Whether the admission policies that say who somebody is are in force: of Approvals, and of authors of AccessRoles.

use std::{fmt, sync::Arc};

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject, ObjectMeta},
};
use subrosa_plan::world::fault::Fault;

use crate::cluster::refused;

/// The admission policy that binds an Approval to its author, and its binding.
pub const APPROVAL_GUARD: &str = "subrosa-approval";
/// The admission policy that lets nobody give an AccessRole who may not grant its Channels, and its binding.
pub const AUTHOR_GUARD: &str = "subrosa-access-author";

/// Checks that an admission policy and its binding are those of this release.
#[derive(Clone)]
pub struct GuardCheck(Arc<Check>);

type Check = dyn Fn(&DynamicObject, &DynamicObject) -> bool + Send + Sync;

impl GuardCheck {
    /// Uses `check`, which gets policy and binding as the API server has them, including fields that this build does
    /// not know.
    pub fn new(check: impl Fn(&DynamicObject, &DynamicObject) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }

    /// UID and generation of the admission policy of Approvals and of its binding; none while one is missing or edited.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn version(&self, client: &Client) -> Result<Option<String>, Fault> {
        self.of(client, APPROVAL_GUARD).await
    }

    /// Whether the admission policy of the authors of AccessRoles and its binding are there and unedited.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn checks_authors(&self, client: &Client) -> Result<bool, Fault> {
        Ok(self.of(client, AUTHOR_GUARD).await?.is_some())
    }

    async fn of(&self, client: &Client, name: &str) -> Result<Option<String>, Fault> {
        let policies = dynamic::<ValidatingAdmissionPolicy>(client);
        let bindings = dynamic::<ValidatingAdmissionPolicyBinding>(client);
        let kind = "validatingadmissionpolicies";
        let policy = policies.get_opt(name).await.map_err(|error| refused(kind, &error))?;
        let binding = bindings.get_opt(name).await.map_err(|error| refused(kind, &error))?;
        let (Some(policy), Some(binding)) = (policy, binding) else { return Ok(None) };
        let version = |meta: &ObjectMeta| {
            format!("{}/{}", meta.uid.as_deref().unwrap_or_default(), meta.generation.unwrap_or_default())
        };
        let version = format!("{} {}", version(&policy.metadata), version(&binding.metadata));
        Ok((self.0)(&policy, &binding).then_some(version))
    }
}

impl fmt::Debug for GuardCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuardCheck")
    }
}

fn dynamic<K: Resource<DynamicType = ()>>(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &ApiResource::erase::<K>(&()))
}
