//! A context for tests.

use std::{convert::Infallible, sync::Arc};

use kube::{Client, client::Body};
use serde_json::json;

use super::{Context, Failures, Sweeps, UnderWay};
use crate::{
    grants::Installation,
    observe::{Cluster, Surroundings, definitions::Definitions, key_watch, probe::Prober, watch::Refresh},
    pending::Pending,
    report::{Reporter, metrics::Metrics},
    session::{Lead, Vaults},
};

/// Before an API server that takes every write.
pub fn context() -> Context {
    let answer = |_| async {
        let taken = json!({"metadata": {"resourceVersion": "7"}}).to_string();
        Ok::<_, Infallible>(http::Response::new(Body::from(taken.into_bytes())))
    };
    context_before(Client::new(tower::service_fn(answer), "default"))
}

/// Before this API server.
pub fn context_before(client: Client) -> Context {
    Context {
        installation: Installation::default(),
        cluster: Cluster::default(),
        refresh: Refresh::default(),
        surroundings: Surroundings::new(Vec::new()),
        definitions: Definitions::default(),
        vaults: Vaults::new(client.clone(), String::new(), String::new(), None, Lead::default()),
        reporter: Reporter::new(client.clone(), None, Arc::default()),
        metrics: Arc::new(Metrics::default()),
        woken: Pending::default(),
        failures: Failures::default(),
        sweeps: Sweeps::default(),
        under_way: UnderWay::default(),
        prober: Prober::default(),
        keys_listed_every: key_watch::LIST_EVERY,
        client,
    }
}
