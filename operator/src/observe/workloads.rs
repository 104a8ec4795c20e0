//! The workload that runs a Channel's pods, and the PodDisruptionBudgets on them. Read when a restart may be due,
//! once per renewal, instead of being watched.

use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        core::v1::PodTemplateSpec,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, api::ListParams};
use subrosa_crds::channel::{WorkloadKind, WorkloadRef};
use subrosa_plan::restart::{ANNOTATION, Amount, BudgetFacts, Rollout, Strategy, WorkloadFacts};

/// The workload of that name, if it exists.
///
/// # Errors
/// When the request to the API server fails.
pub async fn workload(
    client: &Client,
    namespace: &str,
    named: &WorkloadRef,
) -> kube::Result<Option<WorkloadFacts>> {
    let (client, name) = (client.clone(), named.name.as_str());
    Ok(match named.kind {
        WorkloadKind::Deployment => {
            Api::<Deployment>::namespaced(client, namespace).get_opt(name).await?.map(deployment)
        }
        WorkloadKind::StatefulSet => {
            Api::<StatefulSet>::namespaced(client, namespace).get_opt(name).await?.map(stateful_set)
        }
        WorkloadKind::DaemonSet => {
            Api::<DaemonSet>::namespaced(client, namespace).get_opt(name).await?.map(daemon_set)
        }
    })
}

/// The PodDisruptionBudgets of a namespace.
///
/// # Errors
/// When the request to the API server fails.
pub async fn budgets(client: &Client, namespace: &str) -> kube::Result<Vec<BudgetFacts>> {
    let api: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), namespace);
    Ok(api.list(&ListParams::default()).await?.items.into_iter().map(budget).collect())
}

fn budget(budget: PodDisruptionBudget) -> BudgetFacts {
    let status = budget.status.unwrap_or_default();
    BudgetFacts {
        observed: observed(&budget.metadata, status.observed_generation),
        name: budget.metadata.name.unwrap_or_default(),
        selector: budget.spec.and_then(|spec| spec.selector),
        allowed: status.disruptions_allowed.unwrap_or_default(),
    }
}

fn observed(metadata: &ObjectMeta, generation: Option<i64>) -> bool {
    generation.is_some_and(|seen| metadata.generation.is_none_or(|generation| seen >= generation))
}

/// The facts that all kinds share.
fn facts(metadata: ObjectMeta, template: PodTemplateSpec, strategy: Strategy, wanted: i32) -> WorkloadFacts {
    let template = template.metadata.unwrap_or_default();
    WorkloadFacts {
        uid: metadata.uid.unwrap_or_default(),
        version: metadata.resource_version.unwrap_or_default(),
        labels: template.labels.unwrap_or_default(),
        restarted_for: template.annotations.and_then(|mut annotations| annotations.remove(ANNOTATION)),
        paused: false,
        strategy,
        wanted,
        progress: Rollout::default(),
    }
}

fn deployment(found: Deployment) -> WorkloadFacts {
    let (spec, status) = (found.spec, found.status.unwrap_or_default());
    let strategy = spec.strategy.unwrap_or_default();
    let rolling = strategy.rolling_update.unwrap_or_default();
    // Rounded as the deployment controller does: unavailable down, surge up.
    let amount = |written: Option<_>, up| match written {
        Some(written) => Amount::of(Some(&written), 0, up),
        None => Amount::quarter(up),
    };
    let strategy = match strategy.type_.as_deref() {
        Some("Recreate") => Strategy::Recreate,
        _ => Strategy::Rolling {
            unavailable: amount(rolling.max_unavailable, false),
            surge: amount(rolling.max_surge, true),
            partition: 0,
        },
    };
    let progress = Rollout {
        observed: observed(&found.metadata, status.observed_generation),
        pods: status.replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
    };
    let paused = spec.paused.unwrap_or_default();
    let facts = facts(found.metadata, spec.template, strategy, spec.replicas.unwrap_or(1));
    WorkloadFacts { paused, progress, ..facts }
}

fn stateful_set(found: StatefulSet) -> WorkloadFacts {
    let (spec, status) = (found.spec, found.status.unwrap_or_default());
    let strategy = spec.update_strategy.unwrap_or_default();
    let rolling = strategy.rolling_update.unwrap_or_default();
    let strategy = match strategy.type_.as_deref() {
        Some("OnDelete") => Strategy::OnDelete,
        _ => Strategy::Rolling {
            unavailable: Amount::of(rolling.max_unavailable.as_ref(), 1, true),
            surge: Amount::exactly(0),
            partition: rolling.partition.unwrap_or_default(),
        },
    };
    // While there are two revisions the rollout is in progress, whatever the counts.
    let one_revision = status.current_revision == status.update_revision;
    let progress = Rollout {
        observed: observed(&found.metadata, status.observed_generation) && one_revision,
        pods: status.replicas,
        updated: status.updated_replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
    };
    let facts = facts(found.metadata, spec.template, strategy, spec.replicas.unwrap_or(1));
    WorkloadFacts { progress, ..facts }
}

