//! A crash after any single write, to the API server or to OpenBao, hurts nothing: the next start ends
//! where an uninterrupted run ends, with at most one serial or key version more.
//!
//! The operator talks to both servers through proxies with one counter. At the n-th write the world goes
//! dark, the answer is lost or just arrives, and the process is killed. By default some n of each phase are
//! tried, spread evenly, and the one right before the first Event; `SUBROSA_E2E_EVERY=1` tries every one, both ways.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use subrosa_e2e::{Mode, Operator, Proxy, Tap, Write, openbao::key_path, operator::Options, wait};
use tokio::sync::oneshot;

use crate::{
    cluster::{Cluster, PATIENCE},
    forge,
    scenario::Scenario,
    snapshot,
    usage::{Crash, PHASES, Phase, Usage, expected},
};

/// How many lives are lived by default. In each, every phase is interrupted once.
const LIVES: usize = 16;
/// How many clusters they are lived in at once: most of a life is waiting.
const RIGS: usize = 3;
/// How long nothing is written before an uninterrupted phase counts as over.
const CALM: Duration = Duration::from_millis(2500);
/// How long an Event may be missing once everything else is as it should be.
const TELLING: Duration = Duration::from_secs(20);
/// After how many crashes that hurt no further one is tried in a cluster.
const ENOUGH: usize = 3;

/// What an uninterrupted phase did, and what became of it.
struct Known {
    snapshot: Value,
    usage: Usage,
    writes: usize,
    /// The write right before the first Event: what was noted by then is still to be told.
    before_telling: Option<usize>,
}

/// What became of some lives.
#[derive(Default)]
struct Lived {
    crashes: usize,
    /// Crashes that would have come after the last write.
    missed: usize,
    failures: Vec<String>,
}

/// An operator between proxies.
pub struct Rig {
    pub cluster: Cluster,
    pub tap: Arc<Tap>,
    kubeconfig: PathBuf,
    operator: Option<Operator>,
    concurrency: u16,
    _proxies: [Proxy; 2],
}

impl Rig {
    pub async fn build() -> Result<Self> {
        let cluster = Cluster::build().await?;
        let tap = Tap::new();
        let (api, bao) = (cluster.env.proxy_api(&tap).await?, cluster.env.proxy_openbao(&tap).await?);
        let kubeconfig =
            cluster.env.kubeconfig_through(api.endpoint(), "operator-watched", &cluster.installed.token)?;
        let mut domain = cluster.trust_domain();
        domain["spec"]["vault"]["address"] = bao.endpoint().url.clone().into();
        cluster.apply(domain).await?;
        // Logging in is not writing, and a lookup is a read.
        tap.count_only(|write| {
            write.status < 400
                && !write.path.ends_with("/token")
                && !write.path.starts_with("/v1/auth/")
                && write.path != "/v1/identity/lookup/entity"
        });
        Ok(Self { cluster, tap, kubeconfig, operator: None, concurrency: 1, _proxies: [api, bao] })
    }

    fn spawn(&mut self) -> Result<()> {
        let options = Options {
            kubeconfig: Some(self.kubeconfig.clone()),
            concurrency: self.concurrency,
            ..self.cluster.options()
        };
        self.operator = Some(Operator::spawn(&self.cluster.installed, options)?);
        Ok(())
    }

    /// Ends the operator's process.
    pub fn stop(&mut self) {
        self.operator = None;
    }

    pub async fn start(&mut self, concurrency: u16) -> Result<()> {
        self.operator = None;
        self.concurrency = concurrency;
        self.spawn()?;
        self.operator.as_mut().context("no operator")?.ready().await
    }

    /// An operator that may issue what the phase and a crash in it take.
    async fn prepare(&mut self, scenario: &Scenario, phase: Phase, concurrency: u16) -> Result<()> {
        if phase == Phase::Rotate {
            self.concurrency = concurrency;
            return Ok(());
        }
        let mut spent = Vec::new();
        for (_, id) in &scenario.ids {
            let record = self.cluster.record(id.as_str()).await?.unwrap_or_default();
            if record["issuances"].as_array().is_some_and(|recorded| recorded.len() > 1) {
                spent.push(id);
            }
        }
        if !spent.is_empty() {
            self.operator = None;
        }
        for id in spent {
            forge::give_the_hour_back(&self.cluster, id).await?;
        }
        if self.operator.is_none() || self.concurrency != concurrency {
            self.start(concurrency).await?;
        }
        Ok(())
    }

