//! Reads everything from the API server for each look, so that nothing is older than the look.

use std::{collections::BTreeMap, fmt, time::Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Config, Resource, ResourceExt as _,
    api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use subrosa_crds::{
    AccessRevocation, Approval, Destruction, LegalHold, Reason, RetentionPolicy, TrustDomain,
    common::ConfigMapKey,
};
use subrosa_plan::{
    record::destroyer::{BindingRules, Frozen},
    roles::revoked::RevokedPeople,
    world::fault::Fault,
};
use subrosa_process::cluster::{self, refused};
pub use subrosa_process::guard::{APPROVAL_GUARD, GuardCheck};

/// The ConfigMap with the cluster's copy of the destroyer's record. Comparing both shows a restore of either.
pub const MIRROR: &str = "subrosa-destroyer";
/// The field manager of what the destroyer writes.
pub const FIELD_MANAGER: &str = "subrosa-destroyer";

/// The states of a finished Destruction.
pub const DONE: [Reason; 2] = [Reason::Destroyed, Reason::Voided];

/// Whether a Destruction is finished.
pub fn is_done(destruction: &Destruction) -> bool {
    let state = destruction.status.as_ref().and_then(|status| status.state.as_deref());
    DONE.iter().any(|done| Some(done.as_str()) == state)
}

/// The page size.
const PAGE: u32 = 50;
/// The page size for Approvals, which are small.
const APPROVALS_PAGE: u32 = 500;
/// With at most this many open Destructions, the Approvals are listed for each of them.
const MOST_ASKED: usize = 20;

/// The connection to the API server.
#[derive(Clone)]
pub struct ClusterApi {
    client: Client,
    namespace: String,
}

/// The input of one look.
#[derive(Clone, Debug)]
pub struct LookInput {
    /// When reading began.
    pub read_at: Instant,
    /// The TrustDomains.
    pub domains: Vec<TrustDomain>,
    /// The RetentionPolicies, by name.
    pub policies: BTreeMap<String, RetentionPolicy>,
    /// The LegalHolds.
    pub holds: Vec<LegalHold>,
    /// The unfinished Destructions, and those of which a key came back.
    pub destructions: Vec<Destruction>,
    /// The Approvals, without those of finished Destructions.
    pub approvals: Vec<Approval>,
    /// UID and generation of the admission policy for Approvals and of its binding; `None` while one is missing or
    /// edited.
    pub guard: Option<String>,
    /// The cluster: the UID of its namespace kube-system.
    pub cluster: String,
}

/// The cluster's copy for a trust domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The version of the destroyer's record in Vault.
    pub version: u64,
    /// The freeze, where nothing is destroyed until people approve going on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
    /// The digest of each RetentionPolicy whose shorter periods were approved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub approved: BTreeMap<String, String>,
    /// The weaker rules of each RetentionPolicy that wait for Approvals.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub waiting: BTreeMap<String, Vec<String>>,
    /// The binding rules of each RetentionPolicy; of a deleted one, those that bound last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, BindingRules>,
    /// Since when the admission policy for Approvals is unchanged; `None` while it is missing or edited, when no
    /// Approval counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guarded_since: Option<Timestamp>,
    /// The user who lists what is due, and so may not approve it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub requester: String,
}

impl ClusterApi {
    /// A connection with a deadline on every request.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn new(config: Config, namespace: &str) -> kube::Result<Self> {
        Ok(Self { client: cluster::client(config, None)?, namespace: namespace.to_owned() })
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Reads everything.
    ///
    /// # Errors
    /// When any kind cannot be read, because incomplete input decides nothing.
    pub async fn look(&self, guard: &GuardCheck) -> Result<LookInput, Fault> {
        let read_at = Instant::now();
        let policies = self.all::<RetentionPolicy>().await?;
        let destructions = self.open_destructions().await?;
        Ok(LookInput {
            read_at,
            domains: self.all().await?,
            policies: policies.into_iter().map(|policy| (policy.name_any(), policy)).collect(),
            // LegalHolds are read last, so that they are the newest.
            approvals: self.approvals(&destructions).await?,
            destructions,
            holds: self.all().await?,
            guard: guard.version(&self.client).await?,
            cluster: cluster::identity(&self.client).await?,
        })
    }

    async fn all<K>(&self) -> Result<Vec<K>, Fault>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
    {
        self.select(ListParams::default()).await.map_err(|error| refused(&K::plural(&()), &error))
    }

    async fn select<K>(&self, params: ListParams) -> kube::Result<Vec<K>>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
    {
        let (mut found, mut next) = (Vec::new(), None);
        loop {
            let (page, token) = self.page(params.clone(), next).await?;
            found.extend(page);
            match token {
                Some(token) => next = Some(token),
                None => return Ok(found),
            }
        }
    }

    /// One page, and the token of the next.
    async fn page<K>(
        &self,
        params: ListParams,
        from: Option<String>,
    ) -> kube::Result<(Vec<K>, Option<String>)>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
    {
        let params = if params.limit.is_some() { params } else { params.limit(PAGE) };
        let params = match &from {
            Some(token) => params.continue_token(token),
            None => params,
        };
        let mut page = Api::<K>::all(self.client.clone()).list(&params).await?;
        // Managed fields are the largest part of an object with a thousand keys.
        page.items.iter_mut().for_each(|one| one.meta_mut().managed_fields = None);
        Ok((page.items, page.metadata.continue_.filter(|token| !token.is_empty())))
    }

