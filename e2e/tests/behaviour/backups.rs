//! `spec.backup`: the worker that makes backups, whose identity nobody else has, and what status says of its runs.

use std::{fs, process::Command, time::Duration};

use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, Pod, ServiceAccount},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use subrosa_crds::{TrustDomain, backup::BackupSettings, condition};
use subrosa_e2e::{alerts::History, operator, wait};

use crate::world::{DOMAIN, World, channel};

pub const NS: &str = "cc-front";
pub const WORKER: &str = "subrosa-backup-voice";

pub fn backup() -> Value {
    json!({"backup": {"schedule": "15 2 * * *", "volumes": ["recordings"], "writeSecret": "voice-store"}})
}

pub async fn with_store() -> World {
    let world = World::start().await;
    let store = json!({"spec": {
        "backup": {"store": {"endpoint": "https://s3.example.org", "region": "eu-1", "bucket": "cc-backups"}},
        "network": {"services": [{"name": "s3", "cidrs": ["203.0.113.0/28"], "ports": [443], "for": "Backup"}]},
    }});
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(store)).await.unwrap();
    world.governed(NS).await;
    world
}

/// The condition BackedUp, as soon as it has this reason.
pub async fn backed_up(world: &World, reason: &str) -> (String, String) {
    let status =
        world.channel(NS, "voice", |status| wait::reason(status, condition::BACKED_UP) == reason).await;
    let found = condition::find(&status.conditions, condition::BACKED_UP).unwrap();
    (found.status.clone(), found.message.clone())
}

/// What the worker's ServiceAccount may in Vault, as the metadata of its alias says.
async fn rights(world: &World, uid: &str) -> Option<Value> {
    let bao = world.env.openbao();
    let auth = bao.request("GET", "sys/auth", None).await.unwrap();
    let accessor = auth["data"]["kubernetes/"]["accessor"].as_str().unwrap().to_owned();
    let body = json!({"alias_name": uid, "alias_mount_accessor": accessor});
    let found = bao.request("POST", "identity/lookup/entity", Some(body)).await.unwrap();
    let aliases = found["data"]["aliases"].as_array().cloned().unwrap_or_default();
    aliases.iter().find(|alias| alias["name"] == uid).map(|alias| alias["custom_metadata"].clone())
}

/// The CronJob, as soon as it is there.
pub async fn made(world: &World) -> CronJob {
    let jobs = world.api::<CronJob>(NS);
    let find = || async { jobs.get_opt(WORKER).await.unwrap().ok_or_else(|| "there is none".to_owned()) };
    world.until("the CronJob", find).await
}

/// What the controllers of Kubernetes do when the time has come: a Job of the CronJob, and a pod of that.
async fn run(world: &World, name: &str) -> Pod {
    let made = made(world).await;
    let template = made.spec.job_template;
    let job: Job = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": template.metadata.unwrap().labels},
        "spec": template.spec,
    }))
    .unwrap();
    let controller = as_controller(world, "cronjob-controller");
    let job = Api::<Job>::namespaced(controller, NS).create(&PostParams::default(), &job).await.unwrap();
    let template = job.spec.unwrap().template;
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": format!("{name}-abcde"), "labels": template.metadata.unwrap().labels},
        "spec": template.spec,
    }))
    .unwrap();
    let controller = as_controller(world, "job-controller");
    Api::<Pod>::namespaced(controller, NS).create(&PostParams::default(), &pod).await.unwrap()
}

pub fn as_controller(world: &World, controller: &str) -> Client {
    let user = format!("system:serviceaccount:kube-system:{controller}");
    world.env.client_as(&user, &["system:masters"]).unwrap()
}

