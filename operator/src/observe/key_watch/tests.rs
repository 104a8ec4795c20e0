mod records;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex as Locked},
};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
};
use serde_json::{Value, json};
use subrosa_crds::names::ChannelRef;
use subrosa_plan::record::channel::ChannelRecord;

use super::*;
use crate::observe::vaults::testing::vault_at;

const DOMAIN: &str = "oosterlinde";
const FINDINGS: &str = "subrosa/data/key-findings";

/// What stands in a Vault, and what was asked of it.
#[derive(Default)]
struct Content {
    records: HashMap<String, (u64, Value)>,
    keys: HashMap<String, Value>,
    /// Keys are listed and not read.
    mute: bool,
    /// The policy says nothing of the mount for authorities.
    without_authorities: bool,
    /// What was found can be neither read nor written.
    setup_outdated: bool,
    /// The paths that were written.
    written: Vec<String>,
}

/// A Vault that has what it was given.
#[derive(Clone, Default)]
struct Fake(Arc<Locked<Content>>);

impl Fake {
    async fn start(&self) -> DomainVault {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut vault = vault_at(&address);
        // A slow machine reads as many keys in one look.
        vault.key_watch.most_time = Duration::from_secs(600);
        vault
    }

    fn set(&self, change: impl FnOnce(&mut Content)) {
        change(&mut self.0.lock().unwrap());
    }

    /// A Channel with the key of its authority.
    fn channel(&self, name: &str) -> ChannelId {
        let mut record = ChannelRecord::new(ChannelRef::new("cc-front", name), "uid", DOMAIN);
        let made = json!([{
            "version": 1, "keyVersion": 1, "state": "Signing", "certificatePem": "", "fingerprint": "", "permittedDns": [],
            "notBefore": "2026-11-22T12:00:00Z", "notAfter": "2027-11-22T12:00:00Z",
            "publishedAt": "2026-11-22T12:00:00Z",
        }]);
        record.authority = serde_json::from_value(made).unwrap();
        let id = record.id();
        self.set(|content| {
            let path = format!("subrosa/data/channels/{id}");
            content.records.insert(path, (1, serde_json::to_value(&record).unwrap()));
            content.keys.insert(id.authority_key(), flags(false));
        });
        id
    }

    /// The record of what was found.
    fn findings(&self) -> Option<KeyFindings> {
        let content = self.0.lock().unwrap();
        content.records.get(FINDINGS).map(|(_, value)| match value.get("text") {
            Some(text) => serde_json::from_str(text.as_str().unwrap()).unwrap(),
            None => serde_json::from_value(value.clone()).unwrap(),
        })
    }

    fn written(&self) -> usize {
        self.0.lock().unwrap().written.len()
    }
}

fn flags(exportable: bool) -> Value {
    json!({
        "type": "ecdsa-p256", "name": "k", "exportable": exportable, "allow_plaintext_backup": false, "deletion_allowed": false,
        "soft_deleted": false, "auto_rotate_period": 0, "latest_version": 1, "min_available_version": 0,
        "min_decryption_version": 1, "min_encryption_version": 0, "keys": {"1": {
            "creation_time": "2026-11-22T12:00:00Z", "public_key": "",
        }},
    })
}

