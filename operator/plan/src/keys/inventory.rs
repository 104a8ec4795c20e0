//! Every key in a Channel's record: what must be in Vault as long as its data may live.

use subrosa_crds::{cohort::Cohort, names::ChannelId};

use crate::record::{channel::ChannelRecord, ended::Ended};

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

/// The keys that a Channel's record names. The rest of the record takes kilobytes, and a list compares thousands of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    id: ChannelId,
    /// Authorities and data keys in use.
    current: Vec<MadeKey>,
    /// The class and cohort of data keys that are about to be made.
    intended: Vec<(String, String)>,
    ended: Ended,
    destroyed: Ended,
}

impl Inventory {
    /// What `record` names.
    pub fn of(record: &ChannelRecord) -> Self {
        let intended = intended_keys(record).map(|(class, cohort)| (class.to_owned(), cohort.to_owned()));
        Self {
            id: record.id(),
            current: current(record).collect(),
            intended: intended.collect(),
            ended: record.ended.clone().unwrap_or_default(),
            destroyed: record.destroyed.clone(),
        }
    }

    /// Every key that was made, as [`made`] has them, with its name.
    pub fn made(&self) -> impl Iterator<Item = (MadeKey, String)> {
        let all = self.current.iter().cloned().chain(ended_keys(&self.ended));
        all.map(|key| {
            let name = key.name(&self.id);
            (key, name)
        })
    }

    /// The names of data keys that may be missing in Vault: those that are about to be made, and those that the destroyer
    /// destroyed.
    pub fn may_be_missing(&self) -> impl Iterator<Item = String> {
        let intended = self.intended.iter().map(|(class, cohort)| self.id.data_key(class, cohort));
        let destroyed = self.destroyed.iter();
        intended.chain(destroyed.map(|(class, cohort)| self.id.data_key(class, &cohort.to_string())))
    }
}

/// Every key of a Channel that was made, in a stable order.
pub fn made(record: &ChannelRecord) -> impl Iterator<Item = MadeKey> {
    current(record).chain(record.ended.iter().flat_map(ended_keys))
}

/// The authorities, and the data keys in use.
fn current(record: &ChannelRecord) -> impl Iterator<Item = MadeKey> {
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
    authorities.chain(active)
}

/// The class and cohort of data keys that are about to be made.
fn intended_keys(record: &ChannelRecord) -> impl Iterator<Item = (&str, &str)> {
    record.keys.iter().flat_map(|(class, cohorts)| {
        let intended = cohorts.iter().filter(|(_, known)| known.versions.is_empty());
        intended.map(|(cohort, _)| (class.as_str(), cohort.as_str()))
    })
}

fn ended_keys(ended: &Ended) -> impl Iterator<Item = MadeKey> {
    ended.iter().map(|(class, cohort)| MadeKey::Ended { class: class.to_owned(), cohort })
}

impl MadeKey {
    /// Its name on its mount, as a key of the Channel with this identity. Names are unique across both mounts.
    pub fn name(&self, id: &ChannelId) -> String {
        match self {
            Self::Authority => id.authority_key(),
            Self::EarlierAuthority => id.earlier_authority_key(),
            Self::Active { class, cohort } => id.data_key(class, cohort),
            Self::Ended { class, cohort } => id.data_key(class, &cohort.to_string()),
        }
    }
}
