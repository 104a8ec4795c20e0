//! The table of grants and the API server's audit log say the same: nothing was done beyond what is
//! granted, and nothing is granted that nobody needs.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use subrosa::grants::{
    audit::{Comparison, compare},
    table::{AccessRequest, table},
};
use subrosa_e2e::{Operator, audit::ApiAuditEntry, operator::Options, wait};

use crate::{
    cluster::{Cluster, DOMAIN, PATIENCE},
    scenario::{Scenario, Side},
};

/// Grants these scenarios have no use for, each with the reason it is held all the same:
/// resource, verb, why.
const UNEXERCISED: &[(&str, &str, &str)] = &[
    ("deployments", "get", RESTARTS),
    ("deployments", "patch", RESTARTS),
    ("statefulsets", "get", RESTARTS),
    ("statefulsets", "patch", RESTARTS),
    ("daemonsets", "get", RESTARTS),
    ("daemonsets", "patch", RESTARTS),
    ("poddisruptionbudgets", "list", RESTARTS),
    ("serviceaccounts", "get", BACKUPS),
    ("serviceaccounts", "create", BACKUPS),
    ("serviceaccounts", "patch", BACKUPS),
    ("cronjobs", "get", BACKUPS),
    ("cronjobs", "create", BACKUPS),
    ("cronjobs", "patch", BACKUPS),
    ("cronjobs", "delete", BACKUPS),
    ("jobs", "get", BACKUPS),
    ("jobs", "create", BACKUPS),
    ("podcertificaterequests/status", "patch", "e2e/tests/podcert plays the kubelet; here nobody asks"),
    ("destructions", "create", LISTING),
    ("adoptions/status", "patch", ADOPTING),
    ("approvals", "list", ADOPTING),
    ("accessrevocations", "list", "e2e/tests/access revokes; here no TrustDomain says how people log in"),
    ("accessgrants", "list", "e2e/tests/access grants; here no TrustDomain says how people log in"),
    ("accessroles", "list", "e2e/tests/access lets people open; here no TrustDomain says how they log in"),
];
const BACKUPS: &str = "e2e/tests/behaviour makes workers for backups; here no Channel has any";
const ADOPTING: &str = "e2e/tests/destruction adopts keys of an earlier Channel; here nobody asks";
const LISTING: &str = "e2e/tests/destruction lists keys that are due; here none is";
const RESTARTS: &str =
    "e2e/tests/served restarts workloads, in the middle of which this cluster would not settle";

/// What is asked of what is served, which the API server's own role `system:discovery` lets everybody: all there
/// is, whether pods may ask for certificates, and whether the definitions are the operator's.
const DISCOVERY: &[&str] =
    &["/api", "/apis", "/version", "/apis/certificates.k8s.io/v1", "/openapi/v3/apis/subrosa.dev/v1alpha1"];

/// What any ServiceAccount may ask: what is served, and what itself may do.
fn is_everybodys(entry: &ApiAuditEntry) -> bool {
    entry.object_ref.as_ref().is_none_or(|object| {
        ["authorization.k8s.io", "authentication.k8s.io"].contains(&object.api_group.as_str())
            && !object.resource.contains("token")
    })
}

