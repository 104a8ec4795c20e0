//! Decides whether a policy allows its holder to create keys on a transit mount.

use std::cmp::Reverse;

use super::acl::Rule;
use crate::vault::name::MountPath;

/// The path of a request, with `+` for any name, and the capabilities of which one is enough for it.
type Maker = (String, &'static [&'static str]);

const WRITE: &[&str] = &["create", "update"];

/// The first rule that allows creating keys on `mount`. `by_sealing` says whether upsert is enabled there: encrypting under an
/// unknown name then creates the key.
pub(super) fn makes_keys<'a>(rules: &'a [Rule], mount: &MountPath, by_sealing: bool) -> Option<&'a Rule> {
    let mut makers: Vec<Maker> = vec![
        (format!("{mount}/keys/+"), WRITE),
        (format!("{mount}/keys/+/import"), WRITE),
        (format!("{mount}/restore"), WRITE),
        (format!("{mount}/restore/+"), WRITE),
    ];
    if by_sealing {
        makers.push((format!("{mount}/encrypt/+"), &["create"]));
    }
    makers.iter().find_map(|maker| giving(rules, maker))
}

/// Whether its holder may write policies, and so grant itself any right.
pub(super) fn administers(rules: &[Rule]) -> bool {
    ["sys/policies/acl/+", "sys/policy/+"]
        .iter()
        .any(|path| giving(rules, &((*path).to_owned(), WRITE)).is_some())
}

/// The first rule that grants one of the capabilities on some path of the request, unless a denial overrides it.
fn giving<'a>(rules: &'a [Rule], (request, enough): &Maker) -> Option<&'a Rule> {
    let denies = |rule: &Rule| rule.capabilities.iter().any(|one| one == "deny");
    let gives = |rule: &&Rule| {
        !denies(rule)
            && rule.capabilities.iter().any(|one| enough.contains(&one.as_str()))
            && meets(&rule.path, request)
            && !rules.iter().any(|other| {
                denies(other) && covers(&other.path, request) && priority(&other.path) >= priority(&rule.path)
            })
    };
    rules.iter().find(gives)
}

/// Whether a rule's path matches some path of the request, in which `+` stands for the name of a key.
fn meets(rule: &str, request: &str) -> bool {
    matches(rule, request, |pattern, part, is_prefix| {
        // A template is filled in only at login.
        pattern.contains("{{")
            || match (is_prefix, part) {
                (true, "+") => true,
                (true, part) => part.starts_with(pattern),
                (false, "+") => !pattern.is_empty(),
                (false, part) => pattern == "+" || pattern == part,
            }
    })
}

/// Whether a rule's path matches every path of the request.
fn covers(rule: &str, request: &str) -> bool {
    matches(rule, request, |pattern, part, is_prefix| match (is_prefix, part) {
        (true, "+") => pattern.is_empty(),
        (true, part) => part.starts_with(pattern),
        (false, part) => pattern == "+" || (pattern == part && part != "+"),
    })
}

/// Compares segment by segment: `*` at the end of a rule's path matches any suffix, `+` one segment.
fn matches(rule: &str, request: &str, part_matches: impl Fn(&str, &str, bool) -> bool) -> bool {
    let prefix = rule.strip_suffix('*');
    let patterns: Vec<_> = prefix.unwrap_or(rule).split('/').collect();
    let parts: Vec<_> = request.split('/').collect();
    let fits = if prefix.is_some() { patterns.len() <= parts.len() } else { patterns.len() == parts.len() };
    let last = patterns.len() - 1;
    let mut pairs = patterns.iter().zip(&parts).enumerate();
    fits && pairs
        .all(|(index, (pattern, part))| part_matches(pattern, part, prefix.is_some() && index == last))
}