async fn answer(State(fake): State<Fake>, request: Request) -> (StatusCode, String) {
    let list =
        request.method().as_str() == "LIST" || request.uri().query().is_some_and(|q| q.contains("list"));
    let path = request.uri().path().trim_start_matches("/v1/").trim_end_matches('/').to_owned();
    let method = request.method().clone();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let mut content = fake.0.lock().unwrap();
    let names = |names: Vec<String>| (StatusCode::OK, json!({"data": {"keys": names}}).to_string());
    if path.contains("transit-ca") && content.without_authorities {
        return (StatusCode::FORBIDDEN, json!({"errors": ["permission denied"]}).to_string());
    }
    if path == "sys/internal/ui/mounts/transit-ca" {
        return (StatusCode::OK, json!({"data": {"accessor": "transit_1", "type": "transit"}}).to_string());
    }
    if list && (path == "transit/keys" || path == "transit-ca/keys") {
        let here = |name: &&String| name.contains('.') == (path == "transit/keys");
        return names(content.keys.keys().filter(here).cloned().collect());
    }
    if list {
        let folder = format!("{}/", path.replace("metadata", "data"));
        let found = content.records.keys().filter_map(|path| path.strip_prefix(&folder));
        return names(found.map(str::to_owned).collect());
    }
    let key = match path.strip_prefix("transit-ca/keys/") {
        Some(authority) => Some(authority).filter(|name| !name.contains('.')),
        None => path.strip_prefix("transit/keys/").filter(|name| name.contains('.')),
    };
    if method == "GET" && path.starts_with("transit") {
        return match key.and_then(|key| content.keys.get(key)) {
            _ if content.mute => (StatusCode::BAD_REQUEST, json!({"errors": ["mute"]}).to_string()),
            Some(key) => (StatusCode::OK, json!({"data": key}).to_string()),
            None => (StatusCode::NOT_FOUND, json!({"errors": []}).to_string()),
        };
    }
    if path == FINDINGS && content.setup_outdated {
        return (StatusCode::FORBIDDEN, json!({"errors": ["permission denied"]}).to_string());
    }
    if method == "GET" {
        return match content.records.get(&path) {
            Some((version, value)) => {
                let data = json!({"data": value, "metadata": {"version": version}});
                (StatusCode::OK, json!({"data": data}).to_string())
            }
            None => (StatusCode::NOT_FOUND, json!({"errors": []}).to_string()),
        };
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    let version = body["options"]["cas"].as_u64().unwrap() + 1;
    content.records.insert(path.clone(), (version, body["data"].clone()));
    content.written.push(path);
    (StatusCode::OK, json!({"data": {"version": version}}).to_string())
}

/// The faults that are known in the world, by the name of the key.
fn known(cluster: &Cluster) -> BTreeMap<String, KeyFault> {
    let all =
        |findings: &KeyFindings| findings.iter().map(|(_, name, fault)| (name.to_owned(), fault)).collect();
    cluster.read(|world| world.key_findings.get(DOMAIN).map(all)).unwrap_or_default()
}

fn all_seen(cluster: &Cluster) -> bool {
    cluster.read(|world| world.key_findings.get(DOMAIN).is_some_and(|known| known.all_seen.is_some()))
}

async fn look(vault: &DomainVault, cluster: &Cluster) -> Result<(), Fault> {
    vault.key_watch.look(DOMAIN, vault, cluster, Timestamp::UNIX_EPOCH, LIST_EVERY).await.1
}

#[tokio::test]
async fn what_is_missing_is_told_and_kept_although_vault_does_not_describe_the_others() {
    let (fake, cluster) = (Fake::default(), Cluster::default());
    let (voice, chat) = (fake.channel("voice"), fake.channel("chat"));
    fake.set(|content| {
        content.keys.remove(&voice.authority_key());
        content.mute = true;
    });
    let vault = fake.start().await;
    assert!(look(&vault, &cluster).await.is_err(), "Vault did not answer");
    let missing = BTreeMap::from([(voice.authority_key(), KeyFault::Missing)]);
    assert_eq!((known(&cluster), all_seen(&cluster)), (missing.clone(), false));
    assert!(fake.findings().unwrap().faults.contains_key(&voice));
    fake.set(|content| {
        content.mute = false;
        content.keys.insert(chat.authority_key(), flags(true));
    });
    look(&vault, &cluster).await.unwrap();
    assert!(all_seen(&cluster));
    let both = missing.into_iter().chain([(chat.authority_key(), KeyFault::Exportable)]).collect();
    assert_eq!(known(&cluster), both);
    fake.set(|content| drop(content.records.remove(&format!("subrosa/data/channels/{voice}"))));
    look(&vault, &cluster).await.unwrap();
    let left = BTreeMap::from([(chat.authority_key(), KeyFault::Exportable)]);
    assert_eq!(known(&cluster), left, "nothing says any more that there was a key");
}

#[tokio::test]
async fn a_fault_outlives_the_operator_until_a_look_sees_it_mended() {
    let fake = Fake::default();
    let voice = fake.channel("voice");
    fake.set(|content| drop(content.keys.insert(voice.authority_key(), flags(true))));
    let (first, cluster) = (fake.start().await, Cluster::default());
    look(&first, &cluster).await.unwrap();
    let writes = fake.written();
    for _ in 0..3 {
        look(&first, &cluster).await.unwrap();
    }
    assert_eq!(fake.written(), writes, "an unchanged world writes nothing");
    // Another one leads. It knows before it has looked at any key.
    fake.set(|content| content.mute = true);
    let (second, cluster) = (fake.start().await, Cluster::default());
    second.key_watch.recall(DOMAIN, &second, &cluster, Timestamp::UNIX_EPOCH).await.unwrap();
    let exportable = BTreeMap::from([(voice.authority_key(), KeyFault::Exportable)]);
    assert_eq!((known(&cluster), all_seen(&cluster)), (exportable.clone(), true));
    assert!(look(&second, &cluster).await.is_err());
    assert_eq!(known(&cluster), exportable, "nobody saw it mended");
    fake.set(|content| {
        content.mute = false;
        content.keys.insert(voice.authority_key(), flags(false));
    });
    look(&second, &cluster).await.unwrap();
    assert_eq!((known(&cluster), fake.findings().unwrap().faults.len()), (BTreeMap::new(), 0));
}

#[tokio::test]
async fn where_nothing_can_be_remembered_a_look_comes_before_anything_is_said() {
    let (fake, cluster) = (Fake::default(), Cluster::default());
    let (voice, now) = (fake.channel("voice"), Timestamp::UNIX_EPOCH);
    fake.set(|content| {
        content.setup_outdated = true;
        content.keys.insert(voice.authority_key(), flags(true));
    });
    let vault = fake.start().await;
    vault.key_watch.recall(DOMAIN, &vault, &cluster, now).await.unwrap();
    let exportable = BTreeMap::from([(voice.authority_key(), KeyFault::Exportable)]);
    assert_eq!((known(&cluster), all_seen(&cluster)), (exportable.clone(), true));
    // Somebody ran vault-setup: from then on it is remembered.
    fake.set(|content| content.setup_outdated = false);
    let (second, cluster) = (fake.start().await, Cluster::default());
    look(&second, &cluster).await.unwrap();
    assert_eq!((known(&cluster), fake.findings().unwrap().faults.len()), (exportable, 1));
}

#[tokio::test]
async fn what_was_looked_at_long_ago_is_not_called_looked_at_before_the_next_round() {
    let (fake, cluster) = (Fake::default(), Cluster::default());
    (0..1200).for_each(|number| drop(fake.channel(&format!("c{number}"))));
    let first = fake.start().await;
    for _ in 0..2 {
        look(&first, &cluster).await.unwrap();
    }
    // Nobody looked for three days, and another one leads.
    let later = Timestamp::from_second(3 * 24 * 3600).unwrap();
    let (second, cluster) = (fake.start().await, Cluster::default());
    let is_current = || cluster.read(|world| world.key_findings[DOMAIN].are_current(later));
    second.key_watch.recall(DOMAIN, &second, &cluster, later).await.unwrap();
    assert!(all_seen(&cluster) && !is_current());
    second.key_watch.look(DOMAIN, &second, &cluster, later, LIST_EVERY).await.1.unwrap();
    assert!(!is_current(), "1,000 of 1,200");
    let writes = fake.written();
    second.key_watch.look(DOMAIN, &second, &cluster, later, LIST_EVERY).await.1.unwrap();
    assert!(is_current());
    assert_eq!((fake.written(), fake.findings().unwrap().all_seen), (writes + 1, Some(later)));
}

#[tokio::test]
async fn nothing_is_called_looked_at_before_a_whole_round() {
    let (fake, cluster) = (Fake::default(), Cluster::default());
    let ids: Vec<_> = (0..1200).map(|number| fake.channel(&format!("c{number}"))).collect();
    let vault = fake.start().await;
    look(&vault, &cluster).await.unwrap();
    assert!(!all_seen(&cluster) && fake.findings().is_none(), "1,000 of 1,200");
    look(&vault, &cluster).await.unwrap();
    assert!(all_seen(&cluster) && fake.findings().unwrap().all_seen.is_some());
    assert_eq!(fake.written(), 1);
    // Another operator reads what is known, and begins a prompt round of its own.
    fake.set(|content| {
        ids.iter().for_each(|id| drop(content.keys.insert(id.authority_key(), flags(true))));
    });
    let (second, cluster) = (fake.start().await, Cluster::default());
    for _ in 0..2 {
        look(&second, &cluster).await.unwrap();
    }
    assert_eq!(known(&cluster).len(), 1200);
    let kept = fake.findings().unwrap();
    assert_eq!((kept.iter().count(), kept.all_seen), (1000, None), "more than a record holds");
}

#[tokio::test]
async fn a_replaced_key_is_not_called_mended_while_the_record_to_judge_it_by_cannot_be_read() {
    let (fake, cluster) = (Fake::default(), Cluster::default());
    let id = fake.channel("voice");
    let (path, key) = (format!("subrosa/data/channels/{id}"), format!("{id}.chat-log.2026w47"));
    let readable = {
        let content = fake.0.lock().unwrap();
        let mut record = content.records[&path].1.clone();
        let versions = json!({"1": "2026-11-20T12:00:00Z"});
        record["keys"] = json!({"chat-log": {"2026w47": {"closed": false, "versions": versions}}});
        record
    };
    fake.set(|content| {
        content.records.insert(path.clone(), (2, readable.clone()));
        // Made two days later than the one in the record.
        content.keys.insert(key.clone(), flags(false));
    });
    let vault = fake.start().await;
    let replaced = BTreeMap::from([(key.clone(), KeyFault::Replaced)]);
    look(&vault, &cluster).await.unwrap();
    assert_eq!(known(&cluster), replaced);
    for unreadable in [json!({"schema": 1, "keys": 7}), json!({"schema": 99})] {
        fake.set(|content| drop(content.records.insert(path.clone(), (3, unreadable))));
        look(&vault, &cluster).await.unwrap();
        assert_eq!((known(&cluster), fake.findings().unwrap().faults.len()), (replaced.clone(), 1));
    }
    let mut restored = readable;
    restored["keys"]["chat-log"]["2026w47"]["versions"]["1"] = json!("2026-11-22T12:00:00Z");
    fake.set(|content| drop(content.records.insert(path, (4, restored))));
    look(&vault, &cluster).await.unwrap();
    assert_eq!(known(&cluster), BTreeMap::new(), "the key is the one in the record");
}

#[tokio::test]
async fn an_earlier_key_of_an_authority_is_missed_as_long_as_a_generation_is_of_it() {
    let (fake, cluster) = (Fake::default(), Cluster::default());
    let id = fake.channel("voice");
    let path = format!("subrosa/data/channels/{id}");
    let before = fake.0.lock().unwrap().records[&path].1["authority"][0].clone();
    let generations = |all: Value| {
        fake.set(|content| content.records.get_mut(&path).unwrap().1["authority"] = all);
    };
    let mut first = before.clone();
    first.as_object_mut().unwrap().remove("keyVersion");
    let mut second = before;
    second["version"] = json!(2);
    generations(json!([first, second]));
    look(&fake.start().await, &cluster).await.unwrap();
    assert_eq!(known(&cluster), [(id.earlier_authority_key(), KeyFault::Missing)].into());

    generations(json!([second]));
    look(&fake.start().await, &cluster).await.unwrap();
    assert_eq!(known(&cluster), BTreeMap::new(), "retired: its key may go");
    fake.set(|content| drop(content.keys.remove(&id.authority_key())));
    look(&fake.start().await, &cluster).await.unwrap();
    assert_eq!(known(&cluster), [(id.authority_key(), KeyFault::Missing)].into());
}

/// Somebody ran the `vault-setup` of an earlier release: what cannot be seen is not called missing.
#[tokio::test]
async fn where_the_mount_for_authorities_cannot_be_seen_nothing_there_is_missed() {
    let (fake, cluster) = (Fake::default(), Cluster::default());
    let id = fake.channel("voice");
    fake.set(|content| content.without_authorities = true);
    let vault = fake.start().await;
    let _ = look(&vault, &cluster).await;
    assert_eq!(known(&cluster), BTreeMap::new());
    fake.set(|content| {
        content.without_authorities = false;
        content.keys.remove(&id.authority_key());
    });
    look(&fake.start().await, &cluster).await.unwrap();
    assert_eq!(known(&cluster), [(id.authority_key(), KeyFault::Missing)].into());
}
