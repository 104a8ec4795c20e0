//! The only client for the API server: writes pass only while this process leads.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use http::{
    Method, Request, Response, Uri,
    uri::{InvalidUri, PathAndQuery},
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tower::{BoxError, Layer, Service};

use subrosa_records::gate::Closed;

use super::Leadership;
use super::streams::{Streams, is_watch};

/// A client whose writes need leadership and are aborted with it. Reads and watches are exempt.
///
/// # Errors
/// When the connection cannot be set up.
pub fn client(config: Config, leadership: Leadership) -> kube::Result<Client> {
    let streams = Streams::to(&config);
    let guard = Guard { leadership, patience: PATIENCE };
    Ok(ClientBuilder::try_from(config)?.with_layer(&streams).with_layer(&guard).build())
}

#[derive(Clone)]
struct Guard {
    leadership: Leadership,
    patience: Duration,
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S, B> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Guard { leadership, patience } = &self.guard;
        let patience = *patience;
        let watches = is_watch(request.uri());
        if is_free(request.method()) || !leadership.is_contested() {
            let answer = self.inner.call(request).map(|answer| answer.map_err(Into::into));
            return if watches { answer.boxed() } else { in_time(patience, answer).boxed() };
        }
        let Some(left) = leadership.remaining() else {
            return std::future::ready(Err(Closed.into())).boxed();
        };
        match bounded(request.uri(), left.as_millis()) {
            Ok(uri) => *request.uri_mut() = uri,
            Err(error) => return std::future::ready(Err(error)).boxed(),
        }
        let leadership = leadership.clone();
        let answer = self.inner.call(request);
        in_time(patience, async move { leadership.guard(answer).await?.map_err(Into::into) }).boxed()
    }
}

/// Whether a request is read-only.
fn is_free(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The deadline for an answer to begin. A dead connection would otherwise block a reconcile, one of few at a time,
/// for minutes.
const PATIENCE: Duration = Duration::from_secs(20);

async fn in_time<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    tokio::time::timeout(patience, answer).await.unwrap_or_else(|late| Err(late.into()))
}

/// Adds a timeout that the API server enforces itself, so that a request queued there is dropped when the term is
/// over.
fn bounded(uri: &Uri, millis: u128) -> Result<Uri, BoxError> {
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let joint = if path.contains('?') { "&" } else { "?" };
    let path: Result<PathAndQuery, InvalidUri> = format!("{path}{joint}timeout={}ms", millis.max(1)).parse();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path?);
    Ok(Uri::from_parts(parts)?)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::lead::clock;

    /// What reaches the wire for this method.
    async fn sent(leadership: Leadership, method: Method) -> Result<String, BoxError> {
        let wire = tower::service_fn(|request: Request<Body>| async move {
            Ok::<_, Infallible>(Response::new(request.uri().to_string()))
        });
        let guard = Guard { leadership, patience: PATIENCE };
        let request = Request::builder().method(method).uri("/api/v1/x?fieldManager=subrosa");
        Ok(guard.layer(wire).call(request.body(Body::empty())?).await?.into_body())
    }

    #[tokio::test]
    async fn only_reads_pass_without_leadership() {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let error = sent(Leadership::contested(), method).await.unwrap_err();
            assert!(error.is::<Closed>(), "{error}");
        }
        let read = sent(Leadership::contested(), Method::GET).await.unwrap();
        assert_eq!(read, "/api/v1/x?fieldManager=subrosa");
    }

    #[tokio::test]
    async fn what_is_never_answered_is_given_up_unless_it_watches() {
        let silent =
            tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<()>, Infallible>>());
        let asked = |uri: &str| {
            let guard = Guard { leadership: Leadership::alone(), patience: Duration::from_millis(20) };
            let request = Request::builder().uri(uri).body(Body::empty()).unwrap();
            tokio::time::timeout(Duration::from_millis(400), guard.layer(silent).call(request))
        };
        assert!(asked("/api/v1/secrets?limit=5").await.unwrap().is_err(), "given up");
        assert!(asked("/api/v1/secrets?limit=5&watch=true").await.is_err(), "still open");
    }

    #[tokio::test]
    async fn a_write_carries_what_is_left_of_the_term() {
        let leadership = Leadership::contested();
        let begun = clock::now();
        leadership.hold(1, begun + Duration::from_secs(7));
        let written = sent(leadership, Method::PATCH).await.unwrap();
        let least = Duration::from_secs(7).saturating_sub(clock::now().saturating_sub(begun)).as_millis();
        let (path, millis) = written.split_once("&timeout=").unwrap();
        assert_eq!(path, "/api/v1/x?fieldManager=subrosa");
        let millis: u128 = millis.split_once("ms").unwrap().0.parse().unwrap();
        assert!((least..=7000).contains(&millis), "{written}, at least {least}");
        let alone = sent(Leadership::alone(), Method::PATCH).await.unwrap();
        assert_eq!(alone, "/api/v1/x?fieldManager=subrosa");
    }
}
