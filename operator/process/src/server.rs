//! `/healthz`, `/readyz` and `/metrics` of a process.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::{Router, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Takes the address.
///
/// # Errors
/// When it is taken.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("--listen {address}"))
}

/// Serves until `stop`. It is ready as soon as it runs: a rollout does not wait for Vault, and what cannot be looked at is in
/// the metrics and in status.
///
/// # Errors
/// When the socket breaks.
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
