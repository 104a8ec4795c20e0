use std::sync::atomic::AtomicUsize;

use super::*;

const WATCH: &str = "https://api/api/v1/namespaces/n/secrets?watch=true";

/// Answers in this version of HTTP, and counts the requests.
fn answering(version: Version, asked: &Arc<AtomicUsize>) -> Sent {
    let asked = Arc::clone(asked);
    BoxCloneSyncService::new(tower::service_fn(move |_: Request<Body>| {
        let asked = Arc::clone(&asked);
        async move {
            asked.fetch_add(1, Ordering::Relaxed);
            let body: Box<DynBody> =
                Box::new(http_body_util::BodyExt::map_err(Body::empty(), BoxError::from));
            Response::builder().version(version).body(body).map_err(BoxError::from)
        }
    }))
}

/// Streams whose connections answer in `version`; counts of connections, of what is asked over them, and of all else.
struct Scene {
    routed: Routed<Sent>,
    streams: Streams,
    made: Arc<AtomicUsize>,
    shared: Arc<AtomicUsize>,
    alone: Arc<AtomicUsize>,
}

impl Scene {
    fn of(make: impl Fn(&Arc<AtomicUsize>) -> kube::Result<Sent> + Send + Sync + 'static) -> Self {
        let (made, shared, alone) = (Arc::<AtomicUsize>::default(), Arc::default(), Arc::default());
        let (counted, asked) = (Arc::clone(&made), Arc::clone(&shared));
        let streams = Streams::made(true, Duration::from_millis(50), move || {
            counted.fetch_add(1, Ordering::Relaxed);
            make(&asked)
        });
        let routed = streams.layer(answering(Version::HTTP_11, &alone));
        Self { routed, streams, made, shared, alone }
    }

    async fn get(&mut self, uri: &str) -> Response<Box<DynBody>> {
        self.routed.call(Request::get(uri).body(Body::empty()).unwrap()).await.unwrap()
    }

    /// Connections, requests over them, and all other requests.
    fn counts(&self) -> [usize; 3] {
        [&self.made, &self.shared, &self.alone].map(|count| count.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_thousand_watches_share_few_connections_and_give_their_places_back() {
    let mut scene = Scene::of(|asked| Ok(answering(Version::HTTP_2, asked)));
    let mut open = Vec::new();
    for _ in 0..1000 {
        open.push(scene.get(WATCH).await);
    }
    assert_eq!(scene.counts(), [1000_usize.div_ceil(STREAMS), 1000, 0]);
    // Those that end and begin anew take the places that are free.
    for _ in 0..3 {
        open.truncate(500);
        while open.len() < 1000 {
            open.push(scene.get(WATCH).await);
        }
    }
    assert_eq!(scene.counts()[0], 1000_usize.div_ceil(STREAMS));
    let most =
        scene.streams.0.lines.lock().unwrap().iter().map(|line| Arc::strong_count(&line.held) - 1).max();
    assert_eq!(most, Some(STREAMS), "no more than the API server takes");
}

#[tokio::test]
async fn only_watches_are_asked_for_so() {
    let mut scene = Scene::of(|asked| Ok(answering(Version::HTTP_2, asked)));
    scene.get("https://api/api/v1/namespaces/n/secrets?limit=200").await;
    let post = Request::post(WATCH).body(Body::empty()).unwrap();
    scene.routed.call(post).await.unwrap();
    assert_eq!(scene.counts(), [0, 0, 2]);
}

#[tokio::test]
async fn without_http_2_each_watch_gets_a_connection_as_before() {
    let mut scene = Scene::of(|asked| Ok(answering(Version::HTTP_11, asked)));
    scene.get(WATCH).await;
    scene.get(WATCH).await;
    assert_eq!(scene.counts(), [1, 1, 2], "it is tried once");
    let mut scene = Scene::of(|_| Err(kube::Error::TlsRequired));
    scene.get(WATCH).await;
    assert_eq!(scene.counts(), [1, 0, 1]);
}

#[tokio::test]
async fn a_connection_that_fails_or_is_silent_holds_no_watch_back() {
    let fails = |_: &Arc<AtomicUsize>| -> kube::Result<Sent> {
        let no =
            |_: Request<Body>| std::future::ready(Err::<Response<Box<DynBody>>, BoxError>("broken".into()));
        Ok(BoxCloneSyncService::new(tower::service_fn(no)))
    };
    let mut scene = Scene::of(fails);
    scene.get(WATCH).await;
    assert_eq!(scene.counts(), [1, 0, 1]);
    let silent = |_: &Arc<AtomicUsize>| -> kube::Result<Sent> {
        let silent = |_: Request<Body>| std::future::pending::<Result<Response<Box<DynBody>>, BoxError>>();
        Ok(BoxCloneSyncService::new(tower::service_fn(silent)))
    };
    let mut scene = Scene::of(silent);
    scene.get(WATCH).await;
    assert_eq!(scene.counts(), [1, 0, 1]);
    let held = Arc::strong_count(&scene.streams.0.lines.lock().unwrap()[0].held);
    assert_eq!(held, 1, "its stream is given back");
}