/// Orders rules as Vault does: of those that match a path, the greatest applies.
fn priority(rule: &str) -> impl Ord + use<> {
    let mut at = 0;
    let mut wildcards = Vec::new();
    for part in rule.split('/') {
        if part == "+" {
            wildcards.push(at);
        }
        at += part.len() + 1;
    }
    let glob = rule.strip_suffix('*').map(str::len);
    let first = wildcards.first().copied().into_iter().chain(glob).min();
    (first.unwrap_or(usize::MAX), glob.is_none(), Reverse(wildcards.len()), rule.len(), rule.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(rules: &[(&str, &str)]) -> Vec<Rule> {
        let rule = |(path, capabilities): &(&str, &str)| Rule {
            path: (*path).to_owned(),
            capabilities: capabilities.split(',').map(str::to_owned).collect(),
        };
        rules.iter().map(rule).collect()
    }

    fn makes(rules: &[(&str, &str)]) -> bool {
        makes_keys(&given(rules), &MountPath::new("seal/one").unwrap(), false).is_some()
    }

    #[test]
    fn every_way_to_make_a_key_is_seen() {
        for path in [
            "seal/one/keys/payments",
            "seal/one/keys/+",
            "seal/one/keys/*",
            "seal/one/keys/pay*",
            "seal/one/k*",
            "seal/one/keys/{{identity.entity.name}}",
            "seal/one/keys/+/import",
            "seal/one/keys/+/*",
            "seal/one/restore",
            "seal/one/restore/payments",
            "seal/+/keys/+",
            "+/+/keys/payments",
            "seal/*",
            "seal*",
            "*",
        ] {
            for capabilities in ["create", "read,update", "create,sudo"] {
                assert!(makes(&[(path, capabilities)]), "{path} {capabilities}");
            }
            for capabilities in ["read,list", "delete", "deny", "create,deny", "sudo"] {
                assert!(!makes(&[(path, capabilities)]), "{path} {capabilities}");
            }
        }
    }

    #[test]
    fn what_makes_no_key_of_this_mount_is_let_be() {
        for path in [
            "seal/one/keys",
            "seal/one/keys/",
            "seal/one/keys/payments/rotate",
            "seal/one/keys/payments/config",
            "seal/one/encrypt/*",
            "seal/one/decrypt/+",
            "seal/one-more/keys/*",
            "seal/onex*",
            "seal/keys/*",
            "transit/*",
            "+/keys/*",
            "kv/*",
        ] {
            assert!(!makes(&[(path, "create,update")]), "{path}");
        }
    }

    #[test]
    fn sealing_makes_a_key_where_nothing_forbids_it() {
        let mount = MountPath::new("seal/one").unwrap();
        let by_sealing = |path, capability| makes_keys(&given(&[(path, capability)]), &mount, true).is_some();
        assert!(by_sealing("seal/one/encrypt/*", "create,update"));
        assert!(!by_sealing("seal/one/encrypt/*", "update"), "that seals with keys that are there");
    }

    #[test]
    fn a_denial_counts_where_vault_prefers_it() {
        let all = ("seal/*", "create,update");
        let (keys, restore) = (("seal/one/keys/*", "deny"), ("seal/one/restore*", "deny"));
        assert!(!makes(&[all, keys, restore]));
        assert!(!makes(&[all, ("seal/*", "deny")]), "the same path");
        assert!(makes(&[all, keys]), "it may be restored");
        assert!(makes(&[all, ("seal/one/keys/pay*", "deny"), restore]), "other names");
        assert!(makes(&[all, ("*", "deny")]), "less is said of it");
        assert!(makes(&[("seal/one/keys/payments", "update"), keys, restore]), "more is said of it");
        assert!(makes(&[("seal/one/keys/+", "update"), ("seal/+/keys/+", "deny"), restore]));
        assert!(!makes(&[
            ("seal/+/keys/*", "update"),
            ("seal/+/keys/+", "deny"),
            ("seal/+/keys/+/import", "deny"),
            restore
        ]));
    }

    #[test]
    fn who_writes_policies_is_an_administrator() {
        for path in ["*", "sys/*", "sys/policies/acl/*", "sys/policy/+", "sys/policies/acl/team-*"] {
            assert!(administers(&given(&[(path, "create,update")])), "{path}");
            assert!(!administers(&given(&[(path, "read,list")])), "{path}");
        }
        assert!(!administers(&given(&[("sys/mounts/*", "create"), ("sys/policies/password/*", "create")])));
    }
}
