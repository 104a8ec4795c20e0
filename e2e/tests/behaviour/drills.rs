//! `spec.backup.drill` and runs beside the schedule: what the operator makes is carried out, and status says what it proved.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    batch::v1::{CronJob, Job},
    core::v1::{Pod, PodTemplateSpec, ServiceAccount},
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use subrosa_crds::Channel;
use subrosa_e2e::{alerts::History, operator};

use crate::{
    backups::{NS, WORKER, as_controller, backed_up, backup, ends, made, told, with_store},
    world::{World, channel},
};

const DRILL: &str = "subrosa-drill-voice";

fn with_drill() -> Value {
    let mut spec = backup();
    spec["backup"]["drill"] = json!({"schedule": "0 4 1 * *"});
    spec
}

/// What a node mounts into the pods of a worker, with a directory for the store.
struct Mounted(tempfile::TempDir);

impl Mounted {
    async fn new(world: &World) -> Self {
        let mounted = Self(tempfile::tempdir().unwrap());
        for directory in ["store", "volumes/recordings", "bucket/cc-backups", "drill"] {
            fs::create_dir_all(mounted.at(directory)).unwrap();
        }
        fs::write(mounted.at("volumes/recordings/a.wav"), vec![7; 200_000]).unwrap();
        fs::write(mounted.at("volumes/recordings/b.wav"), "the second call").unwrap();
        let kubelet = world.env.client_as("kubelet", &["system:nodes", "system:masters"]).unwrap();
        let asked = json!({"spec": {"audiences": ["vault"], "expirationSeconds": 3600}});
        let asked: TokenRequest = serde_json::from_value(asked).unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(kubelet, NS);
        let token = accounts.create_token_request(WORKER, &PostParams::default(), &asked).await.unwrap();
        fs::write(mounted.at("token"), token.status.unwrap().token.unwrap()).unwrap();
        mounted
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the container of a template, and returns its exit code and report.
    async fn carries_out(&self, world: &World, template: &PodTemplateSpec) -> (Option<i32>, String) {
        let mut settings = told(world).await;
        settings.store.endpoint = format!("file://{}", self.at("bucket").display());
        settings.store.allow_insecure = true;
        fs::write(self.at("backup.yaml"), settings.to_yaml().unwrap()).unwrap();
        let here = |argument: &String| match argument.as_str() {
            "/etc/subrosa/backup.yaml" => self.at("backup.yaml").display().to_string(),
            "/var/run/secrets/subrosa/token" => self.at("token").display().to_string(),
            "/var/run/secrets/store" => self.at("store").display().to_string(),
            "/volumes" => self.at("volumes").display().to_string(),
            "/drill" => self.at("drill").display().to_string(),
            "/dev/termination-log" => self.at("report").display().to_string(),
            other => other.to_owned(),
        };
        let container = &template.spec.as_ref().unwrap().containers[0];
        let arguments = container.args.iter().flatten().filter(|one| *one != "--mounted").map(here);
        let mut command = Command::new(operator::binary().unwrap());
        command.args(arguments).env_remove("VAULT_TOKEN").env_remove("BAO_TOKEN");
        let code = command.output().unwrap().status.code();
        (code, fs::read_to_string(self.at("report")).unwrap())
    }
}

/// The pod of a Job that the operator made, as the controller of Jobs makes it; then it ends as it does.
async fn runs(world: &World, mounted: &Mounted, job: &Job) -> (Option<i32>, String) {
    let template = job.spec.clone().unwrap().template;
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": format!("{}-abcde", job.name_any()), "labels": template.metadata.clone().unwrap().labels},
        "spec": template.spec,
    }))
    .unwrap();
    let controller = as_controller(world, "job-controller");
    let pod = Api::<Pod>::namespaced(controller, NS).create(&PostParams::default(), &pod).await.unwrap();
    let (code, report) = mounted.carries_out(world, &template).await;
    ends(world, &pod, if code == Some(0) { "Succeeded" } else { "Failed" }, &report).await;
    (code, report)
}

/// The Jobs whose names begin so, as soon as there are so many.
async fn jobs(world: &World, prefix: &str, count: usize) -> Vec<Job> {
    let all = world.api::<Job>(NS);
    let find = || async {
        let found = all.list(&ListParams::default()).await.unwrap().items;
        let found: Vec<_> = found.into_iter().filter(|job| job.name_any().starts_with(prefix)).collect();
        if found.len() == count { Ok(found) } else { Err(format!("{count} are expected: {}", found.len())) }
    };
    world.until(&format!("Jobs {prefix}"), find).await
}

