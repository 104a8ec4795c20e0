//! Status by server-side apply, only on change, and Events.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::events::v1,
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    runtime::events::{Event, EventType, Recorder, Reporter as Who},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subrosa_crds::FIELD_MANAGER;
use subrosa_plan::record::news::News;

use super::{
    told::Told,
    written::{Version, Written},
};

/// The longest note an Event may carry (events.k8s.io/v1).
const LONGEST_NOTE: usize = 1000;

/// Writes status and Events.
pub struct Reporter {
    client: Client,
    recorder: Recorder,
    who: Who,
    written: Written,
    told: Told,
}

impl Reporter {
    /// Reports as `pod` of the operator.
    pub fn new(client: Client, pod: Option<String>) -> Self {
        let who = Who { controller: "subrosa.dev/operator".into(), instance: pod };
        let recorder = Recorder::new(client.clone(), who.clone());
        Self { client, recorder, who, written: Written::default(), told: Told::default() }
    }

    /// How long to wait when a status of `object` was just written that the watch is about to show.
    pub fn lags(&self, object: &impl Resource) -> Option<Duration> {
        let seen = version(object.meta().resource_version.as_deref());
        let uid = object.meta().uid.as_deref().unwrap_or_default();
        self.written.lags(uid, seen, Instant::now())
    }

    /// Writes `status` of `object` where it says something else than `found`, the one the watch saw.
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

    /// Forgets what was written of objects with other UIDs than these: they are gone.
    pub fn keep(&self, uids: &BTreeSet<String>) {
        self.written.keep(uids);
        self.told.keep(uids);
    }

    /// Of how many objects it is known what was written.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.written.len()
    }

    /// The marks of what was told of `object`.
    pub fn told(&self, object: &impl Resource) -> BTreeSet<String> {
        self.told.of(object.meta().uid.as_deref().unwrap_or_default())
    }

    /// Tells what a record keeps to be told of `object`, as far as that was not done. Whether something is left that the
    /// API server did not take.
    pub async fn kept_news<K>(&self, object: &K, news: &[News]) -> bool
    where
        K: Resource<DynamicType = ()>,
    {
        let uid = object.meta().uid.clone().unwrap_or_default();
        let before = self.told.of(&uid);
        let (mut told, mut left) = (BTreeSet::new(), false);
        for one in news {
            let mark = one.mark();
            if before.contains(&mark) || self.publish(object, one, &mark).await {
                told.insert(mark);
            } else {
                left = true;
            }
        }
        self.told.set(&uid, told);
        left
    }

    /// Publishes an Event whose name is the same each time: one that is there already was told. Whether it is there now.
    async fn publish<K>(&self, object: &K, news: &News, mark: &str) -> bool
    where
        K: Resource<DynamicType = ()>,
    {
        let regarding = object.object_ref(&());
        let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let name = regarding.name.clone().unwrap_or_default();
        tracing::info!(name, namespace, reason = news.reason, note = news.note);
        let event = v1::Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{mark}")),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some("Reconcile".to_owned()),
            event_time: Some(MicroTime(news.at)),
            reason: Some(news.reason.clone()),
            note: Some(news.note.chars().take(LONGEST_NOTE).collect()),
            regarding: Some(regarding),
            reporting_controller: Some(self.who.controller.clone()),
            reporting_instance: Some(
                self.who.instance.clone().unwrap_or_else(|| self.who.controller.clone()),
            ),
            type_: Some("Normal".to_owned()),
            ..v1::Event::default()
        };
        let api: Api<v1::Event> = Api::namespaced(self.client.clone(), &namespace);
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if status.code == 409 => true,
            Err(error) => {
                tracing::warn!(reason = news.reason, %error, "an Event could not be published: it is tried again");
                false
            }
        }
    }

    /// Publishes an Event about `object`. A failure is logged and nothing else.
    pub async fn event<K>(&self, object: &K, warning: bool, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(note.chars().take(LONGEST_NOTE).collect()),
            action: "Reconcile".into(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::warn!(reason, %error, "an Event could not be published");
        }
    }
}

fn version(text: Option<&str>) -> Version {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Arc, Mutex},
    };

    use kube::client::Body;
    use subrosa_crds::Channel;

    use super::*;

    /// What the API server was asked to make, by name, and how it answers.
    type Asked = Arc<Mutex<(Vec<String>, u16)>>;

    fn reporter(asked: &Asked) -> Reporter {
        let asked = Arc::clone(asked);
        let answer = move |request: http::Request<Body>| {
            let asked = Arc::clone(&asked);
            async move {
                let body = request.into_body().collect_bytes().await.unwrap();
                let mut event: Value = serde_json::from_slice(&body).unwrap();
                let mut asked = asked.lock().unwrap();
                asked.0.push(event["metadata"]["name"].as_str().unwrap().to_owned());
                if asked.1 >= 400 {
                    event = json!({"kind": "Status", "status": "Failure", "code": asked.1, "message": "no", "reason": "x"});
                }
                let answer = http::Response::builder().status(asked.1);
                Ok::<_, Infallible>(answer.body(Body::from(event.to_string().into_bytes())).unwrap())
            }
        };
        Reporter::new(Client::new(tower::service_fn(answer), "default"), None)
    }

    #[tokio::test]
    async fn what_a_record_keeps_is_told_once_under_one_name_until_it_was_taken() {
        let asked = Asked::default();
        let channel: Channel = serde_json::from_value(json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
            "metadata": {"name": "voice", "namespace": "cc-front", "uid": "u"},
            "spec": {"workload": {"selector": {"matchLabels": {"app": "voice"}}}},
        }))
        .unwrap();
        let at = "2026-11-22T12:00:00Z".parse().unwrap();
        let news = [News { reason: "ConnectionClosed".into(), at, note: "Egress db".into() }];
        let first = reporter(&asked);
        asked.lock().unwrap().1 = 503;
        assert!(first.kept_news(&channel, &news).await, "it is to be told again");
        assert!(first.told(&channel).is_empty());
        asked.lock().unwrap().1 = 201;
        assert!(!first.kept_news(&channel, &news).await);
        assert!(!first.kept_news(&channel, &news).await);
        assert_eq!(first.told(&channel), [news[0].mark()].into());
        // Another operator does not know that it was told.
        let second = reporter(&asked);
        asked.lock().unwrap().1 = 409;
        assert!(!second.kept_news(&channel, &news).await, "it is there already");
        assert_eq!(second.told(&channel).len(), 1);
        let names = asked.lock().unwrap().0.clone();
        assert!(names.len() >= 3 && names.iter().all(|name| *name == names[0]), "{names:?}");
        second.kept_news(&channel, &[]).await;
        assert!(second.told(&channel).is_empty(), "the record has it no more");
    }
}
