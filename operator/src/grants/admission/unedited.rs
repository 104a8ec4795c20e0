//! Compares the policies in the cluster with the wanted ones.

use std::fmt;

use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde_json::Value;

use super::Guard;

/// The API server's defaults, which do not change what a policy does.
const DEFAULTS: [(&str, &str); 3] =
    [("failurePolicy", "Fail"), ("matchPolicy", "Equivalent"), ("scope", "*")];

/// A difference between two specs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field, such as `spec.validations[0].expression`.
    pub field: String,
    /// The found value; `nothing` if missing.
    pub found: String,
    /// The wanted value.
    pub wanted: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} instead of {}", self.field, self.found, self.wanted)
    }
}

/// The first relevant difference of `found` from `wanted`. Metadata, status and defaults are ignored, but a deletion
/// in progress is not.
///
/// Pass `found` as a [`DynamicObject`](kube::core::DynamicObject), so that a field unknown to this build's types
/// counts as a difference.
pub fn unedited<F, W>(found: &F, wanted: &W) -> Option<Difference>
where
    F: Resource + Serialize,
    W: Resource + Serialize,
{
    if found.meta().deletion_timestamp.is_some() {
        return Some(Difference {
            field: "metadata.deletionTimestamp".to_owned(),
            found: "set".to_owned(),
            wanted: "nothing".to_owned(),
        });
    }
    let spec = |object: serde_json::Result<Value>| object.map(|mut object| take(&mut object, "spec"));
    match (spec(serde_json::to_value(found)), spec(serde_json::to_value(wanted))) {
        (Ok(found), Ok(wanted)) => differ("spec", &found, &wanted),
        // An unreadable object is not proven to be in place.
        _ => Some(difference("spec", &Value::String("unreadable".to_owned()), &Value::Null)),
    }
}

/// The repair. Applying creates what is missing but keeps what somebody added; replacing does not.
pub const RESTORE: &str = "kubectl apply -f deploy/admission.yaml; kubectl replace -f deploy/admission.yaml \
     (installed by Helm: see \"NotInPlace\" in docs/install.md)";

/// A policy or binding that is missing or edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The object's kind.
    pub kind: &'static str,
    /// The object's name.
    pub name: String,
    /// The difference; `None` if it is missing.
    pub edited: Option<Difference>,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.edited {
            None => write!(f, "{} {} is missing", self.kind, self.name),
            Some(difference) => write!(f, "{} {} was edited: {difference}", self.kind, self.name),
        }
    }
}

/// The policies and bindings in the cluster.
#[derive(Clone, Debug)]
pub struct AdmissionObjects<P, B> {
    /// The ValidatingAdmissionPolicies.
    pub policies: Vec<P>,
    /// Their bindings.
    pub bindings: Vec<B>,
}

/// The missing and edited objects, in the order of `wanted`; empty if all are in place.
pub fn gaps<P, B>(wanted: &[Guard], found: &AdmissionObjects<P, B>) -> Vec<Gap>
where
    P: Resource + Serialize,
    B: Resource + Serialize,
{
    let judge = |guard: &Guard| {
        let policy = gap("ValidatingAdmissionPolicy", &found.policies, &guard.policy);
        [policy, gap("ValidatingAdmissionPolicyBinding", &found.bindings, &guard.binding)]
    };
    wanted.iter().flat_map(judge).flatten().collect()
}

