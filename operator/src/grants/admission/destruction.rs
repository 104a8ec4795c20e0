//! Who decides that data ends, and who writes the record of it. RBAC can check neither the people named in an object
//! nor its status.

use subrosa_crds::{GROUP, VERSION};

use subrosa_destroyer::cluster::MIRROR;

use super::{Draft, Guard, author, condition, demand, rule, variable};
use crate::grants::Installation;

/// The policy that binds an Approval to its author. Without it nobody can tell who approved.
pub const APPROVAL: &str = "subrosa-approval";

/// The policies about decisions and their objects; none is optional.
pub(super) fn guards(installation: &Installation) -> [Guard; 5] {
    [
        approval(),
        destruction(installation),
        legal_hold(installation),
        adoption(installation),
        memory(installation),
    ]
}

/// CEL: nothing changed except what the API server itself writes. So rewriting all stored objects without change is
/// allowed.
fn is_same() -> String {
    let same = |field: &str| format!("object.metadata.?{field} == oldObject.metadata.?{field}");
    let metadata = ["labels", "annotations", "ownerReferences", "finalizers"].map(same).join(" && ");
    format!("object.spec == oldObject.spec && {metadata}")
}

/// CEL: the object has neither owner references nor finalizers, so that nothing else controls its deletion.
fn stands_alone(what: &str) -> k8s_openapi::api::admissionregistration::v1::Validation {
    demand(
        "request.operation != 'CREATE' || (size(object.metadata.?ownerReferences.orValue([])) == 0 && \
         size(object.metadata.?finalizers.orValue([])) == 0)"
            .to_owned(),
        format!(
            "'{what} ' + object.metadata.name + ' has ownerReferences or finalizers: it belongs to nothing and stays; \
             leave both out'"
        ),
    )
}

/// An Approval is one person's decision. It needs the verb `approve`, which only this policy checks.
pub(super) fn approval() -> Guard {
    let resource = "{'Destruction': 'retentionpolicies', 'LegalHold': 'legalholds', 'RetentionPolicy': \
                    'retentionpolicies', 'TrustDomain': 'trustdomains', 'Adoption': 'adoptions', 'AccessRole': 'accessroles', \
                    'AccessGrant': 'accessgrants', 'AccessRevocation': 'accessrevocations'}[object.spec.target.kind]";
    let change = "request.operation != 'CREATE'";
    let mut validations = vec![
        demand(
            "request.operation != 'DELETE'".to_owned(),
            "'Approval ' + oldObject.metadata.name + ' stays: if one that denies could be deleted, whoever deletes it \
             would decide. It counts until its spec.expires; to say otherwise, make another Approval'"
                .to_owned(),
        ),
        demand(
            format!("request.operation != 'UPDATE' || ({})", is_same()),
            "'Approval ' + object.metadata.name + ' is never edited, nor its metadata: make another Approval'"
                .to_owned(),
        ),
        demand(
            format!("{change} || !request.userInfo.username.startsWith('system:')"),
            "request.userInfo.username + ' cannot approve or deny: a person decides, no ServiceAccount, node or \
             component of the cluster. Let a person run subrosa approve'"
                .to_owned(),
        ),
        demand(
            format!("{change} || object.spec.approver == request.userInfo.username"),
            "'spec.approver is ' + object.spec.approver + ', and the request is made by ' + \
             request.userInfo.username + ': everybody decides for themselves. Write your own name, as kubectl auth \
             whoami shows it'"
                .to_owned(),
        ),
        demand(
            format!(
                "{change} || object.spec.target.kind != 'Destruction' || object.spec.target.name.matches(\
                 '^[a-z0-9]([-a-z0-9]*[a-z0-9])?[.][0-9]{{8}}[.][0-9a-f]{{8}}$')"
            ),
            "'spec.target.name is ' + object.spec.target.name + ', which is no name of a Destruction: expected \
             <policy>.<day>.<digest>, as kubectl get destructions shows it'"
                .to_owned(),
        ),
        demand(
            format!(
                "{change} || authorizer.group('{GROUP}').resource(variables.resource)\
                 .namespace(object.spec.target.?namespace.orValue('')).name(variables.of).check('approve').allowed()"
            ),
            format!(
                "'to decide about ' + object.spec.target.kind + ' ' + object.spec.target.name + ' takes the verb \
                 approve on ' + variables.resource + '.{GROUP} ' + variables.of + ', which ' + \
                 request.userInfo.username + ' does not have; ask who hands out ClusterRole subrosa-approver'"
            ),
        ),
        stands_alone("Approval"),
    ];
    // Who approves a role that names nobody who gives it gives each Channel.
    validations.extend(author::granted(change, "object.spec.target.namespace", "spec.target.channels"));
    Draft {
        name: APPROVAL,
        description: "An Approval is made by the person it names, who has the verb approve, and grant on each Channel it gives; it is neither changed nor deleted.",
        rules: vec![rule(GROUP, VERSION, &["approvals"], &["CREATE", "UPDATE", "DELETE"])],
        conditions: vec![],
        variables: vec![
            variable("resource", resource.to_owned()),
            // A Destruction is named after its policy, whose approvers may decide about it.
            variable(
                "of",
                "object.spec.target.kind == 'Destruction' ? object.spec.target.name.split('.')[0] : \
                 object.spec.target.name"
                    .to_owned(),
            ),
            variable("channels", "object.spec.target.?channels.orValue([])".to_owned()),
        ],
        validations,
    }
    .finish()
}