/// What the kubelet does when the worker ended.
pub async fn ends(world: &World, pod: &Pod, phase: &str, left: &str) {
    let state =
        json!({"terminated": {"exitCode": if phase == "Succeeded" { 0 } else { 1 }, "message": left}});
    let container = json!({
        "name": "backup", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state,
    });
    // Whole seconds, as Kubernetes has them, and after what was reported before.
    let started = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let status = json!({"status": {
        "phase": phase, "startTime": started.to_string(), "containerStatuses": [container],
    }});
    let pods = world.api::<Pod>(NS);
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

/// A report of a run that went to the store of the settings.
async fn report(world: &World, run: Option<u64>, reason: Option<&str>) -> String {
    let now = jiff::Timestamp::now();
    let store = told(world).await.store.id;
    let volume = json!({"name": "recordings", "snapshot": "abc", "files": 7, "bytes": 4096});
    json!({
        "started": now, "finished": now, "run": run, "store": store, "reason": reason, "message": reason.map(|_| "it said no"),
        "volumes": [volume],
    })
    .to_string()
}

/// What the worker is told.
pub async fn told(world: &World) -> BackupSettings {
    let settings = world.api::<ConfigMap>(NS).get("voice-backup").await.unwrap().data.unwrap();
    BackupSettings::from_yaml(&settings["backup.yaml"]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_made_and_its_runs_are_told() {
    let mut world = with_store().await;
    world.apply(&channel(NS, "voice", backup())).await;
    world.ready(NS, "voice").await;
    let (truth, message) = backed_up(&world, "BackupPending").await;
    assert_eq!(truth, "Unknown", "{message}");
    let jobs = world.api::<CronJob>(NS);
    made(&world).await;

    // Its identity uses the keys of backups, and nothing else.
    let id = world.id(NS, "voice").await;
    let account = world.api::<ServiceAccount>(NS).get(WORKER).await.unwrap();
    let uid = account.uid().unwrap();
    assert_eq!(rights(&world, &uid).await, Some(json!({"subrosa_backup": id.as_str()})));
    let keys = world.keys(&id).await;
    let of_backups = keys.iter().filter(|key| key.starts_with(&format!("{id}b.subrosa-backup."))).count();
    assert_eq!(of_backups, 2, "of this window and the next: {keys:?}");
    let told = told(&world).await;
    assert_eq!((told.id, told.store.bucket.as_str()), (id, "cc-backups"));
    let policy = world.policy(NS, WORKER).await.unwrap();
    assert!(policy.ingress.unwrap_or_default().is_empty());

    // A run that failed, one that left nothing, one that worked.
    let failed = run(&world, "subrosa-backup-voice-1").await;
    ends(&world, &failed, "Failed", &report(&world, None, Some("StoreRefused")).await).await;
    let (truth, message) = backed_up(&world, "StoreRefused").await;
    assert!(truth == "False" && message.contains("failed: it said no"), "{message}");
    let good = run(&world, "subrosa-backup-voice-2").await;
    ends(&world, &good, "Succeeded", &report(&world, Some(1), None).await).await;
    let (truth, message) = backed_up(&world, "RestoreUnproven").await;
    assert_eq!(truth, "Unknown", "no restore was seen: {message}");
    let killed = run(&world, "subrosa-backup-voice-3").await;
    ends(&world, &killed, "Failed", "").await;
    let (_, message) = backed_up(&world, "BackupFailed").await;
    assert!(message.contains("exit code 1") && message.contains("left no report"), "{message}");

    // What was told stays when pods and operator are gone.
    for pod in [failed, good, killed] {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        world.api::<Pod>(NS).delete(&pod.name_any(), &now).await.unwrap();
    }
    world.restart_operator().await;
    let status = world.ready(NS, "voice").await;
    let told = status.backup.unwrap();
    assert_eq!((told.run, told.files, told.bytes), (Some(1), Some(7), Some(4096)));
    assert!(told.last_failure.is_some() && told.last_success.is_some());

    // Another ServiceAccount of its name is another identity; without backups there is none.
    world.api::<ServiceAccount>(NS).delete(WORKER, &DeleteParams::default()).await.unwrap();
    let again = world
        .until("another ServiceAccount with access", || async {
            let account = world.api::<ServiceAccount>(NS).get_opt(WORKER).await.unwrap();
            let again = account.and_then(|account| account.uid()).filter(|again| *again != uid);
            let Some(again) = again else { return Err("not yet".to_owned()) };
            rights(&world, &again).await.map(|_| again).ok_or_else(|| "without access".to_owned())
        })
        .await;
    assert_eq!(rights(&world, &uid).await, None);
    world.apply(&channel(NS, "voice", json!({}))).await;
    world
        .until("the end of backups", || async {
            let left = (jobs.get_opt(WORKER).await.unwrap().is_some(), rights(&world, &again).await);
            if left == (false, None) { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await;
    world
        .channel(NS, "voice", |status| condition::find(&status.conditions, condition::BACKED_UP).is_none())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_never_came_is_told() {
    let mut world = with_store().await;
    world.apply(&channel(NS, "voice", backup())).await;
    backed_up(&world, "BackupPending").await;
    let mut history = History::begin().unwrap();
    let kind = "subrosa_channel_conditions{condition=\"BackedUp\"";
    history.scrape(async || world.metrics_with(kind).await).await;
    assert!(!history.is_true("SubrosaBackupOverdue", Duration::ZERO).unwrap());

    // As two days later, with no run since.
    world.stop_operator();
    let mut record = world.record(NS, "voice").await;
    let before = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(48);
    record["backup"]["since"] = json!(before.to_string());
    let path = format!("subrosa/data/channels/{}", world.id(NS, "voice").await);
    let bao = world.env.openbao();
    let known = bao.request("GET", &path, None).await.unwrap()["data"]["metadata"]["version"].clone();
    let written = json!({"options": {"cas": known}, "data": record});
    bao.request("POST", &path, Some(written)).await.unwrap();
    world.start_operator().await;
    let (truth, message) = backed_up(&world, "BackupOverdue").await;
    assert!(truth == "False" && message.contains("look at the Jobs of CronJob"), "{message}");
    history.scrape(async || world.metrics_with("reason=\"BackupOverdue\"").await).await;
    assert!(history.is_true("SubrosaBackupOverdue", Duration::ZERO).unwrap());
    // A run that was suspended is not late.
    let mut spec = backup();
    spec["backup"]["suspend"] = json!(true);
    world.apply(&channel(NS, "voice", spec)).await;
    backed_up(&world, "BackupSuspended").await;
}

/// Another bucket has manifests of its own, from 1: it neither has the backups of the first, nor is it refused as forged.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_moved_begins_anew_and_is_remembered() {
    let world = with_store().await;
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    let moves = async |bucket: &str| {
        let moved = json!({"spec": {"backup": {"store": {"bucket": bucket}}}});
        domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(moved)).await.unwrap();
    };
    let is_told = async |bucket: &str, at_least: u64| {
        let found = || async {
            let told = told(&world).await;
            let found = (told.store.bucket.as_str(), told.at_least);
            if found == (bucket, at_least) { Ok(()) } else { Err(format!("{found:?}")) }
        };
        world.until(&format!("settings of {bucket} and {at_least}"), found).await;
    };
    // Also where network policies are only audited, a worker has its own.
    let audited = json!({"spec": {"network": {"mode": "Audit"}}});
    domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(audited)).await.unwrap();
    world.apply(&channel(NS, "voice", backup())).await;
    backed_up(&world, "BackupPending").await;
    made(&world).await;
    let of_worker = world.policy(NS, WORKER).await;
    assert!(of_worker.is_some() && world.policy(NS, "subrosa-channel-voice").await.is_none());
    let first = run(&world, "subrosa-backup-voice-1").await;
    ends(&world, &first, "Succeeded", &report(&world, Some(12), None).await).await;
    backed_up(&world, "RestoreUnproven").await;
    is_told("cc-backups", 12).await;
    let isolated = world.channel(NS, "voice", |_| true).await;
    let isolated = condition::find(&isolated.conditions, condition::ISOLATED).unwrap().message.clone();
    assert!(!isolated.contains("subrosa-backup-voice"), "{isolated}");

    moves("elsewhere").await;
    is_told("elsewhere", 0).await;
    let (truth, message) = backed_up(&world, "BackupPending").await;
    assert!(truth == "Unknown" && message.contains("no backup was made yet"), "{message}");
    let second = run(&world, "subrosa-backup-voice-2").await;
    ends(&world, &second, "Succeeded", &report(&world, Some(1), None).await).await;
    backed_up(&world, "RestoreUnproven").await;
    is_told("elsewhere", 1).await;
    moves("cc-backups").await;
    is_told("cc-backups", 12).await;
}

/// Whoever may make pods in the namespace could read backups with the worker's identity, or tell of runs that never were.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_has_the_identity_of_a_worker() {
    let world = with_store().await;
    world.apply(&channel(NS, "voice", backup())).await;
    let jobs = world.api::<CronJob>(NS);
    let made = made(&world).await;
    let template = serde_json::to_value(made.spec.job_template.spec.clone().unwrap().template).unwrap();
    let plain = json!({"containers": [{"name": "a", "image": "example.org/a"}]});
    let mut with_account = plain.clone();
    with_account["serviceAccountName"] = json!(WORKER);
    let labels = json!({"subrosa.dev/backup": "voice"});
    let refused = async |what: &str, object: Value| {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let error = subrosa_e2e::installation::apply_object(&world.admin, &object).await.unwrap_err();
        assert!(
            format!("{error:#}").contains("are for the pods that make backups"),
            "{kind}, {what}: {error:#}"
        );
    };
    for (what, metadata, spec) in [
        ("with its ServiceAccount", json!({}), with_account.clone()),
        ("with its label", json!({"labels": labels}), plain.clone()),
        ("from its template", template["metadata"].clone(), template["spec"].clone()),
    ] {
        let named = |kind: &str, api: &str, spec: Value, metadata: &Value| {
            let mut all = json!({"name": "mine", "namespace": NS});
            all.as_object_mut().unwrap().extend(metadata.as_object().cloned().unwrap_or_default());
            json!({"apiVersion": api, "kind": kind, "metadata": all, "spec": spec})
        };
        let pod = json!({"metadata": metadata, "spec": {"restartPolicy": "Never"}});
        let mut pod = pod;
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().cloned().unwrap());
        refused(what, named("Pod", "v1", spec.clone(), &metadata)).await;
        refused(what, named("Job", "batch/v1", json!({"template": pod}), &json!({}))).await;
        let cron = json!({"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": pod}}});
        refused(what, named("CronJob", "batch/v1", cron, &json!({}))).await;
    }
    // Nor by changing what is there.
    let patched = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {"hostNetwork": true}}}}}});
    let error = jobs.patch(WORKER, &PatchParams::default(), &Patch::Merge(patched)).await.unwrap_err();
    assert!(error.to_string().contains("only the operator writes such a CronJob"), "{error}");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mine", "namespace": NS}, "spec": plain});
    world.service_account(NS, "default").await;
    subrosa_e2e::installation::apply_object(&world.admin, &pod).await.unwrap();
    let labelled = json!({"metadata": {"labels": labels}});
    let pods = world.api::<Pod>(NS);
    let error = pods.patch("mine", &PatchParams::default(), &Patch::Merge(labelled)).await.unwrap_err();
    assert!(error.to_string().contains("only the controller of Jobs"), "{error}");
    // Nor by its token, or by a shell.
    let of_worker = run(&world, "subrosa-backup-voice-1").await;
    let asks = async |path: String, body: Value| {
        let request = http::Request::post(path).body(serde_json::to_vec(&body).unwrap()).unwrap();
        world.admin.request::<Value>(request).await.unwrap_err().to_string()
    };
    let token = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["vault"]}});
    let error = asks(format!("/api/v1/namespaces/{NS}/serviceaccounts/{WORKER}/token"), token).await;
    assert!(error.contains("only the kubelet asks for such a token"), "{error}");
    let pod = of_worker.name_any();
    let error =
        asks(format!("/api/v1/namespaces/{NS}/pods/{pod}/exec?command=sh&stdout=true"), json!({})).await;
    assert!(error.contains("nobody looks into such a pod"), "{error}");
}

