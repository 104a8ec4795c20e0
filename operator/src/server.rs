//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::Context as _;
use axum::{Router, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{context::Context, kinds::kept};

/// Whether everything that decisions need was seen.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Marks the operator as ready.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn answer(&self, ctx: &Context) -> (StatusCode, String) {
        let not = |text: String| (StatusCode::SERVICE_UNAVAILABLE, format!("{text}\n"));
        if !self.0.load(Ordering::Relaxed) {
            return not(ctx.definitions.waiting());
        }
        if let Some(silent) = ctx.metrics.silent_for() {
            return not(format!(
                "the API server has not answered for {} s: what this replica has seen is old, and it tells nothing of the \
                 cluster until it is answered; check the way from this pod to the API server",
                silent.as_secs()
            ));
        }
        match ctx.definitions.outdated() {
            Some(outdated) => not(outdated),
            None => (StatusCode::OK, "ok\n".to_owned()),
        }
    }
}

/// Serves until `stop`.
///
/// # Errors
/// When the socket breaks.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    ctx: Arc<Context>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let asked = Arc::clone(&ctx);
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || readiness.answer(&asked)))
        .route("/metrics", get(async move || ([("content-type", OPENMETRICS)], metrics(&ctx))));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .context("serving /healthz, /readyz and /metrics")
}

/// Counts the Channels at each scrape, so that the numbers are current.
fn metrics(ctx: &Context) -> String {
    ctx.metrics.count(&ctx.cluster, ctx.now());
    ctx.metrics.keeps(&kept::counts(ctx));
    ctx.metrics.text()
}
