//! Every key in a Channel's record: what must be in Vault as long as its data may live.

use subrosa_crds::cohort::Cohort;

use crate::record::channel::ChannelRecord;

/// A key that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MadeKey {
    /// The key of the certificate authority, on the mount for authorities.
    Authority,
    /// The key of generations that an earlier release made, on the mount of data keys.
    EarlierAuthority,
    /// A data key that is in use.
    Active {
        /// The class of data.
        class: String,
        /// The cohort's name.
        cohort: String,
    },
    /// A data key of a cohort that has ended, described by its own record.
    Ended {
        /// The class of data.
        class: String,
        /// The cohort.
        cohort: Cohort,
    },
}

/// Every key of a Channel that was made, in a stable order.
pub fn made(record: &ChannelRecord) -> impl Iterator<Item = MadeKey> {
    let (mut own, mut earlier) = (false, false);
    for generation in record.authority.iter() {
        match generation.key_version {
            Some(_) => own = true,
            None => earlier = true,
        }
    }
    let authorities = [own.then_some(MadeKey::Authority), earlier.then_some(MadeKey::EarlierAuthority)]
        .into_iter()
        .flatten();
    let active = record.keys.iter().flat_map(|(class, cohorts)| {
        let made = cohorts.iter().filter(|(_, known)| !known.versions.is_empty());
        made.map(|(cohort, _)| MadeKey::Active { class: class.clone(), cohort: cohort.clone() })
    });
    let ended = record
        .ended
        .iter()
        .flat_map(|ended| ended.iter())
        .map(|(class, cohort)| MadeKey::Ended { class: class.to_owned(), cohort });
    authorities.chain(active).chain(ended)
}

/// The names of data keys in the record that may be missing in Vault: those that are about to be made, and those that
/// the destroyer destroyed.
pub fn intended(record: &ChannelRecord) -> impl Iterator<Item = String> {
    let id = record.id();
    let active = record.keys.iter().flat_map(|(class, cohorts)| {
        let intended = cohorts.iter().filter(|(_, known)| known.versions.is_empty());
        intended.map(|(cohort, _)| (class.as_str(), cohort.clone()))
    });
    let destroyed = record.destroyed.iter().map(|(class, cohort)| (class, cohort.to_string()));
    active.chain(destroyed).map(move |(class, cohort)| id.data_key(class, &cohort))
}

impl MadeKey {
    /// Its name on its mount. Names are unique across both mounts.
    pub fn name(&self, record: &ChannelRecord) -> String {
        let id = record.id();
        match self {
            Self::Authority => id.authority_key(),
            Self::EarlierAuthority => id.earlier_authority_key(),
            Self::Active { class, cohort } => id.data_key(class, cohort),
            Self::Ended { class, cohort } => id.data_key(class, &cohort.to_string()),
        }
    }
}
