//! Drops what is cached for deleted objects.
//!
//! Most is dropped when the watch shows the deletion. A reconcile in progress may cache something again after that,
//! so after every hundred deletions all caches are compared with the existing objects. So memory stays bounded
//! however many objects come and go.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_crds::names::{ChannelId, ChannelRef};
use subrosa_plan::world::World;

use crate::{
    context::Context,
    kinds::{self, Registered},
    subject::Subject,
};

/// The number of deletions after which [`tidy`] runs.
const DELETIONS: usize = 100;

/// Counts deletions, and drops what is cached for them.
#[derive(Debug, Default)]
pub struct Deletions(usize);

impl Deletions {
    /// Handles a woken object if it was deleted.
    pub fn look(&mut self, ctx: &Context, subject: &Subject) {
        if ctx.cluster.read(|world| subject.is_there(world)) {
            return;
        }
        subject.forget(ctx);
        self.0 += 1;
        if self.0 >= DELETIONS {
            self.0 = 0;
            tidy(ctx);
        }
    }
}

/// Drops what is cached for deleted objects.
fn tidy(ctx: &Context) {
    let (uids, ids, domains) =
        ctx.cluster.read(|world| (uids(world), ids(world), world.domains.keys().cloned().collect()));
    ctx.reporter.keep(&uids);
    ctx.vaults.keep(&domains, &ids);
    ctx.cluster.keep();
    let subjects = ctx.failures.subjects();
    let gone: Vec<_> =
        ctx.cluster.read(|world| subjects.into_iter().filter(|subject| !subject.is_there(world)).collect());
    gone.iter().for_each(|subject| ctx.failures.clear(subject));
}

/// The UIDs of all objects with a status of ours.
fn uids(world: &World) -> BTreeSet<String> {
    let of_kind = |one: &Registered| {
        let keys = (one.all)(world).into_iter();
        keys.filter_map(|key| (one.meta_of)(world, &key)?.uid.clone()).collect::<Vec<_>>()
    };
    kinds::ALL.iter().flat_map(of_kind).collect()
}

/// The identities of all Channels.
pub fn ids(world: &World) -> BTreeSet<ChannelId> {
    let id =
        |name: &ChannelRef| Some(ChannelId::mint(&world.namespaces.get(&name.namespace)?.uid, &name.name));
    world.all_channels().filter_map(|channel| id(channel.name())).collect()
}

/// The sizes of all caches, for metrics.
#[must_use]
pub fn counts(ctx: &Context) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::from([
        ("failures", ctx.failures.subjects().len()),
        ("pending", ctx.woken.len()),
        ("probes", ctx.prober.watched()),
        ("statuses", ctx.reporter.kept()),
    ]);
    for (what, count) in ctx.cluster.kept().into_iter().chain(ctx.vaults.kept()) {
        *counts.entry(what).or_default() += count;
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use subrosa_crds::{Channel, ChannelStatus, ExternalParty};

    use super::*;
    use crate::{
        changes::Watched as _,
        context::testing::context,
        observe::{
            Binding,
            watch::{Change, ObjectKey},
        },
        subject::NamespaceMeta,
    };

    fn channel(namespace: &str, name: &str, uid: &str) -> Arc<Channel> {
        let channel = json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": "5"},
            "spec": {"workload": {"selector": {"matchLabels": {"app": name}}}, "connectsTo": [{"name": "peer"}]},
        });
        Arc::new(serde_json::from_value(channel).unwrap())
    }

    fn key(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Makes a Channel, does what its reconcile leaves behind, and deletes it; half of it comes too late.
    async fn come_and_go(ctx: &Context, deletions: &mut Deletions, round: u32) {
        let (namespace, name) = (format!("n-{round}"), format!("c-{round}"));
        let made = channel(&namespace, &name, &format!("uid-{round}"));
        let subject = Subject::of::<Channel>(ChannelRef::new(&namespace, &name));
        let (here, secret) = (key(&namespace, &name), key(&namespace, &format!("{name}-mtls")));
        ctx.cluster.write(|world| {
            let _ = Channel::seen(world, Change::Applied(here.clone(), Arc::clone(&made)));
            world.namespaces.insert(namespace.clone(), Default::default());
        });
        ctx.cluster.set_binding(&namespace, Binding::Missing);
        let settings = key(&namespace, &format!("{name}-sealing"));
        ctx.cluster.secrets.told(secret.clone(), &name, Some("4"));
        ctx.cluster.settings.told(settings.clone(), &name, Some("4"));
        let leave = async || {
            ctx.cluster.secrets.read(secret.clone(), &name, Some("5"));
            ctx.cluster.settings.read(settings.clone(), &name, Some("5"));
            ctx.failures.pause(subject.clone());
            let status = ChannelStatus { observed_generation: Some(1), ..ChannelStatus::default() };
            ctx.reporter.status(made.as_ref(), None, &status).await.unwrap();
        };
        leave().await;
        let woken = ctx.cluster.write(|world| {
            world.namespaces.remove(&namespace);
            Channel::seen(world, Change::Gone(here))
        });
        assert!(woken.contains(&subject));
        let gone = woken.into_iter().chain([Subject::of::<NamespaceMeta>(namespace.clone())]);
        gone.for_each(|subject| deletions.look(ctx, &subject));
        // A reconcile that was under way.
        leave().await;
    }

    /// Ten thousand objects that come and go leave nothing behind, whatever a reconcile under way puts back.
    #[tokio::test]
    async fn what_is_kept_stays_flat_over_ten_thousand_that_come_and_go() {
        let (ctx, mut deletions) = (context(), Deletions::default());
        for round in 0..10_000 {
            come_and_go(&ctx, &mut deletions, round).await;
            let counts = counts(&ctx);
            assert!(counts.values().all(|count| *count <= 2 * DELETIONS), "{round}: {counts:?}");
        }
        let left = ctx.cluster.read(|world| (world.channels.len(), world.namespaces.len(), world.named()));
        assert_eq!(left, (0, 0, 0));
        tidy(&ctx);
        tidy(&ctx);
        assert!(
            counts(&ctx).into_iter().all(|(what, count)| count == 0 || what == "pending"),
            "{:?}",
            counts(&ctx)
        );
    }

    #[tokio::test]
    async fn what_is_there_is_kept() {
        let ctx = context();
        let subject = Subject::of::<Channel>(ChannelRef::new("n", "c"));
        let made = channel("n", "c", "uid");
        ctx.cluster.write(|world| {
            let _ = Channel::seen(world, Change::Applied(key("n", "c"), Arc::clone(&made)));
            world.namespaces.insert("n".into(), Default::default());
        });
        ctx.failures.pause(subject.clone());
        ctx.cluster.secrets.read(key("n", "c-mtls"), "c", Some("5"));
        ctx.cluster.secrets.told(key("n", "c-mtls"), "c", Some("5"));
        ctx.reporter.status(made.as_ref(), None, &ChannelStatus::default()).await.unwrap();
        let mut deletions = Deletions::default();
        for round in 0..500 {
            deletions.look(&ctx, &Subject::of::<ExternalParty>(format!("p-{round}")));
            deletions.look(&ctx, &subject);
        }
        let counts = counts(&ctx);
        for what in ["failures", "secrets", "statuses"] {
            assert_eq!(counts.get(what), Some(&1), "{what}: {counts:?}");
        }
    }
}
