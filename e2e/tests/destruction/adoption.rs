//! A namespace is deleted and made anew: what was sealed before opens for its workload when enough other people approved,
//! and for as long as the keys have.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace},
    events::v1::Event,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use subrosa_crds::{
    Adoption, AdoptionStatus, CONFIRM_DELETE_ANNOTATION, Channel, ChannelStatus, approval::TargetKind,
    condition, destruction::ListedKey, names::ChannelRef, sealing,
};
use subrosa_e2e::{
    installation::{AUDIENCE, governed_namespace},
    operator, wait,
};

use crate::{
    people::Person,
    purged::{Pod, keeps_snapshots},
    world::{CLASS, DOMAIN, NS, World},
};

const NAME: &str = "portal";

/// A directory as a workload's container has it: settings, token, data.
struct Workload {
    directory: tempfile::TempDir,
}

impl Workload {
    async fn new(world: &World) -> Self {
        let workload = Self { directory: tempfile::tempdir().unwrap() };
        let maps: Api<ConfigMap> = Api::namespaced(world.admin.clone(), NS);
        let settings = maps.get(&format!("{NAME}-sealing")).await.unwrap().data.unwrap();
        fs::write(workload.at("sealing.yaml"), &settings[sealing::FILE]).unwrap();
        let jwt = world.env.service_account_token(NS, NAME, AUDIENCE).await.unwrap();
        fs::write(workload.at("token"), jwt).unwrap();
        workload
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn runs(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = Command::new(operator::binary().unwrap());
        command.current_dir(self.directory.path()).env_clear().stdin(Stdio::null()).args(arguments);
        command.env("SUBROSA_SEALING", self.at("sealing.yaml")).env("SUBROSA_TOKEN_FILE", self.at("token"));
        let Output { status, stderr, .. } = command.output().unwrap();
        if status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&stderr).into_owned()) }
    }

    /// Seals a text under this name; the sealed file alone stays.
    fn seals(&self, name: &str) -> Vec<u8> {
        fs::write(self.at(name), format!("said in {name}")).unwrap();
        self.runs(&["seal", "--class", CLASS, name]).unwrap();
        fs::remove_file(self.at(name)).unwrap();
        fs::read(self.at(&format!("{name}.age"))).unwrap()
    }

    /// Opens what was sealed under this name.
    fn opens(&self, name: &str, sealed: &[u8]) -> Result<(), String> {
        let file = format!("{name}.age");
        fs::write(self.at(&file), sealed).unwrap();
        self.runs(&["unseal", &file])?;
        let text = fs::read_to_string(self.at(name)).unwrap();
        fs::remove_file(self.at(name)).unwrap();
        if text == format!("said in {name}") { Ok(()) } else { Err(text) }
    }
}

/// Makes the namespace, the ServiceAccount and the Channel, and waits until it is in force.
async fn made(world: &World) -> ChannelStatus {
    governed_namespace(&world.env, NS, DOMAIN).await.unwrap();
    applied(world).await
}

async fn applied(world: &World) -> ChannelStatus {
    world.apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": NS}})).await;
    world
        .apply(&json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": NAME, "namespace": NS},
            "spec": {
                "workload": {"selector": {"matchLabels": {"app": NAME}}, "serviceAccountName": NAME},
                "dataClasses": [CLASS], "encryption": {"workloadMay": ["Seal", "Open"]},
            },
        }))
        .await;
    world.channel(NAME, |status| wait::is(status, condition::READY)).await
}

/// Deletes something as one who means it, and waits until it is gone.
async fn deleted<K>(world: &World, api: &Api<K>, name: &str)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let uid = api.get(name).await.unwrap().uid().unwrap();
    let confirmed = json!({"metadata": {"annotations": {CONFIRM_DELETE_ANNOTATION: uid}}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(confirmed)).await.unwrap();
    api.delete(name, &DeleteParams::default()).await.unwrap();
    world
        .until(&format!("{name} is gone"), || async {
            api.get_opt(name).await.unwrap().map_or(Ok(()), |_| Err("it is there".to_owned()))
        })
        .await;
}

/// Lets a user do what a role grants.
pub async fn bind(world: &World, user: &str, role: &str) {
    world
        .apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("{user}-{role}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }))
        .await;
}

/// Asks that the Channel takes over from an earlier one.
async fn ask(
    world: &World,
    name: &str,
    who: &str,
    by: &str,
    pairs: &[(&str, &str)],
) -> Result<Adoption, String> {
    let channels: Vec<_> = pairs
        .iter()
        .map(|(id, adopts)| json!({"namespace": NS, "name": NAME, "id": id, "adopts": adopts}))
        .collect();
    let asked: Adoption = serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Adoption", "metadata": {"name": name},
        "spec": {"trustDomain": DOMAIN, "requestedBy": by, "channels": channels},
    }))
    .unwrap();
    let api: Api<Adoption> = Api::all(world.env.client_as(who, &["system:authenticated"]).unwrap());
    api.create(&PostParams::default(), &asked).await.map_err(|error| error.to_string())
}

