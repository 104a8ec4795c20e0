//! Reads a cluster with the kubeconfig's user.

use std::{fmt::Debug, path::PathBuf};

use anyhow::{Context as _, Result, anyhow};
use futures::{StreamExt as _, stream::BoxStream};
use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
};
use kube::{
    Api, Client, Config, Resource,
    api::{ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::NamespaceResourceScope,
    runtime::watcher,
};
use serde::{Serialize, de::DeserializeOwned};
use subrosa_crds::{Channel, ExternalParty, RetentionPolicy, TrustDomain};

/// The page size.
const PAGE: u32 = 500;

/// Which cluster.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClusterTarget {
    /// The context of the kubeconfig
    #[arg(long)]
    context: Option<String>,
    /// The kubeconfig; else $KUBECONFIG, ~/.kube/config, or the pod's own ServiceAccount
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// A cluster that can be read.
#[derive(Clone)]
pub struct ClusterClient {
    client: Client,
}

/// What stands in a cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterObjects {
    /// TrustDomains, by name.
    pub domains: Vec<TrustDomain>,
    /// ExternalParties, by name.
    pub parties: Vec<ExternalParty>,
    /// RetentionPolicies, by name.
    pub policies: Vec<RetentionPolicy>,
    /// Channels, by namespace and name.
    pub channels: Vec<Channel>,
    /// Kinds that this user may not read, such as those above a team's namespaces.
    pub hidden: Vec<&'static str>,
}

impl ClusterTarget {
    /// Prepares the connection.
    ///
    /// # Errors
    /// When there is no usable kubeconfig.
    pub async fn connect(&self) -> Result<ClusterClient> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = match (&self.kubeconfig, &self.context) {
            (Some(path), _) => {
                let file = Kubeconfig::read_from(path)
                    .with_context(|| format!("{} cannot be used", path.display()))?;
                Config::from_custom_kubeconfig(file, &options)
                    .await
                    .context("the kubeconfig cannot be used")?
            }
            (None, Some(_)) => {
                Config::from_kubeconfig(&options).await.context("the kubeconfig cannot be used")?
            }
            (None, None) => {
                Config::infer().await.context("no cluster: set KUBECONFIG, or give --kubeconfig")?
            }
        };
        Ok(ClusterClient { client: Client::try_from(config).context("the kubeconfig cannot be used")? })
    }
}

impl ClusterClient {
    /// The namespace of the kubeconfig's context.
    pub fn namespace(&self) -> &str {
        self.client.default_namespace()
    }

    /// Everything of this API; Channels of `namespace`, or of all.
    ///
    /// # Errors
    /// When the API server does not answer, refuses, or does not know the kinds.
    pub async fn see(&self, namespace: Option<&str>) -> Result<ClusterObjects> {
        let client = || self.client.clone();
        let (domains, parties, policies, channels) = futures::try_join!(
            list_if_allowed(Api::<TrustDomain>::all(client())),
            list_if_allowed(Api::<ExternalParty>::all(client())),
            list_if_allowed(Api::<RetentionPolicy>::all(client())),
            async { list(self.channels(namespace)).await.map_err(explained::<Channel>) },
        )?;
        let hidden = [
            ("TrustDomains", domains.is_none()),
            ("ExternalParties", parties.is_none()),
            ("RetentionPolicies", policies.is_none()),
        ];
        Ok(ClusterObjects {
            domains: domains.unwrap_or_default(),
            parties: parties.unwrap_or_default(),
            policies: policies.unwrap_or_default(),
            channels,
            hidden: hidden.into_iter().filter(|(_, hidden)| *hidden).map(|(kinds, _)| kinds).collect(),
        })
    }