/// A Destruction is a list while it is open, and a record once it is done.
fn destruction(installation: &Installation) -> Guard {
    let (operator, destroyer) = (installation.user(), installation.destroyer_user());
    Draft {
        name: "subrosa-destruction",
        description: "A Destruction is made by the operator and told of by the destroyer; nobody changes or deletes it.",
        rules: vec![rule(
            GROUP,
            VERSION,
            &["destructions", "destructions/status"],
            &["CREATE", "UPDATE", "DELETE"],
        )],
        conditions: vec![],
        variables: vec![],
        validations: vec![
            demand(
                "request.operation != 'DELETE'".to_owned(),
                "'Destruction ' + oldObject.metadata.name + ' stays: it is the record of what was destroyed, and who \
                 approved. To call it off: subrosa deny Destruction/' + oldObject.metadata.name"
                    .to_owned(),
            ),
            demand(
                format!("request.?subResource.orValue('') != 'status' || request.userInfo.username == '{destroyer}'"),
                format!(
                    "'the status of a Destruction is what the destroyer ({destroyer}) found and did; ' + \
                     request.userInfo.username + ' cannot write it'"
                ),
            ),
            demand(
                format!("request.operation != 'CREATE' || request.userInfo.username == '{operator}'"),
                format!(
                    "'Destructions are made by the operator ({operator}) when keys are due, not by ' + \
                     request.userInfo.username + '. When keys are due is said by the RetentionPolicy'"
                ),
            ),
            demand(
                "request.operation != 'CREATE' || object.metadata.name == object.spec.retentionPolicy.name + '.' + \
                 object.spec.due.replace('-', '') + '.' + object.spec.digest.substring(7, 15)"
                    .to_owned(),
                "'Destruction ' + object.metadata.name + ' is not named after what it lists: expected ' + \
                 object.spec.retentionPolicy.name + '.' + object.spec.due.replace('-', '') + '.' + \
                 object.spec.digest.substring(7, 15)"
                    .to_owned(),
            ),
            demand(
                format!(
                    "request.operation != 'UPDATE' || request.?subResource.orValue('') == 'status' || ({})",
                    is_same()
                ),
                "'Destruction ' + object.metadata.name + ' is never edited, nor its metadata: people approve exactly this \
                 list'"
                    .to_owned(),
            ),
            stands_alone("Destruction"),
        ],
    }
    .finish()
}

