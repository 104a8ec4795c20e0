//! Looks at AccessRevocations, in loops that wait for no round over AccessRoles.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Granter;
use crate::{
    SOON, SWEEP,
    revocations::{RevocationInputs, Subjects},
};

impl Granter {
    /// Looks at every AccessRevocation that is not done, and where `all` says so at those that stand.
    pub async fn revoke(&self, all: bool) {
        self.begin(Subjects::People).await;
        self.begin(Subjects::Others).await;
        if all {
            self.sweep(true).await;
        }
    }

    /// Looks at every AccessRevocation after each change and at least every minute, until `stop`. People, other subjects, and
    /// those that stand do not wait for each other.
    pub async fn revoke_until(&self, stop: CancellationToken, interval: Duration) {
        let loops = async {
            tokio::join!(
                self.begin_each(Subjects::People),
                self.begin_each(Subjects::Others),
                self.sweep_each(interval.min(SWEEP))
            );
        };
        stop.run_until_cancelled(loops).await;
    }

    /// Looks at new AccessRevocations of these subjects for ever, and again soon at those that are not done.
    async fn begin_each(&self, subjects: Subjects) {
        let mut pause = SOON;
        loop {
            let is_done = self.begin(subjects).await;
            let wait = if is_done { SWEEP } else { pause };
            pause = tokio::select! {
                () = self.view.revoked(subjects) => SOON,
                () = tokio::time::sleep(wait) => (pause * 2).min(SWEEP),
            };
        }
    }

    /// Looks at AccessRevocations that stand for ever: at each `interval` for entities that were made later.
    async fn sweep_each(&self, interval: Duration) {
        let mut due = Instant::now();
        loop {
            let people = Instant::now() >= due;
            self.sweep(people).await;
            if people {
                due = Instant::now() + interval;
            }
            tokio::select! {
                () = self.view.decided() => {}
                () = self.view.redefined() => due = Instant::now(),
                () = self.revocations.told() => {}
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }

    async fn begin(&self, subjects: Subjects) -> bool {
        match self.revocation_inputs().await {
            Some(with) => {
                let is_done = self.revocations.begin(&with, subjects).await;
                self.metrics.revoking(&self.view.revocations.state());
                is_done
            }
            None => false,
        }
    }

    async fn sweep(&self, people: bool) {
        if let Some(with) = self.revocation_inputs().await {
            self.revocations.sweep(&with, people).await;
        }
    }

    async fn revocation_inputs(&self) -> Option<RevocationInputs<'_>> {
        if !self.view.are_revocations_known().await {
            tracing::warn!("the API server has not listed AccessRevocations yet");
            return None;
        }
        let Self { client, view, vaults, guard, gate, .. } = self;
        Some(RevocationInputs { client, view, vaults, guard, gate, now: (self.clock)() })
    }
}
