//! What the operator may write for backup workers: one form of ServiceAccount and CronJob, and no other.

use anyhow::Result;
use serde_json::{Value, json};
use subrosa::grants::{Installation, admission};

use crate::{
    operator::tries,
    request::{
        Expected::{Allowed, Denied},
        apply, delete, post,
    },
    world::{ADMIN, OPERATOR, World, core},
};

const ACCOUNT: &str = "subrosa-backup-account";
const FORM: &str = "subrosa-backup-form";
const IMAGE: &str = "registry.example/subrosa@sha256:0000";
const NAME: &str = "subrosa-backup-voice";

fn jobs(name: &str) -> String {
    let all = "/apis/batch/v1/namespaces/cc-front/cronjobs";
    if name.is_empty() { all.to_owned() } else { format!("{all}/{name}") }
}

/// As the operator writes it.
fn cron_job() -> Value {
    let labels = json!({"subrosa.dev/backup": "voice"});
    let container = json!({
        "name": "backup", "image": IMAGE, "args": subrosa_plan::backup::arguments(),
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": "/volumes/recordings", "readOnly": true}],
    });
    let token = json!({"serviceAccountToken": {"audience": "vault", "path": "token"}});
    let pod = json!({
        "serviceAccountName": NAME, "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": true},
        "containers": [container],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "recordings", "readOnly": true}},
            {"name": "settings", "configMap": {"name": "voice-backup"}},
            {"name": "vault", "projected": {"sources": [token]}},
            {"name": "store", "secret": {"secretName": "s", "items": [{"key": "accessKeyId", "path": "accessKeyId"}]}},
            {"name": "scratch", "emptyDir": {}},
        ],
    });
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": NAME, "labels": labels},
        "spec": {"schedule": "15 2 * * *", "jobTemplate": {"spec": {"template": {"metadata": {"labels": labels}, "spec": pod}}}},
    })
}

/// A drill, as the operator writes it.
fn drill() -> Value {
    let mut job = cron_job();
    job["metadata"]["name"] = json!("subrosa-drill-voice");
    let template = &mut job["spec"]["jobTemplate"]["spec"]["template"];
    template["metadata"]["labels"]["subrosa.dev/backup-drill"] = json!("voice");
    template["spec"]["containers"][0]["args"] = json!(subrosa_plan::backup::drill::arguments());
    template["spec"]["volumes"][0] = json!({"name": "drill", "emptyDir": {}});
    template["spec"]["containers"][0]["volumeMounts"][0] = json!({"name": "drill", "mountPath": "/drill"});
    job
}

/// A Job with the pod of a CronJob.
fn job_of(cron_job: &Value, name: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "labels": cron_job["metadata"]["labels"]},
        "spec": cron_job["spec"]["jobTemplate"]["spec"],
    })
}

/// The same, which dumps databases too.
fn dumping() -> Value {
    let image = format!("registry.example:5000/postgres@sha256:{}", "a".repeat(64));
    let dump = json!({
        "name": "dump-main", "image": image, "restartPolicy": "Always",
        "command": subrosa_plan::backup::dumps::dump_command(),
        "args": ["dump", "main", "abcdefghijklmnop", "db.cc-front.svc", "5432", "backup", "cc"],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "dumps", "mountPath": "/dumps"},
            {"name": "tls-aa", "mountPath": "/var/run/secrets/database", "readOnly": true},
        ],
    });
    let items = json!([{"key": "tls.crt", "path": "tls.crt"}, {"key": "tls.key", "path": "tls.key"}]);
    let mut job = cron_job();
    let pod = &mut job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    pod["initContainers"] = json!([dump]);
    let volumes = pod["volumes"].as_array_mut().unwrap();
    volumes.push(json!({"name": "dumps", "emptyDir": {"medium": "Memory"}}));
    volumes.push(json!({"name": "tls-aa", "secret": {"secretName": "voice-dump", "items": items}}));
    job
}

/// The same with one thing otherwise.
fn with(pointer: &str, value: Value) -> Value {
    changed(cron_job(), pointer, value)
}

fn changed(mut job: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let pod = "/spec/jobTemplate/spec/template";
    let parent = parent.replace("POD", pod);
    job.pointer_mut(&parent).unwrap()[field] = value;
    job
}

fn account(name: &str, mounts: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": mounts,
        "metadata": {"name": name, "labels": {"subrosa.dev/backup": "voice"}},
    })
}

