//! Records that somebody deleted or put back, and keys that are on no record.

use subrosa_crds::Channel;
use subrosa_plan::world::NamespaceFacts;

use super::*;
use crate::{
    changes::Watched as _,
    observe::watch::{Change, ObjectKey},
};

/// All keys are listed in each look.
async fn look_at_all(vault: &DomainVault, cluster: &Cluster, now: &str) -> BTreeSet<Subject> {
    let (woken, looked) =
        vault.key_watch.look(DOMAIN, vault, cluster, now.parse().unwrap(), Duration::ZERO).await;
    looked.unwrap();
    woken
}

/// The Channel is there, and the subject of its reconcile.
fn is_there(cluster: &Cluster, name: &str) -> Subject {
    let channel: Channel = serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "cc-front", "uid": "u", "resourceVersion": "5"},
        "spec": {"workload": {"selector": {"matchLabels": {"app": name}}}},
    }))
    .unwrap();
    cluster.write(|world| {
        let facts =
            NamespaceFacts { uid: "uid".into(), trust_domain: Some(DOMAIN.into()), terminating: false };
        world.namespaces.insert("cc-front".into(), facts);
        let key = ObjectKey { namespace: "cc-front".into(), name: name.into() };
        let _ = Channel::seen(world, Change::Applied(key, Arc::new(channel)));
    });
    Subject::of::<Channel>(ChannelRef::new("cc-front", name))
}

#[tokio::test]
async fn a_record_that_somebody_deleted_is_read_again_and_its_channel_woken() {
    let (fake, cluster) = (Fake::default(), Cluster::default());
    let (voice, chat) = (fake.channel("voice"), fake.channel("chat"));
    let (subject, other) = (is_there(&cluster, "voice"), is_there(&cluster, "chat"));
    let vault = fake.start().await;
    look_at_all(&vault, &cluster, "2026-11-23T00:00:00Z").await;
    assert!(look_at_all(&vault, &cluster, "2026-11-23T00:00:00Z").await.is_empty(), "nothing has changed");
    assert!(vault.channel_records.get(&voice).await.unwrap().record.is_some());
    fake.set(|content| drop(content.records.remove(&format!("subrosa/data/channels/{voice}"))));
    let woken = look_at_all(&vault, &cluster, "2026-11-23T01:00:00Z").await;
    assert!(woken.contains(&subject) && !woken.contains(&other), "{woken:?}");
    assert_eq!(vault.channel_records.get(&voice).await.unwrap().record, None);
    // Somebody put it back.
    fake.channel("voice");
    let woken = look_at_all(&vault, &cluster, "2026-11-23T02:00:00Z").await;
    assert!(woken.contains(&subject) && !woken.contains(&other), "{woken:?}");
    assert!(vault.channel_records.get(&voice).await.unwrap().record.is_some());
    assert!(vault.channel_records.get(&chat).await.unwrap().record.is_some());
}

#[tokio::test]
async fn a_record_of_an_earlier_snapshot_is_noticed_with_its_keys() {
    let (fake, cluster) = (Fake::default(), Cluster::default());
    let voice = fake.channel("voice");
    let subject = is_there(&cluster, "voice");
    let vault = fake.start().await;
    let path = format!("subrosa/data/channels/{voice}");
    let before = fake.0.lock().unwrap().records[&path].clone();
    let mut newer = before.1.clone();
    newer["untold"] = json!(7);
    fake.set(|content| drop(content.records.insert(path.clone(), (2, newer))));
    look_at_all(&vault, &cluster, "2026-11-23T00:00:00Z").await;
    assert_eq!(vault.channel_records.get(&voice).await.unwrap().version, 2);
    fake.set(|content| drop(content.records.insert(path.clone(), before)));
    let (woken, looked) = vault
        .key_watch
        .look(DOMAIN, &vault, &cluster, "2026-11-23T00:00:00Z".parse().unwrap(), LIST_EVERY)
        .await;
    looked.unwrap();
    assert!(woken.contains(&subject), "{woken:?}");
    assert_eq!(vault.channel_records.get(&voice).await.unwrap().version, 1);
    // Unreadable is another record too.
    fake.set(|content| drop(content.records.insert(path, (3, json!({"schema": 1, "keys": 7})))));
    let woken = look_at_all(&vault, &cluster, "2026-11-23T00:00:00Z").await;
    assert!(woken.contains(&subject), "{woken:?}");
}

