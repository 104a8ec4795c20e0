//! What a scenario has become, without what differs from one run to the next: two runs that ended in the
//! same state have equal snapshots.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Secret},
    events::v1::Event,
    networking::v1::NetworkPolicy,
};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Map, Value, json};
use subrosa_crds::{Channel, TrustDomain};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, pem::Pem};

use crate::{
    cluster::{Cluster, DOMAIN},
    scenario::{ACCOUNTS, Scenario, Side},
};

/// The whole snapshot: Channels, certificates, settings, policies, record and access.
pub async fn living(cluster: &Cluster, scenario: &Scenario) -> Result<Value> {
    let mut snapshot = remains(cluster, scenario).await?;
    let mut channels = Map::new();
    let mut secrets = Map::new();
    let mut policies = Map::new();
    let mut settings = Map::new();
    let domain = Api::<TrustDomain>::all(cluster.admin.clone()).get_opt(DOMAIN).await?;
    let vault = domain
        .map_or_else(|| cluster.env.openbao().endpoint().url.clone(), |domain| domain.spec.vault.address);
    for side in [Side::Front, Side::Data] {
        let namespace = scenario.namespace(side);
        for channel in
            Api::<Channel>::namespaced(cluster.admin.clone(), namespace).list(&ListParams::default()).await?
        {
            channels.insert(channel.name_any(), status(&channel)?);
        }
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=subrosa");
        for secret in Api::<Secret>::namespaced(cluster.admin.clone(), namespace).list(&ours).await? {
            secrets.insert(secret.name_any(), certificates(&secret)?);
        }
        for map in Api::<ConfigMap>::namespaced(cluster.admin.clone(), namespace).list(&ours).await? {
            let data: BTreeMap<_, _> = map
                .data
                .iter()
                .flatten()
                .map(|(file, text)| (file, of_no_server(cluster, &vault, text)))
                .collect();
            settings.insert(map.name_any(), json!([data, map.labels(), owners(&map)]));
        }
        for policy in Api::<NetworkPolicy>::namespaced(cluster.admin.clone(), namespace)
            .list(&ListParams::default())
            .await?
        {
            policies.insert(format!("{side:?} {}", policy.name_any()), serde_json::to_value(&policy.spec)?);
        }
    }
    snapshot["told"] = told(cluster, scenario).await?.into();
    snapshot["channels"] = channels.into();
    snapshot["secrets"] = secrets.into();
    snapshot["policies"] = policies.into();
    snapshot["settings"] = settings.into();
    plain(scenario, &snapshot)
}

/// A file of settings without the address and the CA of the cluster's own OpenBao, which are others in another cluster.
fn of_no_server(cluster: &Cluster, vault: &str, text: &str) -> String {
    let authority: Vec<_> =
        cluster.env.openbao().endpoint().ca_pem.lines().map(|line| format!("    {line}")).collect();
    text.replace(vault, "<vault>").replace(&authority.join("\n"), "    <ca>")
}

fn owners(object: &ConfigMap) -> Vec<String> {
    object.owner_references().iter().map(|owner| format!("{} {}", owner.kind, owner.name)).collect()
}

/// What was told of changes of records, once each: a crash between such a change and its Event loses none.
async fn told(cluster: &Cluster, scenario: &Scenario) -> Result<Vec<String>> {
    let mut told = BTreeSet::new();
    for side in [Side::Front, Side::Data] {
        let api = Api::<Event>::namespaced(cluster.admin.clone(), scenario.namespace(side));
        for event in api.list(&ListParams::default()).await? {
            let (reason, note) = (event.reason.unwrap_or_default(), event.note.unwrap_or_default());
            // That a version of a key was made is no change of a record.
            let is_of_record = match reason.as_str() {
                "ConnectionClosed" => true,
                "AuthorityChanged" => note.starts_with("generation"),
                // A generation that is retired leaves the trust files of peers without a change of their records.
                "TrustWithdrawn" => note.ends_with("a connection was withdrawn"),
                _ => false,
            };
            if is_of_record {
                let name = event.regarding.and_then(|object| object.name).unwrap_or_default();
                told.insert(format!("{name} {reason} {note}"));
            }
        }
    }
    Ok(told.into_iter().collect())
}

/// What is left when the Channels are gone: record, access and the default deny.
pub async fn remains(cluster: &Cluster, scenario: &Scenario) -> Result<Value> {
    let mut records = Map::new();
    for (name, id) in &scenario.ids {
        let record = cluster.record(id.as_str()).await?;
        records.insert((*name).to_owned(), record.as_ref().map_or(Value::Null, remembered));
    }
    let mut access = Map::new();
    for account in ACCOUNTS {
        let uid = scenario.account_uid(cluster, account).await?;
        access.insert(account.to_owned(), alias(cluster, &uid).await?);
    }
    let mut denies = Vec::new();
    for side in [Side::Front, Side::Data] {
        let api = Api::<NetworkPolicy>::namespaced(cluster.admin.clone(), scenario.namespace(side));
        denies.push(api.get_opt("subrosa-default-deny").await?.is_some());
    }
    plain(scenario, &json!({"records": records, "access": access, "denies": denies}))
}

/// With names that say which, instead of names that differ.
fn plain(scenario: &Scenario, snapshot: &Value) -> Result<Value> {
    let mut text = snapshot.to_string();
    for (name, id) in &scenario.ids {
        text = text.replace(id.as_str(), &format!("<{name}>"));
    }
    text = text.replace(&scenario.front, "front").replace(&scenario.data, "data");
    Ok(serde_json::from_str(&text)?)
}

