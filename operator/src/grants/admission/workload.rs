//! A restart is a change of one annotation; the verb for it could change all of a workload.

use subrosa_plan::restart::ANNOTATION;

use super::{Draft, demand, rule};

/// The policy's name.
const NAME: &str = "subrosa-workload";
/// What the API server itself counts up in a DaemonSet's annotations when its template changes.
const COUNTED: &str = "deprecated.daemonset.template.generation";

/// That two maps say the same, but for one key. What they are is not known before a workload is judged, so
/// that one expression does for the three kinds.
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
