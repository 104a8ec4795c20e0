//! The granter's watches, by which it reacts to changes at once.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::{
    core::v1::{Namespace, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use subrosa_crds::{
    ACCESS_ROLE_LABEL, AccessGrant, AccessRevocation, AccessRole, Approval, Channel, TRUST_DOMAIN_LABEL,
    TrustDomain, access_role::AccessAction, names::ChannelId,
};
use subrosa_plan::roles::{OpenedClass, status::Right};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{NamedRights, OpenedByPair},
    revocations::Subjects,
};

/// How long the first list of a kind may take before the kind counts as unknown.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long that of ServiceAccounts may take, which an earlier ClusterRole of the granter does not allow: only their roles need it.
const ACCOUNTS_PATIENCE: Duration = Duration::from_secs(3);
/// The page size.
const PAGE: u32 = 200;

/// The watched kinds.
pub struct ClusterView {
    /// The TrustDomains.
    pub domains: Store<TrustDomain>,
    /// The AccessRoles.
    pub roles: Store<AccessRole>,
    /// The AccessGrants.
    grants: Store<AccessGrant>,
    /// The AccessRevocations.
    pub revocations: Store<AccessRevocation>,
    /// The Approvals, of whatever: how many of a leaver's do not count is told.
    pub approvals: Store<Approval>,
    /// The Roles that say that they are AccessRoles'.
    pub kubernetes_roles: Store<Role>,
    /// The RoleBindings that say so.
    pub bindings: Store<RoleBinding>,
    /// The ServiceAccounts: which have the names that AccessRoles name.
    pub accounts: Store<ServiceAccount>,
    channels: Store<Channel>,
    namespaces: Store<Namespace>,
    changed: Arc<Notify>,
    /// For each kind of subject, since each is waited for by itself.
    revoked: [Arc<Notify>; 2],
    decided: Arc<Notify>,
    redefined: Arc<Notify>,
}

impl ClusterView {
    /// Watches until `stop`.
    pub fn new(client: &Client, stop: &CancellationToken) -> Self {
        let [changed, people, others, decided, redefined] = std::array::from_fn(|_| Arc::new(Notify::new()));
        let revoked = [Arc::clone(&people), Arc::clone(&others)];
        let revoking = [Arc::clone(&changed), people, others];
        let defining = [&revoking[..], &[Arc::clone(&redefined)]].concat();
        let deciding = [Arc::clone(&changed), Arc::clone(&decided)];
        let changed_alone = [Arc::clone(&changed)];
        let changes = changed_alone.as_slice();
        Self {
            domains: follow(client, &defining, stop, all(), |_| {}),
            roles: follow(client, changes, stop, all(), |_| {}),
            grants: follow(client, changes, stop, all(), |_| {}),
            revocations: follow(client, &revoking, stop, all(), |_| {}),
            approvals: follow(client, &deciding, stop, all(), |_| {}),
            kubernetes_roles: follow(client, changes, stop, ours(), |_| {}),
            bindings: follow(client, changes, stop, ours(), |_| {}),
            accounts: follow(client, changes, stop, all(), |account: &mut ServiceAccount| {
                account.secrets = None;
                account.image_pull_secrets = None;
                account.metadata.annotations = None;
                account.metadata.labels = None;
            }),
            channels: follow(client, changes, stop, all(), |channel: &mut Channel| channel.status = None),
            namespaces: follow(client, changes, stop, all(), |namespace: &mut Namespace| {
                namespace.spec = None;
                namespace.status = None;
            }),
            changed,
            revoked,
            decided,
            redefined,
        }
    }

    /// Waits until something changes.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until an AccessRevocation or a TrustDomain changes: who looks at people and who looks at the others are each woken.
    pub async fn revoked(&self, subjects: Subjects) {
        let [people, others] = &self.revoked;
        match subjects {
            Subjects::People => people.notified().await,
            Subjects::Others => others.notified().await,
        }
    }

    /// Waits until an Approval changes, which may release any AccessRevocation.
    pub async fn decided(&self) {
        self.decided.notified().await;
    }

    /// Waits until a TrustDomain changes, which may concern every AccessRevocation.
    pub async fn redefined(&self) {
        self.redefined.notified().await;
    }

    /// Whether the AccessRevocations and TrustDomains were listed once; waits a while for that.
    pub async fn are_revocations_known(&self) -> bool {
        let both = async {
            self.domains.wait_until_ready().await.is_ok() && self.revocations.wait_until_ready().await.is_ok()
        };
        tokio::time::timeout(PATIENCE, both).await.unwrap_or(false)
    }

    /// Whether each kind was listed once; waits a while for that. ServiceAccounts are none of those.
    pub async fn is_known(&self) -> bool {
        let is_known = tokio::time::timeout(PATIENCE, self.listed()).await.unwrap_or(false);
        let _ = tokio::time::timeout(ACCOUNTS_PATIENCE, self.accounts.wait_until_ready()).await;
        is_known
    }

