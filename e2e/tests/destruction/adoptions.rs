//! Many Channels take over at once, and what cannot be adopted is refused with its reason and opens for nobody. What Vault lost
//! again is told, and people approve it anew.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};
use subrosa_crds::{
    Adoption, AdoptionStatus, approval::TargetKind, condition, names::ChannelId, sealing::WORKLOAD_ROLE,
};
use subrosa_e2e::{installation::AUDIENCE, wait};

use crate::{
    adoption::{bind, until},
    people::leaver,
    world::{CLASS, DOMAIN, NS, World},
};

/// How many Channels take over at once.
const MANY: usize = 30;
/// The cohort of which each earlier Channel left a key.
const COHORT: &str = "20261001";

/// What an earlier Channel left.
struct Earlier {
    id: String,
    key: String,
    sealed: String,
}

async fn record(world: &World, id: &str) -> Value {
    let path = format!("subrosa/data/channels/{id}");
    world.env.openbao().request("GET", &path, None).await.unwrap()["data"]["data"].clone()
}

async fn write(world: &World, id: &str, record: &Value) {
    let (bao, path) = (world.env.openbao(), format!("subrosa/data/channels/{id}"));
    let before = bao.request("GET", &path, None).await.unwrap_or_default();
    let version = before["data"]["metadata"]["version"].as_u64().unwrap_or_default();
    let body = json!({"data": record, "options": {"cas": version}});
    bao.request("POST", &path, Some(body)).await.unwrap();
}

/// Leaves in OpenBao what a Channel of this name leaves whose namespace had the UID `before`: its record, with changes, and a key.
async fn left(world: &World, name: &str, before: &str, change: Value) -> Earlier {
    let id = ChannelId::mint(before, name).to_string();
    let mut all = json!({
        "schema": 1, "channel": {"namespace": NS, "name": name}, "namespaceUid": before, "trustDomain": DOMAIN,
        "keys": {CLASS: {COHORT: {"versions": {"1": "2026-10-01T08:00:00Z"}, "closed": true}}},
    });
    for (field, value) in change.as_object().unwrap() {
        all[field] = value.clone();
    }
    write(world, &id, &all).await;
    let (bao, key) = (world.env.openbao(), format!("{id}.{CLASS}.{COHORT}"));
    bao.request("POST", &format!("transit/keys/{key}"), Some(json!({"type": "aes256-gcm96"}))).await.unwrap();
    let text = Some(json!({"plaintext": "c2FpZCBpbiBjb25maWRlbmNl"}));
    let answer = bao.request("POST", &format!("transit/encrypt/{key}"), text).await.unwrap();
    Earlier { id, key, sealed: answer["data"]["ciphertext"].as_str().unwrap().to_owned() }
}

/// Makes Channels whose workloads may open, and says their identities by name.
async fn made(world: &World, names: &[String]) -> BTreeMap<String, String> {
    join_all(names.iter().map(|name| async move {
        world.apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NS}})).await;
        world
            .apply(&json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": name, "namespace": NS},
                "spec": {
                    "workload": {"selector": {"matchLabels": {"app": name}}, "serviceAccountName": name},
                    "dataClasses": [CLASS], "encryption": {"workloadMay": ["Seal", "Open"]},
                },
            }))
            .await;
    }))
    .await;
    let mut ids = BTreeMap::new();
    for name in names {
        let status = world.channel(name, |status| wait::is(status, condition::READY)).await;
        ids.insert(name.clone(), status.id.unwrap());
    }
    ids
}

/// Whether the workload of a Channel opens what an earlier one sealed.
async fn opens(world: &World, name: &str, earlier: &Earlier) -> bool {
    let bao = world.env.openbao();
    let jwt = world.env.service_account_token(NS, name, AUDIENCE).await.unwrap();
    let token = bao.kubernetes_login("kubernetes", WORKLOAD_ROLE, &jwt).await.unwrap();
    let body = Some(json!({"ciphertext": earlier.sealed}));
    let path = format!("transit/decrypt/{}", earlier.key);
    let (status, _) = bao.request_as(&token, "POST", &path, body).await.unwrap();
    status == 200
}

