//! Status by server-side apply, only on change, and Events.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    time::{Duration, Instant},
};

use kube::{
    Client, Resource, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType, Recorder, Reporter as Who},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subrosa_crds::FIELD_MANAGER;

use super::written::{Version, Written};

/// The longest note an Event may carry (events.k8s.io/v1).
const LONGEST_NOTE: usize = 1000;

/// Writes status and Events.
pub struct Reporter {
    client: Client,
    recorder: Recorder,
    written: Written,
}

impl Reporter {
    /// Reports as `pod` of the operator.
    pub fn new(client: Client, pod: Option<String>) -> Self {
        let who = Who { controller: "subrosa.dev/operator".into(), instance: pod };
        let recorder = Recorder::new(client.clone(), who);
        Self { client, recorder, written: Written::default() }
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
    }

    /// Of how many objects it is known what was written.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.written.len()
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
