//! Writes status by server-side apply where it changed, and sends Events.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Client, Resource, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subrosa_crds::FIELD_MANAGER;
use subrosa_plan::record::news::News;

use super::{
    events::Events,
    metrics::Metrics,
    told::ToldNews,
    written::{Version, Written},
};

/// Writes status and Events.
pub struct Reporter {
    client: Client,
    events: Events,
    written: Written,
    told: ToldNews,
}

impl Reporter {
    /// Reports as the operator's `pod`.
    pub fn new(client: Client, pod: Option<String>, metrics: Arc<Metrics>) -> Self {
        let events = Events::new(client.clone(), pod, metrics);
        Self { client, events, written: Written::default(), told: ToldNews::default() }
    }

    /// How long to wait when a status of `object` was just written and the watch has not shown it yet.
    pub fn lags(&self, object: &ObjectMeta) -> Option<Duration> {
        let seen = version(object.resource_version.as_deref());
        let uid = object.uid.as_deref().unwrap_or_default();
        self.written.lags(uid, seen, Instant::now())
    }

    /// Writes `status` of `object` where it differs from `found`, the one from the watch.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn status<K, S>(&self, object: &K, found: Option<&S>, status: &S) -> kube::Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
        S: Serialize + PartialEq,
    {
        let (name, uid) = (object.name_any(), object.uid().unwrap_or_default());
        let content = Sha256::digest(serde_json::to_vec(status).unwrap_or_default()).into();
        let seen = version(object.resource_version().as_deref());
        if !self.written.needs(&uid, &content, seen, found == Some(status)) {
            return Ok(());
        }
        self.written.begins(&uid);
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": name, "uid": uid},
            "status": status,
        });
        let made = match object.namespace() {
            Some(namespace) => {
                self.apply_status::<K>(&format!("/namespaces/{namespace}"), &name, &patch).await?
            }
            None => self.apply_status::<K>("", &name, &patch).await?,
        };
        let made = made.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        self.written.answered(&uid, content, version(made));
        Ok(())
    }

    async fn apply_status<K: Resource<DynamicType = ()>>(
        &self,
        place: &str,
        name: &str,
        patch: &Value,
    ) -> kube::Result<Value> {
        let url = format!("/apis/{}/{}{place}/{}", K::group(&()), K::version(&()), K::plural(&()));
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let request = kube::core::Request::new(url)
            .patch_subresource("status", name, &params, &Patch::Apply(patch))
            .map_err(kube::Error::BuildRequest)?;
        self.client.request(request).await
    }

    /// Drops what is kept of objects with other UIDs than these.
    pub fn keep(&self, uids: &BTreeSet<String>) {
        self.written.keep(uids);
        self.told.keep(uids);
    }

    /// The number of objects with a known last write.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.written.len()
    }

    /// The marks of the Events that were sent about `object`.
    pub fn told(&self, object: &impl Resource) -> BTreeSet<String> {
        self.told.of(object.meta().uid.as_deref().unwrap_or_default())
    }

    /// Sends the Events that a record keeps about `object` and that were not sent yet. Returns when to retry, if any
    /// failed.
    pub async fn kept_news<K>(&self, object: &K, news: &[News]) -> Option<SignedDuration>
    where
        K: Resource<DynamicType = ()>,
    {
        let uid = object.meta().uid.clone().unwrap_or_default();
        let before = self.told.of(&uid);
        let (mut told, mut left) = (BTreeSet::new(), false);
        for one in news {
            let mark = one.mark();
            if before.contains(&mark) || self.publish(object, one).await {
                told.insert(mark);
            } else {
                left = true;
            }
        }
        self.told.set(&uid, told, left)
    }

    /// Sends an Event that a record keeps; returns whether it exists now.
    async fn publish<K>(&self, object: &K, news: &News) -> bool
    where
        K: Resource<DynamicType = ()>,
    {
        let regarding = object.object_ref(&());
        let (name, namespace) = (&regarding.name, &regarding.namespace);
        tracing::info!(name, namespace, reason = news.reason.as_str(), note = news.note);
        let made = self.events.once(regarding, news).await;
        if let Err(error) = &made {
            tracing::warn!(reason = news.reason.as_str(), %error, "an Event could not be published: it is tried again");
        }
        made.is_ok()
    }

    /// Sends an Event about `object`. A failure is only logged and counted.
    pub async fn event<K>(&self, object: &K, warning: bool, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let news = News { reason: reason.to_owned(), at: Timestamp::now(), note: note.to_owned() };
        if let Err(error) = self.events.tell(object.object_ref(&()), warning, news).await {
            tracing::warn!(reason, %error, "an Event could not be published");
        }
    }
}

