//! Questions to the API server itself, before anything is withdrawn or denied for good.
//!
//! A watch may be delayed without an error, and an object that it does not show yet must not count as deleted. Each
//! question is a list with a field selector for one name, which the API server answers with the newest state and
//! which needs no further right.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, PartialObjectMeta},
};
use subrosa_crds::{
    Channel,
    names::{ChannelId, ChannelRef},
};
use subrosa_plan::{
    channel::adoption::ListedChannel,
    world::{PodFacts, World, declaration::Declaration},
};

use super::convert;

fn named(name: &str) -> ListParams {
    ListParams::default().fields(&format!("metadata.name={name}"))
}

/// Whether `domain` has no Channel of this name and identity: it does not exist, is being deleted, or its namespace
/// belongs to another trust domain.
///
/// # Errors
/// When the request to the API server fails. A missing CRD is an answer: there are no objects.
pub async fn is_gone(
    client: &Client,
    domain: &str,
    channel: &ChannelRef,
    id: &ChannelId,
) -> kube::Result<bool> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespaces.list_metadata(&named(&channel.namespace)).await?;
    let namespace = namespace.items.first().map(convert::namespace).unwrap_or_default();
    if ChannelId::mint(&namespace.uid, &channel.name) != *id
        || namespace.trust_domain.is_some_and(|label| label != domain)
    {
        return Ok(true);
    }
    Ok(!is_there(client, channel).await?)
}

/// Whether a Channel of this name exists and is not being deleted.
///
/// # Errors
/// When the request to the API server fails. A missing CRD is an answer: there are no objects.
pub async fn is_there(client: &Client, channel: &ChannelRef) -> kube::Result<bool> {
    Ok(uid(client, channel).await?.is_some())
}