fn daemon_set(found: DaemonSet) -> WorkloadFacts {
    let (spec, status) = (found.spec, found.status.unwrap_or_default());
    let strategy = spec.update_strategy.unwrap_or_default();
    let rolling = strategy.rolling_update.unwrap_or_default();
    let strategy = match strategy.type_.as_deref() {
        Some("OnDelete") => Strategy::OnDelete,
        _ => Strategy::Rolling {
            unavailable: Amount::of(rolling.max_unavailable.as_ref(), 1, true),
            surge: Amount::of(rolling.max_surge.as_ref(), 0, true),
            partition: 0,
        },
    };
    let progress = Rollout {
        observed: observed(&found.metadata, status.observed_generation),
        pods: status.current_number_scheduled,
        updated: status.updated_number_scheduled.unwrap_or_default(),
        ready: status.number_ready,
    };
    let facts = facts(found.metadata, spec.template, strategy, status.desired_number_scheduled);
    WorkloadFacts { progress, ..facts }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_in_the_middle_of_a_rollout() {
        let found = deployment(
            serde_json::from_value(json!({
                "metadata": {"name": "sbc", "uid": "u", "resourceVersion": "7", "generation": 3},
                "spec": {
                    "selector": {"matchLabels": {"app": "sbc"}}, "replicas": 4, "paused": true,
                    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "30%", "maxSurge": 0}},
                    "template": {"metadata": {"labels": {"app": "sbc"}, "annotations": {ANNOTATION: "0a"}}},
                },
                "status": {"observedGeneration": 2, "replicas": 4, "updatedReplicas": 1, "readyReplicas": 3},
            }))
            .unwrap(),
        );
        assert_eq!((found.uid.as_str(), found.version.as_str(), found.paused), ("u", "7", true));
        assert_eq!(found.restarted_for.as_deref(), Some("0a"));
        assert_eq!(found.progress, Rollout { observed: false, pods: 4, updated: 1, ready: 3 });
        assert_eq!((found.wanted, found.strategy.down_at_once(4)), (4, 1), "30 % of 4, rounded down");
    }

    #[test]
    fn a_deployment_that_says_nothing_surges_by_a_quarter() {
        let found =
            deployment(serde_json::from_value(json!({"spec": {"selector": {}, "template": {}}})).unwrap());
        let down = [1, 3, 4, 8].map(|pods| found.strategy.down_at_once(pods));
        assert_eq!(down, [0, 0, 1, 2]);
        assert_eq!(found.wanted, 1);
    }

    #[test]
    fn others_take_down_one_unless_they_say_otherwise() {
        let set = |spec| stateful_set(serde_json::from_value(json!({"spec": spec})).unwrap());
        let plain = json!({"selector": {}, "template": {}, "serviceName": "db"});
        assert_eq!(set(plain.clone()).strategy.down_at_once(3), 1);
        let mut on_delete = plain;
        on_delete["updateStrategy"] = json!({"type": "OnDelete"});
        assert_eq!(set(on_delete).strategy, Strategy::OnDelete);
        let surging = daemon_set(
            serde_json::from_value(json!({"spec": {
                "selector": {}, "template": {},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "10%"}},
            }}))
            .unwrap(),
        );
        assert_eq!(surging.strategy.down_at_once(5), 0);
    }

    #[test]
    fn two_revisions_are_a_rollout() {
        let status = |current: &str| {
            let found = json!({
                "metadata": {"generation": 1},
                "spec": {"selector": {}, "template": {}, "serviceName": "db", "replicas": 1},
                "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
                    "currentRevision": current, "updateRevision": "db-2"},
            });
            stateful_set(serde_json::from_value(found).unwrap()).progress.observed
        };
        assert!(status("db-2") && !status("db-1"));
    }

    #[test]
    fn a_budget_that_was_changed_is_not_judged_yet() {
        let found = |seen: i64| {
            budget(
                serde_json::from_value(json!({
                    "metadata": {"name": "sbc", "generation": 2}, "spec": {"selector": {}},
                    "status": {"observedGeneration": seen, "disruptionsAllowed": 1, "currentHealthy": 1,
                        "desiredHealthy": 1, "expectedPods": 1},
                }))
                .unwrap(),
            )
        };
        assert!(found(2).observed && !found(1).observed);
        assert_eq!((found(2).allowed, found(2).selector.is_some()), (1, true));
    }
}
