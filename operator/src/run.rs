//! The operator: watches, queues, controllers and the small server beside them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    context::{Context, Failures, Sweeps, UnderWay},
    grants::Installation,
    kinds::{self, start::Start},
    lead::{self, Campaign, Leadership, TokenAccessors},
    logging,
    observe::{
        Cluster, Surroundings,
        definitions::{self, Definitions},
        pod_certificates, probe, watch,
    },
    pending::Pending,
    report::{Reporter, metrics::Metrics},
    server::{self, Readiness},
    session::{Lead, Vaults},
    settings::Settings,
    subject::Subject,
};

/// Runs the operator as a process: logs, connects to the API server of the pod or of the kubeconfig, and
/// stops on SIGTERM or Ctrl-C.
///
/// # Errors
/// When it cannot start.
pub async fn process(settings: Settings) -> anyhow::Result<()> {
    #[cfg(feature = "otlp")]
    let traces = settings.otlp_endpoint.as_deref().map(crate::traces::Traces::to).transpose()?;
    #[cfg(feature = "otlp")]
    let listener = traces.as_ref().map(|traces| Box::new(traces.layer()) as logging::LogListener);
    #[cfg(not(feature = "otlp"))]
    let listener = None;
    logging::start(settings.log, settings.log_format, listener);
    let config = kube::Config::infer()
        .await
        .context("no API server: neither a pod's ServiceAccount nor a kubeconfig")?;
    let stop = stopped_by_signals()?;
    run(config, settings, stop).await
}

/// A token that SIGTERM or Ctrl-C cancels.
///
/// # Errors
/// When signals cannot be handled.
pub fn stopped_by_signals() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminated = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        stopping.cancel();
    });
    Ok(stop)
}

/// How long reconciles in progress may take after the signal to stop.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the operator until `stop`.
///
/// # Errors
/// When it cannot start: no API server, or no address to serve on. When it lost leadership: the process must end
/// then.
pub async fn run(config: kube::Config, settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let mut installation = Installation::new(&settings.namespace, &settings.service_account)
        .context("--namespace and --service-account")?;
    if let Some(image) = &settings.worker_image {
        installation = installation.with_worker_image(image).context("--worker-image")?;
    }
    let metrics = Arc::new(Metrics::default());
    let observer: Arc<dyn subrosa_records::vault::RequestObserver> = metrics.clone();
    let me = lead::identity(settings.pod.as_deref());
    let user_agent = lead::user_agent(&me);
    let tokens = settings.elects().then(Arc::<TokenAccessors>::default);
    let leadership = if tokens.is_some() { Leadership::contested() } else { Leadership::alone() };
    metrics.leads(!leadership.is_contested());
    let config = lead::named(config, &user_agent);
    let client =
        lead::client(config.clone(), leadership.clone()).context("the connection to the API server")?;
    let ctx = Arc::new(Context {
        cluster: Cluster::default(),
        refresh: watch::Refresh::default(),
        definitions: Definitions::default(),
        surroundings: Surroundings::new(settings.guards_off.clone()),
        vaults: Vaults::new(
            client.clone(),
            settings.namespace.clone(),
            settings.service_account.clone(),
            Some(observer),
            Lead { leadership: leadership.clone(), tokens: tokens.clone(), user_agent },
        ),
        reporter: Reporter::new(client.clone(), settings.pod.clone(), Arc::clone(&metrics)),
        metrics: Arc::clone(&metrics),
        woken: Pending::default(),
        failures: Failures::default(),
        sweeps: Sweeps::default(),
        under_way: UnderWay::default(),
        prober: probe::Prober::default(),
        keys_listed_every: Duration::from_secs(settings.keys_listed_every),
        installation,
        client: client.clone(),
    });
    let source = settings.probe_from_labels.clone().map(|labels| labels.at(&settings.namespace));
    ctx.cluster.write(|world| {
        world.probes = source;
        world.worker_image.clone_from(&settings.worker_image);
    });
    let readiness = Readiness::default();
    let listener = tokio::net::TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot serve on {} (--listen)", settings.listen))?;
    tracing::info!(address = %listener.local_addr()?, "serving /healthz, /readyz and /metrics");
    tokio::spawn(definitions::follow(Arc::clone(&ctx), stop.clone()));
    let served = tokio::spawn(server::serve(listener, readiness.clone(), Arc::clone(&ctx), stop.clone()));

    let mut tasks = JoinSet::new();
    let mut start = Start::new(&ctx, &stop, &mut tasks);
    let queues = start.every_watch(&settings);
    let synced = std::mem::take(&mut start.synced);

    // Decisions on a partial view would close open connections, so wait until everything was listed.
    let mut listed = Vec::new();
    for (kind, watch) in synced {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            seen = watch.seen => if seen.is_err() {
                anyhow::bail!("the watch of {kind} ended before it began");
            }
        }
        tracing::debug!(kind, "seen");
        listed.push(watch.listed);
    }
    // A Channel that needs requests which the cluster does not serve reports that from the start.
    pod_certificates::look(&ctx).await;
    tokio::spawn(async move {
        // If one of the kinds is missing the operator still withdraws, but is not ready.
        for listed in listed {
            if listed.await.is_err() {
                return;
            }
        }
        readiness.set();
    });
    let quit = CancellationToken::new();
    let mut election = match tokens {
        None => tokio::spawn(std::future::pending()),
        Some(tokens) => {
            lead::watch_over(leadership.clone());
            let campaign =
                Campaign::new(config, &settings.namespace, &me, leadership.clone(), tokens, metrics)
                    .context("the connection to the API server for the election")?;
            tokio::spawn(campaign.run(quit.clone()))
        }
    };
    let act = async {
        meanwhile(leadership.elected(), &ctx.woken).await;
        if leadership.is_contested() {
            take_over(&ctx).await;
        }
        tokio::spawn(probe::run(Arc::clone(&ctx), stop.clone()));
        tracing::info!("everything is seen; reconciling");
        let everything = ctx.cluster.read(kinds::everything);
        everything.into_iter().for_each(|subject| ctx.wake(subject));
        queues.route(Arc::clone(&ctx), stop.clone()).await;
        stop.cancelled().await;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = act => {}
        // Reconciles in progress are aborted with the process.
        ended = &mut election => return Ok(ended.context("the election ended badly")??),
    }
    tracing::info!("stopping: what is under way is finished first");
    finish(tasks, GRACE).await;
    // Release the Lease only now, when nothing acts any more.
    quit.cancel();
    if leadership.is_contested() {
        election.await.context("the election ended badly")??;
    }
    served.await.context("the server ended badly")?
}

