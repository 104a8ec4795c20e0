//! The admission policies that guard the operator's objects, and other policy engines. Neither is watched: the API
//! server is asked once in a while.

use std::time::{Duration, Instant};

use subrosa_plan::status::trust_domain::Guards;
use tokio::sync::Mutex;

use super::{engines, guards};
use crate::context::Context;

/// How long an answer is good. Trust domains are looked at more often while their Channels change.
const GOOD: Duration = Duration::from_secs(10);

/// The last answer, and which guards the installation does without.
pub struct Surroundings {
    off: Vec<guards::Optional>,
    last: Mutex<Option<(Instant, Guards)>>,
}

impl Surroundings {
    /// For an installation that does without these guards.
    pub fn new(off: Vec<guards::Optional>) -> Self {
        Self { off, last: Mutex::default() }
    }

    /// How the guards are; takes other policy engines into the world on the way.
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
