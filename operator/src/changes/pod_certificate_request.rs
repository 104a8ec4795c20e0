//! A change of a PodCertificateRequest.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::certificates::v1::PodCertificateRequest;
use subrosa_plan::world::World;

use super::Watched;
use crate::{
    observe::{convert, watch::Change},
    subject::Subject,
};

impl Watched for PodCertificateRequest {
    // The world has only unanswered requests.
    fn seen(world: &mut World, change: Change<Arc<Self>>) -> BTreeSet<Subject> {
        let (key, request) = match change {
            Change::Applied(key, request) => (key, convert::request(&request)),
            Change::Gone(key) => (key, None),
        };
        let requests = world.requests.entry(key.namespace.clone()).or_default();
        let pending = request.is_some();
        match request {
            Some(mut request) => {
                let before = requests.get(&key.name).filter(|before| before.uid == request.uid);
                request.told = before.and_then(|before| before.told);
                requests.insert(key.name.clone(), request)
            }
            None => requests.remove(&key.name),
        };
        if requests.is_empty() {
            world.requests.remove(&key.namespace);
        }
        if pending { BTreeSet::from([Subject::of::<PodCertificateRequest>(key)]) } else { BTreeSet::new() }
    }
}
