//! Checks that the admission policies for membership and deletion are in place and unedited.

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::{
    Api, Client, Resource,
    core::{ApiResource, DynamicObject},
};

use subrosa_plan::status::trust_domain::Guards;

use crate::grants::{
    Installation,
    admission::{AdmissionObjects, Gap, RESTORE, gaps, names, policies},
};

/// An admission policy that an installation may switch off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Optional {
    /// Who puts a namespace into a trust domain.
    Membership,
    /// Deletion needs a confirmation.
    Deletion,
}

impl Optional {
    fn policy(self) -> &'static str {
        match self {
            Self::Membership => "subrosa-membership",
            Self::Deletion => "subrosa-deletion",
        }
    }

    fn left_open(self) -> &'static str {
        match self {
            Self::Membership => "whoever may label a namespace decides which trust domain it belongs to",
            Self::Deletion => "what protects can be deleted by accident",
        }
    }

    fn value(self) -> &'static str {
        match self {
            Self::Membership => "admission.membershipGuard.enabled",
            Self::Deletion => "admission.deletionGuard.enabled",
        }
    }
}

/// The state of the admission policies, where those in `off` are switched off. What cannot be read counts as wrong.
pub async fn look(client: &Client, installation: &Installation, off: &[Optional]) -> Guards {
    match found(client, installation).await {
        Err(error) => Guards::NotInPlace(format!("the admission policies cannot be read: {error}")),
        Ok(found) => judge(&gaps(&policies(installation), &found), off),
    }
}

/// A policy that was switched off later may still be installed; then it counts as in place.
fn judge(gaps: &[Gap], off: &[Optional]) -> Guards {
    let chosen = |gap: &&Gap| off.iter().any(|one| one.policy() == gap.name);
    let wrong: Vec<_> = gaps.iter().filter(|gap| !chosen(gap)).map(ToString::to_string).collect();
    if !wrong.is_empty() {
        return Guards::NotInPlace(format!("{}; next: {RESTORE}", wrong.join("; ")));
    }
    let missing = off.iter().filter(|one| gaps.iter().any(|gap| gap.name == one.policy()));
    let said: Vec<_> = missing
        .map(|one| {
            format!(
                "{} is switched off by the chart's value {}: {}",
                one.policy(),
                one.value(),
                one.left_open()
            )
        })
        .collect();
    if said.is_empty() { Guards::InPlace } else { Guards::SwitchedOff(said.join("; ")) }
}

/// Read as untyped objects, so that fields unknown to this build are compared too.
async fn found(
    client: &Client,
    installation: &Installation,
) -> kube::Result<AdmissionObjects<DynamicObject, DynamicObject>> {
    let policies = api::<ValidatingAdmissionPolicy>(client);
    let bindings = api::<ValidatingAdmissionPolicyBinding>(client);
    let mut found = AdmissionObjects { policies: Vec::new(), bindings: Vec::new() };
    for name in names(installation) {
        found.policies.extend(policies.get_opt(&name).await?);
        found.bindings.extend(bindings.get_opt(&name).await?);
    }
    Ok(found)
}

fn api<K: Resource<DynamicType = ()>>(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &ApiResource::erase::<K>(&()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(name: &str) -> Gap {
        Gap { kind: "ValidatingAdmissionPolicy", name: name.to_owned(), edited: None }
    }

    #[test]
    fn only_what_was_switched_off_is_excused() {
        let off = [Optional::Deletion];
        assert_eq!(judge(&[], &off), Guards::InPlace, "it may have stayed");
        let Guards::SwitchedOff(said) = judge(&[gap("subrosa-deletion")], &off) else {
            panic!("not excused")
        };
        assert!(said.contains("admission.deletionGuard.enabled"), "{said}");
        for name in ["subrosa-membership", "subrosa-secret"] {
            let Guards::NotInPlace(said) = judge(&[gap("subrosa-deletion"), gap(name)], &off) else {
                panic!("{name} was excused")
            };
            assert!(said.contains(name) && !said.contains("subrosa-deletion"), "{said}");
        }
        assert!(matches!(judge(&[gap("subrosa-deletion")], &[]), Guards::NotInPlace(_)));
    }
}
