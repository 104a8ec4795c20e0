//! The Kubernetes objects that would be made. For Secrets only descriptions of their values.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::api::ObjectMeta;
use serde_json::{Value, json};
use subrosa_crds::trust_domain::NetworkMode;
use subrosa_plan::{
    backup::WantedBackup,
    certificate::{
        secrets::Holds,
        trust_files::{CLIENTS_FILE, DEFAULT_FILE, SERVERS_FILE, TrustSources, external_file},
        trust_sources,
    },
    network,
    record::connection::Other,
    sealing::WantedSettings,
    world::{domain, objects},
};

use super::{channels::Planned, world::Imagined};
use crate::{
    cli::words,
    grants::{Installation, rbac::namespace_binding},
};

/// The objects of every governed namespace.
pub fn of_namespace(
    namespace: &str,
    label: &str,
    installation: &Installation,
    imagined: &Imagined,
) -> serde_json::Result<Vec<Value>> {
    let mut made = vec![serde_json::to_value(namespace_binding(installation, namespace, label))?];
    if let Some(domain) = imagined.world.domains.get(label)
        && domain::default_deny(domain)
        && domain::mode(domain, namespace) == NetworkMode::Enforce
    {
        made.push(serde_json::to_value(network::default_deny(namespace, label))?);
    }
    Ok(made)
}

/// The objects of a Channel.
pub fn of_channel(planned: &Planned, imagined: &Imagined, now: Timestamp) -> serde_json::Result<Vec<Value>> {
    let mut made = Vec::new();
    if !planned.is_audited() {
        made.push(serde_json::to_value(&planned.plan.policy)?);
    }
    made.push(secret(planned, imagined, now)?);
    if let WantedSettings::Wanted(wanted) = &planned.plan.settings {
        made.push(serde_json::to_value(wanted)?);
    }
    if let WantedBackup::Wanted(wanted) = &planned.plan.backup {
        made.push(serde_json::to_value(&wanted.account)?);
        made.push(serde_json::to_value(&wanted.policy)?);
        made.push(serde_json::to_value(&wanted.settings)?);
        made.push(serde_json::to_value(&wanted.cron_job)?);
        if let Some(drill) = &wanted.drill {
            made.push(serde_json::to_value(drill)?);
        }
    }
    Ok(made)
}

/// The Secret, with a description in place of each value.
fn secret(planned: &Planned, imagined: &Imagined, now: Timestamp) -> serde_json::Result<Value> {
    let metadata = ObjectMeta {
        name: Some(planned.plan.secret_name.clone()),
        namespace: Some(planned.name.namespace.clone()),
        labels: Some(objects::channel_labels(&planned.name.name)),
        owner_references: objects::owner(&planned.declared.object).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    let type_ = match planned.plan.holds {
        Holds::Everything => "kubernetes.io/tls",
        Holds::Trust => "Opaque",
    };
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": serde_json::to_value(metadata)?,
        "type": type_,
        "data": contents(planned, imagined, now),
    }))
}

fn contents(planned: &Planned, imagined: &Imagined, now: Timestamp) -> BTreeMap<String, Value> {
    let leaf = &planned.plan.leaf;
    let names: Vec<_> = leaf.dns_names.iter().map(String::as_str).collect();
    let certificate = json!([
        leaf.subject().to_string(),
        leaf.spiffe_id(),
        format!("DNS names: {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") }),
        format!(
            "valid for {}, renewed {} before its end",
            words::duration(leaf.duration),
            words::duration(leaf.renew_before)
        ),
        format!("issued by the CA of Channel {}, which follows it", planned.name),
    ]);
    let sources = sources(planned, imagined, now);
    let default = if sources.listens { CLIENTS_FILE } else { SERVERS_FILE };
    let mut files = BTreeMap::from([
        (CLIENTS_FILE.to_owned(), trusted(&sources.clients)),
        (SERVERS_FILE.to_owned(), trusted(&sources.servers)),
        (DEFAULT_FILE.to_owned(), json!(format!("the same as {default}"))),
    ]);
    if planned.plan.holds == Holds::Everything {
        let key = json!(format!("its private key, {}", leaf.key_algorithm));
        files.extend([("tls.crt".to_owned(), certificate), ("tls.key".to_owned(), key)]);
    }
    for name in sources.external.keys() {
        let bundle = imagined.world.parties.get(name).and_then(|party| party.spec.tls.ca_bundle.as_ref());
        if let Some(key) = bundle {
            let description =
                format!("key {} of ConfigMap {}, of ExternalParty {name}", key.key, key.config_map);
            files.insert(external_file(name), json!([description]));
        }
    }
    files
}

/// The authorities that the Channel would trust, with a placeholder for each peer's certificates.
fn sources(planned: &Planned, imagined: &Imagined, now: Timestamp) -> TrustSources {
    let connections = &planned.plan.connections;
    let authorities = connections
        .iter()
        .filter_map(|connection| match &connection.other {
            Other::Channel(name) => Some((name.clone(), vec![name.to_string()])),
            Other::Party(_) | Other::Service(_) => None,
        })
        .collect();
    let extra = planned.plan.extra_trust.iter().filter(|one| one.is_in_force());
    trust_sources::sources(&planned.declared.object, connections, extra, &authorities, &imagined.world, now)
}

fn trusted(peers: &BTreeMap<String, Vec<String>>) -> Value {
    if peers.is_empty() {
        return json!(["nobody: one expired certificate whose key was destroyed"]);
    }
    let whose = |name: &String| match name.strip_prefix("extraTrust/") {
        Some(entry) => format!("what entry {entry} of spec.tls.extraTrust has, until its last day"),
        None => format!("the CA of Channel {name}"),
    };
    json!(peers.keys().map(whose).collect::<Vec<_>>())
}
