//! A restart changes one annotation, but its verb would allow changing the whole workload.

use subrosa_plan::restart::ANNOTATION;

use super::{Draft, demand, rule};

/// The policy's name.
const NAME: &str = "subrosa-workload";
/// The annotation that the API server itself increments in a DaemonSet when its template changes.
const COUNTED: &str = "deprecated.daemonset.template.generation";

/// CEL: two maps are equal except for one key. Untyped, so that one expression serves the three kinds.
fn same_but(key: &str, path: &str) -> String {
    let (new, old) = (format!("dyn(object).{path}"), format!("dyn(oldObject).{path}"));
    format!(
        "{new}.all(key, key == '{key}' || (key in {old} && {new}[key] == {old}[key])) && \
         {old}.all(key, key == '{key}' || key in {new})"
    )
}

pub(super) fn draft() -> Draft {
    let annotations = "spec.template.?metadata.?annotations.orValue({})";
    let same = |field: &str| format!("object.metadata.?{field} == oldObject.metadata.?{field}");
    let message = format!(
        "'the operator sets the annotation {ANNOTATION} of the pod template of ' + object.metadata.name + \
         ' and changes nothing else'"
    );
    let expressions = [
        same_but("template", "spec"),
        same_but("metadata", "spec.template"),
        same_but("annotations", "spec.template.?metadata.orValue({})"),
        same_but(ANNOTATION, annotations),
        same_but(COUNTED, "metadata.?annotations.orValue({})"),
        [same("labels"), same("ownerReferences"), same("finalizers")].join(" && "),
    ];
    Draft {
        name: NAME,
        description: "The operator restarts a workload by one annotation of its pod template; it changes nothing else of it.",
        rules: vec![rule("apps", "v1", &["deployments", "statefulsets", "daemonsets"], &["UPDATE"])],
        conditions: vec![],
        variables: vec![],
        validations: expressions.into_iter().map(|expression| demand(expression, message.clone())).collect(),
    }
}
