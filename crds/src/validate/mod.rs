//! Validates a whole object offline, as the API server would on admission, but with all errors at once and unknown
//! fields rejected.
//!
//! One walk checks at each node the types, bounds, required and unknown fields and keys of lists, and then its CEL
//! rules. A rule that cannot be evaluated because a value is missing or has another type is skipped, because the walk
//! has reported that already.

mod metadata;
mod node;
mod structure;

use std::{collections::BTreeMap, fmt, sync::LazyLock};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResourceExt, Resource};
use node::Node;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Where, such as `spec.listeners[0].port`; empty for the object itself.
    pub field: String,
    /// What stands there, as JSON and shortened; none when nothing does, when it is a map or a list,
    /// or when it must not be repeated, such as an address with a password in it.
    pub value: Option<String>,
    /// What to write instead.
    pub message: String,
}

impl Violation {
    fn new(field: impl Into<String>, value: Option<&Value>, message: impl Into<String>) -> Self {
        Self { field: field.into(), value: value.and_then(shown), message: message.into() }
    }
}

/// The most characters of a value that are shown.
const SHOWN: usize = 64;

fn shown(value: &Value) -> Option<String> {
    if value.is_object() || value.is_array() {
        return None;
    }
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return Some(text);
    }
    Some(text.chars().take(SHOWN - 1).chain(['…']).collect())
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        if let Some(value) = &self.value {
            write!(f, "{value}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// What is wrong with `object` as a `K`, sorted by field; nothing when the API server would take it.
///
/// `status` is not looked at: nobody writes it but the operator.
pub fn validate<K>(object: &Value) -> Vec<Violation>
where
    K: CustomResourceExt + Resource<DynamicType = ()>,
{
    validate_kind(&K::kind(&()), object)
        .unwrap_or_else(|| Kind::new(crate::schema::definition::<K>()).validate(object))
}

/// Reads `object` as a `K` if nothing is wrong with it. Nulls are dropped first, as the API server does.
///
/// # Errors
/// All that is wrong with it.
pub fn parse<K>(object: &Value) -> Result<K, Vec<Violation>>
where
    K: CustomResourceExt + Resource<DynamicType = ()> + DeserializeOwned,
{
    let own;
    let kind = match KINDS.get(&*K::kind(&())) {
        Some(kind) => kind,
        None => {
            own = Kind::new(crate::schema::definition::<K>());
            &own
        }
    };
    let found = kind.validate(object);
    if !found.is_empty() {
        return Err(found);
    }
    // The schema is generated from the type, so a valid object parses. The error is not quoted: serde may repeat a
    // value.
    let unread = |_| vec![Violation::new("", None, format!("does not read as a {}", kind.name))];
    serde_json::from_value(clean(Some(&kind.schema), object)).map_err(unread)
}

/// What is wrong with `object` as a `kind` of this API; none when there is no such kind.
pub fn validate_kind(kind: &str, object: &Value) -> Option<Vec<Violation>> {
    Some(KINDS.get(kind)?.validate(object))
}

/// What is wrong with changing `old`, which has its status, to `object` of the same `kind`; none when there is no such kind.
pub fn validate_change(kind: &str, old: &Value, object: &Value) -> Option<Vec<Violation>> {
    let kind = KINDS.get(kind)?;
    let mut found = kind.validate(object);
    if let (Value::Object(_), true) = (object, found.is_empty()) {
        let (old, new) = (clean(Some(&kind.schema), old), clean(Some(&kind.schema), object));
        kind.schema.check_change(&new, &old, "", &mut found);
        found.sort();
        found.dedup();
    }
    Some(found)
}

// Cached, because compiling the rules takes longer than checking an object.
static KINDS: LazyLock<BTreeMap<String, Kind>> =
    LazyLock::new(|| crate::all().into_iter().map(Kind::new).map(|kind| (kind.name.clone(), kind)).collect());

struct Kind {
    name: String,
    schema: Node,
}

impl Kind {
    fn new(crd: CustomResourceDefinition) -> Self {
        let name = crd.spec.names.kind;
        let version = crd.spec.versions.into_iter().next().unwrap_or_default();
        let schema = version.schema.and_then(|schema| schema.open_api_v3_schema).unwrap_or_default();
        let mut schema = Node::new(schema);
        metadata::describe(&mut schema, &format!("{}/{}", crd.spec.group, version.name), &name);
        Self { name, schema }
    }

    fn validate(&self, object: &Value) -> Vec<Violation> {
        let Value::Object(fields) = object else {
            return vec![Violation::new("", Some(object), format!("must be a {}", self.name))];
        };
        let mut fields = without_nulls(&self.schema, fields);
        fields.remove("status");
        metadata::name(&mut fields);
        let mut found = Vec::new();
        structure::check(&self.schema, &Value::Object(fields), "", &mut found);
        found.sort();
        found.dedup();
        found
    }
}

// The API server drops nulls, because no field of this API is nullable. Unknown fields stay, to be reported.
fn without_nulls(node: &Node, fields: &Map<String, Value>) -> Map<String, Value> {
    fields
        .iter()
        .filter(|(name, value)| !value.is_null() || node.child(name).is_none())
        .map(|(name, value)| (name.clone(), clean(node.child(name), value)))
        .collect()
}

fn clean(node: Option<&Node>, value: &Value) -> Value {
    match (node, value) {
        (Some(node), Value::Object(fields)) => Value::Object(without_nulls(node, fields)),
        (Some(node), Value::Array(items)) => {
            Value::Array(items.iter().map(|item| clean(node.items.as_deref(), item)).collect())
        }
        (_, value) => value.clone(),
    }
}
