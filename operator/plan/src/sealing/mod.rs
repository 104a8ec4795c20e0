//! The ConfigMap `<channel>-sealing`, from which `subrosa seal` learns how to seal for a Channel.
//!
//! It says where the keys are and how a key's name follows from a date, but not which cohort is current. So it
//! changes only when somebody changes a Channel, a TrustDomain or a RetentionPolicy, never because a day has passed.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use sha2::{Digest as _, Sha256};
use subrosa_crds::{
    Reason, RetentionPolicy, TrustDomain,
    common::ConfigMapKey,
    names::ChannelId,
    sealing::{FILE, Sealing, SealingClass, SealingVault, WORKLOAD_ROLE},
};

use crate::{
    keys,
    world::{World, bundle::Unusable, declaration::Declaration, domain, fault::Fault, objects, pem},
};

/// The wanted state of the ConfigMap.
#[derive(Clone, Debug, PartialEq)]
pub enum WantedSettings {
    /// None: the Channel seals nothing.
    None,
    /// The existing one stays and none is made, because the declaration is not in force.
    Kept,
    /// This content.
    Wanted(Box<ConfigMap>),
    /// The wanted content is unknown; an existing ConfigMap stays.
    Unknown(Fault),
}

/// The name of a Channel's ConfigMap.
pub fn config_map_name(channel: &str) -> String {
    format!("{channel}-sealing")
}

/// The wanted ConfigMap of `channel`, whose declaration is in force.
pub fn settings(
    channel: &Declaration,
    id: &ChannelId,
    domain: &TrustDomain,
    retention: Option<&RetentionPolicy>,
    world: &World,
) -> WantedSettings {
    let Some(retention) = retention else { return WantedSettings::None };
    match sealing(channel, id, domain, retention, world).and_then(|told| config_map(channel, &told)) {
        Ok(wanted) => WantedSettings::Wanted(Box::new(wanted)),
        Err(fault) => WantedSettings::Unknown(fault),
    }
}

/// The settings that a workload needs.
fn sealing(
    channel: &Declaration,
    id: &ChannelId,
    domain: &TrustDomain,
    retention: &RetentionPolicy,
    world: &World,
) -> Result<Sealing, Fault> {
    let classes = keys::classes(channel, retention).map(|class| SealingClass {
        name: class.name.clone(),
        cohort: class.cohort.unwrap_or_default(),
        anchor: class.anchor.unwrap_or_default(),
        keep: class.keep.clone(),
        open_for: class.open_for.clone(),
    });
    Ok(Sealing {
        channel: channel.name().clone(),
        id: id.clone(),
        vault: vault(domain, world)?,
        time_zone: domain.spec.time_zone.clone().unwrap_or_else(|| "UTC".to_owned()),
        classes: classes.collect(),
        finished: channel.preset().and_then(|preset| preset.facts().recordings).map(|(finished, _)| finished),
    })
}

/// Where the keys are, and how a workload or a backup worker logs in.
///
/// # Errors
/// When the CA bundle for it cannot be used.
pub fn vault(domain: &TrustDomain, world: &World) -> Result<SealingVault, Fault> {
    let vault = &domain.spec.vault;
    let ca_bundle = match &vault.ca_bundle {
        Some(at) => Some(authorities(at, "vault.caBundle", domain, world)?),
        None => None,
    };
    Ok(SealingVault {
        address: vault.address.clone(),
        allow_insecure: vault.allow_insecure,
        ca_bundle,
        transit: domain::transit_mount(domain).to_owned(),
        auth: domain::auth_mount(domain).to_owned(),
        role: WORKLOAD_ROLE.to_owned(),
        audience: domain::audience(domain).to_owned(),
    })
}

/// The certificates in the bundle at `at`, which `field` of the TrustDomain names, by which pods verify a server. Nothing
/// else of the bundle is there, because it is copied to where others read it. The server's own certificate may be among
/// them, so they need not be CA certificates.
///
/// # Errors
/// When there is no such bundle, or no certificate in it.
pub fn authorities(
    at: &ConfigMapKey,
    field: &str,
    domain: &TrustDomain,
    world: &World,
) -> Result<String, Fault> {
    let unusable = |problem: Unusable| {
        let domain = domain.metadata.name.as_deref().unwrap_or_default();
        Fault::new(problem.reason(), format!("{field} of TrustDomain {domain}: {problem}"))
    };
    let bundle = world.bundles.get(at).ok_or_else(|| unusable(Unusable::NotFound(at.clone())))?;
    let malformed =
        |problem: &str| unusable(Unusable::Malformed { at: at.clone(), problem: problem.to_owned() });
    let certificates = pem::certificates(&bundle.text).map_err(malformed)?;
    if certificates.is_empty() {
        return Err(malformed("no certificate is in it"));
    }
    Ok(certificates.iter().map(|der| pem::encode(der)).collect())
}

fn config_map(channel: &Declaration, sealing: &Sealing) -> Result<ConfigMap, Fault> {
    let name = channel.name();
    let text = sealing.to_yaml().map_err(|error| Fault::new(Reason::Internal, error.to_string()))?;
    Ok(ConfigMap {
        metadata: ObjectMeta {
            name: Some(config_map_name(&name.name)),
            namespace: Some(name.namespace.clone()),
            labels: Some(objects::channel_labels(&name.name)),
            owner_references: objects::owner(channel).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(FILE.to_owned(), text)])),
        ..ConfigMap::default()
    })
}

/// Whether `found`, the Channel's own, has exactly the data and labels of `wanted`.
pub fn same(found: &ConfigMap, wanted: &ConfigMap) -> bool {
    let labels = found.metadata.labels.as_ref();
    let labelled = |(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value);
    found.data == wanted.data
        && found.binary_data.as_ref().is_none_or(BTreeMap::is_empty)
        && wanted.metadata.labels.iter().flatten().all(labelled)
}

/// What to do with the Channel's own ConfigMap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsStep {
    /// Nothing: it is as it should be.
    None,
    /// Write its data and labels.
    Write,
    /// Delete and create it again, because somebody made it immutable or added binary data.
    Replace,
}

/// What to do with `found`, the Channel's own.
pub fn step(found: &ConfigMap, wanted: &ConfigMap) -> SettingsStep {
    let binary = found.binary_data.as_ref().is_some_and(|data| !data.is_empty());
    match same(found, wanted) {
        true => SettingsStep::None,
        false if binary || found.immutable == Some(true) => SettingsStep::Replace,
        false => SettingsStep::Write,
    }
}

/// A hash of a ConfigMap's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingsFingerprint([u8; 16]);

impl SettingsFingerprint {
    /// The hash of a wanted ConfigMap.
    pub fn of(wanted: &ConfigMap) -> Self {
        let mut hash = Sha256::new();
        for (file, text) in wanted.data.iter().flatten() {
            hash.update(file.as_bytes());
            hash.update([0]);
            hash.update(text.as_bytes());
            hash.update([0]);
        }
        let whole = hash.finalize();
        let mut short = [0; 16];
        short.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        Self(short)
    }
}

#[cfg(test)]
mod tests;
