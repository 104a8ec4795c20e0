//! Keys for recordings, from Vault.

use std::{io::BufRead, path::PathBuf, time::SystemTime};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use subrosa_crds::names::DataKeyName;
use subrosa_records::vault::sealing::SealingKeys;

use super::recording::{Keys, Trouble};
use crate::{
    age::payload::PayloadKey,
    cohort::{self, CohortChoiceError},
    item::ItemId,
    seal::{self, Opened, Prepared, SealError},
    settings,
};

/// From which date a recording is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorOf {
    /// The day on which it is sealed; in an open cohort where its class waits for a date.
    Today,
    /// The day on which it was last written.
    Modified,
    /// This one.
    Date(Date),
}

/// Asks Vault for a key of one class.
#[derive(Clone, Debug)]
pub struct VaultKeys {
    /// Who asks.
    pub keys: SealingKeys,
    /// The settings: read again for each recording, since a policy may change.
    pub config: PathBuf,
    /// The class of the data.
    pub class: String,
    /// The date from which it is kept.
    pub anchor: AnchorOf,
    /// Whether a cohort may be due already.
    pub already_due: bool,
}

impl VaultKeys {
    /// The key for what was last written at `modified`, at `now`.
    ///
    /// # Errors
    /// When the settings have none.
    pub fn choose(&self, modified: SystemTime, now: Timestamp) -> Result<DataKeyName, Trouble> {
        let sealing = settings::load(&self.config)?;
        let anchor = match self.anchor {
            AnchorOf::Today => None,
            AnchorOf::Date(date) => Some(date),
            AnchorOf::Modified => {
                let zone = TimeZone::get(&sealing.time_zone)
                    .map_err(|_| CohortChoiceError::TimeZone(sealing.time_zone.clone()))?;
                // A clock that was ahead when it was written does not hold it up.
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
            // It may not open, or the file is another's or damaged: it is not known to be the same.
            Err(_) => Ok(None),
        }
    }
}
