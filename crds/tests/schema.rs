//! The schemas are structural, bounded and described: what the API server only says on installation,
//! or never.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

#[allow(dead_code)] // What only the end-to-end suite reads.
mod cases;

use std::{collections::BTreeSet, path::Path};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Value, json};
use subrosa_crds::validate::validate_kind;

/// `kubectl apply` keeps the whole object in an annotation, which may hold this many bytes.
const ANNOTATION_LIMIT: usize = 262_144;
/// Formats the API server knows and this API uses; an unknown one is a warning on every write.
const FORMATS: [&str; 3] = ["int32", "int64", "date-time"];

fn root(crd: &CustomResourceDefinition) -> &JSONSchemaProps {
    crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap()
}

fn items(node: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match node.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(items) => Some(items),
        JSONSchemaPropsOrArray::Schemas(_) => panic!("array-form items"),
    }
}

fn entries(node: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match node.additional_properties.as_ref()? {
        JSONSchemaPropsOrBool::Schema(entries) => Some(entries),
        JSONSchemaPropsOrBool::Bool(_) => panic!("additionalProperties without a schema"),
    }
}

/// Calls `visit` on every node with its path, from the root down.
fn walk(node: &JSONSchemaProps, path: &str, visit: &mut impl FnMut(&str, &JSONSchemaProps)) {
    visit(path, node);
    for (name, property) in node.properties.iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        walk(property, &path, visit);
    }
    if let Some(items) = items(node) {
        walk(items, &format!("{path}[]"), visit);
    }
    if let Some(entries) = entries(node) {
        walk(entries, &format!("{path}.*"), visit);
    }
}

