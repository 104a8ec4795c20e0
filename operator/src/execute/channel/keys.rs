//! The data keys of a Channel, and what the ledger remembers of them.

use std::collections::BTreeMap;

use subrosa_plan::{keys as decide, keys::ObservedKey, record::ledger::Ledger, world::fault::Fault};

use super::{Work, later};
use crate::execute::keys;

impl Work<'_> {
    /// Makes the keys as planned and notes their versions; ended cohorts stop rotating.
    pub(super) async fn keys(&mut self, ledger: &mut Ledger) -> Result<BTreeMap<String, ObservedKey>, Fault> {
        let plan = self.plan;
        if plan.declaration.is_none() {
            return Ok(BTreeMap::new());
        }
        let found = keys::carry_out(self.vault, &plan.keys, ledger, self.now).await?;
        for key in &plan.keys {
            let Some(seen) = found.get(&key.name) else { continue };
            ledger.key_mut(&key.class, key.cohort).versions.extend(seen.versions.clone());
            let next = decide::next_rotation(key, seen);
            self.wake.extend(next.map(|next| later(next, decide::ROTATION_SLACK)));
        }
        let ended = decide::to_close(ledger, &plan.keys);
        keys::close(self.vault, &ended).await?;
        for (class, cohorts) in &mut ledger.keys {
            for (cohort, record) in cohorts {
                record.closed |= ended.contains(&plan.id.data_key(class, cohort));
            }
        }
        Ok(found)
    }
}
