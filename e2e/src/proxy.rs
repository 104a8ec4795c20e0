//! An HTTPS reverse proxy in front of the API server or OpenBao, for crash and partition tests.

use std::{net::Ipv4Addr, sync::Arc};

use anyhow::{Context as _, Result};
use futures::stream;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    kubeconfig::Endpoint,
    pki::Authority,
    tap::{Mode, Tap, Write},
};

/// Headers that belong to one hop (RFC 9110, 7.6.1) or that each hop makes itself.
const HOP_HEADERS: [HeaderName; 7] = [
    header::CONNECTION,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
];

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A running proxy. It ends with all its connections on drop.
///
/// It runs on the runtime it was started on. TLS ends here, so client certificates do not pass;
/// bearer tokens do. HTTP/1.1 only; bodies stream, so watches work.
pub struct Proxy {
    endpoint: Endpoint,
    tap: Arc<Tap>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy on a free port with a certificate of `servers`. Several proxies may share a tap.
    pub async fn start(upstream: &Endpoint, servers: &Authority, tap: &Arc<Tap>) -> Result<Self> {
        let tls = acceptor(servers)?;
        let http = upstream.http_client_builder()?.http1_only().build().context("the proxy's client")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("the proxy's listener")?;
        let port = listener.local_addr().context("the proxy's listener")?.port();
        let endpoint = Endpoint {
            url: format!("https://127.0.0.1:{port}"),
            ca_pem: servers.certificate_pem().to_owned(),
        };
        let relay = Arc::new(Relay { upstream: upstream.url.clone(), http, tap: Arc::clone(tap) });
        let accepting = tokio::spawn(accept(listener, tls, relay));
        Ok(Self { endpoint, tap: Arc::clone(tap), accepting })
    }

    /// Where clients connect.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What counts and cuts.
    pub fn tap(&self) -> &Arc<Tap> {
        &self.tap
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The accepting task owns the connections' tasks: they are aborted with it.
        self.accepting.abort();
    }
}

struct Relay {
    upstream: String,
    http: reqwest::Client,
    tap: Arc<Tap>,
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, relay: Arc<Relay>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, tls.clone(), Arc::clone(&relay)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, relay: Arc<Relay>) {
    let mut mode = relay.tap.subscribe();
    let work = async {
        let _ = stream.set_nodelay(true);
        let mut held = relay.tap.subscribe();
        if !flowing(&mut held).await {
            return;
        }
        let Ok(stream) = tls.accept(stream).await else { return };
        let service = service_fn(|request| relay.forward(request));
        // An error means that one of both sides went away, which is what these tests are about.
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        let _ = connection.await;
    };
    tokio::select! {
        // First the cut: an answer that is ready at the same moment must not slip out.
        biased;
        _ = mode.wait_for(|mode| *mode == Mode::Refuse) => {}
        () = work => {}
    }
}

impl Relay {
    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Body>, BoxError> {
        let mut mode = self.tap.subscribe();
        must_flow(&mut mode).await?;
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        if self.tap.fails(&method, &path) {
            let body = Full::new(Bytes::from_static(b"{\"errors\": [\"a test fails this\"]}"));
            let body = body.map_err(|never| match never {}).boxed_unsync();
            return Ok(Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).body(body)?);
        }
        let watched = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let watched = watched.then(|| path.rsplit('/').next().unwrap_or_default().to_owned());
        let late = self.tap.late();

        let (mut parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("{}{target}", self.upstream).parse()?;
        remove_hop_headers(&mut parts.headers);
        let body = if matches!(method, Method::GET | Method::HEAD) {
            reqwest::Body::from("")
        } else {
            reqwest::Body::wrap(body)
        };
        let request = reqwest::Request::try_from(Request::from_parts(parts, body))?;
        // An unreachable server closes the client's connection, as it would without a proxy.
        let answer = self.http.execute(request).await?;

        if matches!(method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
            let write = Write { method, path, status: answer.status().as_u16() };
            // What is hooked in may stand still for long, and must not take others of the runtime along.
            tokio::task::block_in_place(|| self.tap.answered(write));
        }
        must_flow(&mut mode).await?;
        let (mut parts, body) = Response::<reqwest::Body>::from(answer).into_parts();
        remove_hop_headers(&mut parts.headers);
        Ok(Response::from_parts(parts, gated(body, mode, watched, late)))
    }
}

/// The body, of which nothing passes while traffic hangs or, of a watch, while it is held back, and nothing more
/// once it is refused.
fn gated(
    body: reqwest::Body,
    mode: watch::Receiver<Mode>,
    watched: Option<String>,
    late: watch::Receiver<Option<&'static str>>,
) -> Body {
    let body = Box::pin(body);
    let frames =
        stream::unfold((body, mode, watched, late), |(mut body, mut mode, watched, mut late)| async move {
            let frame = body.frame().await?;
            if let Some(resource) = &watched {
                // As with `flowing`: the sender outlives every connection.
                let _ = late.wait_for(|late| *late != Some(resource.as_str())).await;
            }
            let frame: Result<Frame<Bytes>, BoxError> = match frame {
                Ok(frame) if flowing(&mut mode).await => Ok(frame),
                Ok(_) => Err("cut".into()),
                Err(error) => Err(error.into()),
            };
            Some((frame, (body, mode, watched, late)))
        });
    StreamBody::new(frames).boxed_unsync()
}

/// Waits while traffic hangs; false once it is refused.
async fn flowing(mode: &mut watch::Receiver<Mode>) -> bool {
    // The sender lives in the tap, which outlives every connection; without it nothing flows.
    mode.wait_for(|mode| *mode != Mode::Hang).await.is_ok_and(|mode| *mode == Mode::Pass)
}

async fn must_flow(mode: &mut watch::Receiver<Mode>) -> Result<(), BoxError> {
    if flowing(mode).await { Ok(()) } else { Err("cut".into()) }
}

fn remove_hop_headers(headers: &mut HeaderMap) {
    for name in &HOP_HEADERS {
        headers.remove(name);
    }
}

fn acceptor(servers: &Authority) -> Result<TlsAcceptor> {
    crate::kubeconfig::install_crypto_provider();
    let identity = servers.server(&[])?;
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes());
    let certificate = certificate.map_err(|error| anyhow::anyhow!("the proxy's certificate: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes());
    let key = key.map_err(|error| anyhow::anyhow!("the proxy's key: {error}"))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .context("the proxy's TLS configuration")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
