//! Sealed files whose key was really destroyed are removed, by the identity of the workload that sealed them; those of a key that
//! is only set aside, is back, or of which Vault says nothing, stay.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{TrustDomain, sealing::FILE};
use subrosa_e2e::{installation::AUDIENCE, operator};

use crate::{
    listed::aged,
    resurrected::backup,
    world::{CLASS, DOMAIN, NS, World},
};

/// A day in the cohort that is destroyed.
const DAY: &str = "2020-01-05";

/// A workload's container: settings, token, and a volume with sealed files.
pub struct Pod {
    directory: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl Pod {
    pub async fn new(world: &World, channel: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(world.admin.clone(), NS);
        let map = maps.get(&format!("{channel}-sealing")).await.unwrap();
        fs::write(directory.path().join("sealing.yaml"), &map.data.unwrap()[FILE]).unwrap();
        let pod = Self { directory, kubeconfig: world.env.admin_kubeconfig().unwrap() };
        pod.login_as(world, channel).await;
        fs::create_dir(pod.at("files")).unwrap();
        pod
    }

    /// Logs in as this ServiceAccount from now on.
    async fn login_as(&self, world: &World, account: &str) {
        let jwt = world.env.service_account_token(NS, account, AUDIENCE).await.unwrap();
        fs::write(self.at("token"), jwt).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(operator::binary().unwrap());
        command
            .current_dir(self.directory.path())
            .env_clear()
            .env("SUBROSA_SEALING", self.at("sealing.yaml"))
            .env("SUBROSA_TOKEN_FILE", self.at("token"))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Seals a file of this day, or of today, as if it had been done long ago.
    fn seals(&self, name: &str, day: Option<&str>) {
        fs::write(self.at(name), "a chat").unwrap();
        let mut seal = self.command(&["seal", "--class", CLASS, name]);
        if let Some(day) = day {
            seal.args(["--anchor", day, "--already-due"]);
        }
        well(seal.output().unwrap());
        self.keeps(name, &fs::read(self.at(&format!("{name}.age"))).unwrap());
    }

    /// Puts a sealed file on the volume, as if that had been done long ago.
    pub fn keeps(&self, name: &str, sealed: &[u8]) {
        let file = self.at(&format!("files/{name}.age"));
        fs::write(&file, sealed).unwrap();
        let old = SystemTime::now() - Duration::from_secs(100 * 24 * 3600);
        File::options().write(true).open(file).unwrap().set_modified(old).unwrap();
    }

    fn purge(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&["purge", "-o", "json"]);
        command.args(arguments).arg("files");
        command
    }

    /// Purges by the records in the file, and says the exit code and what was reported.
    pub fn purged(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        reported(self.purge(&["-f", "records.json"]).args(arguments).output().unwrap())
    }

    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.at("files")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Writes what the cluster has of the list, and of the trust domain, with every time of the record so much earlier.
    pub async fn export(&self, world: &World, name: &str, earlier: SignedDuration) {
        let mut record = serde_json::to_value(world.destruction(name).await).unwrap();
        move_back(&mut record["status"], earlier);
        let domain = Api::<TrustDomain>::all(world.admin.clone()).get(DOMAIN).await.unwrap();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [record, domain]});
        fs::write(self.at("records.json"), list.to_string()).unwrap();
    }
}

fn well(output: Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn reported(output: Output) -> (Option<i32>, Value) {
    let said = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| json!({"said": said}));
    (output.status.code(), report)
}

/// The destroyer's clocks were moved on; whoever reads its record now reads it as if that time had passed.
fn move_back(value: &mut Value, earlier: SignedDuration) {
    match value {
        Value::String(text) => {
            if let Ok(at) = text.parse::<Timestamp>() {
                *text = (at - earlier).to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_back(item, earlier)),
        Value::Object(fields) => fields.values_mut().for_each(|field| move_back(field, earlier)),
        _ => {}
    }
}

/// Declares that snapshots of Vault are kept for a day.
pub async fn keeps_snapshots(world: &World) {
    let snapshots = json!({"spec": {"vault": {"snapshots": {"maxAge": "24h", "retain": "1d"}}}});
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(snapshots)).await.unwrap();
}

