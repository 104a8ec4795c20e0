//! The operator's part: it lists due keys in Destructions, for people to approve.

use std::collections::{BTreeMap, HashSet};

use jiff::civil::Date;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use subrosa_crds::{
    Destruction, DestructionSpec, Reason, RetentionPolicy,
    destruction::{self, KeyOutcome, ListedKey, MOST_KEYS, PolicyAsListed},
    names::{ChannelRef, DataKeyName},
};

use super::{due, rules, status};
use crate::record::{destroyer::BindingRules, keys::KeyRecord};

/// A data key that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueKey {
    /// The key.
    pub key: ListedKey,
    /// The name of the policy under which it was made.
    pub policy: String,
    /// The due day.
    pub due: Date,
}

/// Whether a key is due on `today`, by its record and the policy under which it was made; by the record alone where
/// that policy is gone or has no such class. `rules` are the binding rules that the destroyer published: while a
/// shorter period is not approved, the latest day counts, as in the destroyer. `first` is the day that the destroyer
/// recorded; records of an earlier release have no day for an open cohort.
pub fn due(
    channel: &ChannelRef,
    name: &DataKeyName,
    key: &KeyRecord,
    policies: &BTreeMap<String, RetentionPolicy>,
    rules: &BTreeMap<String, BindingRules>,
    first: Option<Date>,
    today: Date,
) -> Option<DueKey> {
    let DataKeyName { id, class, cohort } = name;
    let (class, cohort) = (class.as_str(), *cohort);
    let name = &key.terms.as_ref()?.policy;
    let first = key.due.or(key.reseal_by).or(first);
    let due = match policies.get(name) {
        Some(policy) => due::of(first, class, cohort, policy, &rules::digest(policy), rules.get(name))?,
        None => first?,
    };
    (due <= today).then(|| DueKey {
        key: ListedKey {
            channel: channel.clone(),
            id: id.to_string(),
            data_class: class.to_owned(),
            cohort: cohort.to_string(),
        },
        policy: name.clone(),
        due,
    })
}

/// Keys that existing Destructions list and that can still be destroyed by them, and keys that came back after
/// destruction.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    keys: HashSet<String>,
    back: Vec<DueKey>,
}

impl Listed {
    /// Collects from the `existing` Destructions of trust domain `domain`, which has these `policies`. Destructions
    /// whose keys are all gone may be left out.
    pub fn of<'a>(
        domain: &str,
        policies: &BTreeMap<String, RetentionPolicy>,
        existing: impl IntoIterator<Item = &'a Destruction>,
    ) -> Self {
        let mut listed = Self::default();
        for one in existing.into_iter().filter(|one| one.spec.trust_domain == domain) {
            let is_settled = one.status.as_ref().is_some_and(status::is_settled);
            let as_listed = &one.spec.retention_policy;
            // A key that came back needs a new list, even where this one is not finished.
            let (back, others): (Vec<_>, Vec<_>) = one.spec.keys.iter().partition(|key| is_back(one, key));
            if !is_settled && *as_listed == policy_of(&as_listed.name, policies) {
                listed.keys.extend(others.into_iter().map(ListedKey::key_name));
            }
            if let Ok(due) = one.spec.due.parse() {
                let policy = &as_listed.name;
                let back = back.into_iter();
                listed.back.extend(back.map(|key| DueKey { key: key.clone(), policy: policy.clone(), due }));
            }
        }
        listed
    }

    /// Whether the key is listed.
    pub fn has(&self, key: &ListedKey) -> bool {
        self.keys.contains(&key.key_name())
    }

    /// Keys that came back after they were destroyed and that no list has yet.
    pub fn back(&self) -> impl Iterator<Item = DueKey> {
        self.back.iter().filter(|one| !self.has(&one.key)).cloned()
    }
}

