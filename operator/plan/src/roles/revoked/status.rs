//! The status of an AccessRevocation.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use subrosa_crds::{
    AccessRevocation, AccessRevocationStatus, Reason,
    access_revocation::{RevokedDomain, RevokedSubject},
    condition::{self, READY, RECONCILING, STALLED, Truth, Verdict},
    destruction::Approver,
};

use crate::{
    record::revocations::ReleaseMark,
    roles::{conflicts::RoleName, counted, status::unknown_or_false},
    world::fault::Fault,
};

/// The most names in a list.
const MOST: usize = 50;

/// What was found and done in one trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevocationOutcome {
    /// The entities of the person are disabled, as Vault confirmed.
    Disabled {
        /// How many there are.
        entities: usize,
        /// Auth mounts of others by which they log in too.
        also_hits: BTreeSet<String>,
    },
    /// These roles give nothing, or nothing to the group.
    Withheld(BTreeSet<RoleName>),
    /// It was released, and what it took is back.
    Released(ReleaseMark),
    /// Nobody looked yet since the granter started.
    Pending,
    /// It is not done, or nobody knows.
    Fault(Fault),
}

/// The status of `revocation` by its outcome in each trust domain that it names, those that it hits beside them, and the number of
/// Approvals that do not count.
pub fn status(
    revocation: &AccessRevocation,
    outcomes: &BTreeMap<String, RevocationOutcome>,
    also_in: &BTreeSet<String>,
    approvals_voided: usize,
    now: Timestamp,
) -> AccessRevocationStatus {
    let before = revocation.status.clone().unwrap_or_default();
    let domains: Vec<RevokedDomain> =
        outcomes.iter().map(|(name, outcome)| domain(name, outcome, &before)).collect();
    let mut ready = ready(revocation, outcomes, &domains);
    if !also_in.is_empty() && ready.reason != Reason::Released {
        let names: Vec<_> = also_in.iter().map(String::as_str).collect();
        ready.message = format!(
            "{}; it hits TrustDomain {} too, which has an auth mount of the same Vault in common: the person cannot log in there either",
            ready.message,
            names.join(", ")
        );
    }
    let is_done = ready.truth == Truth::True;
    let done_at = before.done_at.clone().or_else(|| is_done.then(|| now.to_string()));
    let made = revocation.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let latency = before.latency_milliseconds.or_else(|| {
        let took = now.duration_since(made.filter(|_| is_done)?).as_millis();
        Some(i64::try_from(took.max(0)).unwrap_or(i64::MAX))
    });
    let released = outcomes.values().find_map(|outcome| match outcome {
        RevocationOutcome::Released(mark) => Some(Approver {
            approver: mark.approver.clone(),
            approval: mark.approval.clone(),
            uid: mark.uid.clone(),
            at: mark.at.to_string(),
        }),
        _ => None,
    });
    let generation = revocation.metadata.generation;
    let ready_reason = ready.reason;
    let mut verdicts = vec![ready.clone()];
    let follows = match ready.reason {
        _ if is_done => None,
        Reason::Revoking => Some(RECONCILING),
        Reason::NotFound | Reason::LoginMissing | Reason::ForeignLogin | Reason::SetupOutdated => {
            Some(STALLED)
        }
        _ => None,
    };
    verdicts.extend(follows.map(|kind| Verdict { kind, truth: Truth::True, ..ready }));
    let is_person = revocation.spec.subject.user.is_some();
    let is_released = is_done && ready_reason == Reason::Released;
    let approvals_voided = if is_released { 0 } else { approvals_voided };
    AccessRevocationStatus {
        observed_generation: generation,
        trust_domains: domains,
        also_trust_domains: also_in.iter().take(MOST).cloned().collect(),
        approvals_voided: is_person.then(|| i64::try_from(approvals_voided).unwrap_or(i64::MAX)),
        done_at,
        latency_milliseconds: latency,
        release_digest: Some(revocation.spec.release_digest()),
        released: released.or(before.released),
        conditions: condition::conditions(verdicts, &before.conditions, generation, now),
    }
}