/// Everything that makes the operator use its rights.
async fn live(cluster: &Cluster) -> Result<()> {
    // The first one is elected, and gives the Lease up when it is stopped.
    let options = Options { leader_elect: true, ..cluster.options() };
    let mut operator = Operator::start_with(&cluster.installed, options).await?;
    let scenario = Scenario::found(cluster, "rights").await?;
    cluster
        .apply(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "ExternalParty", "metadata": {"name": "carrier"},
            "spec": {
                "role": "Carrier",
                "addresses": {"cidrs": ["203.0.113.0/28"]},
                "tls": {"mode": "OneWay"},
                "channels": [{"namespace": scenario.front, "name": "voice", "direction": "Egress", "ports": [5061]}],
            },
        }))
        .await?;
    cluster.apply_all(scenario.created()).await?;
    cluster.whole(&scenario.channels()).await?;
    cluster.apply_all(scenario.changed()).await?;
    cluster.whole(&scenario.channels()).await?;

    // What was made is undone behind its back: a Secret, a policy and a ConfigMap changed, a binding edited.
    let merge = |value: Value| kube::api::Patch::Merge(value);
    let params = Default::default();
    let secrets = cluster.api("v1", "Secret", &scenario.front).await?;
    secrets.patch("voice-mtls", &params, &merge(json!({"data": {"tls.crt": null}}))).await.ok();
    secrets.patch("voice-mtls", &params, &merge(json!({"data": {"tls.crt": "", "another": "YQ=="}}))).await?;
    cluster.whole(&scenario.channels()).await?;
    let policies = cluster.api("networking.k8s.io/v1", "NetworkPolicy", &scenario.front).await?;
    let open = json!({"spec": {"ingress": [{}], "policyTypes": ["Ingress", "Egress"]}});
    policies.patch("subrosa-channel-voice", &params, &merge(open)).await?;
    policies.delete("subrosa-default-deny", &Default::default()).await?;
    let maps = cluster.api("v1", "ConfigMap", &scenario.front).await?;
    maps.patch("voice-sealing", &params, &merge(json!({"data": {"sealing.yaml": ""}}))).await?;
    // Another name for a Secret: the old one is removed.
    let mut db = scenario.changed().into_iter().find(|one| one["metadata"]["name"] == "db").unwrap();
    db["spec"]["tls"] = json!({"secretName": "database-tls"});
    operator.stop();
    // Nor is anything tried before an emptied binding is mended.
    let bindings = cluster.api("rbac.authorization.k8s.io/v1", "RoleBinding", &scenario.data).await?;
    bindings.patch("subrosa", &params, &merge(json!({"subjects": []}))).await?;
    let operator = cluster.operator().await?;
    cluster.apply(db).await?;
    cluster.whole(&scenario.channels()).await?;
    cluster.gone(&cluster.api("v1", "Secret", scenario.namespace(Side::Data)).await?, "db-mtls").await?;

    // The same thing happens again and again: one Event becomes a series.
    for stalled in [true, false, true] {
        let mut portal =
            scenario.changed().into_iter().find(|one| one["metadata"]["name"] == "portal").unwrap();
        portal["spec"]["dataClasses"] = json!([if stalled { "no-such-class" } else { "chat-log" }]);
        cluster.apply(portal).await?;
        // The Event comes before the status.
        let turned = |status: &subrosa_crds::ChannelStatus| wait::is(status, "Stalled") == stalled;
        wait::channel(&cluster.admin, &scenario.front, "portal", PATIENCE, turned).await?;
    }
    // One that seals nothing any more has no settings for it.
    let mut portal = scenario.changed().into_iter().find(|one| one["metadata"]["name"] == "portal").unwrap();
    portal["spec"]["dataClasses"] = json!([]);
    cluster.apply(portal).await?;
    cluster.gone(&maps, "portal-sealing").await?;
    cluster.apply_all(scenario.changed()).await?;
    cluster.whole(&scenario.channels()).await?;

    // Somebody else's policy has the name of a Channel's.
    cluster
        .apply(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "subrosa-channel-late", "namespace": scenario.front},
            "spec": {"podSelector": {"matchLabels": {"app": "late"}}},
        }))
        .await?;
    cluster
        .apply(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
            "metadata": {"name": "late", "namespace": scenario.front},
            "spec": {"workload": {"selector": {"matchLabels": {"app": "late"}}}},
        }))
        .await?;
    let foreign = |status: &subrosa_crds::ChannelStatus| wait::reason(status, "Ready") == "ForeignObject";
    wait::channel(&cluster.admin, &scenario.front, "late", PATIENCE, foreign).await?;

    scenario.delete_channels(cluster).await?;
    let domains = cluster.subrosa("TrustDomain", "").await?;
    cluster.delete(&domains, DOMAIN).await?;
    cluster.gone(&domains, DOMAIN).await?;
    drop(operator);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_is_what_is_done() -> Result<()> {
    let cluster = Cluster::build().await?;
    live(&cluster).await?;
    let names = &cluster.installed.names;
    let entries: Vec<ApiAuditEntry> = cluster.env.audit_entries()?;
    let own: Vec<&ApiAuditEntry> =
        entries.iter().filter(|entry| entry.user.username == names.user() && !is_everybodys(entry)).collect();
    ensure!(own.len() > 100, "only {} requests of {}", own.len(), names.user());

    // Nothing was even tried that is not granted.
    let code = |entry: &ApiAuditEntry| entry.response_status.as_ref().map_or(0, |status| status.code);
    let refused: BTreeSet<String> = own
        .iter()
        .filter(|entry| code(entry) == 403)
        .map(|entry| format!("{} {}", entry.verb, entry.request_uri))
        .collect();
    ensure!(refused.is_empty(), "refused: {refused:#?}");
    let beyond_everybody: BTreeSet<&str> = entries
        .iter()
        .filter(|entry| entry.user.username == names.user() && entry.object_ref.is_none())
        .map(|entry| entry.request_uri.split('?').next().unwrap_or_default())
        .filter(|path| !DISCOVERY.contains(path))
        .collect();
    ensure!(beyond_everybody.is_empty(), "paths nobody granted: {beyond_everybody:?}");

    let resources: Vec<String> = own.iter().map(|entry| entry.resource()).collect();
    let done: Vec<AccessRequest<'_>> = own
        .iter()
        .zip(&resources)
        .filter(|(entry, _)| code(entry) < 400)
        .filter_map(|(entry, resource)| {
            let object = entry.object_ref.as_ref()?;
            Some(AccessRequest {
                namespace: &object.namespace,
                group: &object.api_group,
                resource,
                name: &object.name,
                verb: &entry.verb,
            })
        })
        .collect();
    let table = table(names);
    let Comparison { beyond, unused } = compare(&table, &done, names);
    ensure!(beyond.is_empty(), "done and not granted: {beyond:#?}");

    let listed =
        |resource: &str, verb: &str| UNEXERCISED.iter().any(|(on, may, _)| *on == resource && *may == verb);
    let unlisted: Vec<String> = unused
        .iter()
        .filter(|(grant, verb)| !listed(&grant.path(), verb.as_str()))
        .map(|(grant, verb)| format!("{verb} {} ({:?}): {}", grant.path(), grant.scope, grant.why))
        .collect();
    ensure!(unlisted.is_empty(), "granted and never used: {unlisted:#?}");
    let outdated: Vec<_> = UNEXERCISED
        .iter()
        .filter(|(on, may, _)| {
            !unused.iter().any(|(grant, verb)| grant.path() == *on && verb.as_str() == *may)
        })
        .collect();
    ensure!(outdated.is_empty(), "listed as unexercised, and exercised: {outdated:#?}");

    // The comparison sees both: a verb too few and a verb too many.
    let fewer: Vec<_> = table.iter().filter(|grant| grant.resource != "channels").cloned().collect();
    ensure!(!compare(&fewer, &done, names).beyond.is_empty(), "blind for what is not granted");
    let without: Vec<_> = done.iter().filter(|one| one.verb != "create").copied().collect();
    ensure!(compare(&table, &without, names).unused.len() > unused.len(), "blind for what is not used");
    println!(
        "{} requests of {} kinds, {} rows granted",
        done.len(),
        done.iter().map(|one| (one.resource, one.verb)).collect::<BTreeSet<_>>().len(),
        table.len()
    );
    Ok(())
}
