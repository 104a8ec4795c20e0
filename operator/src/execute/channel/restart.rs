//! Restarts the workload for a renewed certificate.

use std::fmt::Debug;

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::json;
use subrosa_crds::{
    FIELD_MANAGER, Reason,
    channel::{WorkloadKind, WorkloadRef},
};
use subrosa_plan::{
    channel::applied::{Applied, Restart, RestartHold},
    restart::{self, ANNOTATION, Due, RestartStep, WorkloadFacts},
    world::fault::Fault,
};

use super::{Work, later};
use crate::{execute::objects, observe::workloads};

/// How soon a restart that must wait is tried again.
const AGAIN: SignedDuration = SignedDuration::from_secs(30);

impl Work<'_> {
    /// Restarts the workload where that is due and possible.
    pub(super) async fn restart(&mut self, applied: &Applied) -> Restart {
        let due =
            self.ctx.cluster.read(|world| restart::due(self.channel, self.plan, applied, world, self.now));
        let Some(due) = due else { return Restart::NotDue };
        let held = match self.step(&due).await {
            Ok(None) => return Restart::UnderWay,
            Ok(Some(held)) => held,
            Err(fault) => RestartHold::in_the_way(fault.message),
        };
        self.wake.push(later(self.now, AGAIN));
        self.wake.extend(held.until);
        Restart::Held(held)
    }

    /// Takes the next step; returns what delays the restart, if anything.
    async fn step(&mut self, due: &Due<'_>) -> Result<Option<RestartHold>, Fault> {
        let (client, namespace) = (&self.ctx.client, self.name().namespace.as_str());
        let fault = |what: &str| {
            let what = what.to_owned();
            move |error: kube::Error| objects::fault(&what, &error)
        };
        let (named, mark) = (due.named, due.mark.as_str());
        let what = restart::text(named);
        let reading = fault(&format!("reading {what}"));
        let found = workloads::workload(client, namespace, named).await.map_err(reading)?;
        let budgets = workloads::budgets(client, namespace).await;
        let budgets = budgets.map_err(fault("listing PodDisruptionBudgets"))?;
        match (restart::step(self.channel, due, found.as_ref(), &budgets, self.now), found) {
            (RestartStep::Hold(held), _) => return Ok(Some(held)),
            (RestartStep::Restart, Some(found)) => self.annotate(named, &found, mark).await?,
            (RestartStep::Restart, None) | (RestartStep::Done, _) => return Ok(None),
        }
        let why = if due.ended {
            "; pods are not ready because the certificate they started with ended"
        } else {
            ""
        };
        self.news.push((Reason::WorkloadRestarted, format!("{what}: for the certificate {mark}{why}")));
        Ok(None)
    }

    async fn annotate(&self, named: &WorkloadRef, found: &WorkloadFacts, mark: &str) -> Result<(), Fault> {
        let (client, namespace) = (self.ctx.client.clone(), self.name().namespace.as_str());
        let written = match named.kind {
            WorkloadKind::Deployment => {
                apply(&Api::<Deployment>::namespaced(client, namespace), &named.name, found, mark).await
            }
            WorkloadKind::StatefulSet => {
                apply(&Api::<StatefulSet>::namespaced(client, namespace), &named.name, found, mark).await
            }
            WorkloadKind::DaemonSet => {
                apply(&Api::<DaemonSet>::namespaced(client, namespace), &named.name, found, mark).await
            }
        };
        written.map_err(|error| objects::fault(&format!("restarting {}", restart::text(named)), &error))
    }
}

/// Sets the restart annotation on exactly the version that was judged, so that a concurrent change is judged again.
async fn apply<K>(api: &Api<K>, name: &str, found: &WorkloadFacts, mark: &str) -> kube::Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name, "uid": found.uid, "resourceVersion": found.version},
        "spec": {"template": {"metadata": {"annotations": {ANNOTATION: mark}}}},
    });
    api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&patch)).await.map(drop)
}
