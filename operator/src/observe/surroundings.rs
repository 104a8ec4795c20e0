//! The admission policies and other policy engines. Neither is watched; the API server is asked from time to time.

use std::time::{Duration, Instant};

use subrosa_plan::status::trust_domain::Guards;
use tokio::sync::Mutex;

use super::{engines, guards};
use crate::context::Context;

/// How long an answer is cached, because trust domains are reconciled more often while their Channels change.
const GOOD: Duration = Duration::from_secs(10);

/// The cached answer, and which policies the installation switched off.
pub struct Surroundings {
    off: Vec<guards::Optional>,
    last: Mutex<Option<(Instant, Guards)>>,
}

impl Surroundings {
    /// For an installation that switched off these policies.
    pub fn new(off: Vec<guards::Optional>) -> Self {
        Self { off, last: Mutex::default() }
    }

    /// The state of the admission policies; also updates the other policy engines in the world.
    pub async fn look(&self, ctx: &Context) -> Guards {
        let mut last = self.last.lock().await;
        if let Some((at, found)) = last.as_ref()
            && at.elapsed() < GOOD
        {
            return found.clone();
        }
        engines::look(ctx).await;
        let found = guards::look(ctx, &self.off).await;
        *last = Some((Instant::now(), found.clone()));
        found
    }
}
