//! The keys of one authority in Vault: on the mount for authorities, and on the mount where an earlier release made
//! it.

use std::collections::BTreeSet;

use subrosa_crds::{Reason, names::ChannelId};
use subrosa_plan::{
    certificate::{
        AuthoritySpec,
        authority::keys::{AuthorityKey, AuthorityKeys, NextKey},
    },
    record::generations::{Generation, Generations},
    world::fault::Fault,
};
use subrosa_records::vault::{
    TransitKeyName, VaultError,
    transit::{TransitKey, TransitKeyType},
};

use crate::{
    execute::signing,
    observe::{DomainVault, vaults},
    pki::{AuthorityCertificate, PublicKey, authority::check_generation},
};

/// The keys that were read or made.
#[derive(Default)]
pub(super) struct Keys {
    own: Option<TransitKey>,
    earlier: Option<TransitKey>,
}

impl Keys {
    /// Reads the keys of these generations. A key that was made but not recorded yet is found when it is made again.
    pub(super) async fn read(
        vault: &DomainVault,
        id: &ChannelId,
        generations: &Generations,
    ) -> Result<Self, Fault> {
        let mut keys = Self::default();
        let fault = |error| vaults::fault(&error);
        if generations.iter().any(|one| one.key_version.is_some()) {
            keys.own = vault.key(&vaults::key_name(&id.authority_key())?).await.map_err(fault)?;
        }
        if generations.iter().any(|one| one.key_version.is_none()) {
            keys.earlier = vault.key(&vaults::key_name(&id.earlier_authority_key())?).await.map_err(fault)?;
        }
        Ok(keys)
    }

    /// Their latest versions.
    pub(super) fn latest(&self) -> AuthorityKeys {
        let latest = |key: &Option<TransitKey>| key.as_ref().map(|key| key.latest_version);
        AuthorityKeys { own: latest(&self.own), earlier: latest(&self.earlier) }
    }

    /// Makes the next version; returns which key it belongs to and its number.
    pub(super) async fn make_next(
        &mut self,
        vault: &DomainVault,
        id: &ChannelId,
    ) -> Result<(TransitKeyName, u32), Fault> {
        let fault = |error| vaults::fault(&error);
        let is_set_up = self.own.is_some() || vault.authorities().are_set_up().await.map_err(fault)?;
        let next = self.latest().next(is_set_up);
        let (name, place) = match next {
            NextKey::CreateOwn | NextKey::RotateOwn(_) => (id.authority_key(), &mut self.own),
            NextKey::CreateEarlier | NextKey::RotateEarlier(_) => {
                (id.earlier_authority_key(), &mut self.earlier)
            }
        };
        let name = vaults::key_name(&name)?;
        let engine = vault.engine(&name);
        let made = match next {
            NextKey::CreateOwn | NextKey::CreateEarlier => {
                engine.create_key(&name, TransitKeyType::EcdsaP256, None).await
            }
            NextKey::RotateOwn(latest) | NextKey::RotateEarlier(latest) => engine.rotate(&name, latest).await,
        };
        // Somebody ran the `vault-setup` of an earlier release: the next try uses the other mount.
        if let (NextKey::CreateOwn, Err(VaultError::PermissionDenied { .. })) = (next, &made) {
            vault.authorities().refused();
        }
        let made = made.map_err(fault)?;
        vault.remember_key(&name, &made);
        let version = made.latest_version;
        *place = Some(made);
        Ok((name, version))
    }

    /// The public key of a version.
    pub(super) fn public(&self, id: &ChannelId, key: AuthorityKey) -> Result<PublicKey, Fault> {
        let unreadable = |problem: &str| match signing::key_of(id, key) {
            Ok((name, version)) => Fault::new(
                Reason::AuthorityKeyUnreadable,
                format!("version {version} of transit key {name}: {problem}"),
            ),
            Err(fault) => fault,
        };
        let pem = self.pem(key).ok_or_else(|| unreadable("Vault gave no public key"))?;
        PublicKey::from_pem(pem).map_err(|problem| unreadable(&problem.to_string()))
    }

    /// The generations whose certificate matches its version of the key.
    pub(super) fn fitting(
        &self,
        generations: &Generations,
        spec: &AuthoritySpec,
    ) -> Vec<AuthorityCertificate> {
        generations
            .iter()
            .filter_map(|generation| {
                let key = AuthorityKey::of(generation.version, generation.key_version);
                let public = PublicKey::from_pem(self.pem(key)?).ok()?;
                match check_generation(generation, spec, &public) {
                    Ok(certificate) => Some(certificate),
                    Err(problem) => {
                        tracing::warn!(%problem, "a CA certificate in the record is not used");
                        None
                    }
                }
            })
            .collect()
    }

    /// The generations whose key Vault does not show.
    pub(super) fn without(&self, generations: &Generations) -> BTreeSet<u32> {
        let is_without =
            |one: &&Generation| self.pem(AuthorityKey::of(one.version, one.key_version)).is_none();
        generations.iter().filter(is_without).map(|one| one.version).collect()
    }

    fn pem(&self, key: AuthorityKey) -> Option<&str> {
        let (key, version) = match key {
            AuthorityKey::Own(version) => (self.own.as_ref()?, version),
            AuthorityKey::Earlier(version) => (self.earlier.as_ref()?, version),
        };
        key.versions.get(&version)?.public_key_pem.as_deref()
    }
}