/// The current UID of the Channel of this name, unless it is being deleted.
///
/// # Errors
/// When the request to the API server fails. A missing CRD is an answer: there are no objects.
pub async fn uid(client: &Client, channel: &ChannelRef) -> kube::Result<Option<String>> {
    let channels: Api<Channel> = Api::namespaced(client.clone(), &channel.namespace);
    let stays = |found: PartialObjectMeta<Channel>| match found.metadata.deletion_timestamp {
        None => Some(found.metadata.uid.unwrap_or_default()),
        Some(_) => None,
    };
    match channels.list_metadata(&named(&channel.name)).await {
        Ok(found) => Ok(found.items.into_iter().find_map(stays)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every Channel of a namespace, with what distinguishes its declarations.
///
/// # Errors
/// When the request to the API server fails.
pub async fn declared(client: &Client, namespace: &str) -> kube::Result<Vec<ListedChannel>> {
    let channels: Api<Channel> = Api::namespaced(client.clone(), namespace);
    let found = channels.list_metadata(&ListParams::default()).await?;
    let declared = |channel: PartialObjectMeta<Channel>| ListedChannel {
        name: channel.name_any(),
        uid: channel.metadata.uid,
        generation: channel.metadata.generation,
        terminating: channel.metadata.deletion_timestamp.is_some(),
    };
    Ok(found.items.into_iter().map(declared).collect())
}

/// The identities of all Channels in namespaces with one of these values of the trust-domain label (`None`: without
/// the label).
///
/// # Errors
/// When the request to the API server fails.
pub async fn ids(client: &Client, labels: &BTreeSet<Option<String>>) -> kube::Result<BTreeSet<ChannelId>> {
    let namespaces = Api::<Namespace>::all(client.clone()).list_metadata(&ListParams::default()).await?;
    let mut uids = BTreeMap::new();
    for namespace in &namespaces.items {
        let facts = convert::namespace(namespace);
        if labels.contains(&facts.trust_domain) {
            uids.insert(namespace.name_any(), facts.uid);
        }
    }
    let channels = Api::<Channel>::all(client.clone()).list_metadata(&ListParams::default()).await?;
    let minted = channels
        .items
        .iter()
        .filter_map(|channel| Some(ChannelId::mint(uids.get(&channel.namespace()?)?, &channel.name_any())));
    Ok(minted.collect())
}

/// The Channels of a namespace and those of its pods with these names: what is needed to judge their requests.
///
/// # Errors
/// When the request to the API server fails.
pub async fn requested(client: &Client, namespace: &str, pods: &[&str]) -> kube::Result<World> {
    let mut world = World::default();
    let channels: Api<Channel> = Api::namespaced(client.clone(), namespace);
    for channel in channels.list(&ListParams::default()).await?.items {
        // What is to be deleted counts for nothing any more, whoever holds it back.
        if channel.metadata.deletion_timestamp.is_none() {
            let declared = Declaration::of(Arc::new(channel));
            world.put_channel(&declared.name().clone(), Some(declared.packed()));
        }
    }
    let all: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let facts = world.pods.entry(namespace.to_owned()).or_default();
    for name in pods {
        let found = all.list(&named(name)).await?.items.into_iter().next();
        facts.extend(found.map(|pod| ((*name).to_owned(), convert::pod(pod))));
    }
    Ok(world)
}

/// The pods of a namespace, by name.
///
/// # Errors
/// When the API server does not say.
pub async fn pods(client: &Client, namespace: &str) -> kube::Result<BTreeMap<String, PodFacts>> {
    let all: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found = all.list(&ListParams::default()).await?.items;
    Ok(found.into_iter().map(|pod| (pod.name_any(), convert::pod(pod))).collect())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::StatusCode;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// An API server with this namespace, and these answers to a list of Channels and of pods.
    fn server(uid: Option<&'static str>, channels: Result<Value, u16>, pods: Value) -> Client {
        let answer = move |request: http::Request<Body>| {
            let (path, query) =
                (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
            let namespaces: Vec<_> =
                uid.iter().map(|uid| json!({"metadata": {"name": "cc", "uid": uid}})).collect();
            let listed = match path.rsplit('/').next() {
                Some("namespaces") => Ok(json!(namespaces)),
                Some("channels") => channels.clone(),
                _ => Ok(pods.clone()),
            };
            async move {
                assert!(!query.contains("resourceVersion"), "what is so now: {query}");
                let (code, body) = match listed {
                    Ok(items) => (200, json!({"metadata": {"resourceVersion": "7"}, "items": items})),
                    Err(code) => (code, json!({"kind": "Status", "code": code, "message": "", "reason": ""})),
                };
                let body = Body::from(body.to_string().into_bytes());
                let answer = http::Response::builder().status(StatusCode::from_u16(code).unwrap()).body(body);
                Ok::<_, Infallible>(answer.unwrap())
            }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    fn channel(metadata: Value) -> Value {
        let mut whole = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": "voice", "namespace": "cc"},
            "spec": {"workload": {"selector": {"matchLabels": {"app": "voice"}}}},
        });
        whole["metadata"].as_object_mut().unwrap().extend(metadata.as_object().cloned().unwrap());
        whole
    }

    async fn gone(uid: Option<&'static str>, channels: Result<Value, u16>) -> Option<bool> {
        let client = server(uid, channels, json!([]));
        is_gone(&client, "oosterlinde", &ChannelRef::new("cc", "voice"), &ChannelId::mint("u", "voice"))
            .await
            .ok()
    }

    #[tokio::test]
    async fn what_the_api_server_has_is_not_gone_and_what_it_does_not_say_is_not_known() {
        let there = || Ok(json!([channel(json!({}))]));
        assert_eq!(gone(Some("u"), there()).await, Some(false));
        assert_eq!(gone(Some("u"), Ok(json!([]))).await, Some(true));
        assert_eq!(gone(None, there()).await, Some(true), "its namespace is gone");
        assert_eq!(gone(Some("another"), there()).await, Some(true), "its namespace was made anew");
        let going = channel(json!({"deletionTimestamp": "2026-11-22T12:00:00Z"}));
        assert_eq!(gone(Some("u"), Ok(json!([going]))).await, Some(true), "whoever holds it back");
        assert_eq!(gone(Some("u"), Err(404)).await, Some(true), "the kind is not served");
        for silent in [500, 503, 403] {
            assert_eq!(gone(Some("u"), Err(silent)).await, None, "{silent}");
        }
    }

    #[tokio::test]
    async fn a_request_is_judged_by_the_pod_and_the_channels_of_its_namespace() {
        let pod = json!({"metadata": {"name": "voice-0", "namespace": "cc", "uid": "p", "labels": {"app": "voice"}}});
        let going = json!({"name": "going", "deletionTimestamp": "2026-11-22T12:00:00Z"});
        let channels = json!([channel(json!({"uid": "c", "generation": 3})), channel(going)]);
        let client = server(Some("u"), Ok(channels), json!([pod]));
        let world = requested(&client, "cc", &["voice-0"]).await.unwrap();
        assert_eq!(world.pods["cc"]["voice-0"].uid, "p");
        let names: Vec<_> = world.all_channels().map(|channel| channel.name().name.clone()).collect();
        assert_eq!(names, ["voice"]);
        assert!(requested(&server(Some("u"), Err(500), json!([])), "cc", &["voice-0"]).await.is_err());
    }
}
