//! Every watch that runs from the start: those of the reconciled kinds, and those of related kinds. The watches of a
//! Channel's Secrets and ConfigMaps begin when its namespace is prepared ([`super::queues`]).

use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::{Api, api::PartialObjectMeta};

use super::{queues::Queues, start::Start};
use crate::{changes::related, grants::rbac, observe::watch, settings::Settings};

impl Start<'_> {
    /// Starts every watch, and the controllers of what is reconciled.
    pub(crate) fn every_watch(&mut self, settings: &Settings) -> Queues {
        let queues = self.every_kind(settings);
        let client = self.client().clone();
        self.related(Api::<Pod>::all(client.clone()), related::pod);
        self.related(Api::<Service>::all(client.clone()), related::service);
        self.related(Api::<PartialObjectMeta<ServiceAccount>>::all(client.clone()), related::service_account);
        self.related(Api::<NetworkPolicy>::all(client.clone()), related::network_policy);
        // Only our own binding, by name: the operator need not see others.
        let binding = watch::config().fields(&format!("metadata.name={}", rbac::NAMESPACE_BINDING));
        self.selected(
            Api::<PartialObjectMeta<RoleBinding>>::all(client.clone()),
            binding,
            related::role_binding,
        );
        self.related(Api::<ConfigMap>::namespaced(client, &settings.namespace), related::config_map);
        queues
    }
}

#[cfg(test)]
mod tests;