    /// One object of the cluster.
    ///
    /// # Errors
    /// When the API server does not answer, refuses, or does not know the kind.
    pub async fn get<K>(&self, name: &str) -> Result<Option<K>>
    where
        K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        Api::<K>::all(self.client.clone()).get_opt(name).await.map_err(explained::<K>)
    }

    /// One object of a namespace.
    ///
    /// # Errors
    /// When the API server does not answer, refuses, or does not know the kind.
    pub async fn get_in<K>(&self, namespace: &str, name: &str) -> Result<Option<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        Api::<K>::namespaced(self.client.clone(), namespace).get_opt(name).await.map_err(explained::<K>)
    }

    /// Sets an annotation of a Channel.
    ///
    /// # Errors
    /// When the API server does not answer or refuses, or there is no such Channel.
    pub async fn annotate(&self, namespace: &str, name: &str, key: &str, value: &str) -> Result<Channel> {
        let patch = serde_json::json!({"metadata": {"annotations": {key: value}}});
        let channels = Api::<Channel>::namespaced(self.client.clone(), namespace);
        let patched = channels.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.map_err(explained::<Channel>)
    }

    /// Everything of a kind in a namespace.
    ///
    /// # Errors
    /// When the API server does not answer, refuses, or does not know the kind.
    pub async fn list_in<K>(&self, namespace: &str) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        list(Api::<K>::namespaced(self.client.clone(), namespace)).await.map_err(explained::<K>)
    }

    /// All objects of a kind, in pages of `most`, so that they need not fit into memory together.
    ///
    /// # Errors
    /// When the API server does not answer, refuses, or does not know the kind.
    pub async fn pages<K>(&self, most: u32, mut take: impl FnMut(Vec<K>)) -> Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let api = Api::<K>::all(self.client.clone());
        let mut params = ListParams::default().limit(most);
        loop {
            let page = api.list(&params).await.map_err(explained::<K>)?;
            take(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(()),
            }
        }
    }

    /// All objects of a kind; `None` where the user may not list it, or the cluster does not know it.
    ///
    /// # Errors
    /// When the API server does not answer or refuses for another reason.
    pub async fn list_known<K>(&self) -> Result<Option<Vec<K>>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        match list(Api::<K>::all(self.client.clone())).await {
            Ok(found) => Ok(Some(found)),
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Ok(None),
            Err(error) => Err(explained::<K>(error)),
        }
    }

    /// One object of a namespace, if it exists; `None` where the user may not read it.
    ///
    /// # Errors
    /// When the API server does not answer or refuses for another reason.
    pub async fn get_if_allowed<K>(&self, namespace: &str, name: &str) -> Result<Option<Option<K>>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        match Api::<K>::namespaced(self.client.clone(), namespace).get_opt(name).await {
            Ok(found) => Ok(Some(found)),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
            Err(error) => Err(explained::<K>(error)),
        }
    }

    /// Whether the current user has `verb` on an object of this API.
    ///
    /// # Errors
    /// When the request to the API server fails.
    pub async fn may(&self, verb: &str, resource: &str, namespace: &str, name: &str) -> Result<bool> {
        let attributes = ResourceAttributes {
            group: Some(subrosa_crds::GROUP.to_owned()),
            resource: Some(resource.to_owned()),
            verb: Some(verb.to_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
            ..SelfSubjectAccessReview::default()
        };
        let asked = Api::<SelfSubjectAccessReview>::all(self.client.clone())
            .create(&PostParams::default(), &review)
            .await
            .context("the API server does not say what you may do; see: kubectl auth can-i")?;
        Ok(asked.status.is_some_and(|status| status.allowed))
    }

    /// The name of the current user.
    ///
    /// # Errors
    /// When the request to the API server fails.
    pub async fn user(&self) -> Result<String> {
        let asked = Api::<SelfSubjectReview>::all(self.client.clone())
            .create(&PostParams::default(), &SelfSubjectReview::default())
            .await
            .context("the API server does not say who you are; see: kubectl auth whoami")?;
        let user = asked.status.and_then(|status| status.user_info?.username);
        user.filter(|name| !name.is_empty()).context("the API server does not know who you are: log in")
    }

    /// Creates a cluster-scoped object.
    ///
    /// # Errors
    /// When the API server refuses, with its message.
    pub async fn make<K>(&self, object: &K) -> Result<K, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize,
    {
        let params = PostParams { field_manager: Some("subrosa-cli".to_owned()), ..PostParams::default() };
        Api::<K>::all(self.client.clone()).create(&params, object).await
    }

    /// An endless stream of notifications that something in [`see`](Self::see) changed.
    pub fn changes(&self, namespace: Option<&str>) -> BoxStream<'static, ()> {
        let client = || self.client.clone();
        futures::stream::select_all([
            changes(Api::<TrustDomain>::all(client())),
            changes(Api::<ExternalParty>::all(client())),
            changes(Api::<RetentionPolicy>::all(client())),
            changes(self.channels(namespace)),
        ])
        .boxed()
    }

    fn channels(&self, namespace: Option<&str>) -> Api<Channel> {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }
}

/// `None` where the user may not list that kind.
async fn list_if_allowed<K>(api: Api<K>) -> Result<Option<Vec<K>>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    match list(api).await {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(explained::<K>(error)),
    }
}

async fn list<K>(api: Api<K>) -> Result<Vec<K>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let mut params = ListParams::default().limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = api.list(&params).await?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    found.sort_by(|one, other| {
        let key = |object: &K| (object.meta().namespace.clone(), object.meta().name.clone());
        key(one).cmp(&key(other))
    });
    Ok(found)
}

// A notification causes a full read, so errors of the watch need no handling here.
fn changes<K>(api: Api<K>) -> BoxStream<'static, ()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    use kube::runtime::WatchStreamExt as _;
    watcher(api, watcher::Config::default()).default_backoff().map(|_| ()).boxed()
}

fn explained<K: Resource<DynamicType = ()>>(error: kube::Error) -> anyhow::Error {
    let kinds = K::plural(&());
    match &error {
        kube::Error::Api(status) if status.code == 404 => {
            anyhow!(
                "the cluster does not know {kinds}.{}: install them with: subrosa crds | kubectl apply --server-side -f -",
                K::group(&())
            )
        }
        kube::Error::Api(status) if status.code == 401 => {
            anyhow!("the API server does not accept these credentials: log in again ({})", status.message)
        }
        kube::Error::Api(status) if status.code == 403 => {
            anyhow!("{}: ask for the right to read {kinds}", status.message)
        }
        _ => anyhow::Error::new(error).context(format!("{kinds} cannot be read from the cluster")),
    }
}
