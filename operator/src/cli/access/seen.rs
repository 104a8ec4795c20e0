//! What decides who can open what, from a cluster or from files.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessGrant, AccessRevocation, AccessRole, Approval, Channel, TRUST_DOMAIN_LABEL, TrustDomain,
    trust_domain::{AccessLogin, AccessSpec},
};
use subrosa_plan::roles::{accounts, exceptions};

use crate::cli::{cluster::ClusterClient, manifest::Manifest};

/// What decides.
#[derive(Clone, Debug, Default)]
pub struct AccessObjects {
    /// TrustDomains.
    pub domains: Vec<TrustDomain>,
    /// AccessRoles.
    pub roles: Vec<AccessRole>,
    /// AccessGrants.
    pub grants: Vec<AccessGrant>,
    /// AccessRevocations.
    pub revocations: Vec<AccessRevocation>,
    /// Approvals.
    pub approvals: Vec<Approval>,
    /// Channels.
    pub channels: Vec<Channel>,
    /// The trust domain of each namespace that has one.
    pub governed: BTreeMap<String, String>,
    /// Kinds that cannot be read.
    pub hidden: Vec<&'static str>,
    /// Whether status says what is in force; files do not.
    pub is_live: bool,
}

impl AccessObjects {
    /// As a cluster has it.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn of_cluster(cluster: &ClusterClient) -> Result<Self> {
        let (domains, roles, grants, revocations, approvals, channels, namespaces) = futures::try_join!(
            cluster.list_known::<TrustDomain>(),
            cluster.list_known::<AccessRole>(),
            cluster.list_known::<AccessGrant>(),
            cluster.list_known::<AccessRevocation>(),
            cluster.list_known::<Approval>(),
            cluster.list_known::<Channel>(),
            cluster.list_known::<Namespace>(),
        )?;
        let hidden = [
            ("TrustDomains", domains.is_none()),
            ("AccessRoles", roles.is_none()),
            ("AccessGrants", grants.is_none()),
            ("AccessRevocations", revocations.is_none()),
            ("Approvals", approvals.is_none()),
            ("Channels", channels.is_none()),
            ("Namespaces", namespaces.is_none()),
        ];
        let namespaces = namespaces.unwrap_or_default().into_iter();
        let governed = namespaces.filter_map(|namespace| {
            Some((namespace.name_any(), namespace.labels().get(TRUST_DOMAIN_LABEL)?.clone()))
        });
        Ok(Self {
            domains: domains.unwrap_or_default(),
            roles: roles.unwrap_or_default(),
            grants: grants.unwrap_or_default(),
            revocations: revocations.unwrap_or_default(),
            approvals: approvals.unwrap_or_default(),
            channels: channels.unwrap_or_default(),
            governed: governed.collect(),
            hidden: hidden.into_iter().filter(|(_, hidden)| *hidden).map(|(kinds, _)| kinds).collect(),
            is_live: true,
        })
    }

    /// As files have it; `namespace` is for what names none.
    ///
    /// # Errors
    /// When an object cannot be read.
    pub fn of_files(manifests: Vec<Manifest>, namespace: &str) -> Result<Self> {
        let mut found = Self::default();
        for mut manifest in manifests {
            match (manifest.is_ours(), manifest.kind.as_str()) {
                (true, "TrustDomain") => found.domains.push(manifest.read()?),
                (true, "AccessRevocation") => found.revocations.push(manifest.read()?),
                (true, "AccessRole" | "AccessGrant" | "Channel") => {
                    if manifest.namespace.is_none() {
                        manifest.settle(namespace);
                    }
                    match manifest.kind.as_str() {
                        "Channel" => found.channels.push(manifest.read()?),
                        "AccessGrant" => found.grants.push(manifest.read()?),
                        _ => found.roles.push(manifest.read()?),
                    }
                }
                (false, "Namespace") if manifest.api_version == "v1" => {
                    let one: Namespace = manifest.read()?;
                    if let Some(domain) = one.labels().get(TRUST_DOMAIN_LABEL) {
                        found.governed.insert(one.name_any(), domain.clone());
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// The Channel of that name.
    pub fn channel(&self, namespace: &str, name: &str) -> Option<&Channel> {
        let mut channels = self.channels.iter();
        channels.find(|one| one.namespace().as_deref() == Some(namespace) && one.name_any() == name)
    }

    /// The login of that name that counts in `namespace`. Where nobody says to which trust domain it belongs, that of the only one.
    pub fn login(&self, namespace: &str, login: &str) -> Option<AccessLogin> {
        let access = self.access(namespace)?;
        let of_accounts = accounts::access(access).into_iter().flat_map(|access| access.logins);
        access.logins.iter().cloned().chain(of_accounts).find(|one| one.name == login)
    }

    /// How people log in in the trust domain of a namespace.
    pub fn access(&self, namespace: &str) -> Option<&AccessSpec> {
        self.domain(namespace)?.spec.access.as_ref()
    }

    /// Whether the trust domain says what the API server writes before a group of the provider.
    pub fn has_groups_prefix(&self, namespace: &str) -> bool {
        self.access(namespace).is_some_and(|access| access.provider.kubernetes_groups_prefix.is_some())
    }

    /// Whether the login asks for no second factor, and its exception has ended.
    pub fn has_ended(&self, namespace: &str, login: &str) -> bool {
        let domain = self.domain(namespace);
        domain.is_some_and(|domain| exceptions::ended(domain, Timestamp::now()).contains_key(login))
    }

    /// The trust domain of a namespace.
    pub fn domain(&self, namespace: &str) -> Option<&TrustDomain> {
        match (self.governed.get(namespace), self.domains.as_slice()) {
            (Some(name), domains) => domains.iter().find(|domain| domain.name_any() == *name),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}
