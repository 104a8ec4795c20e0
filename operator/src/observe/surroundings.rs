//! What is around everything the operator does: its own guards, and other policy engines. Nothing that is
//! watched, so it is asked for; as seldom as serves.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::{engines, guards};
use crate::context::Context;

/// How long an answer is good. Trust domains are looked at more often while their Channels change.
const GOOD: Duration = Duration::from_secs(10);

/// The last answer.
#[derive(Default)]
pub struct Surroundings(Mutex<Option<(Instant, Option<String>)>>);

impl Surroundings {
    /// What is wrong with the guards, if anything; takes other policy engines into the world on the way.
    pub async fn look(&self, ctx: &Context) -> Option<String> {
        let mut last = self.0.lock().await;
        if let Some((at, wrong)) = last.as_ref()
            && at.elapsed() < GOOD
        {
            return wrong.clone();
        }
        engines::look(ctx).await;
        let wrong = guards::look(ctx).await;
        *last = Some((Instant::now(), wrong.clone()));
        wrong
    }
}
