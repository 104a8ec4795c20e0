//! Keys for recordings, from Vault.

use std::{io::BufRead, path::PathBuf, time::SystemTime};

use jiff::{Timestamp, civil::Date};
use subrosa_crds::{names::DataKeyName, zone};
use subrosa_records::vault::sealing::SealingKeys;

use super::recording::{Keys, Trouble};
use crate::{
    age::payload::PayloadKey,
    cohort::{self, CohortChoiceError},
    item::ItemId,
    seal::{self, Opened, Prepared, SealError},
    settings,
};

/// The anchor date of recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorOf {
    /// The day of sealing; an open cohort where the class waits for a date.
    Today,
    /// The day of the last write.
    Modified,
    /// This date.
    Date(Date),
}

/// Gets keys of one class from Vault.
#[derive(Clone, Debug)]
pub struct VaultKeys {
    /// Who asks.
    pub keys: SealingKeys,
    /// The path of the settings, which are read for each recording because a policy may change.
    pub config: PathBuf,
    /// The class of the data.
    pub class: String,
    /// The anchor date.
    pub anchor: AnchorOf,
    /// Whether the cohort may already be due.
    pub already_due: bool,
}

impl VaultKeys {
    /// The key for a recording that was last written at `modified`, at `now`.
    ///
    /// # Errors
    /// When the settings allow none.
    pub fn choose(&self, modified: SystemTime, now: Timestamp) -> Result<DataKeyName, Trouble> {
        let sealing = settings::load(&self.config)?;
        let anchor = match self.anchor {
            AnchorOf::Today => None,
            AnchorOf::Date(date) => Some(date),
            AnchorOf::Modified => {
                let zone = zone::named(&sealing.time_zone)
                    .map_err(|_| CohortChoiceError::TimeZone(sealing.time_zone.clone()))?;
                // A time from a clock that was ahead counts as now.
                let written = Timestamp::try_from(modified).unwrap_or(now).min(now);
                Some(written.to_zoned(zone).date())
            }
        };
        Ok(cohort::choose(&sealing, &self.class, anchor, self.already_due, now)?)
    }
}

impl Keys for VaultKeys {
    async fn prepare(&self, item: &ItemId, modified: SystemTime) -> Result<Prepared, Trouble> {
        let key = self.choose(modified, Timestamp::now())?;
        Ok(seal::prepare(&self.keys, &key, item).await?)
    }

    async fn unlock<R: BufRead + Send + Sync>(
        &self,
        opened: &Opened<R>,
    ) -> Result<Option<PayloadKey>, Trouble> {
        match opened.unlock(&self.keys).await {
            Ok(key) => Ok(Some(key)),
            Err(SealError::Vault(error)) if error.is_transient() => Err(SealError::Vault(error).into()),
            // This identity may not open it, or it is another item or damaged: not known to be the same.
            Err(_) => Ok(None),
        }
    }
}
