//! Admission policies for what RBAC cannot express, because it sees neither labels nor contents.
//!
//! | policy | holds |
//! | --- | --- |
//! | `subrosa-membership` | only who may `govern` a TrustDomain puts a namespace into it or takes one out |
//! | `subrosa-deletion` | what protects is not deleted by accident |
//! | `subrosa-approval` | an Approval is made by the person it names, who has the verb `approve`, and stays as it is |
//! | `subrosa-destruction` | the operator makes Destructions, the destroyer tells of them, nobody changes or deletes them |
//! | `subrosa-legal-hold` | a LegalHold is deleted only after its release was approved |
//! | `subrosa-adoption` | an Adoption names who makes it, the operator tells of it, and what was adopted stays on record |
//! | `subrosa-destroyer` | the destroyer writes its one ConfigMap, and nobody else does |
//! | `subrosa-role-binding` | the operator gives itself one role, in governed namespaces, and nobody anything |
//! | `subrosa-secret` | the operator writes certificates of Channels, no other Secret |
//! | `subrosa-config-map` | the operator writes what tells workloads how to seal, no other ConfigMap |
//! | `subrosa-network-policy` | the operator writes its own NetworkPolicies, no other |
//! | `subrosa-trust-domain` | the operator changes its finalizer, not the office's decisions |
//! | `subrosa-workload` | the operator restarts a workload by one annotation and changes nothing else of it |
//! | `subrosa-backup-account` | the operator writes ServiceAccounts of backup workers, no other |
//! | `subrosa-backup-form` | the operator writes CronJobs and Jobs of backup workers in one form each, no other |
//! | `subrosa-backup-identity` | only such a CronJob's pods have a worker's identity, and nobody looks into them |
//! | `subrosa-access-role` | the granter writes Roles that give `get` on named Channels, no other Role |
//! | `subrosa-access-binding` | the granter binds those to groups of people, and nothing else to anybody |
//! | `subrosa-access-author` | who writes an AccessRole that has to be reviewed is named in it, and who gives one may grant its Channels |
//! | `subrosa-access-grant` | an AccessGrant names who asks for it, and only the granter says what became of it |
//! | `subrosa-access-revocation` | an AccessRevocation is deleted only after its release was approved |
//!
//! The eight before the last three apply only to the ServiceAccounts of the operator and the granter: their code does not do
//! these things, and with them a stolen token cannot either. Policies themselves are not subject to admission, so
//! whoever may edit them can disable them; that is detected ([`unedited`]), not prevented.

mod access_grant;
mod author;
mod backup;
mod deletion;
mod destruction;
mod granter;
mod membership;
mod operator;
mod revocation;
mod unedited;
mod workload;

use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec,
    Validation, Variable,
};

use kube::{Resource, api::ObjectMeta};
use serde::Serialize;

use super::{Installation, rbac::named};

pub use access_grant::GRANT;
pub use author::AUTHOR;
pub use destruction::APPROVAL;
pub use revocation::REVOCATION;
pub use unedited::{AdmissionObjects, Difference, Gap, RESTORE, gaps, unedited};

/// A policy and its binding, which have the same name.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// The policy.
    pub policy: ValidatingAdmissionPolicy,
    /// The binding, which applies the policy everywhere and denies on violation.
    pub binding: ValidatingAdmissionPolicyBinding,
}

impl Guard {
    /// The name of policy and binding.
    pub fn name(&self) -> &str {
        &self.binding.spec.policy_name
    }
}

/// The policies of an installation.
pub fn policies(installation: &Installation) -> Vec<Guard> {
    let mut guards = vec![membership::guard(installation)];
    if installation.confirms_deletion() {
        guards.push(deletion::guard());
    }
    guards.extend(destruction::guards(installation));
    guards.extend(operator::guards(installation));
    guards.extend(granter::guards(installation));
    guards.extend(backup::guards(installation));
    guards.push(author::guard());
    guards.push(access_grant::guard(installation));
    guards.push(revocation::guard(installation));
    guards
}

/// Whether a policy and its binding are unchanged from this build: `subrosa-approval`, without which Approvals do not count, or
/// `subrosa-access-author`, without which nobody knows who gives an AccessRole. Both name nothing of an installation.
///
/// Pass both as [`DynamicObject`](kube::core::DynamicObject)s where possible, so that fields unknown to this build's
/// types are compared too.
pub fn guard_is_unedited<P, B>(policy: &P, binding: &B) -> bool
where
    P: Resource + Serialize,
    B: Resource + Serialize,
{
    let is_named = |meta: &ObjectMeta, guard: &Guard| meta.name.as_deref() == Some(guard.name());
    let guards = [destruction::approval(), author::guard()];
    guards.iter().any(|wanted| {
        is_named(policy.meta(), wanted)
            && is_named(binding.meta(), wanted)
            && unedited(policy, &wanted.policy).is_none()
            && unedited(binding, &wanted.binding).is_none()
    })
}