    /// Lets a phase happen, with or without a crash in it; says at which write it was cut.
    async fn play(
        &mut self,
        scenario: &Scenario,
        phase: Phase,
        crash: Option<Crash>,
    ) -> Result<Option<oneshot::Receiver<Write>>> {
        self.tap.reset();
        let cut = crash.map(|crash| self.arm(crash));
        let cluster = &self.cluster;
        match phase {
            Phase::Create => cluster.apply_all(scenario.created()).await?,
            Phase::Change => cluster.apply_all(scenario.changed()).await?,
            Phase::Renew => {
                let secrets = cluster.api("v1", "Secret", &scenario.front).await?;
                secrets.delete("voice-mtls", &Default::default()).await?;
            }
            Phase::Rotate => self.spawn()?,
            Phase::Delete => scenario.delete_channels(cluster).await?,
        }
        Ok(cut)
    }

    /// The operator's world ends at the n-th write.
    fn arm(&self, crash: Crash) -> oneshot::Receiver<Write> {
        match crash {
            Crash::Unanswered(n) => self.tap.cut_after_write(n, Mode::Refuse),
            Crash::Answered(n) => {
                let (sender, receiver) = oneshot::channel();
                self.tap.after_write(n, move |write| drop(sender.send(write.clone())));
                receiver
            }
        }
    }

    /// Before a rotation: stops the operator and makes db's authority and voice's key old enough.
    async fn age(&mut self, scenario: &Scenario, phase: Phase) -> Result<()> {
        if phase != Phase::Rotate {
            return Ok(());
        }
        self.operator = None;
        let cluster = &self.cluster;
        forge::older_authority(cluster, &scenario.data, "db", scenario.id("db"), 340).await?;
        for key in cluster.keys().await? {
            let (_, described) = cluster.root("GET", &key_path(&key), None).await?;
            let current = described["data"]["auto_rotate_period"].as_i64().is_some_and(|period| period > 0);
            if current && key.starts_with(&format!("{}.call-recording.", scenario.id("voice"))) {
                forge::older_key(cluster, &key, 40).await?;
            }
        }
        for (_, id) in &scenario.ids {
            forge::give_the_hour_back(cluster, id).await?;
        }
        Ok(())
    }

    async fn snapshot(&self, scenario: &Scenario, phase: Phase) -> Result<Value> {
        match phase {
            Phase::Delete => snapshot::remains(&self.cluster, scenario).await,
            _ => snapshot::living(&self.cluster, scenario).await,
        }
    }

    /// An uninterrupted phase: what it becomes and what it takes.
    async fn learn(&mut self, scenario: &Scenario, phase: Phase) -> Result<Known> {
        self.age(scenario, phase).await?;
        let before = Usage::of(&self.cluster, scenario).await?;
        self.play(scenario, phase, None).await?;
        // Neither a status from before nor silence says that it has begun; what it takes does.
        self.used(scenario, &before, &expected(phase)).await?;
        if phase == Phase::Delete {
            self.withdrawn(scenario).await?;
        } else {
            self.cluster.whole(&scenario.channels()).await?;
        }
        let mut calm = (self.tap.writes().len(), Instant::now());
        let deadline = Instant::now() + PATIENCE;
        while calm.1.elapsed() < CALM {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let writes = self.tap.writes().len();
            if writes != calm.0 {
                calm = (writes, Instant::now());
            }
            ensure!(Instant::now() < deadline, "{phase:?} never comes to rest: {:#?}", self.tap.writes());
        }
        let usage = Usage::of(&self.cluster, scenario).await?.since(&before);
        let is_event = |write: &Write| write.path.contains("/events.k8s.io/");
        let before_telling = self.tap.writes().iter().position(is_event).filter(|before| *before > 0);
        let snapshot = self.snapshot(scenario, phase).await?;
        Ok(Known { snapshot, usage, writes: calm.0, before_telling })
    }

    /// What was used up since `before`, as soon as that is no less than `least`.
    async fn used(&self, scenario: &Scenario, before: &Usage, least: &Usage) -> Result<Usage> {
        let used = wait::until(PATIENCE, || async {
            let used = Usage::of(&self.cluster, scenario).await.map_err(|error| format!("{error:#}"))?;
            let used = used.since(before);
            if used.since(least).is_short() { Err(format!("still to come: {used:?}")) } else { Ok(used) }
        });
        used.await.with_context(|| self.last_words())
    }

