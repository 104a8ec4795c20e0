//! Traces by OTLP (OpenTelemetry's protocol, over HTTP with protobuf): a span for each reconcile, with its log
//! records and the requests to Vault below it.
//!
//! Traces contain only what the log contains: the same modules, names of objects and of operations, no content.

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, registry::LookupSpan};

use crate::logging;

/// The deadline for a batch, and for everything left at the end.
const DEADLINE: Duration = Duration::from_secs(5);

/// Spans on their way to a collector. Dropping this flushes them.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends to the collector at this address, such as `http://collector.monitoring:4318`. A collector that does not
    /// answer delays nothing: spans are dropped.
    ///
    /// # Errors
    /// When the address is invalid.
    pub fn to(collector: &str) -> anyhow::Result<Self> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", collector.trim_end_matches('/')))
            .with_timeout(DEADLINE)
            .build()
            .context(
                "--otlp-endpoint: expected the collector's address, such as http://collector.monitoring:4318",
            )?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder().with_service_name("subrosa").with_attribute(version).build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Self(provider))
    }

    /// The tracing layer that records the spans.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let tracer = self.0.tracer("subrosa");
        tracing_opentelemetry::layer().with_tracer(tracer).with_filter(logging::targets(LevelFilter::DEBUG))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(DEADLINE) {
            tracing::warn!(%error, "the last traces did not reach the collector");
        }
    }
}
