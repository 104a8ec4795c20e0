//! Gives a grant that people approved its slots, where everything that it takes is there.

use std::collections::BTreeSet;

use kube::ResourceExt as _;
use subrosa_crds::{AccessGrant, AccessRole, Reason, trust_domain::AccessSpec};
use subrosa_plan::{
    record::grants::{OpenGrant, UsedSlot},
    roles::{
        grants::{
            decision::{self, MOST_OVER},
            status::GrantOutcome,
        },
        status::Right,
    },
    world::fault::Fault,
};
use subrosa_process::vault::fault;
use subrosa_records::vault::{MountPath, VaultError, entities::Entities, groups, identity::auth_accessor};

use super::{
    Round, not_looked, opening, role_of, uid as uid_of,
    vault::{Places, outdated},
};

impl Round<'_> {
    /// Gives a grant that has not begun its slots, if it may begin.
    pub(super) async fn candidate(
        &mut self,
        grant: &AccessGrant,
        places: &Places,
    ) -> Result<GrantOutcome, Fault> {
        let waits = |fault: Fault| Ok(GrantOutcome::Waits(fault));
        let uid = uid_of(grant);
        let Some(judged) = self.judged.get(&uid) else { return waits(not_looked()) };
        if let Some(fault) = judged.refusal.as_ref().or(judged.waits.as_ref()) {
            return waits(fault.clone());
        }
        let (Some(digest), Some(role)) = (judged.digest.clone(), role_of(self.scope, grant)) else {
            return waits(not_looked());
        };
        if let Some(fault) = self.scope.unknown {
            return waits(fault.clone());
        }
        let standing = self.kept.record.open.iter().filter(|(_, open)| open.ended.is_none());
        let standing = standing.filter_map(|(uid, _)| {
            let other = self.grants.iter().find(|one| uid_of(one) == *uid)?;
            Some((other.as_ref(), role_of(self.scope, other)?))
        });
        if let Some(fault) = decision::excluded(grant, role, standing) {
            return waits(fault);
        }
        let mut pairs = Vec::new();
        for ((channel, class), opened) in self.scope.view.opened(role) {
            match opened {
                Ok(_) => pairs.push((channel, class)),
                Err(right) => return waits(not_there(&channel, &class, right)),
            }
        }
        let entity = match self.entity(grant, role).await? {
            Ok(entity) => entity,
            Err(fault) => return waits(fault),
        };
        let unread = self.seen.unread(self.scope, role).cloned();
        if let Some(fault) = unread.or_else(|| self.seen.excludes(self.scope, role, &entity)) {
            return waits(fault);
        }
        let slots = match self.free(role, &pairs, places) {
            Ok(slots) => slots,
            Err(fault) => return waits(fault),
        };
        let used = pairs.into_iter().zip(slots).map(|((channel, data_class), slot)| UsedSlot {
            slot,
            channel,
            data_class,
        });
        let open = OpenGrant {
            namespace: grant.namespace().unwrap_or_default(),
            name: grant.name_any(),
            login: role.spec.login.clone(),
            digest,
            entity,
            duration: grant.spec.duration,
            approved_by: judged.approved_by.iter().map(|one| one.approver.clone()).take(5).collect(),
            slots: used.collect(),
            decided: self.scope.now,
            began: None,
            ends: None,
            ended: None,
        };
        tracing::info!(grant = open.name, namespace = open.namespace, approved_by = ?open.approved_by, "a grant is approved");
        let mut record = self.kept.record.clone();
        record.open.insert(uid, open);
        self.kept.save(record).await.map_err(|error| outdated(&error))?;
        waits(opening())
    }

    /// The entity of the person, or why they cannot log in as the role says.
    async fn entity(&self, grant: &AccessGrant, role: &AccessRole) -> Result<Result<String, Fault>, Fault> {
        let login = |access: &&AccessSpec| access.logins.iter().any(|one| one.name == role.spec.login);
        let Some(access) = self.scope.domain.spec.access.as_ref().filter(login) else {
            let message = format!(
                "the TrustDomain has no login {} that the AccessRole names; next: look at the AccessRole",
                role.spec.login
            );
            return Ok(Err(Fault::new(Reason::LoginMissing, message)));
        };
        let vault_fault = |error: VaultError| fault(&error);
        let mount = MountPath::new(access.provider.mount()).map_err(|error| fault(&error.into()))?;
        let accessor = auth_accessor(&self.own.vault, &mount).await.map_err(vault_fault)?;
        let Some(accessor) = accessor else {
            let message = format!(
                "there is no JWT auth at auth/{mount} in Vault; next: run subrosa vault-setup for the TrustDomain"
            );
            return Ok(Err(Fault::new(Reason::LoginMissing, message)));
        };
        let in_vault = groups::roles(&self.own.vault, &mount).await.map_err(vault_fault)?;
        if let Some(foreign) = in_vault.iter().find(|name| access.logins.iter().all(|one| one.name != **name))
        {
            let message = format!(
                "auth/{mount} in Vault has a role that is no login of the TrustDomain ({foreign}), so nothing new is given; next: bao delete \
                 auth/{mount}/role/{foreign}"
            );
            return Ok(Err(Fault::new(Reason::ForeignLogin, message)));
        }
        let entities = Entities::new(self.own.vault.clone());
        let found = entities.find(&grant.spec.subject.user, &accessor).await.map_err(vault_fault)?;
        Ok(match found {
            Some(found) if found.is_disabled => Err(Fault::new(
                Reason::Revoked,
                "the identity of spec.subject.user in Vault is disabled; next: an administrator of Vault finds out why",
            )),
            Some(found) => Ok(found.id),
            None => Err(Fault::new(
                Reason::PersonUnknown,
                format!(
                    "spec.subject.user: nobody of that name logged in at auth/{mount} yet; next: they log in once, or write the name \
                     as the claim {} has it",
                    access.provider.user_claim()
                ),
            )),
        })
    }

    /// Slots of the login of `role` that nobody uses, one for each of `pairs`.
    fn free(
        &self,
        role: &AccessRole,
        pairs: &[(String, String)],
        places: &Places,
    ) -> Result<Vec<String>, Fault> {
        let login = &role.spec.login;
        if self.kept.record.over.len() >= MOST_OVER {
            let message = format!(
                "the granter remembers {MOST_OVER} AccessGrants that are over, and no more; next: the compliance office deletes some, \
                 or wait until the oldest are two weeks old"
            );
            return Err(Fault::new(Reason::SlotsExhausted, message));
        }
        let taken: BTreeSet<&String> =
            self.kept.record.open.values().flat_map(|open| &open.slots).map(|used| &used.slot).collect();
        let of_login: Vec<_> = places.all.iter().filter(|(_, place)| place.login == *login).collect();
        if of_login.iter().any(|(_, place)| place.slot.is_none() && place.unread.is_none()) {
            let message = format!(
                "login {login}: not every grant slot is in Vault; next: run subrosa vault-setup for the TrustDomain"
            );
            return Err(Fault::new(Reason::SetupOutdated, message));
        }
        let usable = of_login.iter().filter(|(name, place)| {
            let is_usable = place.slot.as_ref().is_some_and(|slot| slot.is_usable(self.scope.now));
            is_usable && !taken.contains(*name)
        });
        let free: Vec<String> = usable.map(|(name, _)| (*name).clone()).take(pairs.len()).collect();
        if pairs.is_empty() || free.len() < pairs.len() {
            if let Some(unread) = of_login.iter().find_map(|(_, place)| place.unread.clone()) {
                return Err(unread);
            }
            let message = format!(
                "login {login} has {} grant slots, and {} of {} that this takes are free; next: wait until a grant is over, or raise \
                 spec.access.logins[].grantSlots and run subrosa vault-setup. A slot that became free rests for ten minutes",
                of_login.len(),
                free.len(),
                pairs.len()
            );
            return Err(Fault::new(Reason::SlotsExhausted, message));
        }
        Ok(free)
    }
}

fn not_there(channel: &str, class: &str, right: Right) -> Fault {
    match right {
        Right::NoClass => Fault::new(
            Reason::UnknownDataClass,
            format!(
                "the AccessRole names {class} of {channel}, which the Channel does not declare; next: correct the AccessRole"
            ),
        ),
        _ => Fault::new(
            Reason::NotFound,
            format!(
                "the AccessRole names Channel {channel}, which is not in this namespace; next: correct the AccessRole"
            ),
        ),
    }
}
