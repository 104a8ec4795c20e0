//! The keys of backups end as those of data do: by the class `subrosa-backup` of the policy, people and holds.

use std::collections::BTreeMap;

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{
    ChannelStatus, TrustDomain, condition, destruction::ListedKey, names::BACKUP_CLASS, names::ChannelRef,
};
use subrosa_e2e::wait;

use crate::world::{DOMAIN, NS, World, hold, policy};

/// A Channel of which nothing is sealed, only backed up.
fn backed_up(name: &str) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": name, "namespace": NS},
        "spec": {
            "workload": {"selector": {"matchLabels": {"app": name}}},
            "backup": {"schedule": "15 2 * * *", "volumes": ["files"], "writeSecret": "store"},
        },
    })
}

/// The current window of a Channel, as status shows it.
fn window(status: &ChannelStatus) -> Option<(&str, Option<&str>)> {
    let mut keys = status.keys.iter().filter(|key| key.data_class == BACKUP_CLASS);
    keys.find(|key| key.state == "Current").map(|key| (key.cohort.as_str(), key.due.as_deref()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_backups_is_destroyed_when_it_is_due_and_not_where_any_data_is_held() {
    let mut world = World::start(&[]).await;
    let store = json!({"spec": {"backup": {
        "store": {"endpoint": "https://s3.example.org", "region": "eu-1", "bucket": "cc-backups"},
    }}});
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(store)).await.unwrap();
    for name in ["archive", "ward"] {
        world.apply(&backed_up(name)).await;
    }
    // Nobody says how long backups are kept: that is told, and holds nothing up.
    let status = world
        .channel("archive", |status| {
            wait::reason(status, condition::RETAINED) == "BackupRetentionMissing"
                && wait::is(status, condition::READY)
        })
        .await;
    let message = &condition::find(&status.conditions, condition::RETAINED).unwrap().message;
    assert!(message.contains("RetentionPolicy contactcenter"), "{message}");
    assert_eq!(window(&status).unwrap().1, None);

    // The class comes later than the keys, and binds them all the same.
    let mut with_class = policy(json!({}));
    let class = json!({"name": BACKUP_CLASS, "keep": "1d"});
    with_class["spec"]["classes"].as_array_mut().unwrap().push(class);
    world.apply(&with_class).await;
    for name in ["archive", "ward"] {
        let known = |status: &ChannelStatus| window(status).is_some_and(|(_, due)| due.is_some());
        let status = world.channel(name, known).await;
        let key = ListedKey {
            channel: ChannelRef::new(NS, name),
            id: status.id.clone().unwrap(),
            data_class: BACKUP_CLASS.into(),
            cohort: window(&status).unwrap().0.to_owned(),
        };
        assert_eq!(key.key_name(), format!("{}b.{BACKUP_CLASS}.{}", key.id, key.cohort));
        world.keys.insert(name.to_owned(), key);
    }
    // It lists keys hourly, and once it starts.
    world.restart().await;
    world.guarded_again(60).await;
    let (gone, kept) = (world.sealed("archive").await, world.sealed("ward").await);
    // A hold on calls of the ward: what the ward's backups hold is not known, so they stay.
    let calls = json!({"namespaces": [NS], "channels": ["ward"], "dataClasses": ["call-recording"]});
    world.apply(&hold("matter", calls)).await;
    world.look().await;

    let order = world.list(&["archive", "ward"]).await;
    let name = order.metadata.name.clone().unwrap();
    for who in ["anna", "bas"] {
        world.approve(who, &order).await;
    }
    world.look().await;
    assert_eq!(world.state(&name).await, "NotDue", "{:#?}", world.destruction(&name).await.status);
    assert!(world.opens("archive", &gone).await);
    // The month ends within 31 days.
    world.days_on(33).await;
    let status = world.destruction(&name).await.status.unwrap();
    assert_eq!((status.set_aside, status.destroyed), (Some(1), Some(0)), "{status:#?}");
    assert!(!world.opens("archive", &gone).await && world.opens("ward", &kept).await);
    world.days_on(3).await;
    let status = world.destruction(&name).await.status.unwrap();
    let states: BTreeMap<_, _> =
        status.keys.iter().map(|key| (key.id.as_str(), key.state.as_str())).collect();
    let state = |channel: &str| states[world.keys[channel].id.as_str()];
    assert_eq!((state("archive"), state("ward")), ("Destroyed", "Held"), "{status:#?}");
    assert!(world.transit(&world.key("archive")).await.is_none());
    assert!(world.opens("ward", &kept).await);
}
