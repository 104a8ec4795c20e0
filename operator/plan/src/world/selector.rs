//! Label selectors, as the API server reads them.
//!
//! Source: Kubernetes, "Labels and Selectors": all requirements must hold; `NotIn` and
//! `DoesNotExist` hold where the label is absent.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::{Expression, SelectorExt as _};

/// Whether `selector` selects an object with `labels`. A requirement that the API server would reject selects
/// nothing.
///
/// Equality labels, the most common kind, are compared in place; kube's own `Selector` would copy all of them.
pub fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let holds = |requirement: &LabelSelectorRequirement| {
        Expression::try_from(requirement.clone()).is_ok_and(|expression| expression.matches(labels))
    };
    selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().flatten().all(holds)
}

/// `selector` as the API server returns it: without empty maps and lists.
pub fn tidy(selector: &LabelSelector) -> LabelSelector {
    let mut tidy = selector.clone();
    tidy.match_labels = tidy.match_labels.filter(|labels| !labels.is_empty());
    tidy.match_expressions = tidy.match_expressions.filter(|expressions| !expressions.is_empty());
    for requirement in tidy.match_expressions.iter_mut().flatten() {
        requirement.values = requirement.values.take().filter(|values| !values.is_empty());
    }
    tidy
}

/// Whether everything that `narrow` selects is also selected by `wide`, as far as equality labels show.
pub fn implies(narrow: &LabelSelector, wide: &LabelSelector) -> bool {
    let label = |key| narrow.match_labels.as_ref().and_then(|labels| labels.get(key));
    let expressions = narrow.match_expressions.as_deref().unwrap_or_default();
    wide.match_labels.iter().flatten().all(|(key, value)| label(key) == Some(value))
        && wide.match_expressions.iter().flatten().all(|requirement| expressions.contains(requirement))
}

/// Whether a Service whose selector is `service` has only pods that `workload` selects behind it.
pub fn serves(service: &BTreeMap<String, String>, workload: &LabelSelector) -> bool {
    // Its pods may have any label that the Service does not name, so an absent label proves nothing.
    let settled = |requirement: &LabelSelectorRequirement| service.contains_key(&requirement.key);
    !service.is_empty()
        && workload.match_expressions.iter().flatten().all(settled)
        && matches(workload, service)
}

/// As people write it: `app=sbc,tier in (a, b)`.
pub fn text(selector: &LabelSelector) -> String {
    let equal = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let others = selector.match_expressions.iter().flatten().map(|requirement| {
        let values = requirement.values.as_deref().unwrap_or_default().join(", ");
        match requirement.operator.as_str() {
            "Exists" => requirement.key.clone(),
            "DoesNotExist" => format!("!{}", requirement.key),
            operator => format!("{} {} ({values})", requirement.key, operator.to_lowercase()),
        }
    });
    equal.chain(others).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
