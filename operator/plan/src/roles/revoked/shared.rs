//! Trust domains in which a person cannot log in either, since they have an auth mount in common with one that is named.

use std::collections::BTreeSet;

use kube::ResourceExt as _;
use subrosa_crds::{AccessRevocation, TrustDomain};

use crate::{roles::break_glass, world::domain};

/// The auth mounts of a TrustDomain on which a person is looked for: that of people, that of ServiceAccounts, and that of break-glass.
pub fn auth_mounts(domain: &TrustDomain) -> Vec<String> {
    let access = domain.spec.access.as_ref();
    let people = access.map(|access| access.provider.mount().to_owned());
    let glass = access.and_then(break_glass::access).map(|glass| glass.provider.mount().to_owned());
    people.into_iter().chain([domain::auth_mount(domain).to_owned()]).chain(glass).collect()
}

/// The others among `all` that have the same Vault as `one` and an auth mount in common with it.
pub fn sharing<'a>(one: &TrustDomain, all: impl IntoIterator<Item = &'a TrustDomain>) -> BTreeSet<String> {
    let mounts = auth_mounts(one);
    let shares = |other: &&TrustDomain| {
        other.name_any() != one.name_any()
            && other.spec.vault.address == one.spec.vault.address
            && auth_mounts(other).iter().any(|mount| mounts.contains(mount))
    };
    all.into_iter().filter(shares).map(|other| other.name_any()).collect()
}

/// The TrustDomains among `all` that `revocation` does not name and in which its person cannot log in either.
pub fn also_in(revocation: &AccessRevocation, all: &[&TrustDomain]) -> BTreeSet<String> {
    let spec = &revocation.spec;
    if spec.subject.user.is_none() {
        return BTreeSet::new();
    }
    let named = all.iter().filter(|one| spec.names_domain(&one.name_any()));
    let also = named.flat_map(|one| sharing(one, all.iter().copied()));
    also.filter(|name| !spec.names_domain(name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{roles::revoked::tests::revocation, testing};

    fn domain(name: &str, address: &str, mount: &str, own: &str) -> TrustDomain {
        let access = json!({
            "provider": {"issuer": "https://login.example", "mount": mount},
            "logins": [{"name": "strong", "acceptedAmr": ["mfa"]}],
        });
        let vault = json!({"address": address, "auth": {"kubernetes": {"mount": own}}});
        testing::domain(name, json!({"access": access, "vault": vault}))
    }

    fn also(subject: Value, named: &[&str]) -> Vec<String> {
        let all = [
            domain("a", "https://bao:8200", "people", "k-a"),
            domain("b", "https://bao:8200", "people", "k-b"),
            domain("c", "https://bao:8200", "others", "k-a"),
            domain("d", "https://bao:8200", "their-own", "k-d"),
            domain("e", "https://elsewhere:8200", "people", "k-a"),
        ];
        let mut one = revocation("leaver", subject);
        one.spec.trust_domains = named.iter().map(|name| (*name).to_owned()).collect();
        also_in(&one, &all.iter().collect::<Vec<_>>()).into_iter().collect()
    }

    #[test]
    fn who_shares_an_auth_mount_of_the_same_vault_is_hit_too() {
        let person = || json!({"user": "anna"});
        assert_eq!(also(person(), &["a"]), ["b", "c"]);
        assert_eq!(also(person(), &["a", "b"]), ["c"]);
        assert!(also(person(), &["d"]).is_empty() && also(person(), &["e"]).is_empty());
        assert!(also(person(), &[]).is_empty(), "all of them are named");
        assert!(also(json!({"group": "g"}), &["a"]).is_empty(), "no entity is disabled");
    }
}