fn domain(name: &str, outcome: &RevocationOutcome, before: &AccessRevocationStatus) -> RevokedDomain {
    let of = |state: Reason| RevokedDomain {
        name: name.to_owned(),
        state: state.as_str().to_owned(),
        ..RevokedDomain::default()
    };
    let earlier = before.trust_domains.iter().find(|one| one.name == name);
    match outcome {
        RevocationOutcome::Disabled { entities, also_hits } => RevokedDomain {
            entities: Some(i64::try_from(*entities).unwrap_or(i64::MAX)),
            also_hits: also_hits.iter().take(MOST).cloned().collect(),
            ..of(Reason::Revoked)
        },
        RevocationOutcome::Withheld(roles) => {
            let roles = roles.iter().take(MOST).map(|(namespace, name)| format!("{namespace}/{name}"));
            RevokedDomain { roles: roles.collect(), ..of(Reason::Revoked) }
        }
        RevocationOutcome::Released(_) => of(Reason::Released),
        // What was seen last stays until somebody looks again.
        RevocationOutcome::Pending => earlier.cloned().unwrap_or_else(|| of(Reason::Revoking)),
        RevocationOutcome::Fault(fault) => {
            RevokedDomain { message: Some(fault.message.clone()), ..of(fault.reason) }
        }
    }
}

fn ready(
    revocation: &AccessRevocation,
    outcomes: &BTreeMap<String, RevocationOutcome>,
    domains: &[RevokedDomain],
) -> Verdict {
    let faults = outcomes.iter().filter_map(|(name, outcome)| match outcome {
        RevocationOutcome::Fault(fault) => Some((name, fault)),
        _ => None,
    });
    let faults: Vec<_> = faults.collect();
    if let Some((name, fault)) = faults.first() {
        let others = match faults.len() - 1 {
            0 => String::new(),
            others => format!(" (and in {})", counted(others, "other TrustDomain", "other TrustDomains")),
        };
        let message = format!("TrustDomain {name}{others}: {}", fault.message);
        return Verdict::new(READY, unknown_or_false(fault.reason), fault.reason, message);
    }
    let is = |reason: Reason| domains.iter().all(|one| one.state == reason.as_str());
    if !domains.is_empty() && is(Reason::Released) {
        let message = "it was released, and what it took is given again where an AccessRole gives it, and Approvals of the person \
                       count again; next: delete it";
        return Verdict::new(READY, Truth::True, Reason::Released, message.to_owned());
    }
    let has_ended = |one: &RevokedDomain| {
        [Reason::Revoked, Reason::Released].iter().any(|reason| one.state == reason.as_str())
    };
    if domains.is_empty() || !domains.iter().all(has_ended) {
        let message = "the granter has not looked at every TrustDomain yet".to_owned();
        return Verdict::new(READY, Truth::False, Reason::Revoking, message);
    }
    Verdict::new(READY, Truth::True, Reason::Revoked, done(&revocation.spec.subject, domains))
}

