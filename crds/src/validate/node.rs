//! A schema as a tree whose nodes have their compiled rules.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::core::cel::{CompiledSchema, ErrorKind, compile_schema, validate_compiled};
use regex::Regex;
use serde_json::Value;

use super::Violation;
use crate::rules;

/// One node of a schema. Its children are here and no longer in `schema`.
pub(super) struct Node {
    pub(super) schema: JSONSchemaProps,
    pub(super) properties: BTreeMap<String, Self>,
    pub(super) items: Option<Box<Self>>,
    pub(super) entries: Option<Box<Self>>,
    forms: Vec<Form>,
    rules: Option<CompiledSchema>,
}

/// A rule that only matches a text. It runs here, because the CEL interpreter compiles the expression
/// again for every value, which takes longer than all else.
struct Form {
    expression: Regex,
    message: String,
}

impl Node {
    pub(super) fn new(mut schema: JSONSchemaProps) -> Self {
        let forms = take_forms(&mut schema);
        let rules = compile(&schema);
        let properties = schema.properties.take().unwrap_or_default();
        let items = match schema.items.take() {
            Some(JSONSchemaPropsOrArray::Schema(items)) => Some(items),
            _ => None,
        };
        let entries = match schema.additional_properties.take() {
            Some(JSONSchemaPropsOrBool::Schema(entries)) => Some(entries),
            _ => None,
        };
        Self {
            schema,
            properties: properties.into_iter().map(|(name, schema)| (name, Self::new(schema))).collect(),
            items: items.map(|items| Box::new(Self::new(*items))),
            entries: entries.map(|entries| Box::new(Self::new(*entries))),
            forms,
            rules,
        }
    }

    /// The node of the field or entry `name`.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(self.entries.as_deref())
    }

    /// Runs the node's own rules on `value`, which stands at `path`; those about a change only where `old` is what it was.
    /// `sound` says that its structure, down to the leaves, is right.
    pub(super) fn check_rules(
        &self,
        value: &Value,
        old: Option<&Value>,
        path: &str,
        sound: bool,
        found: &mut Vec<Violation>,
    ) {
        if let Value::String(text) = value {
            let failed = self.forms.iter().filter(|form| !form.expression.is_match(text));
            found.extend(failed.map(|form| Violation::new(path, Some(value), &*form.message)));
        }
        let Some(rules) = &self.rules else { return };
        let Err(errors) = validate_compiled(rules, value, old) else { return };
        for error in errors {
            // A rule that reads a missing value or another type adds nothing. If everything is there, a rule that
            // does not evaluate is a rejection, as on the API server.
            if error.kind != ErrorKind::ValidationFailure && !sound {
                continue;
            }
            // A rule with a `fieldPath` does not quote its value: it may stand on a parent for that reason.
            let quoted = error.field_path.is_empty().then_some(value);
            let field = format!("{path}{}", error.field_path);
            found.push(Violation::new(field.trim_start_matches('.'), quoted, error.message));
        }
    }

    /// Runs the rules about a change from `old` to `value`, here and at every field below. What stands in a list is not
    /// matched with what it was: no rule about a change stands there.
    pub(super) fn check_change(&self, value: &Value, old: &Value, path: &str, found: &mut Vec<Violation>) {
        self.check_rules(value, Some(old), path, true, found);
        let (Value::Object(fields), Value::Object(before)) = (value, old) else { return };
        for (name, child) in &self.properties {
            if let (Some(field), Some(before)) = (fields.get(name), before.get(name)) {
                child.check_change(field, before, &format!("{path}.{name}"), found);
            }
        }
    }
}

fn take_forms(schema: &mut JSONSchemaProps) -> Vec<Form> {
    let Some(rules) = &mut schema.x_kubernetes_validations else { return Vec::new() };
    let mut forms = Vec::new();
    rules.retain(|rule| {
        let expression = rules::sole_pattern(&rule.rule).and_then(|pattern| Regex::new(&pattern).ok());
        let form =
            expression.zip(rule.message.clone()).map(|(expression, message)| Form { expression, message });
        let rest = form.is_none();
        forms.extend(form);
        rest
    });
    forms
}

// A rule sees the whole value below its node, so the types below are kept. The rules below are dropped, because each
// runs at its own node.
fn compile(schema: &JSONSchemaProps) -> Option<CompiledSchema> {
    schema.x_kubernetes_validations.as_ref().filter(|rules| !rules.is_empty())?;
    let mut json = serde_json::to_value(schema).ok()?;
    let own = json.as_object_mut()?.remove(RULES)?;
    strip_rules(&mut json);
    json.as_object_mut()?.insert(RULES.to_owned(), own);
    Some(compile_schema(&json))
}

const RULES: &str = "x-kubernetes-validations";

fn strip_rules(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove(RULES);
            fields.values_mut().for_each(strip_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_rules),
        _ => {}
    }
}