async fn asks(world: &World, annotation: &str, at: jiff::Timestamp) {
    let patch = json!({"metadata": {"annotations": {annotation: at.to_string()}}});
    let channels = world.api::<Channel>(NS);
    channels.patch("voice", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_proves_what_a_run_made_until_the_store_is_damaged() {
    let mut world = with_store().await;
    world.apply(&channel(NS, "voice", with_drill())).await;
    backed_up(&world, "BackupPending").await;
    made(&world).await;
    let mounted = Mounted::new(&world).await;

    // A run that somebody asked for, once, with the pod of the CronJob.
    let now = jiff::Timestamp::now();
    asks(&world, "subrosa.dev/backup-now", now).await;
    let run = jobs(&world, WORKER, 1).await.remove(0);
    assert_eq!(run.name_any(), format!("{WORKER}-{}", now.as_second()));
    let template = |job: &CronJob| job.spec.job_template.spec.clone().unwrap().template.spec;
    let scheduled = world.api::<CronJob>(NS).get(WORKER).await.unwrap();
    assert_eq!(run.spec.clone().unwrap().template.spec, template(&scheduled));
    let (code, said) = runs(&world, &mounted, &run).await;
    assert_eq!(code, Some(0), "{said}");

    // The first drill follows, in a pod without the data.
    let (truth, message) = backed_up(&world, "RestoreUnproven").await;
    assert!(truth == "Unknown" && message.contains("the first drill follows"), "{message}");
    let first = jobs(&world, DRILL, 1).await.remove(0);
    let scheduled = world.api::<CronJob>(NS).get(DRILL).await.unwrap();
    assert_eq!(first.spec.clone().unwrap().template.spec, template(&scheduled));
    assert!(!serde_json::to_string(&scheduled).unwrap().contains("recordings"));
    let (code, said) = runs(&world, &mounted, &first).await;
    assert_eq!(code, Some(0), "{said}");
    let (truth, message) = backed_up(&world, "RestoreVerified").await;
    assert!(truth == "True" && message.contains("run 1 of"), "{message}");
    let status = world.ready(NS, "voice").await.backup.unwrap();
    assert_eq!((status.drill_run, status.run, status.files), (Some(1), Some(1), Some(2)));
    assert!(status.recovery_seconds.is_some_and(|seconds| seconds < 600));
    assert!(status.recovery_point_seconds.is_some_and(|seconds| seconds < 600), "{status:?}");
    assert_eq!(fs::read_dir(mounted.at("drill")).unwrap().count(), 0, "copies in clear are left");
    let proof: jiff::Timestamp = status.last_drill.unwrap().parse().unwrap();
    let series =
        format!("\nsubrosa_backup_earliest_verified_restore_timestamp_seconds {}\n", proof.as_second());
    world.metrics_with(&series).await;

    // Somebody changes a pack in the store.
    let mut places = vec![mounted.at("bucket")];
    let mut packs = Vec::new();
    while let Some(place) = places.pop() {
        for entry in fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => places.push(entry),
                false if entry.display().to_string().contains("/data/") => packs.push(entry),
                false => {}
            }
        }
    }
    for pack in packs {
        let mut content = fs::read(&pack).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(&pack, content).unwrap();
    }
    world.subrosa(&["backup", "now", "-n", NS, "voice", "--drill"]);
    let both = jobs(&world, DRILL, 2).await;
    let second = both.into_iter().find(|job| job.name_any() != first.name_any()).unwrap();
    let (code, said) = runs(&world, &mounted, &second).await;
    assert_eq!(code, Some(1), "{said}");
    let (truth, message) = backed_up(&world, "RepositoryDamaged").await;
    assert!(truth == "False" && message.contains("before, run 1 of"), "{message}");

    // As forty days later, when no pod of a drill is left, and none was made since.
    let pods = world.api::<Pod>(NS);
    pods.delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default()).await.unwrap();
    let mut history = History::begin().unwrap();
    history.scrape(async || world.metrics_with("reason=\"RepositoryDamaged\"").await).await;
    assert!(!history.is_true("SubrosaBackupUnproven", Duration::ZERO).unwrap());
    world.stop_operator();
    let mut record = world.record(NS, "voice").await;
    let before = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(40 * 24);
    record["backup"]["drill"]["success"]["started"] = json!(before.to_string());
    let path = format!("subrosa/data/channels/{}", world.id(NS, "voice").await);
    let bao = world.env.openbao();
    let known = bao.request("GET", &path, None).await.unwrap()["data"]["metadata"]["version"].clone();
    let written = json!({"options": {"cas": known}, "data": record});
    bao.request("POST", &path, Some(written)).await.unwrap();
    world.start_operator().await;
    let (truth, message) = backed_up(&world, "Unproven").await;
    assert!(truth == "False" && message.contains("which proves nothing any more"), "{message}");
    history.scrape(async || world.metrics_with("reason=\"Unproven\"").await).await;
    assert!(history.is_true("SubrosaBackupUnproven", Duration::ZERO).unwrap());

    // Without drills nothing says that it could be restored.
    world.apply(&channel(NS, "voice", backup())).await;
    backed_up(&world, "RestoreUnproven").await;
    let drills = world.api::<CronJob>(NS);
    let gone =
        || async { drills.get_opt(DRILL).await.unwrap().map_or(Ok(()), |_| Err("it is there".to_owned())) };
    world.until("the end of the drill's CronJob", gone).await;
    assert_eq!(jobs(&world, "subrosa-", 3).await.len(), 3, "each was made once");
}
