//! How much is kept of each Channel, counted by the allocator: what thousands of them take is mostly this.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)] // A test may fail so.

use std::{alloc::System, sync::Arc, time::Duration};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use subrosa::{
    changes::{Watched as _, related},
    kinds::{
        Kind,
        turns::{self, Again},
    },
    observe::watch::{Change, ObjectKey},
    pending::Pending,
    subject::Subject,
};
use subrosa_crds::{Channel, names::ChannelRef};
use subrosa_plan::{
    keys::inventory::Inventory,
    record::channel::ChannelRecord,
    world::{
        World,
        packed::{self, Packed},
    },
};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many Channels there are, in pairs: fifty to a namespace.
const CHANNELS: usize = 1000;

fn bytes_each(region: &Region<'_, System>) -> usize {
    let since = region.change();
    (since.bytes_allocated - since.bytes_deallocated) / CHANNELS
}

fn key(number: usize) -> ObjectKey {
    ChannelRef::new(format!("crowd-{}", number / 50), format!("c{number}")).into()
}

/// As the API server has it, with the status that the operator writes.
fn channel(number: usize) -> Value {
    let ObjectKey { namespace, name } = key(number);
    let listens = number.is_multiple_of(2);
    let peer = if listens { number + 1 } else { number - 1 };
    let (list, direction) = if listens { ("accepts", "Ingress") } else { ("connectsTo", "Egress") };
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
            "observedGeneration": 1, "lastTransitionTime": "2026-11-28T20:48:26Z"})
    };
    let mut channel = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
        "metadata": {"name": name, "namespace": namespace, "generation": 1, "resourceVersion": format!("{}", 70_000 + number),
            "uid": format!("403e3e6a-4f79-4d25-b7dc-{number:012}"), "creationTimestamp": "2026-11-28T20:48:26Z"},
        "spec": {
            "dataClasses": ["chat-log"], list: [{"name": format!("c{peer}")}],
            "workload": {"selector": {"matchLabels": {"app": name}}, "serviceAccountName": format!("w{number}")},
        },
        "status": {
            "observedGeneration": 1, "id": format!("tqyznl6me{number:07}"), "trustDomain": "oosterlinde",
            "authority": {"generation": 1, "notAfter": "2036-11-28T20:43:26Z",
                "fingerprint": format!("061f03da0af01ae78bbb65be7afc1545d02d7f175e7108c1d1afeaa8{number:08}")},
            "certificate": {
                "issuer": format!("O=oosterlinde, OU={namespace}, CN={name} CA tqyznl6me{number:07}.1"),
                "notBefore": "2026-11-28T20:43:26Z", "notAfter": "2026-12-28T20:43:26Z",
                "renewAt": format!("2026-12-18T{:02}:{:02}:54Z", number % 24, number % 60),
                "secretName": format!("{name}-mtls"), "serial": format!("6762de0b0d8335e5198365bcd0fd0078{number:08}"),
                "spiffeId": format!("spiffe://oosterlinde/ns/{namespace}/channel/{name}"),
            },
            "keys": [
                {"cohort": "2026-11", "dataClass": "chat-log", "due": "2027-02-28", "versions": 1, "state": "Current",
                    "rotatedAt": "2026-11-28T20:48:26Z", "nextRotation": "2026-12-28T20:48:26Z"},
                {"cohort": "2026-12", "dataClass": "chat-log", "due": "2027-03-31", "versions": 1, "state": "Next",
                    "rotatedAt": "2026-11-28T20:48:26Z"},
            ],
            "connectionSummary": "1/1",
            "connections": [{"name": format!("c{peer}"), "direction": direction, "listeners": ["tls"], "state": "Open"}],
            "conditions": [
                condition("Ready", "True", "InForceUnproven",
                    "certificate, keys, access and network policies are in force as written; no probe has seen them from a pod"),
                condition("Connected", "True", "AllOpen", "all 1 declared connections are open"),
                condition("Served", "Unknown", "NotProbed", "no probe has seen which certificate the pods serve"),
                condition("Isolated", "Unknown", "PoliciesApplied",
                    "policies are written and computed; no probe has seen that packets are blocked"),
                condition("KeysReady", "True", "KeysInPlace", "2 keys exist and rotate as declared"),
                condition("Retained", "True", "Scheduled", "every data class has keys and due dates"),
            ],
        },
    });
    if listens {
        channel["spec"]["listeners"] = json!([{"name": "tls", "port": 8443}]);
    }
    channel
}