pub async fn workers_have_one_form(world: &World) -> Result<()> {
    // `deploy/` knows no image, so nothing passes there.
    let make = |job: Value| post(jobs(""), job).dry();
    let image = Denied(FORM, "one container of the image of this release");
    let unknown = vec![tries("makes a CronJob while no image is known", make(cron_job()), image)];
    world.try_all("backup workers without an image", unknown).await?;
    let known = Installation::default().with_worker_image(IMAGE)?;
    for guard in admission::policies(&known).into_iter().filter(|guard| guard.name() == FORM) {
        let path = format!("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{FORM}");
        world.must(ADMIN, apply(path, serde_json::to_value(&guard.policy)?)).await?;
    }
    // An API server takes a moment to learn of a policy.
    world
        .eventually("the policy with an image", async || {
            Ok((200..300).contains(&world.call(OPERATOR, make(cron_job())).await?.status))
        })
        .await?;
    let names = Denied(FORM, "writes CronJobs subrosa-backup-<channel>");
    let accounts_only = Denied(ACCOUNT, "writes ServiceAccounts subrosa-backup-<channel>");
    let own = Denied(FORM, "they run as the ServiceAccount of the worker");
    let volumes = Denied(FORM, "claims that are mounted read-only");
    let privileges = Denied(FORM, "without privileges");
    let dump = Denied(FORM, "before it those that dump databases");
    let job = |what, pointer: &str, value: Value, expected| tries(what, make(with(pointer, value)), expected);
    let dumped = |what, field: &str, value: Value, expected| {
        let pointer = format!("POD/spec/initContainers/0/{field}");
        tries(what, make(changed(dumping(), &pointer, value)), expected)
    };
    let volume = |value: Value| {
        let mut all = cron_job()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"].clone();
        all.as_array_mut().unwrap().push(value);
        all
    };
    let of = |what, value: Value| job(what, "POD/spec/volumes", volume(value), volumes);
    let key = json!([{"key": "tls.key", "path": "tls.key"}]);
    let accounts = core("cc-front", "serviceaccounts", "");
    let mut more = cron_job()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"].clone();
    more.as_array_mut().unwrap().push(json!({"name": "more", "image": IMAGE}));
    let cases = vec![
        tries("makes it", make(cron_job()), Allowed),
        job("of another name", "/metadata/name", json!("nightly"), names),
        job("of another Channel", "/metadata/name", json!("subrosa-backup-chat"), names),
        job("without its label", "/metadata/labels", json!({}), names),
        job("as a workload", "POD/spec/serviceAccountName", json!("sbc"), own),
        job("as the default account", "POD/spec/serviceAccountName", json!("default"), own),
        job("with a pod of another", "POD/metadata/labels", json!({"subrosa.dev/backup": "chat"}), own),
        job("from another image", "POD/spec/containers/0/image", json!("registry.example/tool"), image),
        job("by another tag", "POD/spec/containers/0/image", json!("registry.example/subrosa:latest"), image),
        job("with a command", "POD/spec/containers/0/command", json!(["sh"]), image),
        job("with other arguments", "POD/spec/containers/0/args", json!(["unseal", "-"]), image),
        job(
            "with a variable",
            "POD/spec/containers/0/env",
            json!([{"name": "VAULT_TOKEN", "value": "a"}]),
            image,
        ),
        job("with variables", "POD/spec/containers/0/envFrom", json!([{"secretRef": {"name": "s"}}]), image),
        job(
            "with a hook",
            "POD/spec/containers/0/lifecycle",
            json!({"postStart": {"exec": {"command": ["sh"]}}}),
            image,
        ),
        job("with a second container", "POD/spec/containers", more, image),
        job("with another first", "POD/spec/initContainers", json!([{"name": "a", "image": IMAGE}]), dump),
        of(
            "with a volume that it may write",
            json!({"name": "w", "persistentVolumeClaim": {"claimName": "recordings"}}),
        ),
        of("with the node's files", json!({"name": "w", "hostPath": {"path": "/"}})),
        of("with another ConfigMap", json!({"name": "w", "configMap": {"name": "chat-backup"}})),
        of("with a whole Secret", json!({"name": "w", "secret": {"secretName": "voice-mtls"}})),
        of("with a private key", json!({"name": "w", "secret": {"secretName": "voice-mtls", "items": key}})),
        of(
            "with a projected Secret",
            json!({"name": "w", "projected": {"sources": [{"secret": {"name": "voice-mtls"}}]}}),
        ),
        of("with an image as a volume", json!({"name": "w", "image": {"reference": IMAGE}})),
        job("on the node's network", "POD/spec/hostNetwork", json!(true), privileges),
        job("among the node's processes", "POD/spec/hostPID", json!(true), privileges),
        job("perhaps as root", "POD/spec/securityContext", json!({}), privileges),
        job(
            "with privilege",
            "POD/spec/containers/0/securityContext",
            json!({"privileged": true, "capabilities": {"drop": ["ALL"]}}),
            privileges,
        ),
        job(
            "with a capability",
            "POD/spec/containers/0/securityContext/capabilities",
            json!({"drop": ["ALL"], "add": ["SYS_PTRACE"]}),
            privileges,
        ),
        tries("makes one that dumps databases", make(dumping()), Allowed),
        dumped("that dumps by a tag", "image", json!("registry.example/postgres:17"), dump),
        dumped("that dumps by another command", "command", json!(["sh", "-c", "env"]), dump),
        dumped("that dumps by more", "args", json!(["dump", "other", "a", "b", "5432", "c", "d"]), dump),
        dumped("that ends by itself", "restartPolicy", Value::Null, dump),
        dumped("that dumps under another name", "name", json!("main"), dump),
        dumped("that dumps with a variable", "env", json!([{"name": "PGHOST", "value": "a"}]), dump),
        dumped("that dumps with a probe", "startupProbe", json!({"exec": {"command": ["sh"]}}), dump),
        dumped(
            "that dumps with the token for Vault",
            "volumeMounts",
            json!([{"name": "vault", "mountPath": "/t", "readOnly": true}]),
            dump,
        ),
        dumped(
            "that dumps with the data",
            "volumeMounts",
            json!([{"name": "data", "mountPath": "/t", "readOnly": true}]),
            dump,
        ),
        dumped("that dumps with privilege", "securityContext", json!({"privileged": true}), privileges),
        tries(
            "whose worker has the certificate too",
            make(changed(
                dumping(),
                "POD/spec/containers/0/volumeMounts",
                json!([{"name": "tls-aa", "mountPath": "/t", "readOnly": true}]),
            )),
            image,
        ),
        tries("makes the worker's account", post(&accounts, account(NAME, false)).dry(), Allowed),
        tries("makes another account", post(&accounts, account("voice", false)).dry(), accounts_only),
        tries(
            "makes one that mounts a token",
            post(&accounts, account(NAME, true)).dry(),
            Denied(ACCOUNT, "mounts no token"),
        ),
    ];
    world.try_all("the form of backup workers", cases).await?;
    let now = |job: Value| post("/apis/batch/v1/namespaces/cc-front/jobs".to_owned(), job).dry();
    let other = |mut job: Value, pointer: &str, value: Value| {
        *job.pointer_mut(&format!("/spec/jobTemplate/spec/template{pointer}")).unwrap() = value;
        job
    };
    let claim =
        json!({"name": "drill", "persistentVolumeClaim": {"claimName": "recordings", "readOnly": true}});
    let ephemeral = json!({"name": "drill", "ephemeral": {"volumeClaimTemplate": {"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
    }}}});
    let second = "subrosa-backup-voice-1700000000";
    let of_drill = json!({"subrosa.dev/backup": "voice", "subrosa.dev/backup-drill": "voice"});
    let with_claim = other(drill(), "/spec/volumes/0", claim);
    let named = |job: &Value, name: &str| now(job_of(job, name));
    let cases = vec![
        tries("makes a drill", make(drill()), Allowed),
        tries("on a volume of its own", make(other(drill(), "/spec/volumes/0", ephemeral.clone())), Allowed),
        tries("makes a run now", named(&cron_job(), second), Allowed),
        tries("makes a drill now", named(&drill(), "subrosa-drill-voice-1700000000"), Allowed),
        tries("makes a drill with the data", make(with_claim), volumes),
        tries("a run with another volume", make(other(cron_job(), "/spec/volumes/4", ephemeral)), volumes),
        tries(
            "a drill that backs up",
            make(other(drill(), "/spec/containers/0/args", json!(subrosa_plan::backup::arguments()))),
            image,
        ),
        tries(
            "a run that restores",
            make(other(
                cron_job(),
                "/spec/containers/0/args",
                json!(subrosa_plan::backup::drill::arguments()),
            )),
            image,
        ),
        tries("a run that tells as a drill", make(other(cron_job(), "/metadata/labels", of_drill)), own),
        tries("a Job that is named as it likes", named(&cron_job(), "nightly"), names),
        tries("a Job of another Channel", named(&cron_job(), "subrosa-backup-chat-1700000000"), names),
        tries("a Job without its time", named(&cron_job(), NAME), names),
        tries(
            "a Job of another image",
            named(&other(cron_job(), "/spec/containers/0/image", json!("registry.example/tool")), second),
            image,
        ),
        tries(
            "a Job as a workload",
            named(&other(cron_job(), "/spec/serviceAccountName", json!("sbc")), second),
            own,
        ),
    ];
    world.try_all("drills, and Jobs beside the schedule", cases).await?;
    let mut theirs = cron_job();
    theirs["metadata"] = json!({"name": "nightly"});
    theirs["spec"]["jobTemplate"]["spec"]["template"] = json!({
        "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "registry.example/a"}]},
    });
    world.must(ADMIN, post(jobs(""), theirs)).await?;
    let cases = vec![tries("deletes another CronJob", delete(jobs("nightly")).dry(), names)];
    world.try_all("another CronJob", cases).await
}
