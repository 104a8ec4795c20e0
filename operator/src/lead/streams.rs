//! Lets watches share connections to the API server.
//!
//! The Secrets of each namespace are watched separately, so there are as many watches as namespaces. Over HTTP/1.1
//! each would need a connection with its buffers. Over HTTP/2 they are streams of a few connections, which are pinged
//! so that a dead one is noticed within a minute. Other requests stay on HTTP/1.1, as do watches where HTTP/2 is
//! unavailable, behind a proxy or during a failure.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri, Version};
use http_body::{Frame, SizeHint};
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Config,
    client::{Body, ConfigExt as _, DynBody},
};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt as _, util::BoxCloneSyncService};

/// The most streams of a connection. The API server's limit is 100 by default (`--http2-max-streams-per-connection`);
/// a further stream would wait for another to end.
const STREAMS: usize = 64;

/// How long a watch on a shared connection may take to answer before it moves to a connection of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// The ping interval of a connection with streams, and the deadline for the answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// The flow-control windows of a stream and of a connection.
const WINDOW: (u32, u32) = (256 * 1024, 1024 * 1024);

type Sent = BoxCloneSyncService<Request<Body>, Response<Box<DynBody>>, BoxError>;

/// Whether the request is a watch, which stays open while nothing happens.
pub fn is_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| {
        query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1" | "sendInitialEvents=true"))
    })
}

/// A connection and the holders of its streams.
struct Line {
    sent: Sent,
    held: Arc<()>,
}

/// The shared connections.
#[derive(Clone)]
pub struct Streams(Arc<Lines>);

struct Lines {
    make: Box<dyn Fn() -> kube::Result<Sent> + Send + Sync>,
    patience: Duration,
    lines: Mutex<Vec<Line>>,
    /// Whether shared connections are possible at all.
    shared: AtomicBool,
}

impl Streams {
    /// Connections to the API server of `config`.
    pub fn to(config: &Config) -> Self {
        let shared = config.proxy_url.is_none() && config.cluster_url.scheme_str() == Some("https");
        let config = config.clone();
        Self::made(shared, PATIENCE, move || connection(&config))
    }

    fn made(
        shared: bool,
        patience: Duration,
        make: impl Fn() -> kube::Result<Sent> + Send + Sync + 'static,
    ) -> Self {
        let lines = Lines {
            make: Box::new(make),
            patience,
            lines: Mutex::default(),
            shared: AtomicBool::new(shared),
        };
        Self(Arc::new(lines))
    }

    /// A connection with room for one more stream, which is taken until the second value is dropped.
    fn line(&self) -> Option<(Sent, Arc<()>)> {
        let lines = &self.0;
        if !lines.shared.load(Ordering::Relaxed) {
            return None;
        }
        let mut all = lines.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = all.iter().find(|line| Arc::strong_count(&line.held) <= STREAMS) {
            return Some((line.sent.clone(), Arc::clone(&line.held)));
        }
        let line = match (lines.make)() {
            Ok(sent) => Line { sent, held: Arc::default() },
            Err(error) => {
                tracing::warn!(%error, "watches cannot share connections");
                return None;
            }
        };
        let found = (line.sent.clone(), Arc::clone(&line.held));
        all.push(line);
        Some(found)
    }

    /// Sends a request over a shared connection; `None` where that fails.
    async fn ask(&self, request: Request<Body>) -> Option<Response<Box<DynBody>>> {
        let (sent, held) = self.line()?;
        match tokio::time::timeout(self.0.patience, sent.oneshot(request)).await {
            Ok(Ok(answer)) if answer.version() == Version::HTTP_2 => {
                Some(answer.map(|body| Box::new(Held { body, _held: held }) as Box<DynBody>))
            }
            Ok(Ok(_)) => {
                tracing::info!("the API server does not speak HTTP/2: each watch gets a connection");
                self.0.shared.store(false, Ordering::Relaxed);
                None
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "a watch is asked for over another connection");
                None
            }
            Err(_) => {
                tracing::warn!("a shared connection does not answer: a watch is asked for over another");
                None
            }
        }
    }
}

/// A connection that multiplexes requests. It connects with the first request, and reconnects.
fn connection(config: &Config) -> kube::Result<Sent> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let mut tls = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_only();
    let name = config.tls_server_name.clone().and_then(|name| name.try_into().ok());
    if let Some(name) = name {
        tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let client: Client<_, Body> = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(PING.0)
        .http2_keep_alive_timeout(PING.1)
        .http2_initial_stream_window_size(WINDOW.0)
        .http2_initial_connection_window_size(WINDOW.1)
        .build(tls.enable_all_versions().wrap_connector(tcp));
    let sent = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_response(|answer: Response<hyper::body::Incoming>| {
            answer
                .map(|body| Box::new(http_body_util::BodyExt::map_err(body, BoxError::from)) as Box<DynBody>)
        })
        .map_err(BoxError::from)
        .service(client);
    Ok(BoxCloneSyncService::new(sent))
}

impl<S> Layer<S> for Streams {
    type Service = Routed<S>;

    fn layer(&self, inner: S) -> Routed<S> {
        Routed { streams: self.clone(), inner }
    }
}

/// Sends watches over shared connections and everything else over `inner`.
pub struct Routed<S> {
    streams: Streams,
    inner: S,
}

impl<S> Service<Request<Body>> for Routed<S>
where
    S: Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Box<DynBody>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Box<DynBody>>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.method() != Method::GET || !is_watch(request.uri()) {
            return Box::pin(self.inner.call(request));
        }
        let mut first = Request::new(Body::empty());
        *first.uri_mut() = request.uri().clone();
        *first.headers_mut() = request.headers().clone();
        // Futures are lazy: nothing is sent before it is polled.
        let (streams, second) = (self.streams.clone(), self.inner.call(request));
        Box::pin(async move {
            match streams.ask(first).await {
                Some(answer) => Ok(answer),
                None => second.await,
            }
        })
    }
}

/// An answer that holds its stream until dropped.
struct Held {
    body: Box<DynBody>,
    _held: Arc<()>,
}

impl http_body::Body for Held {
    type Data = <DynBody as http_body::Body>::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
        Poll::Ready(ready!(Pin::new(&mut self.body).poll_frame(cx)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