    /// Whether the ServiceAccounts were listed once.
    pub fn are_accounts_known(&self) -> bool {
        self.accounts.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok())
    }

    /// Whether each kind was listed once.
    pub fn is_known_by_now(&self) -> bool {
        self.listed().now_or_never().unwrap_or(false)
    }

    async fn listed(&self) -> bool {
        self.domains.wait_until_ready().await.is_ok()
            && self.roles.wait_until_ready().await.is_ok()
            && self.grants.wait_until_ready().await.is_ok()
            && self.revocations.wait_until_ready().await.is_ok()
            && self.approvals.wait_until_ready().await.is_ok()
            && self.kubernetes_roles.wait_until_ready().await.is_ok()
            && self.bindings.wait_until_ready().await.is_ok()
            && self.channels.wait_until_ready().await.is_ok()
            && self.namespaces.wait_until_ready().await.is_ok()
    }

    /// The roles in the namespaces of `domain`, by namespace and name.
    pub fn roles_of(&self, domain: &str) -> Vec<Arc<AccessRole>> {
        let mut roles = self.roles.state();
        roles.retain(|role| self.domain_of(&role.namespace().unwrap_or_default()).as_deref() == Some(domain));
        roles.sort_by_key(|role| (role.namespace(), role.name_any()));
        roles
    }

    /// The grants in the namespaces of `domain`, the oldest first.
    pub fn grants_of(&self, domain: &str) -> Vec<Arc<AccessGrant>> {
        let mut grants = self.grants.state();
        grants.retain(|one| self.domain_of(&one.namespace().unwrap_or_default()).as_deref() == Some(domain));
        grants.sort_by_key(|one| {
            (one.creation_timestamp().map(|time| time.0), one.namespace(), one.name_any())
        });
        grants
    }

    /// The grants in namespaces of no trust domain.
    pub fn grants_of_none(&self) -> Vec<Arc<AccessGrant>> {
        let known = |name: String| self.domains.get(&ObjectRef::new(&name)).is_some();
        let mut grants = self.grants.state();
        grants.retain(|one| !self.domain_of(&one.namespace().unwrap_or_default()).is_some_and(known));
        grants
    }

    /// The roles in namespaces of no trust domain.
    pub fn roles_of_none(&self) -> Vec<Arc<AccessRole>> {
        let known = |name: String| self.domains.get(&ObjectRef::new(&name)).is_some();
        let mut roles = self.roles.state();
        roles.retain(|role| !self.domain_of(&role.namespace().unwrap_or_default()).is_some_and(known));
        roles
    }

    /// The trust domain that the label of a namespace names.
    pub fn domain_of(&self, namespace: &str) -> Option<String> {
        let found = self.namespaces.get(&ObjectRef::new(namespace))?;
        found.labels().get(TRUST_DOMAIN_LABEL).cloned()
    }

    /// What a role opens, and why some of it cannot be opened.
    pub fn opened(&self, role: &AccessRole) -> OpenedByPair {
        let opened =
            self.rights(role).into_iter().filter(|((_, _, action), _)| *action == AccessAction::Open);
        opened.map(|((channel, class, _), opened)| ((channel, class), opened)).collect()
    }

    /// What a role lets people do, and why some of it cannot be done.
    pub fn rights(&self, role: &AccessRole) -> NamedRights {
        let namespace = role.namespace().unwrap_or_default();
        let uid = self.namespaces.get(&ObjectRef::new(&namespace)).and_then(|found| found.uid());
        let rights = role.spec.rights().into_iter().map(|right| {
            let (name, class, _) = &right;
            let found = self.channels.get(&ObjectRef::new(name).within(&namespace));
            let named = match (found, &uid) {
                (Some(channel), Some(uid)) if channel.spec.data_classes.contains(class) => {
                    Ok(OpenedClass { id: ChannelId::mint(uid, name), class: class.clone() })
                }
                (Some(_), Some(_)) => Err(Right::NoClass),
                _ => Err(Right::NoChannel),
            };
            (right, named)
        });
        rights.collect()
    }
}

fn all() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// What is labelled as an AccessRole's.
fn ours() -> watcher::Config {
    all().labels(ACCESS_ROLE_LABEL)
}

/// Watches a kind until `stop`, without managed fields and without what `strip` removes.
fn follow<K>(
    client: &Client,
    bells: &[Arc<Notify>],
    stop: &CancellationToken,
    config: watcher::Config,
    strip: fn(&mut K),
) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let events = watcher(Api::<K>::all(client.clone()), config)
        .default_backoff()
        .modify(move |object| {
            object.meta_mut().managed_fields = None;
            strip(object);
        })
        .reflect(writer);
    let (bells, stop) = (bells.to_vec(), stop.clone());
    tokio::spawn(async move {
        let mut events = std::pin::pin!(events);
        while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
            match event {
                Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_) | watcher::Event::InitDone) => {
                    bells.iter().for_each(|bell| bell.notify_one());
                }
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
                Err(error) => tracing::warn!(kind = %K::kind(&()), "the watch is begun again: {error}"),
            }
        }
    });
    reader
}