#[test]
fn every_node_is_structural() {
    let mut faults = Vec::new();
    for crd in subrosa_crds::all() {
        walk(root(&crd), "", &mut |path, node| {
            let mut fault = |what: &str| faults.push(format!("{} {path}: {what}", crd.spec.names.kind));
            let either = node.x_kubernetes_int_or_string == Some(true);
            if node.type_.is_none() != either {
                fault("needs a type, or x-kubernetes-int-or-string instead");
            }
            if node.any_of.is_some() || node.one_of.is_some() || node.all_of.is_some() || node.not.is_some() {
                fault("choices are said in CEL, with a message");
            }
            if node.ref_path.is_some() || node.pattern_properties.is_some() || node.definitions.is_some() {
                fault("is not structural");
            }
            if node.default.is_some() {
                fault("has a default: an absent field stays absent, and the operator decides");
            }
            if node.nullable.is_some() {
                fault("is nullable: a null would satisfy has()");
            }
            if node.enum_.iter().flatten().any(|value| value.0.is_null()) {
                fault("has null among its choices");
            }
            if node.format.as_deref().is_some_and(|format| !FORMATS.contains(&format)) {
                fault("has a format that the API server does not know");
            }
            if node.type_.as_deref() == Some("array") && items(node).is_none() {
                fault("has no items");
            }
            if node.pattern.is_some() {
                fault("has a pattern that is no form of rules.rs, so nothing says what to write instead");
            }
            for key in node.x_kubernetes_list_map_keys.iter().flatten() {
                let item = items(node).unwrap();
                if !item.required.iter().flatten().any(|required| required == key) {
                    fault(&format!("its key {key} is not required"));
                }
            }
            for rule in node.x_kubernetes_validations.iter().flatten() {
                if !rule
                    .message
                    .as_deref()
                    .is_some_and(|message| message.len() > 20 && !message.contains('\n'))
                {
                    fault("has a rule that does not say in one line what to write instead");
                }
            }
        });
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn everything_a_person_writes_is_bounded_and_described() {
    let mut faults = Vec::new();
    for crd in subrosa_crds::all() {
        let spec = &root(&crd).properties.as_ref().unwrap()["spec"];
        walk(spec, "spec", &mut |path, node| {
            let mut fault = |what: &str| faults.push(format!("{} {path}: {what}", crd.spec.names.kind));
            let either = node.x_kubernetes_int_or_string == Some(true);
            match node.type_.as_deref() {
                Some("string") if node.enum_.is_none() && node.max_length.is_none() => {
                    fault("needs maxLength")
                }
                None if either && node.max_length.is_none() => fault("needs maxLength"),
                Some("array") if node.max_items.is_none() => fault("needs maxItems"),
                Some("array") if node.x_kubernetes_list_type.is_none() && !path.contains("elector.") => {
                    fault("needs a list type");
                }
                Some("object") if entries(node).is_some() && node.max_properties.is_none() => {
                    fault("needs maxProperties");
                }
                Some("integer") if node.minimum.is_none() || node.maximum.is_none() => {
                    fault("needs minimum and maximum");
                }
                _ => {}
            }
            let of_list = path.ends_with("[]") || path.ends_with(".*");
            if node.description.is_none() && !of_list {
                fault("needs a description");
            }
        });
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn lists_of_scalars_are_sets_and_named_lists_are_maps() {
    let mut atomic = BTreeSet::new();
    for crd in subrosa_crds::all() {
        let spec = &root(&crd).properties.as_ref().unwrap()["spec"];
        walk(spec, "spec", &mut |path, node| {
            if node.x_kubernetes_list_type.as_deref() == Some("atomic") {
                atomic.insert(format!("{} {path}", crd.spec.names.kind));
            }
        });
    }
    // A port is a number or a text, which no set holds; DNS servers have no name; nor has what a role allows, or to whom.
    let expected = [
        "AccessRole spec.allow",
        "AccessRole spec.subjects",
        "ExternalParty spec.channels[].ports",
        "TrustDomain spec.network.dns",
        "TrustDomain spec.network.services[].ports",
    ];
    assert_eq!(atomic, expected.map(str::to_owned).into());
}

#[test]
fn every_definition_fits_an_annotation() {
    for crd in subrosa_crds::all() {
        let size = serde_json::to_string(&crd).unwrap().len();
        assert!(size < ANNOTATION_LIMIT, "{}: {size} bytes", crd.spec.names.kind);
    }
}

/// Breaks every bound of the spec in turn, in the case that has everything.
#[test]
fn every_bound_is_kept() {
    let cases = cases::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
    let mut kept = 0;
    let mut faults = Vec::new();
    for crd in subrosa_crds::all() {
        let kind = &crd.spec.names.kind;
        let spec = &root(&crd).properties.as_ref().unwrap()["spec"];
        for case in cases.iter().filter(|case| case.kind == *kind && case.errors.is_empty()) {
            let mut broken = Vec::new();
            break_bounds(spec, &case.manifest["spec"], "spec", "/spec", &mut broken);
            for (field, pointer, value, message) in broken {
                let mut manifest = case.manifest.clone();
                match value {
                    Some(value) => *manifest.pointer_mut(&pointer).unwrap() = value,
                    None => {
                        let (parent, name) = pointer.rsplit_once('/').unwrap();
                        manifest.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
                    }
                }
                let found = validate_kind(kind, &manifest).unwrap();
                kept += 1;
                if !found
                    .iter()
                    .any(|violation| violation.field == field && violation.message.contains(message))
                {
                    faults.push(format!("{}: {field}: expected {message:?} in {found:?}", case.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(kept > 300, "only {kept} bounds were tried");
}

type Broken = (String, String, Option<Value>, &'static str);

/// Collects field, JSON pointer, the value to write there (none: remove it) and what is to be said.
fn break_bounds(node: &JSONSchemaProps, value: &Value, field: &str, pointer: &str, broken: &mut Vec<Broken>) {
    let mut with = |value: Value, message| {
        broken.push((field.to_owned(), pointer.to_owned(), Some(value), message));
    };
    match value {
        Value::String(_) => {
            if let Some(limit) = node.max_length {
                with(json!("é".repeat(usize::try_from(limit).unwrap() + 1)), "are allowed");
            }
            if node.enum_.is_some() {
                with(json!("nothing of the sort"), "must be ");
            }
            with(json!({}), "must be");
        }
        Value::Number(_) => {
            if let Some(low) = node.minimum {
                with(json!(low as i64 - 1), "must be from");
            }
            if let Some(high) = node.maximum {
                with(json!(high as i64 + 1), "must be from");
            }
            with(json!(1.5), "must be");
        }
        Value::Bool(_) => with(json!("true"), "must be true or false"),
        Value::Array(list) => {
            if let (Some(limit), Some(first)) = (node.max_items, list.first()) {
                with(json!(vec![first; usize::try_from(limit).unwrap() + 1]), "are allowed");
            }
            if node.min_items.is_some() {
                with(json!([]), "must be written");
            }
            with(json!("text"), "must be a list");
            for (index, item) in list.iter().enumerate() {
                let field = format!("{field}[{index}]");
                break_bounds(items(node).unwrap(), item, &field, &format!("{pointer}/{index}"), broken);
            }
        }
        Value::Object(fields) => {
            with(json!("text"), "must be a map");
            for name in node.required.iter().flatten() {
                broken.push((format!("{field}.{name}"), format!("{pointer}/{name}"), None, "required"));
            }
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                let Some(property) = node.properties.as_ref().and_then(|properties| properties.get(name))
                else {
                    continue;
                };
                let field = format!("{field}.{name}");
                break_bounds(property, value, &field, &format!("{pointer}/{name}"), broken);
            }
        }
        Value::Null => {}
    }
}
