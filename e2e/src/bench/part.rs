//! One program, measured part by part.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    Part, Plan,
    bare::{self, Cost},
    crowd::{self, Crowd},
    drift,
    table::Table,
    usage::{Busy, memory, milliseconds},
};
use crate::{
    Environment, Installation, Operator,
    audit::{ApiAuditEntry, BaoAuditEntry, Mark},
    installation::{apply_object, retention_policy},
    operator::Options,
    tools::say,
};

/// The trust domain of the benchmark.
const DOMAIN: &str = "oosterlinde";

/// How often a single Channel is added.
const ROUNDS: usize = 9;

/// How long after a restart writes are counted.
const AFTER_RESTART: Duration = Duration::from_secs(15);

/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(60);

/// Waits until the garbage collector watches Channels. It learns of new kinds twice a minute, and asks for the owner of
/// whatever is made before that: two requests more for each Channel, which no cluster has that is older.
async fn known_to_the_collector(env: &Environment) -> Result<()> {
    let audit = env.audit()?;
    let watches = |one: &ApiAuditEntry| {
        one.verb == "watch" && one.resource() == "channels" && one.user_agent.ends_with("metadata-informers")
    };
    crate::wait::until(Duration::from_secs(120), || async {
        let seen: Vec<ApiAuditEntry> =
            audit.entries_since(Mark::default()).map_err(|error| error.to_string())?;
        match seen.iter().any(watches) {
            true => Ok(()),
            false => Err("the garbage collector does not know Channels yet".to_owned()),
        }
    })
    .await
}

/// A cluster with an operator, and what was measured of it.
pub(super) struct Bench<'a> {
    plan: &'a Plan,
    env: Environment,
    installed: Installation,
    client: kube::Client,
    options: Options,
    operator: Operator,
    crowd: Crowd,
    table: Table,
}

impl<'a> Bench<'a> {
    pub(super) async fn start(plan: &'a Plan, program: PathBuf) -> Result<Self> {
        let env = Environment::builder().local().start().await?;
        let installed = Installation::install(&env, DOMAIN).await?;
        let client = env.admin()?;
        apply_object(&client, &installed.trust_domain(&env)).await?;
        apply_object(&client, &retention_policy()).await?;
        let options = Options {
            log: "warn",
            concurrency: plan.concurrency,
            program: Some(program),
            ..Options::default()
        };
        let operator = Operator::start_with(&installed, options.clone()).await?;
        let many = if plan.parts.contains(&Part::Many) { plan.many } else { 0 };
        let size = plan.channels.max(many) + 4 * ROUNDS;
        let crowd = Crowd::prepare(&client, DOMAIN, size, plan.per_namespace).await?;
        crowd.warm_up(&client).await?;
        known_to_the_collector(&env).await?;
        Ok(Self { plan, env, installed, client, options, operator, crowd, table: Table::default() })
    }

    pub(super) async fn measure(mut self) -> Result<Table> {
        let has = |part| self.plan.parts.contains(&part);
        let (drift, restart, many, idle) =
            (has(Part::Drift), has(Part::Restart), has(Part::Many), has(Part::Idle));
        let first = self.crowd.one_by_one(&self.client, ROUNDS).await?;
        self.table.row(&format!("one Channel among few, apply to Ready, median of {ROUNDS}"), seconds(first));
        self.crowd().await?;
        if drift {
            self.drift().await?;
        }
        if restart {
            self.restart(self.plan.channels).await?;
        }
        if many {
            self.many(first).await?;
        }
        if many && restart {
            self.restart(self.plan.many).await?;
        }
        if idle {
            self.idle().await?;
        }
        self.operator.stop();
        Ok(self.table)
    }

    fn at_once(&self) -> usize {
        usize::from(self.plan.concurrency)
    }

    fn mark(&self) -> Result<(Mark, Mark)> {
        Ok((self.env.audit()?.mark(), self.env.openbao().audit().mark()))
    }

    /// What the operator wrote and read since, divided among `channels`.
    fn cost(&self, since: (Mark, Mark), channels: usize) -> Result<Cost> {
        let names = &self.installed.names;
        let user = format!("system:serviceaccount:{}:{}", names.namespace(), names.service_account());
        let api: Vec<ApiAuditEntry> = self.env.audit()?.entries_since(since.0)?;
        let bao: Vec<BaoAuditEntry> = self.env.openbao().audit().entries_since(since.1)?;
        Ok(Cost::count(&api, &bao, &user, channels))
    }

    async fn crowd(&mut self) -> Result<()> {
        let count = self.plan.channels;
        say(&format!("{count} Channels from apply to Ready"));
        let (mark, busy) = (self.mark()?, Busy::now(&self.env, &self.operator)?);
        let all = self.crowd.add(&self.client, count, self.at_once()).await?;
        let busy = Busy::now(&self.env, &self.operator)?.since(&busy);
        settle().await;
        let cost = self.cost(mark, count)?;
        self.table.row(&format!("{count} Channels, apply to all Ready"), seconds(all));
        if self.plan.parts.contains(&Part::Bare) {
            self.bare(&cost, all, busy.all()).await?;
        }
        let table = &mut self.table;
        table
            .row("API writes a Channel (goal: 4)", format!("{:.2} ({})", cost.api_writes(), cost.api_text()));
        table.row("Vault writes a Channel", format!("{:.2} ({})", cost.vault_writes(), cost.vault_text()));
        table.row("reads and refusals a Channel", format!("{:.2} ({})", cost.reads(), cost.reads_text()));
        table.row("processor time a Channel, operator", milliseconds(busy.operator(), count));
        table.row("processor time a Channel, everything", milliseconds(busy.all(), count));
        table.row("of it", busy.text(count));
        table.row(&format!("peak memory with {count} Channels"), memory(&self.operator)?);
        Ok(())
    }

