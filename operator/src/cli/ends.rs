//! Reads everything that decides about the end of data, for `approve` and for `status`.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessGrant, AccessRevocation, AccessRole, Adoption, Approval, Destruction, LegalHold, Reason,
    RetentionPolicy, TrustDomain,
    approval::{Decision, TargetKind},
    condition,
};
use subrosa_destroyer::cluster::{MIRROR, Told};
use subrosa_plan::{
    destruction::{
        rules,
        tally::{self, Tally, Target},
    },
    record::destroyer::BindingRules,
    roles::{grants::decision::is_other, revoked::RevokedPeople},
    world::domain,
};

use super::{OPERATOR_ACCOUNT, cluster::ClusterClient};

/// The objects about the end of data in a cluster.
#[derive(Clone, Debug, Default)]
pub struct EndObjects {
    /// TrustDomains, by name.
    pub domains: Vec<TrustDomain>,
    /// RetentionPolicies, by name.
    pub policies: Vec<RetentionPolicy>,
    /// LegalHolds, by name.
    pub holds: Vec<LegalHold>,
    /// Destructions, by name.
    pub destructions: Vec<Destruction>,
    /// Adoptions, by name.
    pub adoptions: Vec<Adoption>,
    /// AccessRoles, by namespace and name.
    pub roles: Vec<AccessRole>,
    /// AccessGrants, by namespace and name.
    pub grants: Vec<AccessGrant>,
    /// AccessRevocations, by name.
    pub revocations: Vec<AccessRevocation>,
    /// Approvals, by name.
    pub approvals: Vec<Approval>,
    /// What the destroyer told of each trust domain; none where this user may not read it.
    pub told: Option<BTreeMap<String, Told>>,
    /// The operator's namespace.
    pub namespace: String,
    /// Kinds that this user may not read, or that the cluster does not know.
    pub hidden: Vec<&'static str>,
}

impl EndObjects {
    /// Reads all of them, with the destroyer's ConfigMap in `namespace`.
    ///
    /// # Errors
    /// When the API server does not answer, or the destroyer's ConfigMap cannot be parsed.
    pub async fn read(cluster: &ClusterClient, namespace: &str) -> Result<Self> {
        let (domains, policies, holds, destructions, adoptions, roles, grants, revocations, approvals, told) =
            futures::try_join!(
                cluster.list_known::<TrustDomain>(),
                cluster.list_known::<RetentionPolicy>(),
                cluster.list_known::<LegalHold>(),
                cluster.list_known::<Destruction>(),
                cluster.list_known::<Adoption>(),
                cluster.list_known::<AccessRole>(),
                cluster.list_known::<AccessGrant>(),
                cluster.list_known::<AccessRevocation>(),
                cluster.list_known::<Approval>(),
                cluster.get_if_allowed::<ConfigMap>(namespace, MIRROR),
            )?;
        let hidden = [
            ("TrustDomains", domains.is_none()),
            ("RetentionPolicies", policies.is_none()),
            ("LegalHolds", holds.is_none()),
            ("Destructions", destructions.is_none()),
            ("Adoptions", adoptions.is_none()),
            ("AccessRoles", roles.is_none()),
            ("AccessGrants", grants.is_none()),
            ("AccessRevocations", revocations.is_none()),
            ("Approvals", approvals.is_none()),
        ];
        Ok(Self {
            domains: domains.unwrap_or_default(),
            policies: policies.unwrap_or_default(),
            holds: holds.unwrap_or_default(),
            destructions: destructions.unwrap_or_default(),
            adoptions: adoptions.unwrap_or_default(),
            roles: roles.unwrap_or_default(),
            grants: grants.unwrap_or_default(),
            revocations: revocations.unwrap_or_default(),
            approvals: approvals.unwrap_or_default(),
            told: told.map(|map| told_of(map, namespace)).transpose()?,
            namespace: namespace.to_owned(),
            hidden: hidden.into_iter().filter(|(_, hidden)| *hidden).map(|(kinds, _)| kinds).collect(),
        })
    }

    /// The TrustDomain of that name.
    pub fn domain(&self, name: &str) -> Option<&TrustDomain> {
        self.domains.iter().find(|domain| domain.name_any() == name)
    }

    /// The RetentionPolicy of that name.
    pub fn policy(&self, name: &str) -> Option<&RetentionPolicy> {
        self.policies.iter().find(|policy| policy.name_any() == name)
    }

    /// What the destroyer published about that trust domain.
    pub fn told_of(&self, domain: &str) -> Option<&Told> {
        self.told.as_ref()?.get(domain)
    }

    /// The LegalHolds that have not ended.
    pub fn holding(&self) -> impl Iterator<Item = &LegalHold> {
        self.holds.iter().filter(|hold| {
            let conditions = hold.status.as_ref().map(|status| status.conditions.as_slice());
            let effective = condition::find(conditions.unwrap_or_default(), condition::EFFECTIVE);
            effective.and_then(Reason::of) != Some(Reason::Released)
        })
    }

