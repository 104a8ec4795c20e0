//! In which groups Vault saw people: at the last login of each. Of roles that exclude each other nobody gets one by a grant and another by
//! a group, as far as that shows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt as _, stream};
use kube::ResourceExt as _;
use subrosa_crds::{AccessGrant, AccessRole};
use subrosa_plan::{
    record::grants::GrantsRecord,
    roles::{grants::decision, names},
    world::fault::Fault,
};
use subrosa_process::vault::{OwnVault, fault};
use subrosa_records::vault::{MountPath, groups::Groups, identity::auth_accessor};

use super::{GrantRound, role_of, uid};
use crate::vaults::AT_ONCE;

/// What Vault shows of the provider's groups.
#[derive(Debug, Default)]
pub struct SeenPeople {
    /// The entities of each, by its name in lower case.
    groups: BTreeMap<String, BTreeSet<String>>,
    /// Why not all of them are there: nothing begins until they are, and what ends by the others ends.
    unread: Option<Fault>,
}

impl SeenPeople {
    /// Reads them, where a role that is granted or asked for excludes another.
    ///
    /// # Errors
    /// When a request to Vault fails.
    pub async fn read(
        scope: &GrantRound<'_>,
        own: &OwnVault,
        grants: &[Arc<AccessGrant>],
        record: &GrantsRecord,
    ) -> Result<Self, Fault> {
        let is_asked = |grant: &&Arc<AccessGrant>| !record.over.contains_key(&uid(grant));
        let roles = grants.iter().filter(is_asked).filter_map(|grant| role_of(scope, grant));
        let matters = roles.into_iter().any(|role| !excluding(scope, role).is_empty());
        let Some(access) = scope.domain.spec.access.as_ref().filter(|_| matters) else {
            return Ok(Self::default());
        };
        let mount = MountPath::new(access.provider.mount()).map_err(|error| fault(&error.into()))?;
        let mut seen = Self::default();
        let accessor = match auth_accessor(&own.vault, &mount).await {
            Ok(Some(accessor)) => accessor,
            Ok(None) => return Ok(seen),
            Err(error) if error.is_of_one_request() => {
                seen.unread = Some(fault(&error));
                return Ok(seen);
            }
            Err(error) => return Err(fault(&error)),
        };
        let vault = Groups::new(own.vault.clone());
        let read = |name: String| {
            let (vault, accessor) = (&vault, &accessor);
            async move { vault.provider_group(&name, accessor).await }
        };
        let groups = names::groups(&scope.domain.name_any(), access.provider.groups());
        let reads: Vec<_> = groups.into_iter().map(read).collect();
        let mut reads = stream::iter(reads).buffered(AT_ONCE);
        while let Some(found) = reads.next().await {
            let group = match found {
                Ok(group) => group,
                Err(error) if error.is_of_one_request() => {
                    seen.unread = seen.unread.or(Some(fault(&error)));
                    continue;
                }
                Err(error) => return Err(fault(&error)),
            };
            if let Some((name, people)) = group.and_then(|group| Some((group.stands_for?, group.people))) {
                seen.groups.entry(name).or_default().extend(people);
            }
        }
        Ok(seen)
    }

    /// Why nobody can tell whether a person may get `role` by a grant.
    pub fn unread(&self, scope: &GrantRound<'_>, role: &AccessRole) -> Option<&Fault> {
        self.unread.as_ref().filter(|_| !excluding(scope, role).is_empty())
    }

    /// Why the person of an entity gets nothing by a grant of `role`.
    pub fn excludes(&self, scope: &GrantRound<'_>, role: &AccessRole, entity: &str) -> Option<Fault> {
        let is_in = |group: &str| self.groups.get(group).is_some_and(|people| people.contains(entity));
        decision::excluded_by_group(role, &excluding(scope, role), is_in)
    }
}

fn excluding(scope: &GrantRound<'_>, role: &AccessRole) -> BTreeMap<String, String> {
    decision::excluding_groups(role, scope.roles.iter().map(AsRef::as_ref))
}