#[tokio::test]
async fn a_key_that_is_on_no_record_is_told_until_it_is_gone_or_recorded() {
    let (fake, cluster) = (Fake::default(), Cluster::default());
    let voice = fake.channel("voice");
    let (gone, own) = (
        format!("{}.chat-log.2026m10", ChannelId::mint("uid", "gone")),
        voice.data_key("chat-log", "2026m10"),
    );
    fake.set(|content| {
        content.keys.insert(gone.clone(), flags(true));
        content.keys.insert(own.clone(), flags(true));
        content.keys.insert("somebody.elses".into(), flags(true));
    });
    let vault = fake.start().await;
    look_at_all(&vault, &cluster, "2026-11-22T12:10:00Z").await;
    assert_eq!(known(&cluster), BTreeMap::new(), "it was made a moment ago: its record comes");
    let unrecorded =
        BTreeMap::from([(gone.clone(), KeyFault::Unrecorded), (own.clone(), KeyFault::Unrecorded)]);
    for _ in 0..3 {
        look_at_all(&vault, &cluster, "2026-11-23T00:00:00Z").await;
        assert_eq!(known(&cluster), unrecorded);
    }
    let writes = fake.written();
    look_at_all(&vault, &cluster, "2026-11-23T00:00:00Z").await;
    assert_eq!(fake.written(), writes, "an unchanged world writes nothing");
    // The record of the one is undeleted: what is wrong with the key itself is told. The other one is removed.
    let month = json!({
        "schema": 1, "channel": {"namespace": "cc-front", "name": "voice"}, "class": "chat-log",
        "keys": {"2026m10": {"versions": {"1": "2026-11-22T12:00:00Z"}, "anchor": "CreatedAt", "closed": "2026-11-22T12:00:00Z", "decisions": ""}},
    });
    fake.set(|content| {
        content.keys.remove(&gone);
        content.records.insert(format!("subrosa/data/keys/{voice}/chat-log/2026m10"), (1, month));
    });
    look_at_all(&vault, &cluster, "2026-11-23T00:00:00Z").await;
    assert_eq!(known(&cluster), [(own.clone(), KeyFault::Exportable)].into());
    fake.set(|content| drop(content.keys.insert(own.clone(), flags(false))));
    look_at_all(&vault, &cluster, "2026-11-23T00:00:00Z").await;
    assert_eq!(known(&cluster), BTreeMap::new());
}

#[tokio::test]
async fn what_cannot_be_read_is_not_called_unrecorded() {
    let (fake, cluster) = (Fake::default(), Cluster::default());
    let voice = fake.channel("voice");
    fake.set(|content| {
        content.keys.insert(voice.data_key("chat-log", "2026m10"), flags(true));
        content
            .records
            .insert(format!("subrosa/data/channels/{voice}"), (3, json!({"schema": 1, "keys": 7})));
    });
    let vault = fake.start().await;
    look_at_all(&vault, &cluster, "2026-11-23T00:00:00Z").await;
    assert_eq!(known(&cluster), BTreeMap::new());
}

#[tokio::test]
async fn a_record_of_keys_that_cannot_be_read_holds_up_no_look_at_others() {
    let (fake, cluster) = (Fake::default(), Cluster::default());
    let (voice, chat) = (fake.channel("voice"), fake.channel("chat"));
    let key = voice.data_key("chat-log", "2026m10");
    fake.set(|content| {
        let path = format!("subrosa/data/channels/{voice}");
        content.records.get_mut(&path).unwrap().1["ended"] = json!({"chat-log": ["2026m10"]});
        content
            .records
            .insert(format!("subrosa/data/keys/{voice}/chat-log/2026m10"), (1, json!({"keys": 7})));
        content.keys.insert(key.clone(), flags(false));
        content.keys.insert(chat.authority_key(), flags(true));
    });
    let vault = fake.start().await;
    look_at_all(&vault, &cluster, "2026-11-23T00:00:00Z").await;
    let faults = [(key, KeyFault::Unrecorded), (chat.authority_key(), KeyFault::Exportable)];
    assert_eq!(known(&cluster), faults.into());
    assert!(all_seen(&cluster));
}
