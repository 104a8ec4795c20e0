//! The fields of every Kubernetes object: `apiVersion`, `kind` and `metadata`.
//!
//! A CustomResourceDefinition does not describe them. Here they are added to its schema, so that one walk checks them
//! as the API server does.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Map, Value};

use super::node::Node;

/// What the API server appends to `generateName`.
const GENERATED: &str = "x7k2p";

/// Describes them in the schema of `kind`.
pub(super) fn describe(root: &mut Node, api_version: &str, kind: &str) {
    let constant = |value: &str| JSONSchemaProps { enum_: Some(vec![JSON(value.into())]), ..typed("string") };
    let described =
        [("apiVersion", constant(api_version)), ("kind", constant(kind)), ("metadata", object_meta())];
    root.properties.extend(described.map(|(name, schema)| (name.to_owned(), Node::new(schema))));
    let required = root.schema.required.get_or_insert_default();
    required.extend(["apiVersion", "kind", "metadata"].map(str::to_owned));
}

/// Gives an object with only a `generateName` a name, as the API server would, because rules read the name.
pub(super) fn name(object: &mut Map<String, Value>) {
    let Some(Value::Object(metadata)) = object.get_mut("metadata") else { return };
    if metadata.contains_key("name") {
        return;
    }
    if let Some(prefix) = metadata.get("generateName").and_then(Value::as_str) {
        let name = format!("{prefix}{GENERATED}");
        metadata.insert("name".to_owned(), name.into());
    }
}

// Source: Kubernetes API reference, ObjectMeta.
fn object_meta() -> JSONSchemaProps {
    let texts = || JSONSchemaProps {
        additional_properties: Some(JSONSchemaPropsOrBool::Schema(Box::new(typed("string")))),
        ..typed("object")
    };
    let list = |items| JSONSchemaProps {
        items: Some(JSONSchemaPropsOrArray::Schema(Box::new(items))),
        ..typed("array")
    };
    let anything = || JSONSchemaProps { x_kubernetes_preserve_unknown_fields: Some(true), ..typed("object") };
    let properties = [
        ("annotations", texts()),
        ("creationTimestamp", typed("string")),
        ("deletionGracePeriodSeconds", typed("integer")),
        ("deletionTimestamp", typed("string")),
        ("finalizers", list(typed("string"))),
        ("generateName", typed("string")),
        ("generation", typed("integer")),
        ("labels", texts()),
        ("managedFields", list(anything())),
        ("name", typed("string")),
        ("namespace", typed("string")),
        ("ownerReferences", list(anything())),
        ("resourceVersion", typed("string")),
        ("selfLink", typed("string")),
        ("uid", typed("string")),
    ];
    JSONSchemaProps {
        properties: Some(properties.map(|(name, schema)| (name.to_owned(), schema)).into()),
        required: Some(vec!["name".to_owned()]),
        ..typed("object")
    }
}

fn typed(type_: &str) -> JSONSchemaProps {
    JSONSchemaProps { type_: Some(type_.to_owned()), ..JSONSchemaProps::default() }
}