/// A LegalHold ends by Approvals. It cannot be deleted before the destroyer confirmed that.
fn legal_hold(installation: &Installation) -> Guard {
    let destroyer = installation.destroyer_user();
    Draft {
        name: "subrosa-legal-hold",
        description: "A LegalHold is deleted only after its release was approved; its status is the destroyer's.",
        rules: vec![rule(
            GROUP,
            VERSION,
            &["legalholds", "legalholds/status"],
            &["CREATE", "UPDATE", "DELETE"],
        )],
        conditions: vec![],
        variables: vec![],
        validations: vec![
            demand(
                "request.operation != 'DELETE' || oldObject.?status.?conditions.orValue([]).exists(condition, \
                 condition.type == 'Effective' && condition.status == 'False' && condition.reason == 'Released')"
                    .to_owned(),
                "'LegalHold ' + oldObject.metadata.name + ' is not released: write spec.released: true and have its end \
                 approved (subrosa approve LegalHold/' + oldObject.metadata.name + '); it can be deleted when condition \
                 Effective is False with reason Released'"
                    .to_owned(),
            ),
            demand(
                format!("request.?subResource.orValue('') != 'status' || request.userInfo.username == '{destroyer}'"),
                format!(
                    "'the status of a LegalHold is what the destroyer ({destroyer}) found and did; ' + \
                     request.userInfo.username + ' cannot write it'"
                ),
            ),
            demand(
                "request.operation == 'DELETE' || size(object.metadata.?ownerReferences.orValue([])) == 0".to_owned(),
                "'LegalHold ' + object.metadata.name + ' has ownerReferences: it goes with no other object; leave them out'"
                    .to_owned(),
            ),
        ],
    }
    .finish()
}

/// An Adoption names its author, who may not approve it; only the operator writes its status.
fn adoption(installation: &Installation) -> Guard {
    let operator = installation.user();
    Draft {
        name: "subrosa-adoption",
        description: "An Adoption is made by the user it names and told of by the operator; what was adopted stays on record.",
        rules: vec![rule(GROUP, VERSION, &["adoptions", "adoptions/status"], &["CREATE", "UPDATE", "DELETE"])],
        conditions: vec![],
        variables: vec![],
        validations: vec![
            demand(
                "request.operation != 'CREATE' || object.spec.requestedBy == request.userInfo.username".to_owned(),
                "'spec.requestedBy is ' + object.spec.requestedBy + ', and the request is made by ' + \
                 request.userInfo.username + ': who asks does not approve, so write your own name, as kubectl auth whoami \
                 shows it'"
                    .to_owned(),
            ),
            demand(
                format!("request.?subResource.orValue('') != 'status' || request.userInfo.username == '{operator}'"),
                format!(
                    "'the status of an Adoption is what the operator ({operator}) found and did; ' + \
                     request.userInfo.username + ' cannot write it'"
                ),
            ),
            demand(
                "request.operation != 'DELETE' || (oldObject.?status.?adopted.orValue(0) == 0 && \
                 !oldObject.?status.?adoptedAt.hasValue())"
                    .to_owned(),
                "'Adoption ' + oldObject.metadata.name + ' stays: it is the record of which Channel opens what earlier ones \
                 sealed, and who approved'"
                    .to_owned(),
            ),
            stands_alone("Adoption"),
        ],
    }
    .finish()
}

