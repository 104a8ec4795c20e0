//! The schema of each kind, as installed in the API server.
//!
//! The derive macros are right but for three things, which are changed here for all kinds: forms become rules with
//! messages ([`rules::of_form`]), label selectors get bounds, and `nullable` is removed. A nullable field keeps an
//! explicit null for which `has()` is true, so `exception: null` would satisfy a rule such as "mode None needs an
//! exception". Without `nullable` the API server drops the null before any rule runs.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
    ValidationRule,
};
use kube::{
    CustomResourceExt,
    core::{Message, Rule},
};

use crate::rules;

/// The most labels or expressions a selector has.
const SELECTOR_TERMS: i64 = 16;
/// The most values an expression of a selector has.
const SELECTOR_VALUES: i64 = 16;
/// A label's key: a DNS name of 253 characters, a slash, a name of 63.
const LABEL_KEY_LENGTH: i64 = 317;
/// A label's value.
const LABEL_VALUE_LENGTH: i64 = 63;

/// The CustomResourceDefinition of `K`.
pub fn definition<K: CustomResourceExt>() -> CustomResourceDefinition {
    let mut crd = K::crd();
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            name_metadata(schema);
            settle(schema);
        }
    }
    crd
}

fn settle(node: &mut JSONSchemaProps) {
    if is_label_selector(node) {
        bound_selector(node);
    }
    node.nullable = None;
    if let Some(values) = &mut node.enum_ {
        values.retain(|JSON(value)| !value.is_null());
    }
    hoist_unquotable(node);
    if let Some(rules) = node.pattern.as_deref().and_then(|form| rules::of_form(form, "self")) {
        node.pattern = None;
        // The form's message says the minimum length in words.
        node.min_length = None;
        node.x_kubernetes_validations.get_or_insert_default().splice(0..0, rules.into_iter().map(rule));
    }
    for child in children(node) {
        settle(child);
    }
}

// Root rules may use `metadata.name` only if the schema declares it.
fn name_metadata(root: &mut JSONSchemaProps) {
    let object = |properties| JSONSchemaProps {
        type_: Some("object".to_owned()),
        properties: Some(properties),
        ..JSONSchemaProps::default()
    };
    let name = JSONSchemaProps { type_: Some("string".to_owned()), ..JSONSchemaProps::default() };
    root.properties
        .get_or_insert_default()
        .insert("metadata".to_owned(), object([("name".to_owned(), name)].into()));
}

fn hoist_unquotable(node: &mut JSONSchemaProps) {
    let required = node.required.clone().unwrap_or_default();
    let mut hoisted = Vec::new();
    for (name, property) in node.properties.iter_mut().flatten() {
        let subject = format!("self.{name}");
        let form = property.pattern.as_deref().filter(|form| rules::is_unquotable(form));
        let Some(rules) = form.and_then(|form| rules::of_form(form, &subject)) else { continue };
        property.pattern = None;
        hoisted.extend(rules.into_iter().map(|mut form| {
            if !required.contains(name) {
                form.rule = format!("!has({subject}) || ({})", form.rule);
            }
            rule(form.field_path(format!(".{name}")))
        }));
    }
    if !hoisted.is_empty() {
        node.x_kubernetes_validations.get_or_insert_default().extend(hoisted);
    }
}

fn children(node: &mut JSONSchemaProps) -> impl Iterator<Item = &mut JSONSchemaProps> {
    let items = match &mut node.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(&mut **items),
        _ => None,
    };
    let entries = match &mut node.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(entries)) => Some(&mut **entries),
        _ => None,
    };
    node.properties.iter_mut().flat_map(|properties| properties.values_mut()).chain(items).chain(entries)
}

fn is_label_selector(node: &JSONSchemaProps) -> bool {
    node.properties.as_ref().is_some_and(|properties| {
        properties.len() == 2
            && properties.contains_key("matchLabels")
            && properties.contains_key("matchExpressions")
    })
}

// Kubernetes' own type does not restrict a selector's content, and NetworkPolicy would reject it only later.
fn bound_selector(node: &mut JSONSchemaProps) {
    let Some(properties) = &mut node.properties else { return };
    if let Some(labels) = properties.get_mut("matchLabels") {
        labels.max_properties = Some(SELECTOR_TERMS);
        if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut labels.additional_properties {
            form(value, rules::LABEL_VALUE, LABEL_VALUE_LENGTH);
        }
        labels.x_kubernetes_validations.get_or_insert_default().push(rule(
            Rule::new(format!("self.all(key, {})", rules::matches("key", rules::LABEL_KEY)))
                .message("each key must be a label's key, such as app or app.kubernetes.io/name"),
        ));
    }
    if let Some(expressions) = properties.get_mut("matchExpressions") {
        expressions.max_items = Some(SELECTOR_TERMS);
        if let Some(JSONSchemaPropsOrArray::Schema(expression)) = &mut expressions.items {
            bound_expression(expression);
        }
    }
}

fn bound_expression(expression: &mut JSONSchemaProps) {
    expression.x_kubernetes_validations.get_or_insert_default().push(rule(
        Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)")
            .message("In and NotIn need values, Exists and DoesNotExist have none"),
    ));
    let Some(properties) = &mut expression.properties else { return };
    if let Some(key) = properties.get_mut("key") {
        form(key, rules::LABEL_KEY, LABEL_KEY_LENGTH);
    }
    if let Some(operator) = properties.get_mut("operator") {
        operator.enum_ =
            Some(["In", "NotIn", "Exists", "DoesNotExist"].map(|name| JSON(name.into())).to_vec());
    }
    if let Some(values) = properties.get_mut("values") {
        values.max_items = Some(SELECTOR_VALUES);
        if let Some(JSONSchemaPropsOrArray::Schema(value)) = &mut values.items {
            form(value, rules::LABEL_VALUE, LABEL_VALUE_LENGTH);
        }
    }
}

fn form(node: &mut JSONSchemaProps, pattern: &str, limit: i64) {
    node.pattern = Some(pattern.to_owned());
    node.max_length = Some(limit);
}

fn rule(rule: Rule) -> ValidationRule {
    let (message, message_expression) = match rule.message {
        Some(Message::Message(message)) => (Some(message), None),
        Some(Message::Expression(expression)) => (None, Some(expression)),
        None => (None, None),
    };
    ValidationRule {
        rule: rule.rule,
        message,
        message_expression,
        field_path: rule.field_path,
        optional_old_self: rule.optional_old_self,
        // The API server's own default; no rule here sets another.
        reason: None,
    }
}