    /// The Approvals of `target`, in `domain` or in all, counted as the destroyer does, which publishes since when
    /// the admission policy for Approvals is unchanged. For a user who may not read that, every Approval counts as
    /// later.
    pub fn tally(&self, target: &Target<'_>, domain: Option<&str>, now: Timestamp) -> Tally {
        let told: Vec<_> = self.told_in(domain).filter(|told| !told.requester.is_empty()).collect();
        let guarded_since = told.iter().map(|told| told.guarded_since).collect::<Option<Vec<_>>>();
        let guarded_since = guarded_since.map(|since| since.into_iter().max().unwrap_or(Timestamp::MIN));
        let adoption = || self.adoptions.iter().find(|one| one.name_any() == target.name);
        let requester = match (target.kind, told.first()) {
            (TargetKind::Adoption, _) => {
                adoption().map(|one| one.spec.requested_by.clone()).unwrap_or_default()
            }
            (TargetKind::AccessRole, _) => {
                let uid = |role: &&AccessRole| role.uid().as_deref() == Some(target.uid);
                // Who wrote a role does not review it, but may give it.
                let author = |role: &AccessRole| {
                    let review =
                        role.spec.review.as_ref().filter(|_| target.digest != role.spec.scope_digest())?;
                    Some(review.author.clone())
                };
                self.roles.iter().find(uid).and_then(author).unwrap_or_default()
            }
            (TargetKind::AccessGrant, _) => {
                let uid = |grant: &&AccessGrant| grant.uid().as_deref() == Some(target.uid);
                self.grants.iter().find(uid).map(|grant| grant.spec.requested_by.clone()).unwrap_or_default()
            }
            (_, Some(told)) => told.requester.clone(),
            (_, None) => format!("system:serviceaccount:{}:{OPERATOR_ACCOUNT}", self.namespace),
        };
        let people = RevokedPeople::of(&self.revocations);
        let grant = self
            .grants
            .iter()
            .find(|one| target.kind == TargetKind::AccessGrant && one.uid().as_deref() == Some(target.uid));
        let counts = |one: &&Approval| {
            let is_own = grant.is_some_and(|grant| !is_other(grant, &one.spec.approver));
            people.lets_count(one) && (one.spec.decision == Decision::Deny || !is_own)
        };
        let approvals = self.approvals.iter().filter(counts);
        tally::count(approvals, target, guarded_since, &requester, now)
    }

    /// What the destroyer published about `domain`, or about all.
    fn told_in(&self, domain: Option<&str>) -> impl Iterator<Item = &Told> {
        let of = move |name: &String| domain.is_none_or(|domain| domain == name);
        self.told.iter().flatten().filter(move |(name, _)| of(name)).map(|(_, told)| told)
    }

    /// The binding rules of a RetentionPolicy, as published by the destroyer, by trust domain.
    pub fn binding(&self, policy: &str) -> impl Iterator<Item = (&str, &BindingRules)> {
        let told = self.told.iter().flatten();
        told.filter_map(move |(domain, told)| Some((domain.as_str(), told.rules.get(policy)?)))
    }

    /// The strictest number of approvals of the policies, of `domain` or of all: by the binding rules where
    /// published, else by the declared ones.
    pub fn strictest(&self, domain: Option<&TrustDomain>) -> i32 {
        let name = domain.map(|domain| domain.name_any());
        let mut binding = self.told_in(name.as_deref()).flat_map(|told| told.rules.values()).peekable();
        if binding.peek().is_some() {
            return rules::strictest(binding);
        }
        let of_domain = |policy: &&RetentionPolicy| {
            domain.is_none_or(|domain| domain.spec.retention_policies.contains(&policy.name_any()))
        };
        let declared =
            self.policies.iter().filter(of_domain).map(|policy| policy.spec.destruction().approvals());
        declared.max().unwrap_or(2)
    }
}

fn told_of(map: Option<ConfigMap>, namespace: &str) -> Result<BTreeMap<String, Told>> {
    let data = map.and_then(|map| map.data).unwrap_or_default();
    let read = data.into_iter().map(|(domain, text)| match serde_json::from_str(&text) {
        Ok(told) => Ok((domain, told)),
        Err(error) => Err(anyhow::anyhow!(
            "ConfigMap {namespace}/{MIRROR}, key {}: expected what the destroyer writes: {error}; find who wrote it",
            super::harmless(&domain)
        )),
    });
    read.collect()
}

/// The day at `now` in the trust domain; in UTC without one.
pub fn today(domain: Option<&TrustDomain>, now: Timestamp) -> Date {
    let zone = domain.and_then(|domain| domain::time_zone(domain).ok()).unwrap_or(TimeZone::UTC);
    now.to_zoned(zone).date()
}

/// The second number of `1/2`.
pub fn needed(approvals: Option<&str>) -> Option<i32> {
    approvals?.split_once('/')?.1.parse().ok()
}