fn kept(why: &str, count: u64) -> Value {
    json!({ why: count })
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_destroyed_key_are_purged_and_no_others() {
    let mut world = World::start(&["portal", "other"]).await;
    keeps_snapshots(&world).await;
    world.stop_operator();
    let key = aged(&world, "portal", CLASS, "contactcenter").await;
    world.start_operator().await;
    let order = world.listed_by_the_operator().await;
    let name = order.name_any();
    let pod = Pod::new(&world, "portal").await;
    for number in 1..4 {
        pod.seals(&format!("{number}"), Some(DAY));
    }
    pod.seals("today", None);
    let copy = backup(&world, &key).await;

    // Listed, and then set aside: nothing is destroyed yet.
    world.restart().await;
    world.look().await;
    for state in ["AwaitingApproval", "SetAside"] {
        assert_eq!(world.state(&name).await, state);
        pod.export(&world, &name, SignedDuration::ZERO).await;
        assert_eq!(pod.purged(&["--apply"]), (Some(0), report(0, kept("notDestroyed", 4))));
        for who in ["anna", "bas"] {
            world.approve(who, &order).await;
        }
        world.look().await;
    }

    // Destroyed, a moment ago: a snapshot of yesterday has it still. So say the cluster and the file.
    world.days_on(3).await;
    assert_eq!(world.state(&name).await, "Destroyed", "{:#?}", world.destruction(&name).await);
    assert!(world.transit(&key).await.is_none());
    let fresh = json!({"notDestroyed": 1, "notEffective": 3});
    let by_cluster = pod.purge(&["--apply"]).env("KUBECONFIG", &pod.kubeconfig).output().unwrap();
    assert_eq!(reported(by_cluster), (Some(0), report(0, fresh)));

    // Two days later.
    let moved = world.destroyer.clocks().local().duration_since(Timestamp::now());
    pod.export(&world, &name, moved + SignedDuration::from_hours(48)).await;
    let (code, shown) = pod.purged(&[]);
    assert_eq!((code, &shown["applied"], &shown["files"]), (Some(0), &json!(false), &json!(3)), "{shown:#}");
    assert_eq!(pod.files().len(), 4, "nothing is removed unless it is asked for");

    nobody_else_proves_it(&world, &pod).await;
    what_is_back_stays(&world, &pod, &key, copy).await;

    let (code, done) = pod.purged(&["--apply"]);
    assert_eq!(
        (code, &done["files"], &done["kept"]),
        (Some(0), &json!(3), &kept("notDestroyed", 1)),
        "{done:#}"
    );
    assert_eq!(
        (&done["keys"][0]["cohort"], &done["keys"][0]["destruction"]),
        (&json!("20200105"), &json!(name))
    );
    assert_eq!(done["bytes"], shown["bytes"]);
    assert_eq!(pod.files(), ["today.age"]);
    assert_eq!(pod.purged(&["--apply"]).1["files"], 0);
}

/// What is reported where nothing is dead.
fn report(files: u64, kept: Value) -> Value {
    json!({
        "applied": true, "files": files, "bytes": 0, "keys": [], "kept": kept, "failed": 0, "leftOut": false,
    })
}

/// An identity without the right, a mount without the Channel's keys, a Vault that does not answer.
async fn nobody_else_proves_it(world: &World, pod: &Pod) {
    pod.login_as(world, "other").await;
    let (code, refused) = pod.purged(&["--apply"]);
    assert_eq!((code, &refused["kept"]["refused"]), (Some(1), &json!(3)), "{refused:#}");
    assert!(refused["refusal"].as_str().unwrap().contains("permission denied"), "{refused:#}");

    let bao = world.env.openbao();
    bao.request("POST", "sys/mounts/elsewhere", Some(json!({"type": "transit"}))).await.unwrap();
    let settings = fs::read_to_string(pod.at("sealing.yaml")).unwrap();
    fs::write(pod.at("sealing.yaml"), settings.replace("transit: transit", "transit: elsewhere")).unwrap();
    let mut purge = pod.purge(&["-f", "records.json", "--apply"]);
    let output = purge.env("VAULT_TOKEN", bao.root_token()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && said.contains("proves nothing"), "{said}");
    fs::write(pod.at("sealing.yaml"), settings).unwrap();

    pod.login_as(world, "portal").await;
    bao.seal().await.unwrap();
    let (code, away) = pod.purged(&["--apply"]);
    assert_eq!(code, Some(3), "{away:#}");
    bao.unseal().await.unwrap();
    assert_eq!(pod.files().len(), 4);
}

/// A backup of the key is restored, and set aside.
async fn what_is_back_stays(world: &World, pod: &Pod, key: &str, copy: Value) {
    let bao = world.env.openbao();
    bao.request("POST", &format!("transit/restore/{key}"), Some(json!({"backup": copy}))).await.unwrap();
    assert_eq!(pod.purged(&["--apply"]), (Some(1), report(0, json!({"notDestroyed": 1, "keyBack": 3}))));
    bao.request("DELETE", &format!("transit/keys/{key}/soft-delete"), None).await.unwrap();
    assert_eq!(pod.purged(&["--apply"]), (Some(1), report(0, json!({"notDestroyed": 1, "keySetAside": 3}))));
    let allowed = json!({"deletion_allowed": true});
    bao.request("POST", &format!("transit/keys/{key}/config"), Some(allowed)).await.unwrap();
    bao.request("DELETE", &format!("transit/keys/{key}"), None).await.unwrap();
    assert_eq!(pod.files().len(), 4);
}