    /// Waits until nobody has access and nothing counts as open.
    async fn withdrawn(&self, scenario: &Scenario) -> Result<()> {
        let look = || async {
            let seen =
                snapshot::remains(&self.cluster, scenario).await.map_err(|error| format!("{error:#}"))?;
            let access = seen["access"].as_object().into_iter().flatten().any(|(_, alias)| !alias.is_null());
            let noted = seen["records"]
                .as_object()
                .into_iter()
                .flatten()
                .any(|(_, record)| record["access"] != false || !record["open"].is_null());
            if access || noted { Err(seen.to_string()) } else { Ok(()) }
        };
        wait::until(PATIENCE, look).await
    }

    /// The end of the operator's log, for what does not converge.
    fn last_words(&self) -> String {
        let log = self.operator.as_ref().and_then(|operator| operator.log().ok()).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(60).collect();
        format!("the operator's log ends, newest first:\n{}", lines.join("\n"))
    }

    /// Waits until everything is as it is without a crash. What is only not told is not waited for that long.
    async fn converged(&self, scenario: &Scenario, phase: Phase, known: &Known) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut only_untold: Option<Instant> = None;
        loop {
            let found = self.snapshot(scenario, phase).await;
            let differences = match &found {
                Ok(found) => snapshot::differences(found, &known.snapshot),
                Err(error) => vec![format!("{error:#}")],
            };
            if differences.is_empty() {
                return Ok(());
            }
            let untold = found.map(|found| snapshot::untold(&found, &known.snapshot)).unwrap_or_default();
            if differences.len() == 1 && !untold.is_empty() {
                let since = *only_untold.get_or_insert_with(Instant::now);
                ensure!(since.elapsed() < TELLING, "Events are lost, everything else is there: {untold:#?}");
            } else {
                only_untold = None;
            }
            ensure!(Instant::now() < deadline, "{differences:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A phase with a crash in it; says at which write, if it came so far.
    async fn interrupted(
        &mut self,
        scenario: &Scenario,
        phase: Phase,
        crash: Crash,
        known: &Known,
    ) -> Result<Option<Write>> {
        self.age(scenario, phase).await?;
        let before = Usage::of(&self.cluster, scenario).await?;
        let mut cut = self.play(scenario, phase, Some(crash)).await?.context("not armed")?;
        // With the n-th write comes the end; without it the phase ends by itself.
        let deadline = Instant::now() + PATIENCE;
        let hit = loop {
            if Instant::now() > deadline {
                let found = self.snapshot(scenario, phase).await?;
                let differences = snapshot::differences(&found, &known.snapshot);
                bail!(
                    "neither the write nor the end of the phase came: {differences:#?}\n{}",
                    self.last_words()
                );
            }
            match tokio::time::timeout(Duration::from_millis(100), &mut cut).await {
                Ok(write) => break Some(write.context("the trigger is gone")?),
                Err(_) if self.snapshot(scenario, phase).await? == known.snapshot => break None,
                Err(_) => {}
            }
        };
        let mut operator = self.operator.take().context("no operator")?;
        if hit.is_some() {
            if matches!(crash, Crash::Answered(_)) {
                let pid = Pid::from_raw(operator.pid().try_into()?).context("no process")?;
                kill_process(pid, Signal::KILL)?;
            }
            operator.kill();
            self.tap.set_mode(Mode::Pass);
            self.start(crash.concurrency()).await?;
        } else {
            // Nothing may go off later.
            self.tap.reset();
            self.tap.set_mode(Mode::Pass);
            self.operator = Some(operator);
        }
        self.converged(scenario, phase, known).await.with_context(|| self.last_words())?;
        // A key's version is in no snapshot: one that is still to come may come after all the rest.
        let used = self.used(scenario, &before, &known.usage).await?;
        let extra = used.since(&known.usage);
        extra.at_most_one(crash).with_context(|| format!("used {used:?} instead of {:?}", known.usage))?;
        Ok(hit)
    }

    /// Lives these lives one after another.
    async fn live(
        &mut self,
        lives: impl Iterator<Item = (usize, &BTreeMap<Phase, Crash>)>,
        known: &BTreeMap<Phase, Known>,
    ) -> Result<Lived> {
        let mut lived = Lived::default();
        for (number, life) in lives {
            if lived.failures.len() >= ENOUGH {
                break;
            }
            let scenario = Scenario::found(&self.cluster, &format!("life{number:03}")).await?;
            for phase in PHASES {
                let Some(crash) = life.get(&phase).copied() else {
                    self.learn(&scenario, phase).await?;
                    continue;
                };
                let outcome = match self.prepare(&scenario, phase, crash.concurrency()).await {
                    Ok(()) => self.interrupted(&scenario, phase, crash, &known[&phase]).await,
                    Err(error) => Err(error),
                };
                match outcome {
                    Ok(Some(_)) => lived.crashes += 1,
                    Ok(None) => lived.missed += 1,
                    Err(error) => {
                        let log = self.operator.as_ref().map(Operator::log).transpose()?.unwrap_or_default();
                        let end: Vec<&str> = log.lines().rev().take(15).collect();
                        let failure = format!(
                            "life {number}, {phase:?}, {crash:?} of {}: {error:?}\n{}",
                            known[&phase].writes,
                            end.into_iter().rev().collect::<Vec<_>>().join("\n")
                        );
                        lived.failures.push(failure);
                        self.tap.set_mode(Mode::Pass);
                        break;
                    }
                }
            }
            scenario.raze(&self.cluster).await.ok();
        }
        Ok(lived)
    }
}

/// The crashes of each life.
fn lives(known: &BTreeMap<Phase, Known>) -> Vec<BTreeMap<Phase, Crash>> {
    let longest = known.values().map(|known| known.writes).max().unwrap_or_default();
    if std::env::var_os("SUBROSA_E2E_EVERY").is_some_and(|every| every == "1") {
        let life = |n: usize, crash: fn(usize) -> Crash| {
            PHASES
                .into_iter()
                .filter(|phase| n <= known[phase].writes)
                .map(|phase| (phase, crash(n)))
                .collect()
        };
        return (1..=longest).flat_map(|n| [life(n, Crash::Unanswered), life(n, Crash::Answered)]).collect();
    }
    let life = |i: usize| {
        let at = |phase: Phase| match known[&phase].before_telling {
            Some(before) if i == 0 => before,
            _ => 1 + i * known[&phase].writes / LIVES,
        };
        let crash = if i.is_multiple_of(2) { Crash::Unanswered } else { Crash::Answered };
        PHASES.into_iter().map(|phase| (phase, crash(at(phase)))).collect()
    };
    (0..LIVES).map(life).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_crash_hurts() -> Result<()> {
    let mut rig = Rig::build().await?;
    rig.start(1).await?;
    let scenario = Scenario::found(&rig.cluster, "whole").await?;
    let mut known = BTreeMap::new();
    for phase in PHASES {
        let one = rig.learn(&scenario, phase).await.with_context(|| format!("{phase:?} without a crash"))?;
        println!("{phase:?}: {} writes, {:?}", one.writes, one.usage);
        ensure!(
            one.usage == expected(phase),
            "{phase:?} uses {:?} instead of {:?}",
            one.usage,
            expected(phase)
        );
        known.insert(phase, one);
    }
    scenario.raze(&rig.cluster).await?;

    let begun = Instant::now();
    let lives = lives(&known);
    let planned: usize = lives.iter().map(BTreeMap::len).sum();
    let mut rigs = vec![rig];
    while rigs.len() < RIGS {
        rigs.push(Rig::build().await?);
    }
    let mut lived: Vec<Lived> = try_join_all(rigs.into_iter().enumerate().map(|(at, mut rig)| {
        let (known, lives) = (&known, lives.iter().enumerate().skip(at).step_by(RIGS));
        async move { rig.live(lives, known).await }
    }))
    .await?;
    let (crashes, missed) = lived.iter().fold((0, 0), |(c, m), one| (c + one.crashes, m + one.missed));
    let failures: Vec<String> = lived.iter_mut().flat_map(|one| std::mem::take(&mut one.failures)).collect();
    println!(
        "{crashes} crashes of {planned} planned ({missed} came after the last write) in {:.0?}; {} failed",
        begun.elapsed(),
        failures.len()
    );
    failures.iter().for_each(|failure| eprintln!("{failure}"));
    if !failures.is_empty() {
        bail!("{} of {crashes} crashes hurt; the first: {}", failures.len(), failures[0]);
    }
    ensure!(crashes * 3 >= planned * 2, "only {crashes} of {planned} crashes came to pass");
    Ok(())
}