/// Asks as eva that these Channels take over: name, identity, the earlier identity.
async fn asked(world: &World, name: &str, pairs: &[(&str, &str, &str)]) -> Adoption {
    let channels: Vec<_> = pairs
        .iter()
        .map(|(name, id, adopts)| json!({"namespace": NS, "name": name, "id": id, "adopts": adopts}))
        .collect();
    let asked: Adoption = serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Adoption", "metadata": {"name": name},
        "spec": {"trustDomain": DOMAIN, "requestedBy": "eva", "channels": channels},
    }))
    .unwrap();
    let api: Api<Adoption> = Api::all(world.env.client_as("eva", &["system:authenticated"]).unwrap());
    api.create(&PostParams::default(), &asked).await.unwrap()
}

async fn approve(world: &World, adoption: &Adoption) {
    let (name, uid, digest) = (adoption.name_any(), adoption.uid().unwrap(), adoption.spec.digest());
    for who in ["anna", "bas"] {
        world.decide("Approve", who, TargetKind::Adoption, &name, &uid, &digest).await;
    }
}

fn states(status: &AdoptionStatus) -> Vec<&str> {
    status.channels.iter().map(|one| one.state.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_adopt_at_once_and_what_cannot_be_adopted_opens_for_nobody() {
    let mut world = World::start(&[]).await;
    world.look().await;
    bind(&world, "eva", "subrosa-compliance").await;
    let many: Vec<_> = (0..MANY).map(|number| format!("c-{number}")).collect();
    let mut names = many.clone();
    names.extend(["voice", "chat", "heir"].map(str::to_owned));
    let ids = made(&world, &names).await;
    let mut earlier = Vec::new();
    for name in &many {
        earlier.push(left(&world, name, "before", json!({})).await);
    }
    let bulk: Vec<_> = many
        .iter()
        .zip(&earlier)
        .map(|(name, one)| (name.as_str(), ids[name].as_str(), one.id.as_str()))
        .collect();
    let bulk = asked(&world, "bulk", &bulk).await;

    // What cannot be adopted, and five earlier Channels of one name.
    let other = left(&world, "mail", "before", json!({})).await;
    let elsewhere = left(&world, "voice", "elsewhere", json!({"trustDomain": "another"})).await;
    let class =
        left(&world, "voice", "class", json!({"keys": {"dossier": {COHORT: {"versions": {}}}}})).await;
    let damaged = left(&world, "voice", "damaged", json!({"keys": "none"})).await;
    let forged = left(&world, "voice", "forged", json!({"namespaceUid": "another"})).await;
    let (voice, nowhere) = (ids["voice"].as_str(), "abcdefghijklmnop");
    let mut pairs = vec![
        ("voice", voice, ids["chat"].as_str()),
        ("voice", voice, &other.id),
        ("voice", voice, &elsewhere.id),
        ("voice", voice, &class.id),
        ("voice", voice, &damaged.id),
        ("voice", voice, &forged.id),
        ("voice", voice, nowhere),
        ("chat", voice, &earlier[0].key[..16]),
    ];
    let mut ancestors = Vec::new();
    for before in ["one", "two", "three", "four", "five"] {
        ancestors.push(left(&world, "heir", before, json!({})).await);
    }
    pairs.extend(ancestors.iter().map(|one| ("heir", ids["heir"].as_str(), one.id.as_str())));
    let mixed = asked(&world, "mixed", &pairs).await;
    let saved = [record(&world, &ids[&many[0]]).await, record(&world, &earlier[0].id).await];
    leavers_approval_does_not_count(&world, &bulk).await;
    for adoption in [&bulk, &mixed] {
        approve(&world, adoption).await;
    }

    let done = until(&world, "bulk", |status| status.state.as_deref() == Some("Adopted")).await;
    assert_eq!(done.adopted, Some(MANY as i64));
    let refused = until(&world, "mixed", |status| status.state.as_deref() == Some("PartlyAdopted")).await;
    let expected = [
        "NotOrphaned",
        "NameDiffers",
        "OtherTrustDomain",
        "NothingToAdopt",
        "RecordUnreadable",
        "RecordUnreadable",
        "NotFound",
        "NotFound",
        "Adopted",
        "Adopted",
        "Adopted",
        "Adopted",
        "TooManyAdopted",
    ];
    assert_eq!(states(&refused), expected, "{refused:#?}");
    for (index, name) in many.iter().enumerate() {
        assert!(opens(&world, name, &earlier[index]).await, "{name}");
    }
    assert!(!opens(&world, &many[0], &earlier[1]).await, "another's");
    for one in [&other, &elsewhere, &class, &damaged, &forged, &earlier[0]] {
        assert!(!opens(&world, "voice", one).await && !opens(&world, "chat", one).await, "{}", one.key);
    }
    for (number, one) in ancestors.iter().enumerate() {
        assert_eq!(opens(&world, "heir", one).await, number < 4, "{number}");
    }
    told_as_lost(&mut world, &bulk, (&ids[&many[0]], &many[0]), &earlier[0], saved).await;
}

/// Somebody who left and one more approve: that is one.
async fn leavers_approval_does_not_count(world: &World, adoption: &Adoption) {
    world.apply(&leaver("CEES")).await;
    let (name, uid, digest) = (adoption.name_any(), adoption.uid().unwrap(), adoption.spec.digest());
    for who in ["cees", "daan"] {
        world.decide("Approve", who, TargetKind::Adoption, &name, &uid, &digest).await;
    }
    let status = until(world, &name, |status| !status.approved_by.is_empty()).await;
    let by: Vec<_> = status.approved_by.iter().map(|one| one.approver.as_str()).collect();
    assert_eq!((by, status.approvals.as_deref()), (vec!["daan"], Some("1/2")), "{status:#?}");
    assert_eq!(status.state.as_deref(), Some("AwaitingApproval"));
}

/// Vault loses what was noted of one Channel, and the Approvals count no more.
async fn told_as_lost(
    world: &mut World,
    bulk: &Adoption,
    (id, name): (&str, &str),
    earlier: &Earlier,
    saved: [Value; 2],
) {
    world.stop_operator();
    for (id, record) in [id, &earlier.id].into_iter().zip(&saved) {
        write(world, id, record).await;
    }
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.admin.clone());
    let mut anew = bindings.get("subrosa-approval").await.unwrap();
    bindings.delete("subrosa-approval", &DeleteParams::default()).await.unwrap();
    (anew.metadata.resource_version, anew.metadata.uid, anew.metadata.managed_fields) = (None, None, None);
    bindings.create(&PostParams::default(), &anew).await.unwrap();
    // Its clock may not be half a minute behind.
    world.guarded_again(25).await;
    world.start_operator().await;
    let lost = until(world, "bulk", |status| status.state.as_deref() == Some("AdoptionLost")).await;
    assert_eq!((lost.adopted, states(&lost)[0]), (Some(MANY as i64 - 1), "AdoptionLost"), "{lost:#?}");
    world
        .until("it does not open", || async {
            if opens(world, name, earlier).await { Err("it opens".to_owned()) } else { Ok(()) }
        })
        .await;
    world
        .until("Approvals count again", || async {
            let told = world.told().await;
            let since = told["guardedSince"].as_str().and_then(|since| since.parse::<Timestamp>().ok());
            if since.is_some_and(|since| since < Timestamp::now()) { Ok(()) } else { Err(told.to_string()) }
        })
        .await;
    approve(world, bulk).await;
    let again = until(world, "bulk", |status| status.state.as_deref() == Some("Adopted")).await;
    assert_eq!((again.adopted, again.adopted_at), (Some(MANY as i64), lost.adopted_at));
    assert!(opens(world, name, earlier).await);
}