/// What the pod does, with what the operator made: its settings, its token, its rights in Vault. Only the store is another, a
/// directory; `e2e/tests/backup` has one that speaks S3.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_makes_is_what_a_run_needs() {
    let world = with_store().await;
    world.apply(&channel(NS, "voice", backup())).await;
    backed_up(&world, "BackupPending").await;
    let made = made(&world).await;
    let pod = run(&world, "subrosa-backup-voice-1").await;

    // As the kubelet mounts it.
    let mounted = tempfile::tempdir().unwrap();
    let at = |name: &str| mounted.path().join(name);
    for directory in ["store", "volumes/recordings/2026", "bucket/cc-backups"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    for (name, text) in [("a.wav", "the first call"), ("2026/b.wav", "the second call")] {
        fs::write(at("volumes/recordings").join(name), text).unwrap();
    }
    let mut settings = told(&world).await;
    settings.store.endpoint = format!("file://{}", at("bucket").display());
    settings.store.allow_insecure = true;
    fs::write(at("backup.yaml"), settings.to_yaml().unwrap()).unwrap();
    // A node itself may ask only for pods that the scheduler gave it.
    let kubelet = world.env.client_as("kubelet", &["system:nodes", "system:masters"]).unwrap();
    let asked = json!({"spec": {"audiences": [settings.vault.audience], "expirationSeconds": 600}});
    let asked: TokenRequest = serde_json::from_value(asked).unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(kubelet, NS);
    let token = accounts.create_token_request(WORKER, &PostParams::default(), &asked).await.unwrap();
    fs::write(at("token"), token.status.unwrap().token.unwrap()).unwrap();

    // The arguments of the CronJob, with these paths; nothing is mounted on the directories here.
    let container = &made.spec.job_template.spec.unwrap().template.spec.unwrap().containers[0];
    let here = |argument: &String| match argument.as_str() {
        "/etc/subrosa/backup.yaml" => at("backup.yaml").display().to_string(),
        "/var/run/secrets/subrosa/token" => at("token").display().to_string(),
        "/var/run/secrets/store" => at("store").display().to_string(),
        "/volumes" => at("volumes").display().to_string(),
        "/dev/termination-log" => at("report").display().to_string(),
        other => other.to_owned(),
    };
    let arguments: Vec<_> =
        container.args.iter().flatten().filter(|one| *one != "--mounted").map(here).collect();
    let subrosa = |arguments: &[String]| {
        let mut command = Command::new(operator::binary().unwrap());
        let output =
            command.args(arguments).env_remove("VAULT_TOKEN").env_remove("BAO_TOKEN").output().unwrap();
        (output.status.code(), format!("{output:?}"))
    };
    let (code, said) = subrosa(&arguments);
    assert_eq!(code, Some(0), "{said}");
    ends(&world, &pod, "Succeeded", &fs::read_to_string(at("report")).unwrap()).await;
    let (_, message) = backed_up(&world, "RestoreUnproven").await;
    let status = world.ready(NS, "voice").await.backup.unwrap();
    assert_eq!((status.run, status.files), (Some(1), Some(2)), "{message}");
    // From now on fewer manifests than that one are refused.
    world
        .until("settings that know the run", || async {
            let known = told(&world).await.at_least;
            if known == 1 { Ok(()) } else { Err(format!("{known}")) }
        })
        .await;

    let login = ["--config", "backup.yaml", "--token-file", "token", "--credentials", "store"];
    let login =
        login.map(|one| if one.starts_with("--") { one.to_owned() } else { at(one).display().to_string() });
    let with_login = |command: &[&str]| {
        let words = ["backup"].iter().chain(command).map(ToString::to_string);
        subrosa(&words.chain(login.clone()).collect::<Vec<_>>())
    };
    let (code, said) = with_login(&["list"]);
    assert!(code == Some(0) && said.contains("2026m") | said.contains("2027m"), "{said}");
    let (code, said) = with_login(&["check", "--read-data", "all"]);
    assert_eq!(code, Some(0), "{said}");
    let restored = at("restored").display().to_string();
    let (code, said) = with_login(&["restore", "--to", &restored]);
    assert_eq!(code, Some(0), "{said}");
    for name in ["a.wav", "2026/b.wav"] {
        let read = |below: &str| fs::read(at(below).join("recordings").join(name)).unwrap();
        assert_eq!(read("restored"), read("volumes"), "{name}");
    }
    // Without backups the same token opens nothing, however long it lives.
    world.apply(&channel(NS, "voice", json!({}))).await;
    world
        .until("the end of the worker's rights", || async {
            let (code, said) = with_login(&["list"]);
            if code != Some(0) && said.contains("VaultRefused") { Ok(()) } else { Err(said) }
        })
        .await;
}
