//! Events: each is a separate object, except that a repetition within minutes extends the first one to a series.
//!
//! kube's recorder aggregates by reason alone and would lose the later notes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use subrosa_plan::record::news::News;

use super::metrics::Metrics;

/// The longest note an Event may carry (events.k8s.io/v1).
const LONGEST_NOTE: usize = 1000;
/// How long a repetition is counted in the first Event.
const SERIES: SignedDuration = SignedDuration::from_mins(6);
/// The name of the controller in Events.
const CONTROLLER: &str = "subrosa.dev/operator";

/// Publishes Events.
pub struct Events {
    client: Client,
    instance: String,
    metrics: Arc<Metrics>,
    lately: Mutex<HashMap<Same, Lately>>,
}

/// The identity of an Event: the object's UID, reason and note.
type Same = (String, String, String);

/// The last Event with an identity.
struct Lately {
    name: String,
    at: Timestamp,
    count: i32,
}

impl Events {
    /// Sends Events as the operator's `pod`.
    pub fn new(client: Client, pod: Option<String>, metrics: Arc<Metrics>) -> Self {
        let instance = pod.unwrap_or_else(|| CONTROLLER.to_owned());
        Self { client, instance, metrics, lately: Mutex::default() }
    }

    /// Sends an Event with a deterministic name; an existing one counts as sent.
    ///
    /// # Errors
    /// When it does not exist and the API server refuses it.
    pub async fn once(&self, regarding: ObjectReference, news: &News) -> kube::Result<()> {
        let made = self.create(&regarding, "Normal", news).await;
        let made = match made {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            other => other,
        };
        self.metrics.event(made.is_ok());
        made
    }

    /// Sends an Event; a repetition within minutes is counted in the first one.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn tell(&self, regarding: ObjectReference, warning: bool, news: News) -> kube::Result<()> {
        let told = self.tell_or_count(&regarding, if warning { "Warning" } else { "Normal" }, news).await;
        self.metrics.event(told.is_ok());
        told
    }

    async fn tell_or_count(&self, regarding: &ObjectReference, kind: &str, news: News) -> kube::Result<()> {
        let same = (regarding.uid.clone().unwrap_or_default(), news.reason.clone(), news.note.clone());
        if let Some((name, count)) = self.again(&same, news.at) {
            let series = EventSeries { count, last_observed_time: MicroTime(news.at) };
            let patch = Patch::Merge(json!({ "series": series }));
            match self.api(regarding).patch(&name, &PatchParams::default(), &patch).await {
                // It was deleted meanwhile: send a new one.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                other => return other.map(drop),
            }
        }
        self.create(regarding, kind, &news).await?;
        let lately = Lately { name: name(regarding, &news), at: news.at, count: 1 };
        self.lately().insert(same, lately);
        Ok(())
    }

    /// The Event that counts this repetition, and its new count.
    fn again(&self, same: &Same, now: Timestamp) -> Option<(String, i32)> {
        let mut all = self.lately();
        all.retain(|_, one| now.duration_since(one.at) < SERIES);
        let one = all.get_mut(same)?;
        (one.at, one.count) = (now, one.count.saturating_add(1));
        Some((one.name.clone(), one.count))
    }

    async fn create(&self, regarding: &ObjectReference, kind: &str, news: &News) -> kube::Result<()> {
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name(regarding, news)),
                namespace: Some(namespace(regarding).to_owned()),
                ..ObjectMeta::default()
            },
            action: Some("Reconcile".to_owned()),
            event_time: Some(MicroTime(news.at)),
            reason: Some(news.reason.clone()),
            note: Some(news.note.chars().take(LONGEST_NOTE).collect()),
            regarding: Some(regarding.clone()),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(kind.to_owned()),
            ..Event::default()
        };
        self.api(regarding).create(&PostParams::default(), &event).await.map(drop)
    }

    fn api(&self, regarding: &ObjectReference) -> Api<Event> {
        Api::namespaced(self.client.clone(), namespace(regarding))
    }

    fn lately(&self) -> MutexGuard<'_, HashMap<Same, Lately>> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The namespace for an Event about an object; `default` for cluster-scoped objects, as the API server requires.
fn namespace(regarding: &ObjectReference) -> &str {
    regarding.namespace.as_deref().unwrap_or("default")
}

fn name(regarding: &ObjectReference, news: &News) -> String {
    format!("{}.{}", regarding.name.as_deref().unwrap_or_default(), news.mark())
}