fn gap<F, W>(kind: &'static str, found: &[F], wanted: &W) -> Option<Gap>
where
    F: Resource + Serialize,
    W: Resource + Serialize,
{
    let name = wanted.name_any();
    match found.iter().find(|object| object.name_any() == name) {
        None => Some(Gap { kind, name, edited: None }),
        Some(object) => unedited(object, wanted).map(|edited| Gap { kind, name, edited: Some(edited) }),
    }
}

fn differ(field: &str, found: &Value, wanted: &Value) -> Option<Difference> {
    match (found, wanted) {
        (Value::Object(have), Value::Object(want)) => {
            let missing_or_changed = want.iter().find_map(|(key, want)| {
                let have = have.get(key).unwrap_or(&Value::Null);
                differ(&format!("{field}.{key}"), have, want)
            });
            missing_or_changed.or_else(|| {
                let unasked = |(key, _): &(&String, &Value)| !want.contains_key(key.as_str());
                let mut added = have.iter().filter(unasked);
                let (key, value) = added.find(|(key, value)| !means_nothing(key, value))?;
                Some(difference(&format!("{field}.{key}"), value, &Value::Null))
            })
        }
        (Value::Array(have), Value::Array(want)) if have.len() == want.len() => {
            let mut pairs = have.iter().zip(want).enumerate();
            pairs.find_map(|(index, (have, want))| differ(&format!("{field}[{index}]"), have, want))
        }
        _ if found == wanted => None,
        _ => Some(difference(field, found, wanted)),
    }
}

fn means_nothing(key: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => DEFAULTS.contains(&(key, text.as_str())),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn difference(field: &str, found: &Value, wanted: &Value) -> Difference {
    let text = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
    Difference { field: field.to_owned(), found: text(found), wanted: text(wanted) }
}

fn take(object: &mut Value, field: &str) -> Value {
    object.get_mut(field).map(Value::take).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
        apimachinery::pkg::apis::meta::v1::Time,
        jiff::Timestamp,
    };
    use kube::core::DynamicObject;
    use serde_json::json;

    use super::*;
    use crate::grants::{Installation, admission::policies};

    /// As a server gives it back.
    fn served(guard: &Guard) -> Value {
        let mut value = serde_json::to_value(&guard.policy).unwrap();
        value["metadata"]["uid"] = json!("1");
        value["metadata"]["generation"] = json!(3);
        value["status"] = json!({"observedGeneration": 3, "typeChecking": {}});
        let constraints = &mut value["spec"]["matchConstraints"];
        constraints["namespaceSelector"] = json!({});
        constraints["objectSelector"] = json!({});
        for rule in constraints["resourceRules"].as_array_mut().unwrap() {
            rule["scope"] = json!("*");
        }
        value
    }

    fn edited(change: impl Fn(&mut Value)) -> Option<String> {
        let guards = policies(&Installation::default());
        let guard = guards.first().unwrap();
        let mut value = served(guard);
        change(&mut value);
        let typed: ValidatingAdmissionPolicy = serde_json::from_value(value.clone()).unwrap();
        let dynamic: DynamicObject = serde_json::from_value(value).unwrap();
        let seen = unedited(&dynamic, &guard.policy).map(|difference| difference.field);
        assert_eq!(seen, unedited(&typed, &guard.policy).map(|difference| difference.field));
        seen
    }

    #[test]
    fn what_a_server_fills_in_is_no_edit() {
        for guard in policies(&Installation::default()) {
            let typed: ValidatingAdmissionPolicy = serde_json::from_value(served(&guard)).unwrap();
            assert_eq!(unedited(&typed, &guard.policy), None, "{}", guard.name());
            assert_eq!(unedited(&guard.binding, &guard.binding), None, "{}", guard.name());
        }
    }

    #[test]
    fn every_way_to_loosen_a_policy_is_named() {
        type Edit = fn(&mut Value);
        let cases: [(&str, Edit); 9] = [
            ("spec.failurePolicy", |policy| policy["spec"]["failurePolicy"] = json!("Ignore")),
            ("spec.validations", |policy| {
                policy["spec"]["validations"].as_array_mut().unwrap().pop();
            }),
            ("spec.validations[2].expression", |policy| {
                policy["spec"]["validations"][2]["expression"] = json!("true");
            }),
            ("spec.matchConditions", |policy| {
                let conditions = policy["spec"]["matchConditions"].as_array_mut().unwrap();
                conditions.push(json!({"name": "never", "expression": "false"}));
            }),
            ("spec.matchConstraints.objectSelector", |policy| {
                policy["spec"]["matchConstraints"]["objectSelector"] = json!({"matchLabels": {"a": "b"}});
            }),
            ("spec.matchConstraints.excludeResourceRules", |policy| {
                policy["spec"]["matchConstraints"]["excludeResourceRules"] =
                    json!([{"resources": ["namespaces"]}]);
            }),
            ("spec.matchConstraints.resourceRules[0].scope", |policy| {
                policy["spec"]["matchConstraints"]["resourceRules"][0]["scope"] = json!("Namespaced");
            }),
            ("spec.paramKind", |policy| {
                policy["spec"]["paramKind"] = json!({"apiVersion": "v1", "kind": "ConfigMap"});
            }),
            ("spec.variables[0].expression", |policy| {
                policy["spec"]["variables"][0]["expression"] = json!("''");
            }),
        ];
        assert_eq!(edited(|_| ()), None);
        for (field, change) in cases {
            assert_eq!(edited(change).as_deref(), Some(field));
        }
    }

    #[test]
    fn a_field_of_a_newer_server_is_not_trusted_unseen() {
        let guard = policies(&Installation::default()).remove(0);
        let mut value = served(&guard);
        value["spec"]["exempt"] = json!(["everybody"]);
        let dynamic: DynamicObject = serde_json::from_value(value).unwrap();
        let difference = unedited(&dynamic, &guard.policy).unwrap();
        assert_eq!(difference.to_string(), r#"spec.exempt is ["everybody"] instead of nothing"#);
    }

    #[test]
    fn a_binding_can_be_loosened_or_be_on_its_way_out() {
        let wanted = policies(&Installation::default()).remove(0).binding;
        let mut warns = wanted.clone();
        warns.spec.validation_actions = vec!["Warn".to_owned()];
        assert_eq!(unedited(&warns, &wanted).unwrap().field, "spec.validationActions[0]");
        let mut going = wanted.clone();
        going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert_eq!(unedited(&going, &wanted).unwrap().field, "metadata.deletionTimestamp");
    }

    #[test]
    fn gaps_are_named_one_by_one() {
        let wanted = policies(&Installation::default());
        let mut found = AdmissionObjects {
            policies: wanted.iter().map(|guard| guard.policy.clone()).collect(),
            bindings: wanted.iter().map(|guard| guard.binding.clone()).collect(),
        };
        assert_eq!(gaps(&wanted, &found), []);
        found.bindings.remove(1);
        found.policies[0].spec.as_mut().unwrap().failure_policy = Some("Ignore".to_owned());
        let messages: Vec<String> = gaps(&wanted, &found).iter().map(ToString::to_string).collect();
        let edited = "ValidatingAdmissionPolicy subrosa-membership was edited: \
                      spec.failurePolicy is \"Ignore\" instead of \"Fail\"";
        assert_eq!(messages, [edited, "ValidatingAdmissionPolicyBinding subrosa-deletion is missing"]);
        let nothing: AdmissionObjects<ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding> =
            AdmissionObjects { policies: vec![], bindings: vec![] };
        assert_eq!(gaps(&wanted, &nothing).len(), 2 * wanted.len());
    }
}
