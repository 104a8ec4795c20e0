//! Every rule of every kind takes what it should and refuses what it should.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

#[allow(dead_code)] // What only the end-to-end suite reads.
mod cases;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use cases::Case;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Value, json};
use subrosa_crds::{
    TrustDomain, Violation, validate,
    validate::{validate_change, validate_kind},
};

fn all_cases() -> Vec<Case> {
    cases::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"))
}

fn judged(case: &Case) -> Vec<Violation> {
    let found = match &case.before {
        Some(before) => validate_change(&case.kind, before, &case.manifest),
        None => validate_kind(&case.kind, &case.manifest),
    };
    found.unwrap_or_else(|| panic!("{}: no such kind", case.name))
}

#[test]
fn every_case_is_judged_as_it_says() {
    let mut wrong = Vec::new();
    for case in all_cases() {
        let found = judged(&case);
        let mut unexpected = found.clone();
        for expected in &case.errors {
            let place = unexpected.iter().position(|violation| {
                violation.field == expected.field && violation.message.contains(&expected.message)
            });
            match place {
                Some(place) => drop(unexpected.remove(place)),
                None => wrong.push(format!("{}: missing {expected:?} in {found:#?}", case.name)),
            }
        }
        wrong.extend(unexpected.iter().map(|violation| format!("{}: found {violation}", case.name)));
        if let Some(secret) = &case.secret {
            let shown = found.iter().any(|violation| violation.to_string().contains(secret));
            assert!(!shown, "{}: the secret is repeated in {found:#?}", case.name);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the API server says in its own way, before it looks at the schema.
#[test]
fn what_every_object_has_is_checked_too() {
    let object = json!({
        "apiVersion": "subrosa.dev/v1", "kind": "Chanel",
        "metadata": {"name": "db", "labels": {"a": 5, "b.example/c": "d"}, "anotations": {}},
        "spec": {"workload": {"selector": {"matchLabels": {"app": "db"}}}},
        "status": {"ready": "never looked at"},
    });
    let found: Vec<String> =
        validate_kind("Channel", &object).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "apiVersion: \"subrosa.dev/v1\": must be subrosa.dev/v1alpha1",
            "kind: \"Chanel\": must be Channel",
            "metadata.anotations: unknown field: did you mean annotations?",
            "metadata.labels[a]: 5: must be text: put it in quotes",
        ]
    );
    assert_eq!(validate_kind("Deployment", &object), None);
    assert_eq!(validate::<TrustDomain>(&json!("text")).len(), 1);
}

#[test]
fn every_rule_has_an_accepted_and_a_rejected_case() {
    let cases = all_cases();
    let mut bare = Vec::new();
    for crd in subrosa_crds::all() {
        let kind = &crd.spec.names.kind;
        let schema = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        let mut rules = BTreeMap::new();
        collect(schema, "", &mut rules);
        let mut accepted = BTreeSet::new();
        let mut rejected = BTreeSet::new();
        for case in cases.iter().filter(|case| case.kind == *kind) {
            if case.errors.is_empty() {
                places(&case.manifest, "", &mut accepted);
            } else {
                rejected.extend(
                    judged(case).into_iter().map(|violation| (general(&violation.field), violation.message)),
                );
            }
        }
        for ((field, message), node) in rules {
            if !accepted.contains(&node) {
                bare.push(format!("{kind} {node}: no accepted case meets {message:?}"));
            }
            if !rejected.contains(&(field.replace(".*", "[]"), message.clone())) {
                bare.push(format!("{kind} {field}: no case is rejected by {message:?}"));
            }
        }
    }
    assert!(bare.is_empty(), "{}", bare.join("\n"));
}

/// Rules by the field they report and their message, with the node they stand on.
fn collect(node: &JSONSchemaProps, path: &str, rules: &mut BTreeMap<(String, String), String>) {
    for rule in node.x_kubernetes_validations.iter().flatten() {
        let field = format!("{path}{}", rule.field_path.as_deref().unwrap_or_default());
        let message = rule.message.clone().unwrap_or_else(|| panic!("{path}: a rule without a message"));
        rules.insert((field.trim_start_matches('.').to_owned(), message), path.to_owned());
    }
    for (name, property) in node.properties.iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect(property, &path, rules);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &node.items {
        collect(items, &format!("{path}[]"), rules);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(entries)) = &node.additional_properties {
        collect(entries, &format!("{path}.*"), rules);
    }
}

fn places(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    if value.is_null() {
        return;
    }
    found.insert(path.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = if path.ends_with("matchLabels") { "*" } else { name };
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                places(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| places(item, &format!("{path}[]"), found)),
        _ => {}
    }
}

/// A field without its indices.
fn general(field: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for letter in field.chars() {
        inside = (inside || letter == '[') && letter != ']';
        if !inside || letter == '[' {
            kept.push(letter);
        }
    }
    kept
}
