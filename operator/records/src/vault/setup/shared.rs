//! Detects keys of others on Subrosa's transit mounts, and records of another trust domain on its key-value mount.
//!
//! The destroyer's rights cover every key of its mount, and anybody who may make keys there could reuse a destroyed
//! key's name. So a mount with keys of others, or with policies of others that can create keys, is refused, unless the parameters say that it is shared on purpose;
//! then nothing is destroyed there.

use subrosa_crds::names::{ChannelId, DataKeyName};

use super::apply::{ADMIN, read};
use super::{VaultSetup, acl, reach};
use crate::vault::client::Vault;
use crate::vault::endpoint::{Call, Capability, Op};
use crate::vault::error::VaultError;
use crate::vault::name::MountPath;
use crate::vault::transit::KeyNames;

/// How many foreign key names an error quotes.
const EXAMPLES: usize = 3;
/// How much of each name.
const MAX_NAME: usize = 64;
/// The path of ACL policies.
const POLICIES: &str = "sys/policies/acl";
/// Built in; it allows everything and has no text.
const ROOT: &str = "root";

/// Refuses existing transit mounts with keys that Subrosa did not make.
pub(super) async fn check(vault: &Vault, setup: &VaultSetup) -> Result<(), VaultError> {
    let index = "sys/mounts";
    let mounts = read(vault, &Op::new("setup.read", index, ADMIN), index).await?.unwrap_or_default();
    // A missing mount will be made; one of another type is refused later.
    let is_transit = |mount: &MountPath| {
        let found = mounts.get(&format!("{mount}/")).and_then(|found| found.get("type"));
        found.and_then(|kind| kind.as_str()) == Some("transit")
    };
    if !setup.shared_transit
        && is_transit(&setup.transit_mount)
        && let Some((count, examples)) = foreign(vault, &setup.transit_mount, is_data_key).await?
    {
        return Err(VaultError::SharedMount { path: setup.transit_mount.to_string(), count, examples });
    }
    if is_transit(&setup.authorities_mount)
        && let Some((count, examples)) = foreign(vault, &setup.authorities_mount, is_authority_key).await?
    {
        return Err(VaultError::SharedAuthorities {
            path: setup.authorities_mount.to_string(),
            count,
            examples,
        });
    }
    Ok(())
}

/// Refuses foreign policies that can create keys on the transit mounts, whether or not the mounts exist yet. A policy that can
/// write policies belongs to an administrator and is skipped: its holder can grant itself any right.
pub(super) async fn check_policies(vault: &Vault, setup: &VaultSetup) -> Result<(), VaultError> {
    let op = Op::new("setup.read", POLICIES, &[Capability::List]);
    let listed = vault.exec(&op, &Call::<(), KeyNames>::list(POLICIES)).await?;
    for policy in listed.and_then(|envelope| envelope.data).map(|data| data.keys).unwrap_or_default() {
        let path = format!("{POLICIES}/{policy}");
        if policy == ROOT || setup.steps().iter().any(|step| step.path == path) {
            continue;
        }
        let op = Op::new("setup.read", path.as_str(), ADMIN);
        // Deleted since it was listed.
        let Some(found) = read(vault, &op, &path).await? else { continue };
        let text = found.get("policy").and_then(|text| text.as_str()).unwrap_or_default();
        let rules = acl::rules(text).map_err(|problem| VaultError::UnreadablePolicy {
            policy: policy.chars().take(MAX_NAME).collect(),
            problem,
        })?;
        if reach::administers(&rules) {
            continue;
        }
        let of_data = Some(&setup.transit_mount).filter(|_| !setup.shared_transit);
        // Upsert is disabled on the mount of data keys only.
        let mounts =
            of_data.map(|mount| (mount, false)).into_iter().chain([(&setup.authorities_mount, true)]);
        for (mount, by_sealing) in mounts {
            if let Some(rule) = reach::makes_keys(&rules, mount, by_sealing) {
                return Err(VaultError::SharedByPolicy {
                    mount: mount.to_string(),
                    policy: policy.chars().take(MAX_NAME).collect(),
                    rule: rule.path.chars().take(MAX_NAME).collect(),
                    capabilities: rule.capabilities.clone(),
                    may_be_shared: *mount == setup.transit_mount,
                });
            }
        }
    }
    Ok(())
}

/// Refuses a key-value mount with the records of another trust domain.
pub(super) async fn check_store(vault: &Vault, setup: &VaultSetup) -> Result<(), VaultError> {
    let path = format!("{}/data/domain", setup.kv_mount);
    let op = Op::new("setup.read", path.as_str(), &[Capability::Read]);
    let found = match read(vault, &op, &path).await {
        Ok(found) => found,
        // No trust domain adopted it, or the mount does not exist. A mount of another type is refused later.
        Err(VaultError::NotFound { .. } | VaultError::Invalid { .. }) => None,
        Err(error) => return Err(error),
    };
    let there = found.as_ref().and_then(|found| found.get("data")?.get("trustDomain")?.as_str());
    match there.filter(|there| *there != setup.trust_domain) {
        None => Ok(()),
        Some(there) => Err(VaultError::StoreOfAnother {
            path: setup.kv_mount.to_string(),
            trust_domain: there.chars().take(MAX_NAME).collect(),
            wanted: setup.trust_domain.clone(),
        }),
    }
}

/// How many keys of others a mount has, and some of their names; `None` where there are none.
async fn foreign(
    vault: &Vault,
    mount: &MountPath,
    is_ours: fn(&str) -> bool,
) -> Result<Option<(usize, Vec<String>)>, VaultError> {
    let path = format!("{mount}/keys");
    let op = Op::new("setup.read", path.as_str(), ADMIN);
    let listed = vault.exec(&op, &Call::<(), KeyNames>::list(path.as_str())).await?;
    let names = listed.and_then(|envelope| envelope.data).map(|data| data.keys).unwrap_or_default();
    let foreign: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !is_folder(name) && !is_ours(name)).collect();
    let examples = foreign.iter().take(EXAMPLES).map(|name| name.chars().take(MAX_NAME).collect()).collect();
    Ok((!foreign.is_empty()).then_some((foreign.len(), examples)))
}

/// Whether the entry is a folder: transit lists `import/` once somebody asked for its wrapping key.
fn is_folder(name: &str) -> bool {
    name.ends_with('/')
}

/// Whether a key on the mount for data keys has the form of Subrosa's: `<id>.<rest>`, or that of a key of backups.
fn is_data_key(name: &str) -> bool {
    let of_channel =
        name.split_once('.').is_some_and(|(id, rest)| id.parse::<ChannelId>().is_ok() && !rest.is_empty());
    of_channel || name.parse::<DataKeyName>().is_ok()
}

/// Whether a key on the mount for authorities has the form of Subrosa's: an identity.
fn is_authority_key(name: &str) -> bool {
    name.parse::<ChannelId>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_others_are_told_by_their_names() {
        for name in [
            "abcdefghijklmnop.ca",
            "abcdefghijklmnop.chat.open-2026m11",
            "abcdefghijklmnopb.subrosa-backup.2026m12",
        ] {
            assert!(is_data_key(name) && !is_authority_key(name), "{name}");
        }
        assert!(is_authority_key("abcdefghijklmnop") && is_folder("import/"));
        for name in [
            "payments",
            "abcdefghijklmnop",
            "abcdefghijklmnop.",
            "short.chat.2026",
            "ABCDEFGHIJKLMNOP.ca",
            "",
        ] {
            assert!(!is_data_key(name), "{name}");
        }
    }
}
