//! What Argo CD and Flux see of Subrosa: health, drift, pruning. Their own controllers do not run here; what they ask
//! the API server is asked, and what they compute is computed by their code (see `e2e/argohealth`).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed helper fails its test")]

mod drift;
mod fleet;
mod health;
mod judge;
mod manifests;
mod prune;

use anyhow::{Context as _, Result};

use crate::fleet::Fleet;

/// One cluster for all of it: starting one takes longer than each part.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_judged_left_alone_and_pruned() -> Result<()> {
    let began = std::time::Instant::now();
    let say = |what: &str| println!("{:5.1} s: {what}", began.elapsed().as_secs_f64());
    let mut fleet = Fleet::start().await?;
    say("applied");
    health::before_anybody_looked(&fleet).await.context("before the operator runs")?;
    say("nobody looked");
    fleet.start_operator().await?;
    say("operator runs");
    health::once_all_is_ready(&fleet).await.context("once all is ready")?;
    say("all is ready");
    drift::nothing_of_theirs_is_written(&fleet).await.context("drift")?;
    say("no drift");
    drift::a_change_would_be_seen(&fleet).await.context("drift")?;
    say("a change is seen");
    health::while_the_status_is_behind(&mut fleet).await.context("while the status is behind")?;
    say("status behind");
    health::of_what_is_not_well(&fleet).await.context("what is not well")?;
    say("not well");
    prune::is_refused_without_confirmation(&fleet).await.context("pruning")?;
    say("refused");
    prune::destroys_nothing(&fleet).await.context("pruning")
}
