//! Probes: a TLS handshake with each listener shows which certificate a Channel's pods present.
//!
//! ```text
//!   reconcile ── Targets ──▶ Prober ──▶ agenda: when ──▶ round: handshakes ──▶ World::served ──▶ reconcile
//! ```
//!
//! Only the leader reconciles, so only the leader probes. A probe sends neither a certificate nor data: the server's
//! certificate and its proof of the private key come first.

mod agenda;
mod dial;
mod handshake;
mod preamble;
mod source;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use subrosa_crds::{Channel, names::ChannelRef};
use subrosa_plan::{probe::Targets, world::answers::Seen};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::agenda::Agenda;
use crate::{context::Context, pending::Pending, subject::Subject};

pub use dial::ask;
pub use source::PodLabels;

/// The limit of concurrent handshakes over all Channels.
const AT_ONCE: usize = 64;

/// Receives the targets from reconciles; `None` where a Channel has nothing to probe.
#[derive(Debug, Default)]
pub struct Prober {
    wanted: Pending<ChannelRef, Option<Targets>>,
    watched: AtomicUsize,
}

impl Prober {
    /// Sets the targets of a Channel; a change is probed at once.
    pub fn expect(&self, name: &ChannelRef, targets: Option<Targets>) {
        self.wanted.put(name.clone(), targets);
    }

    /// How many Channels are probed.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.watched.load(Ordering::Relaxed)
    }
}

/// A finished round.
struct Round {
    name: ChannelRef,
    seen: Seen,
}

/// Probes until `stop`. Results go into the world and wake those they concern.
pub async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let mut agenda = Agenda::default();
    let mut rounds: JoinSet<Round> = JoinSet::new();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        ctx.prober.watched.store(agenda.len(), Ordering::Relaxed);
        let next = agenda.next().map(tokio::time::Instant::from_std);
        tokio::select! {
            () = stop.cancelled() => return,
            (name, targets) = ctx.prober.wanted.next() => agenda.expect(name, targets, Instant::now()),
            Some(ended) = rounds.join_next(), if !rounds.is_empty() => match ended {
                Ok(round) => note(&ctx, &mut agenda, round),
                Err(error) => tracing::error!(%error, "a round of probes ended badly"),
            },
            () = tokio::time::sleep_until(next.unwrap_or_else(tokio::time::Instant::now)), if next.is_some() => {
                for (name, targets) in agenda.begin(Instant::now()) {
                    let slots = Arc::clone(&slots);
                    rounds.spawn(async move { Round { seen: dial::round(&targets, &slots).await, name } });
                }
            }
        }
    }
}

fn note(ctx: &Context, agenda: &mut Agenda, Round { name, seen }: Round) {
    let current = agenda.targets(&name).is_none_or(|targets| targets.current(&seen));
    let (there, news) = ctx.cluster.write(|world| {
        if world.channel(&name).is_none() {
            return (false, false);
        }
        let news = world.served.get(&name) != Some(&seen);
        if news {
            world.served.insert(name.clone(), seen);
        }
        (true, news)
    });
    if !there {
        agenda.forget(&name);
        return;
    }
    if news {
        tracing::debug!(channel = %name, current, "probes saw something new");
        ctx.wake(Subject::of::<Channel>(name.clone()));
    }
    agenda.ended(&name, current, Instant::now(), rand::random_range(0.8..1.2));
}
