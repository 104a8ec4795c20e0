//! The Channels of a namespace as the API server has them, for decisions that must not rest on a late watch.

use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, PartialObjectMeta},
};
use subrosa_crds::{Channel, names::ChannelRef};
use subrosa_plan::{channel::adoption::Declared, world::fault::Fault};

use crate::execute::objects;

/// Every Channel of `namespace`.
///
/// # Errors
/// When the API server does not say.
pub async fn channels(client: &Client, namespace: &str) -> Result<Vec<Declared>, Fault> {
    let api = Api::<Channel>::namespaced(client.clone(), namespace);
    let found = api.list_metadata(&ListParams::default()).await;
    let found = found.map_err(|error| objects::fault("reading the Channels of the namespace", &error))?;
    Ok(found.items.into_iter().map(declared).collect())
}

fn declared(channel: PartialObjectMeta<Channel>) -> Declared {
    Declared {
        name: channel.name_any(),
        uid: channel.metadata.uid,
        generation: channel.metadata.generation,
        terminating: channel.metadata.deletion_timestamp.is_some(),
    }
}

/// Whether there is a Channel of that name that is not being deleted.
///
/// # Errors
/// When the API server does not say.
pub async fn is_there(client: &Client, name: &ChannelRef) -> Result<bool, Fault> {
    let api = Api::<Channel>::namespaced(client.clone(), &name.namespace);
    // The operator may list Channels, and not read a single one.
    let named = ListParams::default().fields(&format!("metadata.name={}", name.name));
    let found = api.list_metadata(&named).await;
    let found = found.map_err(|error| objects::fault(&format!("looking for Channel {name}"), &error))?;
    Ok(found.items.iter().any(|channel| channel.metadata.deletion_timestamp.is_none()))
}
