//! Events about reviews that are due, uses of break-glass, exceptions that end, and what became of grants.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::events::v1::Event,
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, Resource, ResourceExt as _, api::PostParams};
use subrosa_crds::{AccessGrant, AccessRole, Reason};
use subrosa_plan::world::fault::Fault;
use tokio::{sync::Mutex, time::Instant};

/// The name of the controller in Events.
const CONTROLLER: &str = "subrosa.dev/granter";
/// The longest note an Event may carry (events.k8s.io/v1).
const LONGEST_NOTE: usize = 1000;
/// How often an Event is repeated.
const AGAIN: Duration = Duration::from_secs(24 * 3600);

/// What an Event asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    /// A review of the role.
    Role,
    /// A review of who used its break-glass.
    Uses,
    /// A second factor for its login.
    Exception,
    /// Vault's audit log for its break-glass.
    Log,
}

/// The last Event of each role, by its UID.
#[derive(Debug, Default)]
pub struct Reminders {
    told: Mutex<BTreeMap<(String, About), (Reason, Instant)>>,
}

impl Reminders {
    /// Forgets the roles that are gone.
    pub async fn keep(&self, roles: &[Arc<AccessRole>]) {
        let there: BTreeSet<_> = roles.iter().filter_map(|role| role.uid()).collect();
        self.told.lock().await.retain(|(uid, _), _| there.contains(uid));
    }

    /// Writes an Event about the review of a role, at most once a day. A refused Event is lost: status and a metric say the same.
    pub async fn tell(&self, client: &Client, role: &AccessRole, reminder: Option<&Fault>) {
        self.daily(client, role, About::Role, reminder).await;
    }

    /// The same about uses of its break-glass.
    pub async fn tell_uses(&self, client: &Client, role: &AccessRole, reminder: Option<&Fault>) {
        self.daily(client, role, About::Uses, reminder).await;
    }

    /// The same about the exception by which its login asks for no second factor.
    pub async fn tell_exception(&self, client: &Client, role: &AccessRole, reminder: Option<&Fault>) {
        self.daily(client, role, About::Exception, reminder).await;
    }

    /// The same about break-glass while nobody can read Vault's audit log.
    pub async fn tell_unlogged(&self, client: &Client, role: &AccessRole, reminder: Option<&Fault>) {
        self.daily(client, role, About::Log, reminder).await;
    }

    /// Writes an Event about a role.
    pub async fn tell_now(&self, client: &Client, role: &AccessRole, what: &Fault) {
        write(client, role, "Review", what).await;
    }

    /// Writes an Event about a grant.
    pub async fn tell_grant(&self, client: &Client, grant: &AccessGrant, what: &Fault) {
        write(client, grant, "Grant", what).await;
    }

    async fn daily(&self, client: &Client, role: &AccessRole, about: About, reminder: Option<&Fault>) {
        let uid = (role.uid().unwrap_or_default(), about);
        let mut told = self.told.lock().await;
        let Some(reminder) = reminder else {
            told.remove(&uid);
            return;
        };
        if told.get(&uid).is_some_and(|(reason, at)| *reason == reminder.reason && at.elapsed() < AGAIN) {
            return;
        }
        told.insert(uid, (reminder.reason, Instant::now()));
        drop(told);
        write(client, role, "Review", reminder).await;
    }
}

async fn write<K>(client: &Client, object: &K, action: &str, what: &Fault)
where
    K: Resource<DynamicType = ()>,
{
    let namespace = object.namespace().unwrap_or_default();
    let event = Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", object.name_any())),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        action: Some(action.to_owned()),
        event_time: Some(MicroTime(Timestamp::now())),
        reason: Some(what.reason.as_str().to_owned()),
        note: Some(what.message.chars().take(LONGEST_NOTE).collect()),
        regarding: Some(object.object_ref(&())),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(CONTROLLER.to_owned()),
        type_: Some(if is_normal(what.reason) { "Normal" } else { "Warning" }.to_owned()),
        ..Event::default()
    };
    let events = Api::<Event>::namespaced(client.clone(), &namespace);
    if let Err(error) = events.create(&PostParams::default(), &event).await {
        tracing::warn!(object = object.name_any(), %error, "an Event was not taken");
    }
}

fn is_normal(reason: Reason) -> bool {
    let normal = [
        Reason::AwaitingApproval,
        Reason::GrantExpired,
        Reason::InForce,
        Reason::ReviewDue,
        Reason::RightsPending,
    ];
    normal.contains(&reason)
}
