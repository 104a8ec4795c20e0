use serde_json::{Value, json};
use subrosa_crds::{
    backup::{BackupSettings, FILE},
    names::BACKUP_CLASS,
};

use super::*;
use crate::{
    channel::{Plan, Scope},
    record::channel::ActiveKey,
    testing::{DOMAIN, Scene, certificate, now},
};

fn store() -> Value {
    json!({
        "vault": {"address": "https://openbao.security.svc:8200"},
        "backup": {"store": {"endpoint": "https://s3.example.org/", "region": "eu-1", "bucket": "cc-backups"}},
        "network": {"services": [
            {"name": "vault", "namespace": "security", "ports": [8200], "for": "Sealing"},
            {"name": "s3", "cidrs": ["203.0.113.0/28"], "ports": [443], "for": "Backup"},
            {"name": "prometheus", "namespace": "monitoring", "direction": "Ingress", "for": "All"},
            {"name": "others", "cidrs": ["198.51.100.0/28"], "ports": [443], "for": "Named"},
        ]},
    })
}

fn voice(patch: Value) -> Value {
    let mut backup =
        json!({"schedule": "15 2 * * *", "volumes": ["recordings"], "writeSecret": "voice-store"});
    crate::testing::merge(&mut backup, patch);
    json!({"backup": backup})
}

fn scene(patch: Value) -> Scene {
    let mut scene = Scene::new().domain(DOMAIN, store()).channel("cc-front/voice", voice(patch));
    scene.world.worker_image = Some("example.org/subrosa@sha256:aa".into());
    scene
}

