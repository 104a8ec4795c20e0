//! A Vault whose clock can be set wrong: an HTTP proxy that changes what the health endpoint says of the time.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use subrosa_e2e::Environment;
use tokio::{net::TcpListener, task::JoinHandle};

/// A proxy in front of OpenBao, without TLS.
pub struct WrongClock {
    pub address: String,
    shift: Arc<AtomicI64>,
    accepting: JoinHandle<()>,
}

impl WrongClock {
    pub async fn start(env: &Environment) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let upstream = env.openbao().url().to_owned();
        let client = env.openbao().endpoint().http_client().unwrap();
        let shift = Arc::new(AtomicI64::new(0));
        let shown = Arc::clone(&shift);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (upstream, client, shown) = (upstream.clone(), client.clone(), Arc::clone(&shown));
                let service = service_fn(move |request| {
                    forward(request, upstream.clone(), client.clone(), shown.load(Ordering::Relaxed))
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, shift, accepting }
    }

    /// From now on the server's clock seems to be so many seconds ahead.
    pub fn set_ahead(&self, seconds: i64) {
        self.shift.store(seconds, Ordering::Relaxed);
    }
}

impl Drop for WrongClock {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(
    request: Request<Incoming>,
    upstream: String,
    client: reqwest::Client,
    shift: i64,
) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let health = parts.uri.path() == "/v1/sys/health";
    let mut onward = client.request(parts.method, format!("{upstream}{target}"));
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != http::header::HOST) {
        onward = onward.header(name, value);
    }
    let answer = onward.body(body.collect().await?.to_bytes()).send().await?;
    let status = answer.status();
    let mut bytes = answer.bytes().await?;
    if health {
        let mut said: Value = serde_json::from_slice(&bytes)?;
        said["server_time_utc"] = json!(said["server_time_utc"].as_i64().unwrap_or_default() + shift);
        bytes = serde_json::to_vec(&said)?.into();
    }
    let status = StatusCode::from_u16(status.as_u16())?;
    Ok(Response::builder().status(status).body(Full::new(bytes))?)
}