/// The Destructions to create for those of the `due` keys in trust domain `domain` that none lists: one for each
/// policy and day, of at most [`MOST_KEYS`] keys.
///
/// `nonce` gives a random text of at least 16 letters and digits for each.
pub fn wanted(
    domain: &str,
    policies: &BTreeMap<String, RetentionPolicy>,
    due: impl IntoIterator<Item = DueKey>,
    mut nonce: impl FnMut() -> String,
) -> Vec<Destruction> {
    let mut batches: BTreeMap<(String, Date), Vec<ListedKey>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for DueKey { key, policy, due } in due {
        if seen.insert(key.key_name()) {
            batches.entry((policy, due)).or_default().push(key);
        }
    }
    let mut made = Vec::new();
    for ((policy, due), mut keys) in batches {
        let as_listed = policy_of(&policy, policies);
        keys.sort_by_key(ListedKey::key_name);
        made.extend(keys.chunks(MOST_KEYS).map(|keys| one(domain, &as_listed, due, keys, nonce())));
    }
    made
}

/// Whether this Destruction destroyed the key and a restore of Vault brought it back: such a key is listed again.
fn is_back(destruction: &Destruction, key: &ListedKey) -> bool {
    let keys = destruction.status.iter().flat_map(|status| &status.keys);
    let of = |one: &&KeyOutcome| {
        (&one.id, &one.data_class, &one.cohort) == (&key.id, &key.data_class, &key.cohort)
    };
    keys.into_iter().filter(of).any(|one| one.state == Reason::Resurrected.as_str())
}

/// The policy of that name, as a list that is made now refers to it.
fn policy_of(name: &str, policies: &BTreeMap<String, RetentionPolicy>) -> PolicyAsListed {
    let Some(policy) = policies.get(name) else { return PolicyAsListed::gone(name) };
    PolicyAsListed {
        name: name.to_owned(),
        uid: policy.uid().unwrap_or_default(),
        digest: rules::digest(policy),
    }
}