/// Waits until every controller has finished its work in progress; aborts what takes longer than `grace`.
async fn finish(mut controllers: JoinSet<()>, grace: Duration) {
    let ended = tokio::time::timeout(grace, async { while controllers.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!("something was still under way; it is taken up again at the next start");
        controllers.shutdown().await;
    }
}

/// Begins a term with a fresh view. The watches may be minutes behind, because one can be dead unnoticed, and the
/// previous leader has withdrawn and closed things since. Nothing is done before every kind is listed again.
async fn take_over(ctx: &Context) {
    let begun = Instant::now();
    meanwhile(ctx.refresh.all(), &ctx.woken).await;
    tracing::info!(took = ?begun.elapsed(), "every kind was listed anew");
}

/// Waits with warm caches. Woken objects are dropped meanwhile: the leader reconciles them, and this replica
/// reconciles everything once it leads.
async fn meanwhile<T>(awaited: impl Future<Output = T>, woken: &Pending<Subject>) {
    let mut awaited = std::pin::pin!(awaited);
    loop {
        tokio::select! {
            _ = &mut awaited => return,
            _ = woken.next() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_is_under_way_is_finished_within_a_bounded_time() {
        let (ended, cut) = (Arc::new(AtomicBool::default()), Arc::new(()));
        let mut controllers = JoinSet::new();
        let (noted, held) = (Arc::clone(&ended), Arc::clone(&cut));
        controllers.spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            noted.store(true, Ordering::SeqCst);
        });
        controllers.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        finish(controllers, Duration::from_millis(500)).await;
        assert!(ended.load(Ordering::SeqCst), "it had time enough");
        assert_eq!(Arc::strong_count(&cut), 1, "nothing acts any more");
    }
}
