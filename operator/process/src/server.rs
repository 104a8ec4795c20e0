//! `/healthz`, `/readyz` and `/metrics` of a process.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::{Router, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Binds the address.
///
/// # Errors
/// When it is in use.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("--listen {address}"))
}

/// Serves until `stop`. It is ready at once: a rollout must not wait for Vault, and metrics and status report what
/// cannot be checked.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: TcpListener,
    metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async || "ok\n"))
        .route("/metrics", get(async move || ([("content-type", OPENMETRICS)], metrics())));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .context("serving /healthz, /readyz and /metrics")
}