fn status(channel: &Channel) -> Result<Value> {
    let status = channel.status.clone().unwrap_or_default();
    let conditions: BTreeMap<_, _> = status
        .conditions
        .iter()
        .map(|one| (one.type_.clone(), format!("{}/{}", one.status, one.reason)))
        .collect();
    let connections: Vec<_> = status
        .connections
        .iter()
        .map(|one| format!("{} {} {} {:?}", one.direction, one.name, one.state, one.listeners))
        .collect();
    let keys: Vec<_> =
        status.keys.iter().map(|key| format!("{} {} {}", key.data_class, key.cohort, key.state)).collect();
    Ok(json!({
        "current": status.observed_generation == channel.metadata.generation,
        "id": status.id,
        "certificate": status.certificate.is_some(),
        "authority": status.authority.map(|one| one.generation),
        "summary": status.connection_summary,
        "conditions": conditions,
        "connections": connections,
        "keys": keys,
    }))
}

/// Of a Secret: whose leaf it holds, whether its issuer signed it, and whom each file trusts.
pub fn certificates(secret: &Secret) -> Result<Value> {
    let mut files = Map::new();
    for (file, content) in secret.data.iter().flatten() {
        let told = if file == "tls.key" {
            json!(String::from_utf8_lossy(&content.0).contains("PRIVATE KEY"))
        } else {
            let pems: Vec<Pem> = Pem::iter_from_buffer(&content.0).collect::<Result<_, _>>()?;
            let found: Vec<X509Certificate<'_>> =
                pems.iter().map(Pem::parse_x509).collect::<Result<_, _>>()?;
            match file.as_str() {
                "tls.crt" => leaf(&found)?,
                _ => json!(found.iter().map(|one| one.subject().to_string()).collect::<Vec<_>>()),
            }
        };
        files.insert(file.clone(), told);
    }
    Ok(files.into())
}

fn leaf(chain: &[X509Certificate<'_>]) -> Result<Value> {
    let leaf = chain.first().context("no leaf")?;
    let signed = chain.get(1).is_some_and(|ca| leaf.verify_signature(Some(ca.public_key())).is_ok());
    let names = leaf.subject_alternative_name()?.map(|names| names.value.general_names.clone());
    let mut names: Vec<String> = names
        .unwrap_or_default()
        .into_iter()
        .map(|name| match name {
            GeneralName::DNSName(name) => name.to_owned(),
            GeneralName::URI(uri) => uri.to_owned(),
            other => other.to_string(),
        })
        .collect();
    names.sort();
    Ok(json!({
        "subject": leaf.subject().to_string(), "issuer": leaf.issuer().to_string(),
        "signed": signed, "names": names,
    }))
}

/// Of a record: what does not depend on the hour.
fn remembered(record: &Value) -> Value {
    let generations = record["authority"].as_array().cloned().unwrap_or_default();
    let keys: BTreeMap<_, _> = record["keys"]
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(class, cohorts)| {
            cohorts.as_object().into_iter().flatten().map(move |(cohort, record)| {
                let made = record["versions"].as_object().is_some_and(|versions| !versions.is_empty());
                (format!("{class}.{cohort}"), json!({"closed": record["closed"], "made": made}))
            })
        })
        .collect();
    json!({
        "channel": record["channel"],
        "authority": generations.iter().map(|one| json!([one["version"], one["state"]])).collect::<Vec<_>>(),
        "keys": keys,
        "access": !record["access"].is_null(),
        "open": record["open"],
        "closing": record["closing"].as_array().map(Vec::len),
    })
}

/// The metadata of a ServiceAccount's alias in OpenBao; null without one.
pub async fn alias(cluster: &Cluster, uid: &str) -> Result<Value> {
    let (_, auth) = cluster.root("GET", "sys/auth", None).await?;
    let accessor = auth["data"]["kubernetes/"]["accessor"].clone();
    let lookup = json!({"alias_name": uid, "alias_mount_accessor": accessor});
    let (status, entity) = cluster.root("POST", "identity/lookup/entity", Some(lookup)).await?;
    if status == 204 {
        return Ok(Value::Null);
    }
    let aliases = entity["data"]["aliases"].as_array().cloned().unwrap_or_default();
    let alias = aliases.iter().find(|alias| alias["name"] == uid).context("an entity without its alias")?;
    Ok(alias["custom_metadata"].clone())
}

/// The Events that `wanted` has and `found` lacks.
pub fn untold(found: &Value, wanted: &Value) -> Vec<String> {
    let told = |snapshot: &Value| -> BTreeSet<String> {
        let told = snapshot["told"].as_array().into_iter().flatten();
        told.filter_map(|one| one.as_str().map(str::to_owned)).collect()
    };
    told(wanted).difference(&told(found)).cloned().collect()
}

/// Where two snapshots differ, for people.
pub fn differences(found: &Value, wanted: &Value) -> Vec<String> {
    let mut all = Vec::new();
    difference("", found, wanted, &mut all);
    all
}

fn difference(path: &str, found: &Value, wanted: &Value, to: &mut Vec<String>) {
    match (found, wanted) {
        _ if found == wanted => {}
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let at = format!("{path}/{key}");
                let null = Value::Null;
                difference(&at, one.get(key).unwrap_or(&null), other.get(key).unwrap_or(&null), to);
            }
        }
        _ => to.push(format!("{path}: {found} instead of {wanted}")),
    }
}