    /// The same writes with nothing around them, while the operator stands still.
    async fn bare(&mut self, cost: &Cost, all: Duration, busy: Duration) -> Result<()> {
        let (count, at_once) = (self.plan.channels, self.at_once());
        say(&format!("the same writes bare, {at_once} at once"));
        self.operator.pause();
        let before = Busy::now(&self.env, &self.operator)?;
        let bare = bare::write(&self.env, cost, count, at_once).await?;
        let spent = Busy::now(&self.env, &self.operator)?.since(&before).all();
        bare::clear(&self.env).await?;
        self.operator.resume();
        settle().await;
        let table = &mut self.table;
        table.row("the same writes bare, same concurrency", seconds(bare));
        table.row("ratio (goal: at most 1.4)", ratio(all, bare));
        table.row("processor time of a Channel's bare writes, everything", milliseconds(spent, count));
        table.row("ratio of processor time", ratio(busy, spent));
        Ok(())
    }

    async fn drift(&mut self) -> Result<()> {
        say("50 deleted Secrets");
        let (mark, busy) = (self.mark()?, Busy::now(&self.env, &self.operator)?);
        let healed = drift::heal(&self.client, &self.crowd, 50).await?;
        settle().await;
        let busy = Busy::now(&self.env, &self.operator)?.since(&busy);
        let cost = self.cost(mark, 50)?;
        self.table.row("50 deleted Secrets healed, p50", seconds(healed.p50));
        self.table.row("50 deleted Secrets healed, p99", seconds(healed.p99));
        let spent = [cost.api_text(), cost.vault_text(), cost.reads_text()].join(", ");
        self.table.row("each of them", format!("{spent}; {}", busy.text(50)));
        let one = drift::one(&self.client, &self.crowd, 10).await?;
        self.table.row("one deleted Secret healed, median of 10 (goal: 0.03 s)", seconds(one));
        Ok(())
    }

    async fn restart(&mut self, count: usize) -> Result<()> {
        say(&format!("a restart with {count} Channels"));
        settle().await;
        self.operator.kill();
        let mark = self.mark()?;
        let started = Instant::now();
        self.operator = Operator::start_with(&self.installed, self.options.clone()).await?;
        self.table
            .row(&format!("restart with {count}, until everything is seen"), seconds(started.elapsed()));
        crate::wait::until(Duration::from_secs(600), || async {
            let metrics = self.operator.metrics().await.map_err(|error| error.to_string())?;
            let done = reconciled(&metrics);
            if done >= count { Ok(()) } else { Err(format!("{done} Channels were looked at")) }
        })
        .await?;
        let each = "until each Channel was looked at";
        self.table.row(&format!("restart with {count}, {each}"), seconds(started.elapsed()));
        tokio::time::sleep(AFTER_RESTART).await;
        let cost = self.cost(mark, 1)?;
        let (api, vault) = (cost.api_writes(), cost.vault_writes());
        let writes = format!("API {api} ({}), Vault {vault} ({})", cost.api_text(), cost.vault_text());
        self.table.row(&format!("restart with {count}, writes until 15 s after that"), writes);
        self.table.row(&format!("peak memory after a restart with {count}"), memory(&self.operator)?);
        Ok(())
    }

    async fn many(&mut self, first: Duration) -> Result<()> {
        let Plan { many, secrets, channels, .. } = *self.plan;
        say(&format!("{secrets} unrelated Secrets and {many} Channels in all"));
        crowd::unrelated_secrets(&self.client, secrets, self.at_once() * 2).await?;
        let rest = many.saturating_sub(channels);
        let busy = Busy::now(&self.env, &self.operator)?;
        let more = self.crowd.add(&self.client, rest, self.at_once()).await?;
        let busy = Busy::now(&self.env, &self.operator)?.since(&busy);
        settle().await;
        self.table.row(&format!("{many} Channels in all: time for the rest"), seconds(more));
        self.table.row(&format!("{many} Channels in all: processor time of each"), busy.text(rest));
        let one = self.crowd.one_by_one(&self.client, ROUNDS).await?;
        self.table.row(&format!("one more Channel among {many}, median of {ROUNDS}"), seconds(one));
        self.table.row("ratio to one among few (goal: at most 1.2)", ratio(one, first));
        let what = format!("peak memory with {many} Channels and {secrets} Secrets (goal: 79 MiB)");
        self.table.row(&what, memory(&self.operator)?);
        Ok(())
    }

    async fn idle(&mut self) -> Result<()> {
        say("a minute in which nothing happens");
        settle().await;
        let (mark, busy) = (self.mark()?, Busy::now(&self.env, &self.operator)?);
        tokio::time::sleep(IDLE).await;
        let busy = Busy::now(&self.env, &self.operator)?.since(&busy);
        let cost = self.cost(mark, 1)?;
        self.table.row("idle for a minute: processor time of the operator", milliseconds(busy.operator(), 1));
        let asked =
            format!("API {}, Vault {}, reads {}", cost.api_writes(), cost.vault_writes(), cost.reads_text());
        self.table.row("idle for a minute: writes, and what was read", asked);
        self.table.row("idle: memory", memory(&self.operator)?);
        Ok(())
    }
}

/// How many reconciles of Channels the metrics count.
fn reconciled(metrics: &str) -> usize {
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("subrosa_reconciles_total{") && line.contains("\"Channel\""));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
}

/// Lets what still wakes itself up come to rest.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}

fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

fn ratio(one: Duration, other: Duration) -> String {
    format!("{:.2}", one.as_secs_f64() / other.as_secs_f64())
}
