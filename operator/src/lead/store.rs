//! The Lease: read, and written only at the version that was read.

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use subrosa_crds::FIELD_MANAGER;

use super::elect::{Bid, LeaseRecord};
use crate::grants::LEASE;

/// The annotation of the Lease with the accessors of Vault tokens.
const ACCESSORS: &str = "subrosa.dev/vault-accessors";

/// The result of a write.
pub(super) enum LeaseWrite {
    /// Written; this is the new record.
    Accepted(LeaseRecord),
    /// Somebody else wrote or deleted the Lease since it was read.
    Refused,
}

/// The one Lease.
pub(super) struct LeaseStore {
    api: Api<Lease>,
    me: String,
    seconds: i32,
    /// The last version that was read or written, so that fields of others are kept.
    known: Option<Lease>,
}

impl LeaseStore {
    pub fn new(client: Client, namespace: &str, me: &str, seconds: i32) -> Self {
        Self { api: Api::namespaced(client, namespace), me: me.to_owned(), seconds, known: None }
    }

    pub async fn read(&mut self) -> kube::Result<Option<LeaseRecord>> {
        self.known = self.api.get_opt(LEASE).await?;
        Ok(self.known.as_ref().map(record))
    }

    /// The token accessors in the Lease.
    pub fn accessors(&self) -> Option<&str> {
        let annotations = self.known.as_ref()?.metadata.annotations.as_ref()?;
        annotations.get(ACCESSORS).map(String::as_str)
    }

    pub async fn write(&mut self, bid: &Bid, accessors: Option<&str>) -> kube::Result<LeaseWrite> {
        let base = self.known.clone().filter(|_| bid.replaces.is_some());
        let mut lease = base.unwrap_or_else(blank);
        if lease.metadata.resource_version != bid.replaces {
            return Ok(LeaseWrite::Refused);
        }
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.me) {
            spec.acquire_time = Some(now.clone());
        }
        *spec = LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: Some(self.seconds),
            lease_transitions: Some(bid.epoch),
            renew_time: Some(now),
            ..std::mem::take(spec)
        };
        if let Some(accessors) = accessors {
            lease
                .metadata
                .annotations
                .get_or_insert_default()
                .insert(ACCESSORS.to_owned(), accessors.to_owned());
        }
        self.send(lease).await
    }

    /// Releases the Lease, so that the next leader need not wait.
    pub async fn give_up(&mut self) -> kube::Result<LeaseWrite> {
        let mine = |lease: &&Lease| record(lease).holder == self.me;
        let Some(mut lease) = self.known.as_ref().filter(mine).cloned() else {
            return Ok(LeaseWrite::Refused);
        };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        self.send(lease).await
    }

    async fn send(&mut self, lease: Lease) -> kube::Result<LeaseWrite> {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let answer = if lease.metadata.resource_version.is_none() {
            self.api.create(&params, &lease).await
        } else {
            self.api.replace(LEASE, &params, &lease).await
        };
        match answer {
            Ok(made) => {
                let record = record(&made);
                self.known = Some(made);
                Ok(LeaseWrite::Accepted(record))
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(LeaseWrite::Refused),
            Err(error) => Err(error),
        }
    }
}

fn blank() -> Lease {
    Lease { metadata: ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() }, spec: None }
}

fn record(lease: &Lease) -> LeaseRecord {
    let spec = lease.spec.as_ref();
    LeaseRecord {
        holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
        epoch: spec.and_then(|spec| spec.lease_transitions).unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}
