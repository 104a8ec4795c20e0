//! ServiceAccounts that AccessRoles name: their entities in Vault, by UID, and the members of the slots of their login.
//!
//! The UID comes from the watch. A ServiceAccount that is made anew is another one, and the entity of the one before is a member of nothing
//! from the next round on, which its deletion begins.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use kube::{Resource as _, ResourceExt as _, runtime::reflector::ObjectRef};
use subrosa_crds::{AccessRole, Reason, TrustDomain, trust_domain::AccessSpec};
use subrosa_plan::{
    roles::{accounts, status::RoleFacts},
    world::fault::Fault,
};
use subrosa_process::vault::{OwnVault, fault};
use subrosa_records::vault::{VaultError, entities::Entities, name::MountAccessor};

use crate::{
    domain::{DomainLook, LoginLook, Withheld},
    gate::Since,
    round::nothing,
    vaults::AT_ONCE,
    view::ClusterView,
};

/// The message while it is not known which ServiceAccounts there are.
const NOT_LISTED: &str = "the API server has not listed ServiceAccounts for the granter, so nobody knows which there are, and nothing \
                          is changed; next: wait, and look whether ClusterRole subrosa-granter may list and watch them as this release has it";

/// The entities of ServiceAccounts in Vault.
#[derive(Debug, Default)]
pub struct AccountEntities {
    /// UID and entity, by [key](accounts::key).
    pub found: BTreeMap<String, (String, String)>,
    /// Those that the cluster does not have.
    pub missing: BTreeSet<String>,
    /// Those of which Vault does not tell, and why: they are members of nothing until it does.
    pub failed: BTreeMap<String, Fault>,
}

impl AccountEntities {
    /// Reads the entities of those that `named` are, and makes those that are not there.
    ///
    /// # Errors
    /// When Vault does not answer.
    pub async fn read(
        view: &ClusterView,
        own: &OwnVault,
        accessor: &MountAccessor,
        named: BTreeSet<String>,
    ) -> Result<Self, VaultError> {
        let entities = Entities::new(own.vault.clone());
        let mut read = Self::default();
        let mut there = Vec::new();
        for key in named {
            match uid(view, &key) {
                Some(uid) => there.push((key, uid)),
                None => drop(read.missing.insert(key)),
            }
        }
        let find = |(key, uid): (String, String)| {
            let entities = &entities;
            async move { (entities.find_or_make(&uid, accessor).await, key, uid) }
        };
        let finds: Vec<_> = there.into_iter().map(find).collect();
        let mut finds = stream::iter(finds).buffered(AT_ONCE);
        while let Some((found, key, uid)) = finds.next().await {
            match found {
                Ok(entity) => {
                    read.found.insert(key, (uid, entity));
                }
                Err(error) if error.is_of_one_request() => {
                    read.failed.insert(key, fault(&error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }
}

/// The UID of a ServiceAccount that is there and not being deleted.
fn uid(view: &ClusterView, key: &str) -> Option<String> {
    let (namespace, name) = key.split_once('/')?;
    let found = view.accounts.get(&ObjectRef::new(name).within(namespace))?;
    if found.meta().deletion_timestamp.is_some() { None } else { found.uid() }
}

/// Brings the slots of the login of ServiceAccounts to what `roles` say, and gives nothing new while it is `unknown` who gives something; `None` where the TrustDomain has no such login.
pub async fn look(
    domain: &TrustDomain,
    access: &AccessSpec,
    (view, own): (&ClusterView, &OwnVault),
    roles: &[&AccessRole],
    withheld: &Withheld,
    (since, unknown): (&Since<'_>, Option<&Fault>),
) -> Option<LoginLook> {
    let access = accounts::access(access)?;
    let login = access.logins.first()?;
    let of_login: Vec<_> = roles.iter().map(|role| (*role, view.rights(role))).collect();
    let found = async {
        if !view.are_accounts_known() && !roles.is_empty() {
            return Err(Fault::new(Reason::KubernetesUnreachable, NOT_LISTED));
        }
        let mut look = DomainLook::of_accounts(domain, &access, (view, own), roles, since).await?;
        unknown.into_iter().for_each(|why| look.give_nothing(why));
        look.login(login, &of_login, withheld, &BTreeSet::new()).await
    };
    Some(found.await.unwrap_or_else(|fault| {
        tracing::warn!(
            domain = domain.name_any(),
            login = login.name,
            reason = fault.reason.as_str(),
            "{}",
            fault.message
        );
        LoginLook { roles: vec![nothing(fault); roles.len()], left: None }
    }))
}

/// A role of ServiceAccounts in a TrustDomain without a login for them.
pub fn no_login(domain: &TrustDomain) -> RoleFacts {
    let message = format!(
        "spec.login: TrustDomain {} has no spec.access.serviceAccounts, so no ServiceAccount logs in for it; next: write it, and run \
         subrosa vault-setup",
        domain.name_any()
    );
    nothing(Fault::new(Reason::LoginMissing, message))
}