fn version(text: Option<&str>) -> Version {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Mutex};

    use kube::client::Body;
    use subrosa_crds::Channel;

    use super::*;

    /// What the API server was asked to make or to change, and how it answers.
    type Asked = Arc<Mutex<(Vec<Value>, u16)>>;

    fn reporter(asked: &Asked) -> Reporter {
        let asked = Arc::clone(asked);
        let answer = move |request: http::Request<Body>| {
            let asked = Arc::clone(&asked);
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect_bytes().await.unwrap();
                let mut event: Value = serde_json::from_slice(&body).unwrap();
                let mut asked = asked.lock().unwrap();
                if event["metadata"]["name"].is_null() {
                    event["metadata"] = json!({"name": path.rsplit('/').next()});
                }
                asked.0.push(event.clone());
                if asked.1 >= 400 {
                    event = json!({"kind": "Status", "status": "Failure", "code": asked.1, "message": "no", "reason": "x"});
                }
                let answer = http::Response::builder().status(asked.1);
                Ok::<_, Infallible>(answer.body(Body::from(event.to_string().into_bytes())).unwrap())
            }
        };
        Reporter::new(Client::new(tower::service_fn(answer), "default"), None, Arc::default())
    }

    fn channel() -> Channel {
        serde_json::from_value(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
            "metadata": {"name": "voice", "namespace": "cc-front", "uid": "u"},
            "spec": {"workload": {"selector": {"matchLabels": {"app": "voice"}}}},
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn events_of_one_reason_that_say_different_things_are_all_told() {
        let asked = Asked::default();
        asked.lock().unwrap().1 = 201;
        let (reporter, channel) = (reporter(&asked), channel());
        for control in ["SR-NET-01", "SR-NET-02", "SR-NET-01"] {
            reporter.event(&channel, true, "ExceptionEnding", control).await;
        }
        let asked = asked.lock().unwrap().0.clone();
        let notes: Vec<_> = asked.iter().map(|event| event["note"].as_str()).collect();
        assert_eq!(notes, [Some("SR-NET-01"), Some("SR-NET-02"), None]);
        assert_ne!(asked[0]["metadata"]["name"], asked[1]["metadata"]["name"]);
        assert_eq!(asked[0]["metadata"]["name"], asked[2]["metadata"]["name"], "the very same is counted");
        assert_eq!(asked[2]["series"]["count"], 2);
        assert!(asked[..2].iter().all(|event| event["type"] == "Warning"));
    }

    #[tokio::test]
    async fn what_is_refused_is_told_again_ever_less_often() {
        let asked = Asked::default();
        asked.lock().unwrap().1 = 403;
        let (metrics, channel) = (Arc::new(Metrics::default()), channel());
        let mut reporter = reporter(&asked);
        reporter.events = Events::new(reporter.client.clone(), None, Arc::clone(&metrics));
        let at = "2026-11-22T12:00:00Z".parse().unwrap();
        let news = [News { reason: "ConnectionClosed".into(), at, note: "Egress db".into() }];
        let mut minutes = Vec::new();
        for _ in 0..8 {
            minutes.push(reporter.kept_news(&channel, &news).await.unwrap().as_mins());
        }
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60]);
        let told = "subrosa_events_total{outcome=\"refused\"} 8\n";
        assert!(metrics.text().contains(told), "{}", metrics.text());
        asked.lock().unwrap().1 = 201;
        assert_eq!(reporter.kept_news(&channel, &news).await, None);
        asked.lock().unwrap().1 = 403;
        let more = [News { note: "Egress ivr".into(), ..news[0].clone() }];
        assert_eq!(reporter.kept_news(&channel, &more).await.unwrap().as_mins(), 1, "from the start");
    }

    #[tokio::test]
    async fn what_a_record_keeps_is_told_once_under_one_name_until_it_was_taken() {
        let asked = Asked::default();
        let channel = channel();
        let at = "2026-11-22T12:00:00Z".parse().unwrap();
        let news = [News { reason: "ConnectionClosed".into(), at, note: "Egress db".into() }];
        let first = reporter(&asked);
        asked.lock().unwrap().1 = 503;
        assert!(first.kept_news(&channel, &news).await.is_some(), "it is to be told again");
        assert!(first.told(&channel).is_empty());
        asked.lock().unwrap().1 = 201;
        assert!(first.kept_news(&channel, &news).await.is_none());
        assert!(first.kept_news(&channel, &news).await.is_none());
        assert_eq!(first.told(&channel), [news[0].mark()].into());
        // Another operator does not know that it was told.
        let second = reporter(&asked);
        asked.lock().unwrap().1 = 409;
        assert!(second.kept_news(&channel, &news).await.is_none(), "it is there already");
        assert_eq!(second.told(&channel).len(), 1);
        let events = asked.lock().unwrap().0.clone();
        let name = |event: &Value| event["metadata"]["name"].clone();
        assert!(
            events.len() >= 3 && events.iter().all(|event| name(event) == name(&events[0])),
            "{events:?}"
        );
        second.kept_news(&channel, &[]).await;
        assert!(second.told(&channel).is_empty(), "the record has it no more");
    }
}