fn objects_of(plan: &Plan) -> WorkerObjects {
    match &plan.backup {
        WantedBackup::Wanted(wanted) => (**wanted).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_worker_has_the_volumes_read_only_and_no_privilege() {
    let plan = scene(json!({"runAsUser": 1000, "timeZone": "Europe/Lisbon"})).plan("cc-front/voice");
    let WorkerObjects { account, cron_job, .. } = objects_of(&plan);
    assert_eq!(account.automount_service_account_token, Some(false));
    let text = serde_json::to_string_pretty(&cron_job).unwrap();
    insta::assert_snapshot!(text.replace(plan.id.as_str(), "<id>"));
}

#[test]
fn a_worker_reaches_dns_vault_and_the_store_and_nobody_reaches_it() {
    let plan = scene(json!({})).plan("cc-front/voice");
    let policy = objects_of(&plan).policy.spec.unwrap();
    assert!(policy.ingress.unwrap().is_empty());
    let text = serde_json::to_string(&policy.egress).unwrap();
    for reached in ["security", "203.0.113.0/28", "kube-dns", "8200", "443"] {
        assert!(text.contains(reached), "{reached}: {text}");
    }
    assert!(!text.contains("198.51.100.0/28") && !text.contains("monitoring"), "{text}");
    assert_eq!(policy.policy_types.unwrap(), ["Ingress", "Egress"]);
    let label = policy.pod_selector.unwrap().match_labels.unwrap();
    assert_eq!(label.get(WORKER_LABEL).map(String::as_str), Some("voice"));
    // The Channel's own pods do not get to the store by it.
    assert!(!serde_json::to_string(&plan.policy.spec).unwrap().contains("203.0.113.0/28"));
}

#[test]
fn a_worker_is_told_where_store_and_keys_are() {
    let mut domain = store();
    domain["backup"]["store"]["caBundle"] = json!({"configMap": "roots", "key": "ca.crt"});
    let scene =
        scene(json!({})).domain(DOMAIN, domain).bundle("roots", &format!("# ours\n{}", certificate(1)));
    let plan = scene.plan("cc-front/voice");
    let settings = objects_of(&plan).settings;
    assert_eq!(settings.metadata.name.as_deref(), Some("voice-backup"));
    let told = BackupSettings::from_yaml(&settings.data.unwrap()[FILE]).unwrap();
    assert_eq!((told.id, told.store.endpoint.as_str()), (plan.id, "https://s3.example.org"));
    assert_eq!(told.store.ca_bundle, Some(certificate(1)));
    assert_eq!((told.volumes, told.time_zone), (vec!["recordings".to_owned()], "Europe/Amsterdam".into()));
    assert_eq!((told.store.lock, told.at_least), (None, 0));
}

#[test]
fn a_worker_is_told_of_locks_and_of_the_newest_run() {
    let mut domain = store();
    domain["backup"]["store"]["lock"] = json!({"mode": "Compliance", "days": 95});
    let scene = scene(json!({})).domain(DOMAIN, domain);
    let mut record = scene.first_record("cc-front/voice");
    let run = crate::record::backup::SuccessfulRun { started: now(), run: 12, files: 1, bytes: 1 };
    record.backup = Some(Box::new(BackupRecord { success: Some(run), ..BackupRecord::default() }));
    let settings = objects_of(&scene.plan_with("cc-front/voice", Some(&record))).settings;
    let told = BackupSettings::from_yaml(&settings.data.unwrap()[FILE]).unwrap();
    assert_eq!(told.store.lock.map(|lock| (lock.mode.as_str(), lock.days)), Some(("COMPLIANCE", 95)));
    assert_eq!(told.at_least, 12, "fewer manifests in the store were removed there");
}

#[test]
fn a_worker_is_told_which_windows_were_destroyed() {
    let scene = scene(json!({}));
    let mut record = scene.first_record("cc-front/voice");
    let (old, call) = ("2026m01".parse().unwrap(), "2026w01".parse().unwrap());
    record.destroyed = record.destroyed.with("subrosa-backup", old).with("call-recording", call);
    let settings = objects_of(&scene.plan_with("cc-front/voice", Some(&record))).settings;
    let told = BackupSettings::from_yaml(&settings.data.unwrap()[FILE]).unwrap();
    assert_eq!(told.destroyed, ["2026m01"]);
}

/// The policy binds the keys of backups as those of data, also of a Channel that seals nothing.
#[test]
fn a_window_is_due_as_the_policy_says() {
    let with = |classes: Value| {
        let scene = scene(json!({})).retention("contactcenter", json!({"classes": classes}));
        let plan = scene.plan("cc-front/voice");
        let policy = plan.validated.as_ref().unwrap().kept_by();
        let window = "2026m11".parse().unwrap();
        crate::keys::key_record(&plan.id, BACKUP_CLASS, window, &ActiveKey::default(), policy, None)
    };
    let calls = json!({"name": "call-recording", "keep": "90d"});
    let known = with(json!([calls, {"name": BACKUP_CLASS, "keep": "35d"}]));
    assert_eq!((known.due, known.terms.unwrap().keep), (Some("2027-01-05".parse().unwrap()), "35d".into()));
    // As soon as the policy has the class, it binds what was made before.
    let known = with(json!([calls]));
    let terms = known.terms.unwrap();
    assert_eq!((known.due, terms.policy.as_str(), terms.keep.as_str()), (None, "contactcenter", ""));
}

#[test]
fn a_policy_that_is_named_must_be_there_and_another_need_not() {
    let named = |policy: &str| {
        let scene = scene(json!({}));
        let mut channel = voice(json!({}));
        channel["retentionPolicy"] = json!(policy);
        scene.channel("cc-front/voice", channel)
    };
    assert!(matches!(named("contactcenter").plan("cc-front/voice").scope, Scope::Full));
    let Scope::Stalled(problems) = named("elsewhere").plan("cc-front/voice").scope else { panic!() };
    assert_eq!((problems.len(), problems[0].reason), (1, Reason::RetentionPolicyForbidden));
    let mut without = scene(json!({}));
    without.world.retention.clear();
    let plan = without.plan("cc-front/voice");
    assert!(matches!(plan.scope, Scope::Full) && plan.validated.unwrap().kept_by().is_none());
}

#[test]
fn keys_are_made_for_this_window_and_the_next_under_a_prefix_of_their_own() {
    let plan = scene(json!({})).plan("cc-front/voice");
    let names: Vec<_> = plan.keys.iter().map(|key| key.name.replace(plan.id.as_str(), "<id>")).collect();
    assert_eq!(names, ["<id>b.subrosa-backup.2026m11", "<id>b.subrosa-backup.2026m12"]);
}

#[test]
fn without_a_store_a_time_or_an_image_nothing_is_made() {
    for (scene, reason) in [
        (scene(json!({})).domain(DOMAIN, json!({})), Reason::BackupStoreMissing),
        (scene(json!({"schedule": "99 2 * * *"})), Reason::ScheduleInvalid),
        (scene(json!({"timeZone": "Europe/Atlantis"})), Reason::ScheduleInvalid),
    ] {
        let plan = scene.plan("cc-front/voice");
        let Scope::Stalled(problems) = &plan.scope else { panic!("{reason}") };
        assert_eq!(problems[0].reason, reason);
        assert_eq!((&plan.backup, plan.keys.len()), (&WantedBackup::Kept, 0));
    }
    let mut without = scene(json!({}));
    without.world.worker_image = None;
    let WantedBackup::Unknown(fault) = without.plan("cc-front/voice").backup else { panic!() };
    assert_eq!(fault.reason, Reason::WorkerImageUnknown);
}

#[test]
fn access_is_for_the_account_that_is_there_and_ends_with_the_backups() {
    let scene = scene(json!({}));
    assert_eq!(scene.plan("cc-front/voice").backed_up.unwrap().worker, None);
    let scene = scene.account("cc-front/subrosa-backup-voice", "uid-1");
    let noted = scene.plan("cc-front/voice").backed_up.unwrap();
    assert_eq!((noted.worker.as_deref(), noted.since), (Some("uid-1"), Some(now())));
    let mut record = scene.first_record("cc-front/voice");
    record.backup = Some(Box::new(noted.clone()));
    assert_eq!(withdrawn(&record, Some(&noted)), None);
    // Another ServiceAccount of the same name is another identity.
    let recreated = scene.account("cc-front/subrosa-backup-voice", "uid-2");
    let again = recreated.plan_with("cc-front/voice", Some(&record)).backed_up.unwrap();
    assert_eq!(withdrawn(&record, Some(&again)), Some("uid-1"));
    let ended = recreated.channel("cc-front/voice", json!({}));
    let plan = ended.plan_with("cc-front/voice", Some(&record));
    assert_eq!((&plan.backup, plan.backed_up.as_ref()), (&WantedBackup::None, None));
    assert_eq!(withdrawn(&record, plan.backed_up.as_ref()), Some("uid-1"));
}

/// What drills look like, beside the runs.
fn drilled(patch: Value) -> Scene {
    let mut drill = json!({"drill": {"schedule": "0 4 1 * *"}});
    crate::testing::merge(&mut drill["drill"], patch);
    scene(drill)
}

#[test]
fn a_drill_is_the_worker_without_the_data_and_with_a_place_of_its_own() {
    let objects = objects_of(&drilled(json!({"timeZone": "Europe/Lisbon"})).plan("cc-front/voice"));
    let drill = serde_json::to_value(objects.drill.unwrap()).unwrap();
    assert_eq!(drill["metadata"]["name"], "subrosa-drill-voice");
    assert_eq!(
        (&drill["spec"]["schedule"], &drill["spec"]["timeZone"]),
        (&json!("0 4 1 * *"), &json!("Europe/Lisbon"))
    );
    let template = &drill["spec"]["jobTemplate"]["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["subrosa.dev/backup"], "voice");
    assert_eq!(template["metadata"]["labels"]["subrosa.dev/backup-drill"], "voice");
    let pod = &template["spec"];
    assert_eq!(pod["serviceAccountName"], "subrosa-backup-voice", "the rights of a worker");
    assert_eq!(pod["containers"][0]["args"], json!(drill::arguments()));
    let text = pod.to_string();
    assert!(!text.contains("persistentVolumeClaim") && !text.contains("recordings"), "{text}");
    assert_eq!(pod["affinity"], Value::Null);
    let place = |pod: &Value| pod["volumes"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(place(pod), json!({"name": "drill", "emptyDir": {"sizeLimit": "10Gi"}}));
    // The runs are as they are without drills.
    let runs = serde_json::to_value(&objects.cron_job).unwrap();
    let without = objects_of(&scene(json!({})).plan("cc-front/voice"));
    assert_eq!((runs, without.drill), (serde_json::to_value(without.cron_job).unwrap(), None));
    let on_volume = drilled(json!({"size": "200Gi", "storageClass": "fast"})).plan("cc-front/voice");
    let on_volume = serde_json::to_value(objects_of(&on_volume).drill.unwrap()).unwrap();
    let pod = &on_volume["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let claim = &place(pod)["ephemeral"]["volumeClaimTemplate"]["spec"];
    assert_eq!(
        (&claim["storageClassName"], &claim["resources"]["requests"]["storage"]),
        (&json!("fast"), &json!("200Gi"))
    );
    assert_eq!(pod["securityContext"]["fsGroup"], 65532);
    let bad = drilled(json!({"schedule": "0 4 31 2 99"})).plan("cc-front/voice");
    let Scope::Stalled(problems) = &bad.scope else { panic!() };
    assert_eq!(
        (problems[0].reason, problems[0].field),
        (Reason::ScheduleInvalid, "spec.backup.drill.schedule")
    );
}

#[test]
fn a_job_is_made_for_what_was_asked_and_for_the_first_drill() {
    let asked = |annotation: &str, value: &str| {
        let scene = drilled(json!({}));
        let asking = crate::testing::edited(scene.get("cc-front/voice"), |object| {
            let annotations = object.metadata.annotations.get_or_insert_default();
            annotations.insert(annotation.to_owned(), value.to_owned());
        });
        let scene = scene.given(asking);
        let jobs = objects_of(&scene.plan("cc-front/voice")).jobs;
        jobs.into_iter().map(|job| (job.metadata.name.clone().unwrap(), job)).collect::<Vec<_>>()
    };
    let (backup, drill) = (subrosa_crds::BACKUP_NOW_ANNOTATION, subrosa_crds::DRILL_NOW_ANNOTATION);
    let at = |minutes: i64| (now() + jiff::SignedDuration::from_mins(minutes)).to_string();
    let made = asked(backup, &at(-59));
    let (name, job) = &made[0];
    let second = (now() - jiff::SignedDuration::from_mins(59)).as_second();
    assert_eq!((name, made.len()), (&format!("subrosa-backup-voice-{second}"), 1));
    let spec = job.spec.as_ref().unwrap();
    let cron_job = objects_of(&drilled(json!({})).plan("cc-front/voice")).cron_job;
    assert_eq!(
        spec.template,
        cron_job.spec.job_template.spec.unwrap().template,
        "exactly that of the CronJob"
    );
    assert_eq!(spec.ttl_seconds_after_finished, Some(24 * 3600));
    assert!(asked(drill, &at(10))[0].0.starts_with("subrosa-drill-voice-"));
    for (value, why) in [(at(-61), "too late"), (at(61), "too early"), ("soon".into(), "no time")] {
        assert!(asked(backup, &value).is_empty(), "{why}");
    }
    // The first drill follows the first backup, and is the same Job until it has told something.
    let scene = drilled(json!({}));
    let jobs = |known: BackupRecord| {
        let mut record = scene.first_record("cc-front/voice");
        record.backup = Some(Box::new(known));
        let plan = scene.plan_with("cc-front/voice", Some(&record));
        let names = objects_of(&plan).jobs.into_iter().filter_map(|job| job.metadata.name);
        (names.collect::<Vec<_>>(), plan.backed_up.unwrap())
    };
    let (none, before) = jobs(BackupRecord::default());
    assert_eq!((none, before.drill.as_ref().unwrap().since), (vec![], now()));
    let run = crate::record::backup::SuccessfulRun { started: now(), run: 1, files: 1, bytes: 1 };
    let backed_up = BackupRecord { success: Some(run), ..before };
    let first = format!("subrosa-drill-voice-{}", now().as_second());
    assert_eq!(jobs(backed_up.clone()).0, [first]);
    let mut failed = backed_up;
    failed.drill.as_mut().unwrap().failure =
        Some(crate::record::backup::FailedRun { started: now(), reason: None, message: "no".into() });
    assert_eq!(jobs(failed).0, Vec::<String>::new(), "the schedule tries again");
}

#[test]
fn a_proof_holds_as_long_as_is_declared() {
    let until = |patch: Value| {
        let scene = drilled(patch);
        let channel =
            scene.world.channel(&subrosa_crds::names::ChannelRef::new("cc-front", "voice")).unwrap();
        let domain = &scene.world.domains[DOMAIN];
        let last = "2026-11-01T12:00:00Z".parse().unwrap();
        drill::proven_until(channel, domain, last).unwrap().to_string()
    };
    assert_eq!(until(json!({})), "2026-12-06T12:00:00Z", "35 days");
    assert_eq!(until(json!({"within": "7d"})), "2026-11-08T12:00:00Z");
    // Until the next one of a rarer schedule is late.
    assert_eq!(until(json!({"schedule": "0 4 1 1,7 *"})), "2027-01-01T11:00:00Z");
}

fn databases() -> Value {
    let image = format!("registry.example/postgres@sha256:{}", "a".repeat(64));
    json!([
        {"name": "main", "preset": "PostgreSQL", "host": "db.cc-front.svc", "user": "backup", "names": ["cc", "crm"],
         "image": image, "tlsSecret": "voice-dump"},
        {"name": "other", "preset": "PostgreSQL", "host": "db.cc-front.svc", "port": 5433, "user": "backup",
         "names": ["cc"], "image": image, "tlsSecret": "voice-dump"},
    ])
}

fn database(listeners: Value) -> Scene {
    let mut spec = voice(json!({"volumes": null, "databases": databases()}));
    spec["listeners"] = listeners;
    let mut scene = Scene::new().domain(DOMAIN, store()).channel("cc-front/voice", spec);
    scene.world.worker_image = Some("example.org/subrosa@sha256:aa".into());
    scene
}

#[test]
fn databases_are_dumped_by_containers_that_have_nothing_but_a_certificate() {
    let plan = database(json!([{"name": "pg", "port": 5432, "endPort": 5440}])).plan("cc-front/voice");
    let WorkerObjects { cron_job, settings, policy, .. } = objects_of(&plan);
    let told = BackupSettings::from_yaml(&settings.data.unwrap()[FILE]).unwrap();
    assert!(told.volumes.is_empty());
    assert_eq!((told.databases[0].name.as_str(), told.databases[0].names.len()), ("main", 2));
    let pod = cron_job.spec.job_template.spec.unwrap().template.spec.unwrap();
    let containers = pod.init_containers.unwrap();
    assert_eq!(
        containers.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["dump-main", "dump-other"]
    );
    let dump = &containers[0];
    let arguments: Vec<_> = dump.args.as_ref().unwrap().iter().map(String::as_str).collect();
    let wanted = ["dump", "main", plan.id.as_str(), "db.cc-front.svc", "5432", "backup", "cc", "crm"];
    assert_eq!(arguments, wanted);
    assert_eq!(dump.command.as_ref().unwrap()[..2], ["/bin/sh", "-c"]);
    assert_eq!(dump.restart_policy.as_deref(), Some("Always"), "it ends with the worker");
    assert!(dump.security_context.as_ref().unwrap().read_only_root_filesystem.unwrap());
    let mounts: Vec<_> =
        dump.volume_mounts.as_ref().unwrap().iter().map(|one| one.mount_path.as_str()).collect();
    assert_eq!(mounts, ["/dumps", "/var/run/secrets/database"], "no token, no credentials, no data");
    let worker = pod.containers[0].volume_mounts.as_ref().unwrap();
    assert!(!worker.iter().any(|mount| mount.mount_path == "/var/run/secrets/database"));
    let pipes = worker.iter().find(|mount| mount.mount_path == "/dumps").unwrap();
    assert_eq!(pipes.read_only, Some(true));
    let volumes = pod.volumes.unwrap();
    let pipes = volumes.iter().find(|volume| volume.name == pipes.name).unwrap();
    assert_eq!(pipes.empty_dir.as_ref().unwrap().medium.as_deref(), Some("Memory"));
    let secret = volumes.iter().filter_map(|volume| volume.secret.as_ref());
    assert_eq!(secret.filter(|secret| secret.secret_name.as_deref() == Some("voice-dump")).count(), 2);

    // The worker gets to the Channel's pods at these ports, and they let it in; nobody else does.
    let egress = policy.spec.unwrap().egress.unwrap();
    let out = serde_json::to_string(egress.last().unwrap()).unwrap();
    assert!(out.contains(r#""app":"voice""#) && out.contains("5432") && out.contains("5433"), "{out}");
    let ingress = plan.policy.spec.unwrap().ingress.unwrap();
    let ingress: Vec<_> = ingress.iter().map(|rule| serde_json::to_string(rule).unwrap()).collect();
    let of_workers: Vec<_> = ingress.iter().filter(|rule| rule.contains(WORKER_LABEL)).collect();
    assert_eq!(of_workers.len(), 1, "{ingress:?}");
    assert!(of_workers[0].contains("5433"));
    assert!(dumps::ingress(scene(json!({})).get("cc-front/voice")).is_none());
}

#[test]
fn only_the_channels_own_databases_are_dumped() {
    let plan = database(json!([{"name": "pg", "port": 5432}])).plan("cc-front/voice");
    let Scope::Stalled(problems) = &plan.scope else { panic!("{:?}", plan.scope) };
    assert_eq!(problems[0].reason, Reason::DatabaseNotListening);
    assert!(
        problems[0].message.contains("other: no TCP listener of this Channel has port 5433"),
        "{problems:?}"
    );
}

/// An admission policy has the command as a text in quotes.
#[test]
fn the_command_of_a_dump_needs_no_quoting() {
    assert!(dumps::dump_command().iter().all(|word| !word.contains(['\'', '\\', '\n', '{'])));
}