pub async fn until(world: &World, name: &str, holds: impl Fn(&AdoptionStatus) -> bool) -> AdoptionStatus {
    let api: Api<Adoption> = Api::all(world.admin.clone());
    world
        .until(&format!("Adoption {name}"), || async {
            let status = api.get(name).await.unwrap().status.unwrap_or_default();
            if holds(&status) { Ok(status) } else { Err(format!("{status:#?}")) }
        })
        .await
}

async fn opens(world: &World, workload: &Workload, name: &str, sealed: &[u8]) {
    world.until(&format!("{name} opens"), || async { workload.opens(name, sealed) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_before_opens_when_enough_other_people_approved() {
    let mut world = World::start(&[]).await;
    world.look().await;
    let first = applied(&world).await;
    let old = first.id.clone().unwrap();
    let cohort = first.keys.iter().find(|key| key.state == "Current").unwrap().cohort.clone();
    let before = Workload::new(&world).await.seals("before");

    deleted(&world, &Api::<Namespace>::all(world.admin.clone()), NS).await;
    let id = made(&world).await.id.unwrap();
    assert_ne!(id, old);
    let workload = Workload::new(&world).await;
    let after = workload.seals("after");
    let refused = workload.opens("before", &before).unwrap_err();
    assert!(refused.contains("may not open"), "{refused}");

    // The Channel tells of what it cannot open, and the command line writes what asks for it.
    let told = world.channel(NAME, |status| status.orphans == [old.clone()]).await;
    assert!(told.adopted.is_empty());
    bind(&world, "eva", "subrosa-compliance").await;
    let printed = Person::new(&world, "eva").well("adopt --keys");
    assert!(printed.contains(&format!("adopts: {old}")) && printed.contains("requestedBy: eva"), "{printed}");
    bind(&world, "eva", "subrosa-approver").await;
    let other = ask(&world, "again", "eva", "anna", &[(&id, &old)]).await.unwrap_err();
    assert!(other.contains("who asks does not approve"), "{other}");
    let asked = ask(&world, "again", "eva", "eva", &[(&id, &old)]).await.unwrap();
    let (uid, digest) = (asked.uid().unwrap(), asked.spec.digest());
    // What does not count: of who asks, of the past, about another list.
    let long = Timestamp::now() + SignedDuration::from_hours(24);
    let past = Timestamp::now() - SignedDuration::from_hours(1);
    let another = digest.replace(['0', '1'], "2");
    for (who, digest, expires) in [("eva", &digest, long), ("daan", &digest, past), ("emma", &another, long)]
    {
        world.decide_until("Approve", who, TargetKind::Adoption, "again", &uid, digest, expires).await;
    }
    let anna = Person::new(&world, "anna").well("approve adoption/again --yes");
    assert!(anna.contains(&old) && anna.contains("1 of 2 people: anna approve."), "{anna}");
    let waits = until(&world, "again", |status| status.approvals.as_deref() == Some("1/2")).await;
    assert_eq!((waits.state.as_deref(), waits.adopted), (Some("AwaitingApproval"), Some(0)));
    assert!(workload.opens("before", &before).unwrap_err().contains("may not open"));

    let bas = Person::new(&world, "bas").well("approve adoption/again --yes");
    assert!(bas.contains("2 of 2 people: anna, bas approve."), "{bas}");
    let done = until(&world, "again", |status| status.state.as_deref() == Some("Adopted")).await;
    let names: Vec<_> = done.approved_by.iter().map(|one| one.approver.as_str()).collect();
    assert_eq!((names, done.adopted), (vec!["anna", "bas"], Some(1)));
    opens(&world, &workload, "before", &before).await;
    opens(&world, &workload, "after", &after).await;
    let told = world.channel(NAME, |status| status.orphans.is_empty()).await;
    assert_eq!((told.adopted[0].id.as_str(), told.adopted[0].adoption.as_str()), (old.as_str(), "again"));
    let later = workload.seals("later");
    assert!(String::from_utf8_lossy(&later[..200]).contains(&id), "its own keys seal");
    opens(&world, &workload, "later", &later).await;
    record_stays(&world, &old).await;

    taken_back_and_given_again(&world, &workload, &before, (&id, &old)).await;
    goes_with_the_channel_and_comes_back(&world, &workload, &before).await;
    let workload = Workload::new(&world).await;
    let key = ListedKey { channel: ChannelRef::new(NS, NAME), id: old, data_class: CLASS.into(), cohort };
    world.keys.insert(NAME.to_owned(), key);
    // Keys are listed once an hour: a destroyer that begins sees what was made since.
    world.restart().await;
    ends_when_it_is_due(&mut world, &workload, &before, &after).await;
}

/// What was adopted cannot be denied to have been, and the earlier record says who has it.
async fn record_stays(world: &World, old: &str) {
    let api: Api<Adoption> = Api::all(world.env.client_as("eva", &["system:authenticated"]).unwrap());
    let refused = api.delete("again", &DeleteParams::default()).await.unwrap_err().to_string();
    assert!(refused.contains("it is the record"), "{refused}");
    let path = format!("subrosa/data/channels/{old}");
    let record: Value = world.env.openbao().request("GET", &path, None).await.unwrap();
    let by = &record["data"]["data"]["adoptedBy"];
    assert_eq!((&by["adoption"], &by["approvedBy"][1]["approver"]), (&json!("again"), &json!("bas")));
}

/// Who may open is revocable: one denial takes it back, for as long as it counts. What another Adoption gives, it does not take.
async fn taken_back_and_given_again(
    world: &World,
    workload: &Workload,
    before: &[u8],
    (id, old): (&str, &str),
) {
    let denied = Person::new(world, "cees").well("deny adoption/again --yes");
    assert!(denied.contains("takes it back within half a minute"), "{denied}");
    let told = until(world, "again", |status| status.state.as_deref() == Some("ApprovalDenied")).await;
    assert_eq!((told.adopted, told.adopted_at.is_some()), (Some(0), true), "{told:#?}");
    assert!(workload.opens("before", before).unwrap_err().contains("may not open"));
    world.channel(NAME, |status| status.adopted.is_empty() && status.orphans == [old.to_owned()]).await;
    let events: Api<Event> = Api::namespaced(world.admin.clone(), NS);
    world
        .until("an Event", || async {
            let all = events.list(&ListParams::default()).await.unwrap().items;
            let told = all.iter().filter(|event| event.reason.as_deref() == Some("OpeningWithdrawn"));
            let told =
                told.filter_map(|event| event.note.as_deref()).any(|note| note.contains("Adoption again"));
            if told { Ok(()) } else { Err("none".to_owned()) }
        })
        .await;
    let api: Api<Adoption> = Api::all(world.env.client_as("eva", &["system:authenticated"]).unwrap());
    assert!(
        api.delete("again", &DeleteParams::default()).await.is_err(),
        "what was adopted once is on record"
    );

    let asked = ask(world, "anew", "eva", "eva", &[(id, old)]).await.unwrap();
    let (uid, digest) = (asked.uid().unwrap(), asked.spec.digest());
    for who in ["anna", "bas"] {
        world.decide("Approve", who, TargetKind::Adoption, "anew", &uid, &digest).await;
    }
    until(world, "anew", |status| status.state.as_deref() == Some("Adopted")).await;
    opens(world, workload, "before", before).await;
    let told = Person::new(world, "anna").well("explain adoption/anew");
    assert!(told.contains("1 of 1 have the keys now") && told.contains("deny adoption/anew"), "{told}");
}

async fn goes_with_the_channel_and_comes_back(world: &World, workload: &Workload, before: &[u8]) {
    deleted(world, &Api::<Channel>::namespaced(world.admin.clone(), NS), NAME).await;
    world
        .until("its access is withdrawn", || async {
            match workload.opens("before", before) {
                Err(refused) if refused.contains("may not open") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    applied(world).await;
    opens(world, workload, "before", before).await;
}

/// The schedule of adopted keys goes on.
async fn ends_when_it_is_due(world: &mut World, workload: &Workload, before: &[u8], after: &[u8]) {
    world.look().await;
    let order = world.list(&[NAME]).await;
    for who in ["anna", "bas"] {
        world.approve(who, &order).await;
    }
    world.look().await;
    let name = order.name_any();
    assert_eq!(world.state(&name).await, "NotDue", "no earlier for the adoption");
    opens(world, workload, "before", before).await;
    world.days_on(4).await;
    world.days_on(3).await;
    assert_eq!(world.state(&name).await, "Destroyed", "and no later");
    let gone = workload.opens("before", before).unwrap_err();
    assert!(gone.contains("there is no key"), "{gone}");
    opens(world, workload, "after", after).await;

    // For how long snapshots are kept is declared only now.
    assert_eq!(world.destruction(&name).await.status.unwrap().effective_at, None);
    keeps_snapshots(world).await;
    world.restart().await;
    world.look().await;
    let status = world.destruction(&name).await.status.unwrap();
    let at = |text: Option<String>| text.unwrap().parse::<Timestamp>().unwrap();
    assert_eq!(at(status.effective_at), at(status.destroyed_at) + SignedDuration::from_hours(24));
    let pod = Pod::new(world, NAME).await;
    for (file, sealed) in [("before", before), ("after", after)] {
        pod.keeps(file, sealed);
    }
    let moved = world.destroyer.clocks().local().duration_since(Timestamp::now());
    pod.export(world, &name, moved + SignedDuration::from_hours(48)).await;
    let (code, purged) = pod.purged(&["--apply"]);
    assert_eq!((code, &purged["files"]), (Some(0), &json!(1)), "{purged:#}");
    assert_eq!(
        pod.files(),
        ["after.age"],
        "what an earlier Channel sealed is purged by the one that adopted it"
    );
}