/// The network policy that the operator makes for it.
fn policy(number: usize) -> Value {
    let ObjectKey { namespace, name } = key(number);
    let peer = format!("c{}", if number.is_multiple_of(2) { number + 1 } else { number - 1 });
    json!({
        "metadata": {
            "name": format!("subrosa-channel-{name}"), "namespace": namespace, "resourceVersion": format!("{}", 90_000 + number),
            "uid": format!("5d2c3e6a-4f79-4d25-b7dc-{number:012}"),
            "labels": {"app.kubernetes.io/component": "channel", "app.kubernetes.io/managed-by": "subrosa",
                "app.kubernetes.io/part-of": "subrosa", "subrosa.dev/channel": name},
            "ownerReferences": [{"apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "name": name, "controller": true,
                "blockOwnerDeletion": false, "uid": format!("403e3e6a-4f79-4d25-b7dc-{number:012}")}],
        },
        "spec": {
            "podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Ingress", "Egress"],
            "egress": [{
                "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
                "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
            }],
            "ingress": [{
                "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                    "podSelector": {"matchLabels": {"app": peer}}}],
                "ports": [{"port": 8443, "protocol": "TCP"}],
            }],
        },
    })
}

/// Its record in Vault, whose identities, times and certificate are another's.
fn record(number: usize) -> Value {
    let mut record: Value = serde_json::from_str(packed::RECORD).unwrap();
    let ObjectKey { namespace, name } = key(number);
    let random = |length: usize| (0..length).map(|_| rand::random_range('a'..='z')).collect::<String>();
    record["channel"] = json!({"name": name, "namespace": namespace});
    record["access"]["serviceAccountUid"] = format!("{number:08}-cba6-427e-a6de-{}", random(12)).into();
    record["follows"]["uid"] = format!("{number:08}-118e-4dec-90c3-{}", random(12)).into();
    record["issuances"][0]["serial"] = random(40).into();
    record["authority"][0]["fingerprint"] = random(64).into();
    let pem = record["authority"][0]["certificatePem"].as_str().unwrap().to_owned();
    // Serial number, subject, key and signature are about half of it.
    let half = pem.len() / 2;
    record["authority"][0]["certificatePem"] = format!("{}{}", &pem[..half], random(half)).into();
    record
}

fn told<K: Resource + DeserializeOwned>(object: Value) -> Change<K> {
    let object: K = serde_json::from_value(object).unwrap();
    let meta = object.meta();
    let key = ObjectKey { namespace: meta.namespace.clone().unwrap(), name: meta.name.clone().unwrap() };
    Change::Applied(key, object)
}

/// Each has come and gone in the queue, and rests until it is looked at again.
async fn rests(queue: &Pending<Subject>, all: CancellationToken) {
    let left = std::cell::Cell::new(CHANNELS);
    let work = |_| {
        left.set(left.get() - 1);
        if left.get() == 0 {
            all.cancel();
        }
        std::future::ready(Again::after(Duration::from_secs(3600)))
    };
    turns::take(queue.clone(), 16, CancellationToken::new(), work).await;
}

/// One test, so that nothing else is counted.
#[test]
fn what_is_kept_of_a_channel_is_little() {
    let region = Region::new(ALLOCATOR);
    let mut world = World::default();
    for number in 0..CHANNELS {
        let seen = told::<Channel>(channel(number)).map(|mut channel| {
            Channel::enter(&mut channel);
            Arc::new(channel)
        });
        drop(Channel::seen(&mut world, seen));
    }
    let declared = bytes_each(&region);

    let region = Region::new(ALLOCATOR);
    for number in 0..CHANNELS {
        drop(related::network_policy(&mut world, told::<NetworkPolicy>(policy(number))));
    }
    let policies = bytes_each(&region);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let queue = Pending::default();
    let region = Region::new(ALLOCATOR);
    (0..CHANNELS).for_each(|number| queue.put(Subject::of::<Channel>(key(number)), ()));
    let turns = runtime.block_on(async {
        let all = CancellationToken::new();
        let resting = rests(&queue, all.clone());
        let counted = async {
            all.cancelled().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            bytes_each(&region)
        };
        tokio::select! {
            () = resting => unreachable!("it goes on"),
            counted = counted => counted,
        }
    });

    let written: Vec<Value> = (0..CHANNELS).map(record).collect();
    let region = Region::new(ALLOCATOR);
    let kept: Vec<Packed> = written.iter().map(|record| Packed::like(packed::RECORD, record)).collect();
    let records = bytes_each(&region);
    // While all keys are listed: what each record names, and not the record.
    let region = Region::new(ALLOCATOR);
    let named: Vec<Inventory> =
        kept.iter().map(|record| Inventory::of(&record.read::<ChannelRecord>().unwrap())).collect();
    let inventories = bytes_each(&region);

    println!(
        "bytes for each Channel: {declared} declared, {policies} policy, {turns} turns, {records} record, {inventories} keys by name"
    );
    assert_eq!((world.all_channels().count(), named.len()), (CHANNELS, CHANNELS));
    assert!(declared < 2400 && policies < 450 && turns < 300, "{declared}, {policies}, {turns}");
    assert!(records < 1300 && inventories < 700, "{records}, {inventories}");
}
