//! Detects trust domains that share a mount of one Vault, where each would withdraw and overwrite the other's
//! objects.

use subrosa_crds::{Reason, TrustDomain};

use crate::world::{World, domain, fault::Fault};

/// The mount that two trust domains share, as a path in Vault.
pub fn mount(one: &TrustDomain, other: &TrustDomain) -> Option<String> {
    if address(one) != address(other) {
        return None;
    }
    let mounts = |domain: &TrustDomain| {
        [
            format!("auth/{}", domain::auth_mount(domain)),
            domain::kv_mount(domain).to_owned(),
            domain::transit_mount(domain).to_owned(),
            domain::authorities_mount(domain),
        ]
    };
    let others = mounts(other);
    mounts(one).into_iter().find(|mount| others.contains(mount))
}

/// The fault where an older trust domain uses a mount of `domain`.
pub fn fault(domain: &TrustDomain, world: &World) -> Option<Fault> {
    let age = |domain: &TrustDomain| {
        (domain.metadata.creation_timestamp.as_ref().map(|time| time.0), domain.metadata.name.clone())
    };
    let others = world.domains.values().filter(|other| other.metadata.name != domain.metadata.name);
    let mut older = others.filter(|other| age(other) < age(domain));
    // Ordered by name, so that the result is stable.
    let (other, mount) = older.find_map(|other| Some((other, mount(domain, other)?)))?;
    let other = other.metadata.name.as_deref().unwrap_or_default();
    Some(Fault::new(
        Reason::VaultShared,
        format!(
            "TrustDomain {other} uses {mount} of the same Vault: give this one mounts of its own \
             (spec.vault.mounts, spec.vault.auth.kubernetes.mount), and run `subrosa vault-setup` for them"
        ),
    ))
}

/// The normalised address: lower case, without a slash at the end.
fn address(domain: &TrustDomain) -> String {
    domain.spec.vault.address.trim_end_matches('/').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::testing::{DOMAIN, Scene, now};

    fn world(vault: serde_json::Value) -> (World, TrustDomain) {
        let mut scene = Scene::new();
        let made = |name: &str, at: Timestamp, domain: &TrustDomain| {
            let mut domain = domain.clone();
            domain.metadata.name = Some(name.into());
            domain.metadata.creation_timestamp = Some(Time(at));
            domain
        };
        let first = made(DOMAIN, now(), &scene.world.domains[DOMAIN]);
        let mut second = made("aaa", now() + SignedDuration::from_secs(1), &first);
        let mut spec = serde_json::to_value(&second.spec.vault).unwrap();
        for (key, value) in vault.as_object().unwrap() {
            spec[key] = value.clone();
        }
        second.spec.vault = serde_json::from_value(spec).unwrap();
        scene.world.domains.insert(DOMAIN.into(), first.into());
        scene.world.domains.insert("aaa".into(), second.clone().into());
        (scene.world.clone(), second)
    }

    #[test]
    fn the_younger_of_two_that_share_a_mount_waits() {
        for shared in [
            json!({}),
            json!({"mounts": {"transit": "transit2", "kv": "subrosa2"}}),
            json!({"mounts": {"kv": "subrosa2"}, "auth": {"kubernetes": {"mount": "k2"}}}),
            json!({"mounts": {"transit": "transit2"}, "auth": {"kubernetes": {"mount": "k2"}}}),
        ] {
            let (world, second) = world(shared.clone());
            let fault_ = fault(&second, &world).unwrap_or_else(|| panic!("{shared}"));
            assert_eq!(fault_.reason, Reason::VaultShared);
            assert!(fault_.message.contains(DOMAIN), "{}", fault_.message);
            assert_eq!(fault(&world.domains[DOMAIN], &world), None, "the older one goes on");
        }
    }

    #[test]
    fn with_mounts_or_a_vault_of_its_own_it_does_not() {
        let apart = json!({"mounts": {"transit": "t2", "kv": "s2"}, "auth": {"kubernetes": {"mount": "k2"}}});
        for own in [apart, json!({"address": "https://another.example:8200"})] {
            let (world, second) = world(own);
            assert_eq!(fault(&second, &world), None);
        }
    }
}
