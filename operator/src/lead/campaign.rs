//! Runs the election against a real Lease: asks the [`Elector`] for the next step, takes it, and reports the result.

use std::{sync::Arc, time::Duration};

use kube::{Client, Config};
use tokio_util::sync::CancellationToken;

use super::{
    Leadership, TokenAccessors, clock,
    elect::{Bid, ElectionStep, Elector, LeaseTimings},
    store::{LeaseStore, LeaseWrite},
};
use crate::report::metrics::Metrics;

/// The deadline of one request. Several fit between the time of renewal and the end of the term.
const REQUEST: Duration = Duration::from_secs(2);

/// The term ended involuntarily.
#[derive(Debug, thiserror::Error)]
#[error(
    "this replica no longer leads: it could not renew its Lease in time, or another one holds it. It ends \
     so that nothing of it can act any more, and starts anew as a candidate"
)]
pub struct Lost;

/// One candidate of the election.
pub struct Campaign {
    store: LeaseStore,
    elector: Elector,
    leadership: Leadership,
    tokens: Arc<TokenAccessors>,
    metrics: Arc<Metrics>,
    me: String,
    rival: String,
}

impl Campaign {
    /// A candidate named `me` for the API server in `config`. It has a connection of its own, so that no other
    /// traffic delays a renewal.
    ///
    /// # Errors
    /// When the connection cannot be set up.
    pub fn new(
        config: Config,
        namespace: &str,
        me: &str,
        leadership: Leadership,
        tokens: Arc<TokenAccessors>,
        metrics: Arc<Metrics>,
    ) -> kube::Result<Self> {
        // From now on missing answers count as silence.
        metrics.heard();
        let terms = LeaseTimings::default();
        let seconds = i32::try_from(terms.lease.as_secs()).unwrap_or(i32::MAX);
        Ok(Self {
            store: LeaseStore::new(Client::try_from(config)?, namespace, me, seconds),
            elector: Elector::new(me, terms),
            leadership,
            tokens,
            metrics,
            me: me.to_owned(),
            rival: String::new(),
        })
    }

    /// Runs for election, and leads once elected, until `quit`; then releases the Lease.
    ///
    /// # Errors
    /// When the term ends in any other way. Nothing of this process can act after that.
    pub async fn run(mut self, quit: CancellationToken) -> Result<(), Lost> {
        loop {
            match self.elector.step(clock::now()) {
                ElectionStep::Lost => {
                    self.leadership.end();
                    self.metrics.leads(false);
                    return Err(Lost);
                }
                ElectionStep::Wait(until) => {
                    let pause = tokio::time::sleep(until.saturating_sub(clock::now()));
                    let leads = self.elector.term().is_some();
                    tokio::select! {
                        () = quit.cancelled() => break,
                        () = self.tokens.changed.notified(), if leads => self.elector.hurry(clock::now()),
                        () = pause => {}
                    }
                }
                ElectionStep::Read => self.read().await,
                ElectionStep::Write(bid) => self.write(&bid).await,
            }
        }
        self.give_up().await;
        Ok(())
    }

    async fn read(&mut self) {
        match within(self.store.read()).await {
            Ok(record) => {
                self.metrics.heard();
                let rival = record.as_ref().map(|record| record.holder.clone()).unwrap_or_default();
                if self.elector.term().is_none() && rival != self.rival && rival != self.me {
                    tracing::info!(holder = rival, "standing by");
                    self.rival = rival;
                }
                self.elector.read(clock::now(), record);
            }
            Err(problem) => self.failed("read", &problem),
        }
    }

    async fn write(&mut self, bid: &Bid) {
        let led = self.elector.term().is_some();
        // A candidate keeps the token accessors of earlier leaders, because it will revoke them.
        let noted = led.then(|| self.tokens.text());
        let sent = clock::now();
        let text = noted.as_ref().map(|(_, text)| text.as_str());
        match within(self.store.write(bid, text)).await {
            Ok(LeaseWrite::Accepted(record)) => {
                self.metrics.heard();
                self.elector.written(sent, clock::now(), record);
                let Some((epoch, until)) = self.elector.term() else { return };
                if !led {
                    self.tokens.inherit(self.store.accessors().unwrap_or_default());
                    self.metrics.leads(true);
                    tracing::info!(epoch, "elected: this replica leads");
                }
                self.leadership.hold(epoch, until);
                if let Some((edition, _)) = noted {
                    self.tokens.written(edition);
                }
            }
            Ok(LeaseWrite::Refused) => {
                tracing::debug!("the Lease changed since it was read");
                self.elector.refused(clock::now());
            }
            Err(problem) => self.failed("written", &problem),
        }
    }

    fn failed(&mut self, what: &str, problem: &str) {
        tracing::warn!(leads = self.elector.term().is_some(), "the Lease could not be {what}: {problem}");
        self.elector.failed(clock::now());
    }

    /// Releases the Lease, so that a standby need not wait: nothing of this process acts any more.
    async fn give_up(&mut self) {
        self.leadership.give_up();
        self.metrics.leads(false);
        if self.elector.term().is_none() {
            return;
        }
        match within(self.store.give_up()).await {
            Ok(LeaseWrite::Accepted(_)) => tracing::info!("the Lease is given up"),
            Ok(LeaseWrite::Refused) => tracing::warn!("the Lease changed meanwhile and is not given up"),
            Err(problem) => tracing::warn!("the Lease could not be given up, it runs out: {problem}"),
        }
    }
}

async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(REQUEST, request).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {REQUEST:?}")),
    }
}
