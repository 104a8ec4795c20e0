//! The ways a leader goes.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use kube::api::DeleteParams;
use rustix::process::{Pid, Signal, kill_process};
use subrosa_e2e::{Mode, Operator, Tap, wait};

use crate::stage::{NEW, OLD, Stage, TAKEOVER, leads};

/// How long the leader works before something happens to it.
const WORK: Duration = Duration::from_secs(4);

/// How long a replica may take to end by itself: a term is 10 seconds.
const TERM: Duration = Duration::from_secs(20);
/// How long a replica may take to finish what is under way when it is asked to stop: 20 seconds, and the Lease.
const STOP: Duration = Duration::from_secs(30);

/// Waits until a replica has ended, and says how.
async fn ends(replica: &mut Operator, limit: Duration) -> Result<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = replica.exited() {
            return Ok(status);
        }
        ensure!(started.elapsed() < limit, "it still runs after {limit:?}:\n{}", replica.log()?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a replica has ended by itself, and says so in its log.
async fn ends_itself(replica: &mut Operator) -> Result<()> {
    let status = ends(replica, TERM).await?;
    ensure!(status.code() == Some(3), "{status}");
    ensure!(replica.log()?.contains("this replica no longer leads"), "{}", replica.log()?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced() -> Result<()> {
    let stage = Stage::build().await?;
    let (mut old, mut new) = stage.pair(None).await?;
    let _busy = stage.keep_busy();
    stage.busy(OLD).await?;
    tokio::time::sleep(WORK).await;
    ensure!(stage.timeline()?.of(NEW).next().is_none(), "a replica that stands by does nothing");

    let gone = Timestamp::now();
    old.kill();
    let took = stage.handed_over(gone, &new).await?;
    println!("killed: the other one acts after {took:?}");
    tokio::time::sleep(WORK).await;
    stage.timeline()?.never_both(OLD, NEW)?;

    // Somebody deletes the Lease: its holder cannot renew what is not there, and ends.
    stage.leases().delete("subrosa", &DeleteParams::default()).await?;
    ends_itself(&mut new).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_hands_over_at_once() -> Result<()> {
    let stage = Stage::build().await?;
    let (mut old, new) = stage.pair(None).await?;
    let _busy = stage.keep_busy();
    stage.busy(OLD).await?;
    tokio::time::sleep(WORK).await;

    let asked = Timestamp::now();
    kill_process(Pid::from_raw(old.pid().try_into()?).context("no process")?, Signal::TERM)?;
    let status = ends(&mut old, STOP).await?;
    let ended = Timestamp::now();
    ensure!(status.success(), "{status}: {}", old.log()?);
    // It finishes first what is under way; a Lease that it had kept would hold for 10 seconds more at least.
    let first = stage.at_work(NEW, asked, TAKEOVER).await?;
    let took = first.duration_since(ended);
    println!("stopped: the other one acts {took:#} after its end");
    ensure!(took < SignedDuration::from_secs(5), "{took:#}: the Lease was not given up");
    leads(&new, true).await.map_err(anyhow::Error::msg)?;
    stage.timeline()?.never_both(OLD, NEW)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_does_nothing_more() -> Result<()> {
    let stage = Stage::build().await?;
    let (mut old, new) = stage.pair(None).await?;
    let busy = stage.keep_busy();
    stage.busy(OLD).await?;
    tokio::time::sleep(WORK).await;

    let (stood, since) = (Instant::now(), Timestamp::now());
    old.pause();
    let took = stage.handed_over(since, &new).await?;
    println!("stood still: the other one acts after {took:?}");
    tokio::time::sleep(Duration::from_secs(30).saturating_sub(stood.elapsed())).await;
    old.resume();
    let ended = ends_itself(&mut old).await;
    tokio::time::sleep(WORK).await;
    drop(busy);
    leads(&new, true).await.map_err(anyhow::Error::msg)?;
    // First what matters most, also when it did not end.
    stage.timeline()?.never_both(OLD, NEW)?;
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_cut_off_ends_by_itself() -> Result<()> {
    let stage = Stage::build().await?;
    let tap = Tap::new();
    let proxy = stage.env.proxy_api(&tap).await?;
    let through = stage.env.kubeconfig_through(proxy.endpoint(), "cut-off", &stage.installed.token)?;
    let (mut old, new) = stage.pair(Some(through)).await?;
    let _busy = stage.keep_busy();
    stage.busy(OLD).await?;
    tokio::time::sleep(WORK).await;

    // Vault stays within its reach: only its own clock tells it to stop.
    let since = Timestamp::now();
    tap.set_mode(Mode::Hang);
    ends_itself(&mut old).await?;
    let ended = Timestamp::now();
    wait::until(TAKEOVER, || leads(&new, true)).await?;
    let took = stage.handed_over(since, &new).await?;
    println!("cut off: it ends after {:#}, the other one acts after {took:?}", ended.duration_since(since));
    // What was held on the way goes on.
    tap.set_mode(Mode::Pass);
    tokio::time::sleep(WORK).await;
    stage.timeline()?.never_both(OLD, NEW)
}