fn one(domain: &str, policy: &PolicyAsListed, due: Date, keys: &[ListedKey], nonce: String) -> Destruction {
    let mut spec = DestructionSpec {
        trust_domain: domain.to_owned(),
        retention_policy: policy.clone(),
        due: due.to_string(),
        nonce,
        keys: keys.to_vec(),
        digest: String::new(),
    };
    spec.digest = spec.computed_digest();
    let name = destruction::name(&policy.name, &spec.due, &spec.digest);
    let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
    Destruction { metadata, spec, status: None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;
    use subrosa_crds::retention_policy::Anchor;

    use super::*;
    use crate::{
        keys::key_record,
        record::channel::ActiveKey,
        testing::{named, read},
    };

    fn policies(keep: &str) -> BTreeMap<String, RetentionPolicy> {
        let policy = read(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "RetentionPolicy",
            "metadata": {"name": "clinic", "uid": "u-1"},
            "spec": {"classes": [{"name": "call", "keep": keep}]},
        }));
        [("clinic".to_owned(), policy)].into()
    }

    fn key(number: usize, due: &str) -> DueKey {
        DueKey {
            key: ListedKey {
                channel: named("cc-front/voice"),
                id: "abcdefgh234567ab".into(),
                data_class: "call".into(),
                cohort: format!("{:04}", 1000 + number),
            },
            policy: "clinic".into(),
            due: due.parse().unwrap(),
        }
    }

    fn made(due: Vec<DueKey>, existing: &[Destruction], keep: &str) -> Vec<Destruction> {
        let (mut count, policies) = (0, policies(keep));
        let listed = Listed::of("oosterlinde", &policies, existing);
        let unlisted: Vec<_> =
            due.into_iter().filter(|one| !listed.has(&one.key)).chain(listed.back()).collect();
        wanted("oosterlinde", &policies, unlisted, || {
            count += 1;
            format!("{count:016}")
        })
    }

    #[test]
    fn one_a_policy_and_day_and_at_most_a_thousand_keys() {
        let mut due: Vec<_> = (0..1001).map(|number| key(number, "2027-02-01")).collect();
        due.push(key(2000, "2027-03-01"));
        let found = made(due, &[], "90d");
        let sizes: Vec<_> = found.iter().map(|one| (one.spec.due.as_str(), one.spec.keys.len())).collect();
        assert_eq!(sizes, [("2027-02-01", 1000), ("2027-02-01", 1), ("2027-03-01", 1)]);
        for one in &found {
            assert_eq!(one.spec.computed_digest(), one.spec.digest);
            assert!(one.name_any().starts_with("clinic.2027"), "{}", one.name_any());
        }
        let names: BTreeSet<_> = found.iter().map(|one| one.name_any()).collect();
        assert_eq!(names.len(), 3);
    }

    #[test]
    fn what_is_listed_is_listed_once_as_long_as_the_policy_stays() {
        let first = made(vec![key(1, "2027-02-01")], &[], "90d");
        assert!(made(vec![key(1, "2027-02-01")], &first, "90d").is_empty());
        let more = made(vec![key(1, "2027-02-01"), key(2, "2027-02-01")], &first, "90d");
        assert_eq!(more[0].spec.keys.len(), 1, "only what is new");
        let changed = made(vec![key(1, "2027-02-01")], &first, "60d");
        assert_eq!(changed.len(), 1, "the policy was changed: another digest, another list");
        assert_ne!(changed[0].spec.digest, first[0].spec.digest);
    }

    #[test]
    fn what_is_void_is_listed_anew_and_what_is_back_too() {
        let due = || vec![key(1, "2027-02-01"), key(2, "2027-02-01")];
        let first = made(due(), &[], "90d");
        let with_status = |status: serde_json::Value| {
            let mut one = first[0].clone();
            one.status = Some(read(status));
            one
        };
        let stalled = json!({"type": "Stalled", "status": "True", "reason": "Voided", "message": "",
            "lastTransitionTime": "2027-02-01T00:00:00Z"});
        let void = with_status(json!({"state": "Voided", "conditions": [stalled]}));
        assert_eq!(
            made(due(), &[void], "90d").len(),
            1,
            "the policy is again as it was, and the list is void"
        );
        let state = |number, state: &str| {
            let ListedKey { id, data_class, cohort, .. } = key(number, "2027-02-01").key;
            json!({"id": id, "dataClass": data_class, "cohort": cohort, "state": state})
        };
        let back = with_status(json!({
            "state": "Resurrected", "method": "m", "destroyedAt": "2027-02-20T00:00:00Z",
            "keys": [state(1, "Destroyed"), state(2, "Resurrected")],
        }));
        // Whether the operator's own records know the key again or not.
        let again = made(vec![], std::slice::from_ref(&back), "90d");
        assert_eq!(again[0].spec.keys, [key(2, "2027-02-01").key]);
        let with_record = made(vec![key(2, "2027-02-03")], std::slice::from_ref(&back), "90d");
        assert_eq!((with_record.len(), with_record[0].spec.keys.len()), (1, 1), "once");
        assert!(made(vec![], &[back, again[0].clone()], "90d").is_empty(), "listed anew already");
    }

    #[test]
    fn the_day_of_a_key_is_that_of_its_record_until_a_shorter_one_is_approved() {
        let due_on = |first: &str, keep: &str, approved: bool, today: &str| {
            let policies = policies(keep);
            let digest = rules::digest(&policies["clinic"]);
            let approved = approved.then_some(digest);
            let bound = rules::bind(&policies["clinic"], None, false, today.parse().unwrap()).rules;
            let rules = [("clinic".to_owned(), BindingRules { approved, ..bound })].into();
            let key: KeyRecord = read(json!({
                "anchor": "CreatedAt", "due": first, "decisions": "d",
                "terms": {"policy": "clinic", "hash": "h", "keep": "90d"},
            }));
            let name = "abcdefgh234567ab.call.2026m10".parse().unwrap();
            let channel = named("cc-front/voice");
            let found = due(&channel, &name, &key, &policies, &rules, None, today.parse().unwrap());
            found.map(|due| due.due.to_string())
        };
        // 2026m10 ends on 1 November.
        assert_eq!(due_on("2027-01-30", "90d", false, "2027-01-29"), None);
        assert_eq!(due_on("2027-01-30", "90d", false, "2027-01-30").as_deref(), Some("2027-01-30"));
        assert_eq!(due_on("2027-01-30", "30d", false, "2027-01-29"), None, "shorter, and not approved");
        assert_eq!(due_on("2027-01-30", "30d", true, "2027-01-29").as_deref(), Some("2026-12-01"));
        assert_eq!(due_on("2027-01-30", "120d", false, "2027-02-28"), None, "longer");
    }

    /// Nobody resealed it, and its class was dropped or its policy is gone: it is listed on the day of its record.
    #[test]
    fn an_open_cohort_is_listed_whatever_became_of_its_policy() {
        let cohort = "open-2026m10".parse().unwrap();
        let id = "abcdefgh234567ab".parse().unwrap();
        let mut of_class = policies("90d");
        let class = &mut of_class.get_mut("clinic").unwrap().spec.classes[0];
        (class.anchor, class.open_for) = (Some(Anchor::LastChange), Some("1y".into()));
        let known = ActiveKey::default();
        let key = key_record(&id, "call", cohort, &known, of_class.get("clinic"), None);
        assert_eq!((key.due, key.reseal_by), (None, Some("2027-11-01".parse().unwrap())));
        let name = DataKeyName { id, class: "call".into(), cohort };
        let on = |key: &KeyRecord, policies: &BTreeMap<_, _>, first: Option<&str>, today: &str| {
            let (rules, first) = (BTreeMap::new(), first.map(|first| first.parse().unwrap()));
            let channel = named("cc-front/voice");
            due(&channel, &name, key, policies, &rules, first, today.parse().unwrap())
                .map(|due| due.due.to_string())
        };
        let mut dropped = of_class.clone();
        dropped.get_mut("clinic").unwrap().spec.classes[0].name = "mail".into();
        let old = KeyRecord { reseal_by: None, ..key.clone() };
        for policies in [&of_class, &dropped, &BTreeMap::new()] {
            assert_eq!(on(&key, policies, None, "2027-10-31"), None);
            assert_eq!(on(&key, policies, None, "2027-11-01").as_deref(), Some("2027-11-01"));
            let decided = Some("2027-11-01");
            assert_eq!(on(&old, policies, decided, "2027-11-01").as_deref(), Some("2027-11-01"));
        }
        assert_eq!(on(&old, &dropped, None, "2037-11-01"), None, "nobody knows its day");
    }

    #[test]
    fn without_its_policy_a_key_keeps_the_day_of_its_record() {
        let key: KeyRecord = read(json!({
            "anchor": "CreatedAt", "due": "2027-01-30", "decisions": "d",
            "terms": {"policy": "renamed", "hash": "h", "keep": "90d"},
        }));
        let name = "abcdefgh234567ab.call.2026m10".parse().unwrap();
        let on = |today: &str| {
            let (policies, rules) = (policies("20y"), BTreeMap::new());
            due(&named("cc-front/voice"), &name, &key, &policies, &rules, None, today.parse().unwrap())
        };
        assert_eq!(on("2027-01-29"), None);
        let found = on("2027-01-30").unwrap();
        assert_eq!((found.policy.as_str(), found.due.to_string().as_str()), ("renamed", "2027-01-30"));
        let listed = made(vec![found.clone()], &[], "20y");
        assert!(
            listed[0].spec.retention_policy.is_gone() && listed[0].name_any().starts_with("renamed.2027")
        );
        assert!(made(vec![found.clone()], &listed, "20y").is_empty());
        // The policy is there again: the list is not its own.
        let mut again = policies("20y");
        let clinic = again["clinic"].clone();
        again.insert("renamed".into(), clinic);
        let listed = Listed::of("oosterlinde", &again, &listed);
        assert!(!listed.has(&found.key));
    }
}