    /// The unfinished Destructions. Finished ones are kept for ever, so reading all of them would grow by years.
    async fn open_destructions(&self) -> Result<Vec<Destruction>, Fault> {
        let open = DONE.map(|state| format!("status.state!={}", state.as_str())).join(",");
        let found = match self.select(ListParams::default().fields(&open)).await {
            // The API server or the CRD does not support this field selector yet.
            Err(kube::Error::Api(status)) if status.code == 400 => self.select(ListParams::default()).await,
            other => other,
        };
        let mut found: Vec<Destruction> = found.map_err(|error| refused("destructions", &error))?;
        found.retain(|one| !is_done(one));
        Ok(found)
    }

    /// The Approvals that may count. Those of finished Destructions are kept for ever, some thousands more each year.
    async fn approvals(&self, open: &[Destruction]) -> Result<Vec<Approval>, Fault> {
        let all = ListParams::default().limit(APPROVALS_PAGE);
        let mut asked = vec!["spec.target.kind!=Destruction".to_owned()];
        asked.extend(
            open.iter()
                .map(|one| format!("spec.target.kind=Destruction,spec.target.name={}", one.name_any())),
        );
        let refused = |error: kube::Error| refused("approvals", &error);
        let mut found = Vec::new();
        if open.len() <= MOST_ASKED {
            for fields in &asked {
                match self.select(all.clone().fields(fields)).await {
                    // The API server or the CRD does not support this field selector yet.
                    Err(kube::Error::Api(status)) if status.code == 400 => break,
                    some => found.push(some.map_err(refused)?),
                }
            }
        }
        let mut found = if found.len() == asked.len() {
            found.concat()
        } else {
            self.select(all).await.map_err(refused)?
        };
        let people = RevokedPeople::of(&self.revocations().await?);
        found.retain(|one: &Approval| people.lets_count(one));
        Ok(found)
    }

    /// The AccessRevocations, whose people approve nothing.
    async fn revocations(&self) -> Result<Vec<AccessRevocation>, Fault> {
        match self.select(ListParams::default()).await {
            // The CRD is not installed yet, so there are none.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
            found => found.map_err(|error| refused("accessrevocations", &error)),
        }
    }

    /// A page of all Destructions, and the token of the next. If the token expired because the walk took longer than
    /// etcd keeps old revisions, the walk continues at the same place in the current list.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn destructions_page(
        &self,
        from: Option<String>,
    ) -> Result<(Vec<Destruction>, Option<String>), Fault> {
        let page = match self.page(ListParams::default(), from).await {
            Err(kube::Error::Api(status)) if status.code == 410 => {
                let later = status.metadata.as_ref().and_then(|meta| meta.continue_.clone());
                match later.filter(|token| !token.is_empty()) {
                    Some(token) => self.page(ListParams::default(), Some(token)).await,
                    None => Err(kube::Error::Api(status)),
                }
            }
            other => other,
        };
        page.map_err(|error| refused("destructions", &error))
    }

    /// The text of a CA bundle.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn bundle(&self, key: &ConfigMapKey) -> Result<String, Fault> {
        cluster::bundle(&self.client, &self.namespace, key).await
    }

    /// The cluster's copy for trust domain `domain`.
    ///
    /// # Errors
    /// When the API server does not answer, or the copy cannot be parsed.
    pub async fn told(&self, domain: &str) -> Result<Option<Told>, Fault> {
        let found =
            self.config_maps().get_opt(MIRROR).await.map_err(|error| refused("configmaps", &error))?;
        let Some(text) = found.and_then(|map| map.data?.remove(domain)) else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            let message = format!(
                "ConfigMap {}/{MIRROR}, key {domain}, cannot be read: {error}; nothing is destroyed; next: find who wrote it",
                self.namespace
            );
            Fault::new(Reason::StateRestored, message)
        })
    }

    /// Writes the cluster's copy for trust domain `domain`.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn tell(&self, domain: &str, told: &Told) -> Result<(), Fault> {
        let text = serde_json::to_string(told).unwrap_or_default();
        let api = self.config_maps();
        let data = json!({ "data": { domain: text } });
        let changed = api.patch(MIRROR, &params(), &Patch::Merge(&data)).await;
        let written = match changed {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let made = ConfigMap {
                    metadata: ObjectMeta { name: Some(MIRROR.to_owned()), ..ObjectMeta::default() },
                    data: Some([(domain.to_owned(), text)].into()),
                    ..ConfigMap::default()
                };
                api.create(
                    &PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() },
                    &made,
                )
                .await
            }
            other => other,
        };
        written.map(drop).map_err(|error| refused("configmaps", &error))
    }

    /// Writes the status of an object, if the object was not changed since it was read.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn write_status<K, S>(&self, object: &K, before: Option<&S>, status: &S) -> Result<(), Fault>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
        S: Serialize + PartialEq,
    {
        cluster::write_status(&Api::all(self.client.clone()), FIELD_MANAGER, object, before, status)
            .await
            .map(drop)
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}
