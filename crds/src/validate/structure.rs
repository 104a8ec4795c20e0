//! Walks an object together with a structural schema.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSON, JSONSchemaProps};
use serde_json::{Map, Value};

use super::{Violation, node::Node};

/// Adds to `found` what is wrong with `value`, which stands at `path`.
pub(super) fn check(node: &Node, value: &Value, path: &str, found: &mut Vec<Violation>) {
    let schema = &node.schema;
    let before = found.len();
    if let Some(message) = wrong_type(schema, value) {
        found.push(Violation::new(path, Some(value), message));
        return;
    }
    match value {
        Value::String(text) => check_text(schema, text, path, found),
        Value::Number(_) => check_number(schema, value, path, found),
        Value::Array(items) => check_list(node, items, path, found),
        Value::Object(fields) => check_object(node, fields, path, found),
        Value::Bool(_) | Value::Null => {}
    }
    if found.len() == before
        && let Some(allowed) = &schema.enum_
        && !allowed.iter().any(|JSON(allowed)| allowed == value)
    {
        let allowed: Vec<&str> = allowed.iter().filter_map(|JSON(value)| value.as_str()).collect();
        let message = match allowed.as_slice() {
            [only] => format!("must be {only}"),
            several => format!("must be one of {}", several.join(", ")),
        };
        found.push(Violation::new(path, Some(value), message));
    }
    let sound = found.len() == before;
    node.check_rules(value, None, path, sound, found);
}

fn wrong_type(schema: &JSONSchemaProps, value: &Value) -> Option<&'static str> {
    if schema.x_kubernetes_int_or_string == Some(true) {
        return (!value.is_string() && !value.is_i64()).then_some("must be a whole number or text");
    }
    let (right, message) = match schema.type_.as_deref()? {
        "object" => (value.is_object(), "must be a map of fields"),
        "array" => (value.is_array(), "must be a list: begin each entry with -, or write [ ] around them"),
        "string" if value.is_number() || value.is_boolean() => (false, "must be text: put it in quotes"),
        "string" => (value.is_string(), "must be text"),
        "integer" => (value.is_i64(), "must be a whole number, without quotes"),
        "number" => (value.is_number(), "must be a number, without quotes"),
        "boolean" => (value.is_boolean(), "must be true or false, without quotes"),
        _ => return None,
    };
    (!right).then_some(message)
}

fn check_text(schema: &JSONSchemaProps, text: &str, path: &str, found: &mut Vec<Violation>) {
    // The API server counts characters, not bytes.
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    // Not quoted: it is too long, and no rule has checked that it may be repeated.
    if let Some(limit) = schema.max_length.filter(|limit| length > *limit) {
        let message = format!("has {length} characters: at most {limit} are allowed");
        found.push(Violation::new(path, None, message));
    }
    if let Some(limit) = schema.min_length.filter(|limit| length < *limit) {
        let message = match length {
            0 => "must not be empty: write something or leave the field out".to_owned(),
            _ => format!("has {length} characters: at least {limit} are needed"),
        };
        found.push(Violation::new(path, None, message));
    }
}

#[allow(clippy::cast_precision_loss)] // Bounds of this API are far below 2^53.
fn check_number(schema: &JSONSchemaProps, value: &Value, path: &str, found: &mut Vec<Violation>) {
    let Some(number) = value.as_f64() else { return };
    let (low, high) = (schema.minimum, schema.maximum);
    let outside = low.is_some_and(|low| number < low) || high.is_some_and(|high| number > high);
    if outside {
        let message = match (low, high) {
            (Some(low), Some(high)) => format!("must be from {low} to {high}"),
            (Some(low), None) => format!("must be at least {low}"),
            (None, Some(high)) => format!("must be at most {high}"),
            (None, None) => return,
        };
        found.push(Violation::new(path, Some(value), message));
    } else if schema.format.as_deref() == Some("int32")
        && value.as_i64().is_some_and(|number| i32::try_from(number).is_err())
    {
        found.push(Violation::new(path, Some(value), "is too large a number"));
    }
}