/// The cluster's copy of the destroyer's record in Vault, which shows a restore of either. RBAC cannot limit `create`
/// by name, and administrators of the namespace may write ConfigMaps.
fn memory(installation: &Installation) -> Guard {
    let (namespace, destroyer) = (installation.namespace(), installation.destroyer_user());
    let name = "(request.operation == 'DELETE' ? oldObject : object).metadata.name";
    Draft {
        name: "subrosa-destroyer",
        description: "The destroyer writes ConfigMap subrosa-destroyer of its namespace and no other, and nobody else writes that.",
        rules: vec![rule("", "v1", &["configmaps"], &["CREATE", "UPDATE", "DELETE"])],
        conditions: vec![condition(
            "the-destroyer-or-its-memory",
            format!(
                "request.userInfo.username == '{destroyer}' || (request.namespace == '{namespace}' && {name} == '{MIRROR}')"
            ),
        )],
        variables: vec![variable("name", name.to_owned())],
        validations: vec![
            demand(
                format!("variables.name == '{MIRROR}' && request.namespace == '{namespace}'"),
                format!(
                    "'the destroyer writes ConfigMap {MIRROR} of namespace {namespace} only, not ' + variables.name"
                ),
            ),
            demand(
                format!(
                    "request.userInfo.username == '{destroyer}' || (request.operation == 'DELETE' && \
                     namespaceObject != null && has(namespaceObject.metadata.deletionTimestamp))"
                ),
                format!(
                    "'ConfigMap {MIRROR} is how the destroyer ({destroyer}) notices that Vault or the cluster was restored; \
                     ' + request.userInfo.username + ' can neither write nor delete it'"
                ),
            ),
        ],
    }
    .finish()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
    use kube::core::DynamicObject;
    use serde_json::{Value, json};

    use super::*;
    use crate::grants::admission::guard_is_unedited;

    fn served() -> (Value, Value) {
        let guard = approval();
        (serde_json::to_value(&guard.policy).unwrap(), serde_json::to_value(&guard.binding).unwrap())
    }

    fn judged(change: impl Fn(&mut Value, &mut Value)) -> bool {
        let (mut policy, mut binding) = served();
        change(&mut policy, &mut binding);
        let policy: DynamicObject = serde_json::from_value(policy).unwrap();
        let binding: DynamicObject = serde_json::from_value(binding).unwrap();
        guard_is_unedited(&policy, &binding)
    }

    #[test]
    fn an_approval_counts_only_under_the_policy_of_this_build() {
        let (policy, _) = served();
        let typed: ValidatingAdmissionPolicy = serde_json::from_value(policy).unwrap();
        assert!(guard_is_unedited(&typed, &approval().binding));
        assert!(judged(|_, _| ()));
        assert!(
            judged(|policy, _| policy["metadata"]["labels"] = json!({"team": "a"})),
            "metadata is nobody's rule"
        );
        assert!(!judged(|policy, _| policy["spec"]["failurePolicy"] = json!("Ignore")));
        assert!(!judged(|policy, _| policy["spec"]["validations"][3]["expression"] = json!("true")));
        assert!(!judged(
            |policy, _| policy["spec"]["matchConditions"] = json!([{"name": "x", "expression": "false"}])
        ));
        assert!(!judged(|policy, _| policy["metadata"]["name"] = json!("another")));
        assert!(!judged(|policy, _| policy["metadata"]["deletionTimestamp"] = json!("2026-11-29T00:00:00Z")));
        assert!(!judged(|_, binding| binding["spec"]["validationActions"] = json!(["Audit"])));
        assert!(!judged(|_, binding| binding["spec"]["matchResources"] =
            json!({"objectSelector": {"matchLabels": {"a": "b"}}})));
        assert!(!judged(|_, binding| binding["spec"]["policyName"] = json!("another")));
        assert!(!judged(|_, binding| binding["metadata"]["name"] = json!("another")));
        // Fields that this build's types do not know.
        assert!(!judged(|policy, _| policy["spec"]["exempt"] = json!(["everybody"])));
        assert!(!judged(|_, binding| binding["spec"]["enforceFrom"] = json!("2099-01-01")));
    }

    #[test]
    fn the_guard_of_approvals_is_the_same_everywhere() {
        let text = serde_json::to_string(&approval().policy).unwrap();
        assert!(
            !text.contains("subrosa-system"),
            "it names nothing of an installation, so the destroyer can compare it"
        );
    }
}