fn done(subject: &RevokedSubject, domains: &[RevokedDomain]) -> String {
    let in_all = counted(domains.len(), "TrustDomain", "TrustDomains");
    if subject.user.is_none() {
        let roles = domains.iter().map(|one| one.roles.len()).sum();
        return format!(
            "{} to it, in {in_all}; one that is made later does not either",
            counted(roles, "AccessRole gives nothing", "AccessRoles give nothing")
        );
    }
    let entities = domains.iter().filter_map(|one| one.entities).sum::<i64>();
    let others: BTreeSet<&str> = domains.iter().flat_map(|one| &one.also_hits).map(String::as_str).collect();
    let also = match others.len() {
        0 => String::new(),
        _ => format!(
            "; the same entities log in by {} too, and cannot there either",
            others.into_iter().collect::<Vec<_>>().join(", ")
        ),
    };
    let entities = usize::try_from(entities).unwrap_or(usize::MAX);
    format!(
        "{} disabled in {in_all}, whose tokens open nothing; one that a later login makes is disabled within a minute{also}",
        counted(entities, "entity is", "entities are")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        roles::revoked::tests::{mark, revocation},
        testing::at,
    };

    fn told(subject: Value, outcomes: &[(&str, RevocationOutcome)]) -> (AccessRevocationStatus, String) {
        let one = revocation("leaver", subject);
        let outcomes = outcomes.iter().map(|(name, outcome)| ((*name).to_owned(), outcome.clone())).collect();
        let status = status(&one, &outcomes, &BTreeSet::new(), 2, at("2026-11-22T10:00:01.5Z"));
        let ready = condition::find(&status.conditions, READY).unwrap();
        let told = format!("{} {}", ready.status, ready.reason);
        (status, told)
    }

    fn disabled(entities: usize, also: &[&str]) -> RevocationOutcome {
        RevocationOutcome::Disabled {
            entities,
            also_hits: also.iter().map(|one| (*one).to_owned()).collect(),
        }
    }

    #[test]
    fn ready_is_only_what_ended_in_every_trust_domain() {
        let person = || json!({"user": "anna"});
        let (status, ready) = told(person(), &[("a", disabled(1, &[])), ("b", disabled(0, &["auth/ldap/"]))]);
        assert_eq!(ready, "True Revoked");
        assert_eq!((status.latency_milliseconds, status.approvals_voided), (Some(1_500), Some(2)));
        assert!(status.conditions[0].message.contains("auth/ldap/"), "{status:?}");
        assert!(!format!("{:?}", status.conditions).contains("anna"));
        let refused = RevocationOutcome::Fault(Fault::new(
            Reason::VaultPermissionDenied,
            "next: run subrosa vault-setup",
        ));
        let silent = RevocationOutcome::Fault(Fault::new(Reason::VaultUnreachable, "no answer"));
        let missing = RevocationOutcome::Fault(Fault::new(Reason::NotFound, "no such TrustDomain"));
        for (outcome, expected, also) in [
            (refused, "False VaultPermissionDenied", None),
            (silent, "Unknown VaultUnreachable", None),
            (missing, "False NotFound", Some(STALLED)),
            (RevocationOutcome::Pending, "False Revoking", Some(RECONCILING)),
            (RevocationOutcome::Released(mark()), "True Revoked", None),
        ] {
            let (status, ready) = told(person(), &[("a", disabled(1, &[])), ("b", outcome)]);
            assert_eq!(ready, expected);
            assert_eq!(status.done_at.is_some(), expected.starts_with("True"), "{expected}");
            let found = status.conditions.iter().any(|one| Some(one.type_.as_str()) == also);
            assert_eq!(found, also.is_some(), "{expected}");
        }
        assert_eq!(told(person(), &[]).1, "False Revoking");
    }

    #[test]
    fn released_is_what_was_released_everywhere() {
        let (status, ready) = told(json!({"group": "g"}), &[("a", RevocationOutcome::Released(mark()))]);
        assert_eq!(ready, "True Released");
        assert_eq!(status.released.map(|one| one.approver).as_deref(), Some("bas"));
        assert_eq!(status.approvals_voided, None);
    }

    #[test]
    fn roles_are_listed_and_what_was_measured_stays() {
        let roles = [("cc-front".to_owned(), "reviewer".to_owned())].into();
        let outcomes = [("a".to_owned(), RevocationOutcome::Withheld(roles))].into();
        let mut one = revocation("night", json!({"group": "g"}));
        let none = BTreeSet::new();
        let first = status(&one, &outcomes, &none, 0, at("2026-11-22T10:00:00.2Z"));
        assert_eq!(first.trust_domains[0].roles, ["cc-front/reviewer"]);
        one.status = Some(first.clone());
        assert_eq!(status(&one, &outcomes, &none, 0, at("2026-11-23T10:00:00Z")), first, "nothing changed");
        let waits = [("a".to_owned(), RevocationOutcome::Pending)].into();
        assert_eq!(status(&one, &waits, &none, 0, at("2026-11-23T10:00:00Z")), first, "after a restart");
    }

    #[test]
    fn what_was_not_done_before_a_restart_is_not_done_after_it() {
        let fault = RevocationOutcome::Fault(Fault::new(Reason::VaultPermissionDenied, "next: vault-setup"));
        let mut one = revocation("leaver", json!({"user": "anna"}));
        let (none, now) = (BTreeSet::new(), at("2026-11-22T10:00:00Z"));
        one.status = Some(status(&one, &[("a".to_owned(), fault)].into(), &none, 0, now));
        let after = status(&one, &[("a".to_owned(), RevocationOutcome::Pending)].into(), &none, 0, now);
        let ready = condition::find(&after.conditions, READY).unwrap();
        assert_eq!((ready.reason.as_str(), after.done_at), ("Revoking", None));
    }

    #[test]
    fn which_other_trust_domains_it_hits_is_told_while_it_works_and_after() {
        let one = revocation("leaver", json!({"user": "anna"}));
        let also = BTreeSet::from(["b".to_owned()]);
        for (outcome, reason) in [(RevocationOutcome::Pending, "Revoking"), (disabled(1, &[]), "Revoked")] {
            let outcomes = [("a".to_owned(), outcome)].into();
            let status = status(&one, &outcomes, &also, 0, at("2026-11-22T10:00:00Z"));
            let ready = condition::find(&status.conditions, READY).unwrap();
            assert_eq!(
                (ready.reason.as_str(), status.also_trust_domains.as_slice()),
                (reason, &["b".to_owned()][..])
            );
            assert!(ready.message.contains("TrustDomain b too"), "{}", ready.message);
        }
    }
}