fn check_list(node: &Node, items: &[Value], path: &str, found: &mut Vec<Violation>) {
    let schema = &node.schema;
    let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    if let Some(limit) = schema.max_items.filter(|limit| count > *limit) {
        let message = format!("has {count} entries: at most {limit} are allowed");
        found.push(Violation::new(path, None, message));
    }
    if let Some(limit) = schema.min_items.filter(|limit| count < *limit) {
        let message = format!("has {count} entries: at least {limit} must be written");
        found.push(Violation::new(path, None, message));
    }
    if let Some(node) = &node.items {
        for (index, item) in items.iter().enumerate() {
            check(node, item, &format!("{path}[{index}]"), found);
        }
    }
    match schema.x_kubernetes_list_type.as_deref() {
        Some("map") => {
            let keys = schema.x_kubernetes_list_map_keys.as_deref().unwrap_or_default();
            check_unique(items, path, found, |item| {
                keys.iter().map(|key| item.get(key).map(|value| (key.as_str(), value))).collect()
            });
        }
        Some("set") => check_unique(items, path, found, |item| Some(vec![("", item)])),
        _ => {}
    }
}

// A missing key is reported separately and makes no duplicate.
fn check_unique<'a>(
    items: &'a [Value],
    path: &str,
    found: &mut Vec<Violation>,
    key: impl Fn(&'a Value) -> Option<Vec<(&'a str, &'a Value)>>,
) {
    let mut seen = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        let Some(key) = key(item) else { continue };
        let text: Vec<String> = key.iter().map(|(_, value)| value.to_string()).collect();
        let Some(first) = seen.get(&text) else {
            seen.insert(text, index);
            continue;
        };
        let names: Vec<&str> = key.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect();
        let message = if names.is_empty() {
            format!("is written twice: it is also {path}[{first}], leave one out")
        } else {
            format!("has the same {} as {path}[{first}]: merge them or leave one out", names.join(" and "))
        };
        let value = key.first().filter(|_| key.len() == 1).map(|(_, value)| *value);
        found.push(Violation::new(format!("{path}[{index}]"), value, message));
    }
}

fn check_object(node: &Node, fields: &Map<String, Value>, path: &str, found: &mut Vec<Violation>) {
    let (schema, properties) = (&node.schema, &node.properties);
    let within = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for name in schema.required.iter().flatten().filter(|name| !fields.contains_key(*name)) {
        let described = properties.get(name).and_then(|node| node.schema.description.as_deref());
        let message = match described.and_then(first_sentence) {
            Some(what) => format!("required: {what}"),
            None => "required".to_owned(),
        };
        found.push(Violation::new(within(name), None, message));
    }
    let count = i64::try_from(fields.len()).unwrap_or(i64::MAX);
    if let Some(limit) = schema.max_properties.filter(|limit| count > *limit) {
        let message = format!("has {count} entries: at most {limit} are allowed");
        found.push(Violation::new(path, None, message));
    }
    for (name, value) in fields {
        match (properties.get(name), &node.entries) {
            (Some(node), _) => check(node, value, &within(name), found),
            // The key of a map is free text and may contain dots.
            (None, Some(node)) => check(node, value, &format!("{path}[{name}]"), found),
            (None, None) if schema.x_kubernetes_preserve_unknown_fields == Some(true) => {}
            (None, None) => {
                let message = match nearest(name, properties.keys()) {
                    Some(known) => format!("unknown field: did you mean {known}?"),
                    None => {
                        let known: Vec<&str> = properties.keys().map(String::as_str).collect();
                        format!("unknown field: {} are known here", known.join(", "))
                    }
                };
                found.push(Violation::new(within(name), None, message));
            }
        }
    }
}

fn first_sentence(description: &str) -> Option<&str> {
    let paragraph = description.split("\n\n").next()?;
    // A full stop before a lower-case letter or a digit belongs to an abbreviation.
    let end = paragraph
        .match_indices(". ")
        .find(|(end, stop)| {
            paragraph.get(end + stop.len()..).is_some_and(|rest| rest.starts_with(char::is_uppercase))
        })
        .map_or(paragraph.len(), |(end, _)| end);
    paragraph.get(..end).map(|sentence| sentence.trim_end_matches('.')).filter(|text| !text.is_empty())
}

/// The known name that is so near that a slip of the keyboard explains the difference.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .map(|known| (distance(&lower, &known.to_lowercase()), known.as_str()))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 5)
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein's edit distance, a row of the table at a time.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (index, a) in from.chars().enumerate() {
        let mut next = vec![index + 1];
        for (b, cells) in to.chars().zip(row.windows(2)) {
            let [diagonal, above] = cells else { continue };
            let left = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(a != b)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
