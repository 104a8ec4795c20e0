//! Whatever stands in a manifest: no panic, no half answer, and what passes can be read.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

#[allow(dead_code)] // What only the end-to-end suite reads.
mod cases;

use std::path::Path;

use cases::Case;
use proptest::prelude::*;
use serde_json::{Value, json};
use subrosa_crds::{
    AccessGrant, AccessRevocation, AccessRole, Adoption, Approval, Channel, Destruction, ExternalParty,
    LegalHold, RetentionPolicy, TrustDomain, Violation, retention,
    validate::{parse, validate_kind},
};

/// Values that are wrong nearly everywhere, and some that are right somewhere.
fn anything() -> impl Strategy<Value = Value> {
    let known = [
        json!(null),
        json!(0),
        json!(-1),
        json!(65_535),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1.5),
        json!(true),
        json!(""),
        json!("a"),
        json!("A"),
        json!("a\n"),
        json!("é"),
        json!("30d"),
        json!("0d"),
        json!("99999y"),
        json!("99999999d"),
        json!("2028-02-29"),
        json!("0000-02-29"),
        json!("10.0.0.0/8"),
        json!("::/0"),
        json!("::ffff:0:0/96"),
        json!("10.0.0.0/99"),
        json!("2-1"),
        json!("1-2/UDP"),
        json!("None"),
        json!("Mutual"),
        json!("Service"),
        json!("LastChange"),
        json!([]),
        json!([null]),
        json!({}),
        json!({"a": null}),
        json!("x".repeat(70_000)),
    ];
    prop_oneof![proptest::sample::select(known.to_vec()), any::<String>().prop_map(Value::from)]
}

#[derive(Clone, Debug)]
enum Change {
    Remove,
    Repeat,
    Write(Value),
    CopyFrom(prop::sample::Index),
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, Change)>> {
    let change = prop_oneof![
        Just(Change::Remove),
        Just(Change::Repeat),
        anything().prop_map(Change::Write),
        any::<prop::sample::Index>().prop_map(Change::CopyFrom),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), change), 1..4)
}

fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                pointers(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn apply(manifest: &mut Value, at: prop::sample::Index, change: Change) {
    let mut places = Vec::new();
    pointers(manifest, "", &mut places);
    let place = at.get(&places).clone();
    let copied = match &change {
        Change::CopyFrom(from) => manifest.pointer(from.get(&places).as_str()).cloned(),
        _ => None,
    };
    if let Change::Remove = change
        && let Some((parent, name)) = place.rsplit_once('/')
        && let Some(Value::Object(fields)) = manifest.pointer_mut(parent)
    {
        fields.remove(&name.replace("~1", "/").replace("~0", "~"));
    }
    let target = manifest.pointer_mut(&place);
    match (change, target) {
        (Change::Write(value), Some(target)) => *target = value,
        (Change::CopyFrom(_), Some(target)) => *target = copied.unwrap_or_default(),
        (Change::Repeat, Some(Value::Array(items))) => items.extend(items.first().cloned()),
        _ => {}
    }
}

fn read(kind: &str, manifest: &Value) -> Result<(), Vec<Violation>> {
    match kind {
        "TrustDomain" => parse::<TrustDomain>(manifest).map(drop),
        "ExternalParty" => parse::<ExternalParty>(manifest).map(drop),
        "RetentionPolicy" => parse::<RetentionPolicy>(manifest).map(|policy| {
            let today = jiff::civil::date(2026, 11, 22);
            drop(retention::check(&policy.spec, &["NL".to_owned()], today));
        }),
        "LegalHold" => parse::<LegalHold>(manifest).map(|hold| drop(hold.spec.release_digest())),
        "Destruction" => parse::<Destruction>(manifest).map(|one| drop(one.spec.computed_digest())),
        "AccessRole" => parse::<AccessRole>(manifest).map(|role| drop(role.spec.digest(&role.spec.rights()))),
        "AccessGrant" => parse::<AccessGrant>(manifest)
            .map(|one| drop(one.spec.digest("u", "strong", &Default::default()))),
        "AccessRevocation" => parse::<AccessRevocation>(manifest).map(|one| drop(one.spec.release_digest())),
        "Adoption" => parse::<Adoption>(manifest).map(|one| drop(one.spec.digest())),
        "Approval" => parse::<Approval>(manifest).map(drop),
        "Channel" => parse::<Channel>(manifest).map(drop),
        other => panic!("{other} is read by nothing here"),
    }
}

fn bases() -> Vec<Case> {
    let cases = cases::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
    cases.into_iter().filter(|case| case.errors.is_empty()).collect()
}

#[test]
fn what_is_accepted_can_be_read() {
    for case in bases() {
        assert_eq!(read(&case.kind, &case.manifest), Ok(()), "{}", case.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_manifest_is_refused_with_reasons_or_can_be_read(
        base in any::<prop::sample::Index>(), changes in changes(),
    ) {
        let bases = bases();
        let base = base.get(&bases);
        let mut manifest = base.manifest.clone();
        for (at, change) in changes {
            apply(&mut manifest, at, change);
        }
        let found = validate_kind(&base.kind, &manifest).unwrap();
        for violation in &found {
            prop_assert!(!violation.message.is_empty());
            prop_assert!(!violation.message.contains("evaluation error"), "{}", violation);
        }
        prop_assert_eq!(read(&base.kind, &manifest).err().unwrap_or_default(), found);
    }

    #[test]
    fn no_value_at_all_makes_it_panic(value in anything()) {
        for kind in ["TrustDomain", "ExternalParty", "RetentionPolicy", "Channel"] {
            prop_assert!(!validate_kind(kind, &value).unwrap().is_empty());
        }
    }
}