/// The names of these policies and bindings.
pub fn names(installation: &Installation) -> Vec<String> {
    policies(installation).iter().map(|guard| guard.name().to_owned()).collect()
}

/// A policy being written.
struct Draft {
    name: &'static str,
    description: &'static str,
    rules: Vec<NamedRuleWithOperations>,
    conditions: Vec<MatchCondition>,
    variables: Vec<Variable>,
    validations: Vec<Validation>,
}

impl Draft {
    fn finish(self) -> Guard {
        let spec = ValidatingAdmissionPolicySpec {
            // Deny if the policy cannot be evaluated.
            failure_policy: Some("Fail".to_owned()),
            match_constraints: Some(MatchResources {
                // Also match requests for other served versions of the resource.
                match_policy: Some("Equivalent".to_owned()),
                resource_rules: Some(self.rules),
                ..MatchResources::default()
            }),
            match_conditions: (!self.conditions.is_empty()).then_some(self.conditions),
            variables: (!self.variables.is_empty()).then_some(self.variables),
            validations: Some(self.validations),
            ..ValidatingAdmissionPolicySpec::default()
        };
        let binding = ValidatingAdmissionPolicyBindingSpec {
            policy_name: self.name.to_owned(),
            validation_actions: vec!["Deny".to_owned()],
            ..ValidatingAdmissionPolicyBindingSpec::default()
        };
        Guard {
            policy: ValidatingAdmissionPolicy {
                metadata: named(self.name, Some(self.description)),
                spec: Some(spec),
                status: None,
            },
            binding: ValidatingAdmissionPolicyBinding { metadata: named(self.name, None), spec: binding },
        }
    }
}

fn rule(group: &str, version: &str, resources: &[&str], operations: &[&str]) -> NamedRuleWithOperations {
    let list = |texts: &[&str]| Some(texts.iter().map(ToString::to_string).collect());
    NamedRuleWithOperations {
        api_groups: list(&[group]),
        api_versions: list(&[version]),
        resources: list(resources),
        operations: list(operations),
        ..NamedRuleWithOperations::default()
    }
}

fn condition(name: &str, expression: String) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression }
}

fn variable(name: &str, expression: String) -> Variable {
    Variable { name: name.to_owned(), expression }
}

/// A requirement and its message for rejected requests.
fn demand(expression: String, message: String) -> Validation {
    Validation {
        expression,
        message: None,
        message_expression: Some(message),
        // 403, as with RBAC, because the object itself is not malformed.
        reason: Some("Forbidden".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Guard> {
        policies(&Installation::new("rosa", "gardener").unwrap())
    }

    #[test]
    fn every_policy_fails_closed_denies_and_explains() {
        for guard in all() {
            let (spec, binding) = (guard.policy.spec.unwrap(), guard.binding.spec);
            assert_eq!(spec.failure_policy.as_deref(), Some("Fail"));
            assert_eq!(guard.policy.metadata.name.as_deref(), Some(binding.policy_name.as_str()));
            assert_eq!(guard.binding.metadata.name.as_deref(), Some(binding.policy_name.as_str()));
            assert_eq!(binding.validation_actions, ["Deny"]);
            assert_eq!((binding.match_resources, binding.param_ref), (None, None));
            let constraints = spec.match_constraints.unwrap();
            assert_eq!(constraints.exclude_resource_rules, None);
            for rule in constraints.resource_rules.unwrap() {
                let texts = [rule.api_groups, rule.api_versions, rule.resources, rule.operations];
                assert!(texts.into_iter().flatten().flatten().all(|text| text != "*"));
            }
            for validation in spec.validations.unwrap() {
                assert!(validation.message_expression.is_some() && validation.reason.is_some());
            }
        }
    }

    #[test]
    fn the_operator_is_the_one_of_the_installation() {
        let text = serde_json::to_string(&all().into_iter().map(|guard| guard.policy).collect::<Vec<_>>());
        let text = text.unwrap();
        // Eight confine it; one says that it makes Destructions and one that it tells of Adoptions, in the expression and in
        // the message; two that it writes the CronJobs and Jobs of backup workers.
        assert_eq!(text.matches("system:serviceaccount:rosa:gardener").count(), 14);
        assert!(!text.contains("subrosa-system"));
    }

    #[test]
    fn only_the_deletion_guard_can_be_left_out() {
        let with = names(&Installation::default());
        let without = names(&Installation::default().without_deletion_confirmation());
        let missing: Vec<_> = with.iter().filter(|name| !without.contains(name)).collect();
        assert_eq!(missing, ["subrosa-deletion"]);
    }
}
