//! Keeps the fields of a record that this binary does not know when it writes the record back.
//!
//! A later release may add a field, be rolled back and be installed again; the field must survive. So a record is
//! read as JSON, parsed as its type, and on writing the fields that the type does not have are put back.

use serde_json::{Map, Value};

/// The fields that identify the objects of a list. A list that is not named here is replaced as a whole.
const IDENTITIES: [(&str, &[&str]); 5] = [
    ("authority", &["version"]),
    ("issuances", &["serial"]),
    ("open", &["direction", "name", "other"]),
    ("closing", &["direction", "name", "other"]),
    ("tell", &["reason", "at", "note"]),
];

/// Puts into `new` the fields of `old` that `understood` (the same value, parsed and serialized by this binary) does
/// not have.
///
/// A field that is in `understood` but not in `new` was removed on purpose and is not put back.
pub fn keep(new: &mut Value, old: &Value, understood: &Value) {
    let (Value::Object(new), Value::Object(old), Value::Object(understood)) = (new, old, understood) else {
        return;
    };
    fields(new, old, understood);
}

fn fields(new: &mut Map<String, Value>, old: &Map<String, Value>, understood: &Map<String, Value>) {
    for (name, before) in old {
        let Some(known) = understood.get(name) else {
            new.entry(name.clone()).or_insert_with(|| before.clone());
            continue;
        };
        let Some(after) = new.get_mut(name) else { continue };
        match (after, before, known) {
            (Value::Object(after), Value::Object(before), Value::Object(known)) => {
                fields(after, before, known)
            }
            (Value::Array(after), Value::Array(before), Value::Array(known)) => {
                items(name, after, before, known)
            }
            _ => {}
        }
    }
}

fn items(list: &str, new: &mut [Value], old: &[Value], understood: &[Value]) {
    let Some((_, by)) = IDENTITIES.iter().find(|(name, _)| *name == list) else { return };
    let same = |one: &Value, other: &Value| by.iter().all(|field| one.get(field) == other.get(field));
    for item in new {
        let before = old.iter().find(|before| same(before, item));
        let known = understood.iter().find(|known| same(known, item));
        if let (Some(before), Some(known)) = (before, known) {
            keep(item, before, known);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_unknown_stays_and_what_was_removed_goes() {
        let old = json!({
            "schema": 2, "access": {"uid": "a", "region": "eu"}, "access2": {"x": 1}, "gone": 1,
            "authority": [{"version": 1, "pem": "p", "hsm": true}, {"version": 2, "pem": "q", "hsm": false}],
            "keys": {"call": {"2026w47": {"closed": true, "tier": "cold"}, "2026w48": {"tier": "hot"}}},
        });
        let understood = json!({
            "schema": 2, "access": {"uid": "a"}, "gone": 1,
            "authority": [{"version": 1, "pem": "p"}, {"version": 2, "pem": "q"}],
            "keys": {"call": {"2026w47": {"closed": true}, "2026w48": {}}},
        });
        let mut new = json!({
            "schema": 2, "access": {"uid": "b"},
            "authority": [{"version": 2, "pem": "q"}, {"version": 3, "pem": "r"}],
            "keys": {"call": {"2026w48": {"closed": true}}},
        });
        keep(&mut new, &old, &understood);
        let expected = json!({
            "schema": 2, "access": {"uid": "b", "region": "eu"}, "access2": {"x": 1},
            "authority": [{"version": 2, "pem": "q", "hsm": false}, {"version": 3, "pem": "r"}],
            "keys": {"call": {"2026w48": {"closed": true, "tier": "hot"}}},
        });
        assert_eq!(new, expected);
    }

    #[test]
    fn what_is_no_object_is_what_was_written() {
        let mut new = json!(3);
        keep(&mut new, &json!({"a": 1}), &json!({}));
        assert_eq!(new, json!(3));
    }
}
