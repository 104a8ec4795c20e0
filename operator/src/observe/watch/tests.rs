use std::{
    convert::Infallible,
    sync::{Arc, atomic::AtomicUsize},
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Client, client::Body};
use serde_json::json;

use super::*;

/// An API server that lists what it is told to, and whose watches never tell anything.
#[derive(Clone, Default)]
struct Silent {
    there: Arc<Mutex<Vec<&'static str>>>,
    /// How many lists fail before one succeeds.
    failing: Arc<AtomicUsize>,
    lists: Arc<AtomicUsize>,
}

impl Silent {
    fn client(&self) -> Client {
        let server = self.clone();
        let answer = move |request: http::Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request.uri().query().unwrap_or_default()).await) }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    async fn answer(&self, query: &str) -> http::Response<Body> {
        if query.contains("watch=true") {
            return std::future::pending().await;
        }
        assert!(!query.contains("resourceVersion="), "what is so now, and not what is cached: {query}");
        self.lists.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let fails = |left: usize| left.checked_sub(1);
        let order = std::sync::atomic::Ordering::SeqCst;
        if self.failing.fetch_update(order, order, fails).is_ok() {
            return http::Response::builder().status(500).body(Body::from(b"{}".to_vec())).unwrap();
        }
        let item =
            |name: &&str| json!({"metadata": {"name": name, "namespace": "n", "resourceVersion": "1"}});
        let items: Vec<_> = self.there.lock().unwrap().iter().map(item).collect();
        let list = json!({
            "apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "7"}, "items": items,
        });
        http::Response::new(Body::from(list.to_string().into_bytes()))
    }

    fn is_now(&self, names: &[&'static str]) {
        *self.there.lock().unwrap() = names.to_vec();
    }
}

/// What a watch has, as its changes tell.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeSet<String>>>);

impl Seen {
    fn apply<K>(&self) -> impl FnMut(Change<K>) + Send + use<K> {
        let seen = Arc::clone(&self.0);
        move |change| {
            match change {
                Change::Applied(key, _) => seen.lock().unwrap().insert(key.name),
                Change::Gone(key) => seen.lock().unwrap().remove(&key.name),
            };
        }
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().cloned().collect()
    }
}

/// Two watches of it; both have listed once.
async fn watched(server: &Silent) -> (Refresh, Seen, Seen) {
    let (refresh, first, second) = (Refresh::default(), Seen::default(), Seen::default());
    let api = || Api::<ConfigMap>::namespaced(server.client(), "n");
    let (announcer, one) = refresh.announcer("first");
    let stop = CancellationToken::new();
    tokio::spawn(follow(api(), config(), announcer, stop.clone(), first.apply()));
    let (announcer, other) = refresh.announcer("second");
    tokio::spawn(follow(api(), config(), announcer, stop, second.apply()));
    one.listed.await.unwrap();
    other.listed.await.unwrap();
    (refresh, first, second)
}

#[tokio::test]
async fn a_watch_that_tells_nothing_begins_anew_with_what_is_so() {
    let server = Silent::default();
    server.is_now(&["a", "b"]);
    let (refresh, first, second) = watched(&server).await;
    server.is_now(&["b", "c"]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((first.names(), second.names()), (vec!["a".into(), "b".into()], first.names()));
    for round in [["b", "c"], ["d", "e"]] {
        server.is_now(&round);
        refresh.all().await;
        assert_eq!((first.names(), second.names()), (round.map(String::from).to_vec(), first.names()));
    }
}

#[tokio::test]
async fn a_list_that_fails_is_waited_for_and_tried_again() {
    let server = Silent::default();
    let (refresh, related, _) = watched(&server).await;
    server.is_now(&["a"]);
    server.failing.store(2, std::sync::atomic::Ordering::SeqCst);
    let before = server.lists.load(std::sync::atomic::Ordering::SeqCst);
    refresh.all().await;
    assert_eq!(related.names(), ["a"]);
    assert!(server.lists.load(std::sync::atomic::Ordering::SeqCst) >= before + 4);
}

#[tokio::test]
async fn nothing_is_taken_for_listed_while_it_fails() {
    let server = Silent::default();
    let (refresh, ..) = watched(&server).await;
    server.failing.store(usize::MAX, std::sync::atomic::Ordering::SeqCst);
    let waited = tokio::time::timeout(Duration::from_secs(2), refresh.all()).await;
    assert!(waited.is_err(), "who is about to act waits as long as it takes");
}

#[tokio::test]
async fn a_watch_that_is_behind_is_listed_anew_once_a_minute_at_most() {
    let server = Silent::default();
    let (refresh, related, _) = watched(&server).await;
    let lists = || server.lists.load(std::sync::atomic::Ordering::SeqCst);
    let before = lists();
    server.is_now(&["a"]);
    for _ in 0..5 {
        refresh.soon();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((related.names(), lists()), (vec!["a".to_owned()], before + 2));
}
