//! The admission policies and other policy engines. Neither is watched; the API server is asked from time to time.

use std::time::{Duration, Instant};

use kube::Client;
use subrosa_plan::status::trust_domain::Guards;
use tokio::sync::Mutex;

use super::{Cluster, engines, guards};
use crate::{grants::Installation, subject::Subject};

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

    /// The state of the admission policies; also updates the other policy engines in the world, and returns the objects to
    /// reconcile because of them.
    pub async fn look(
        &self,
        client: &Client,
        installation: &Installation,
        cluster: &Cluster,
    ) -> (Guards, Vec<Subject>) {
        let mut last = self.last.lock().await;
        if let Some((at, found)) = last.as_ref()
            && at.elapsed() < GOOD
        {
            return (found.clone(), Vec::new());
        }
        let woken = engines::look(client, cluster).await;
        let found = guards::look(client, installation, &self.off).await;
        *last = Some((Instant::now(), found.clone()));
        (found, woken)
    }
}
