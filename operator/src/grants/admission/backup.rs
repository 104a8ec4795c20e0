//! The pods that make backups mount a Channel's volumes and open its backups. So they are made from one form alone, and
//! nobody else has their identity.

use k8s_openapi::api::admissionregistration::v1::{Validation, Variable};
use subrosa_crds::rules;
use subrosa_plan::backup::{
    CONTAINER, PREFIX, WORKER_LABEL, arguments, config_map_name, drill,
    dumps::{DUMP_CONTAINER, DUMP_FILES, DUMP_TLS, DUMP_VOLUME, dump_command},
};

use super::{Draft, Guard, condition, demand, rule, variable};
use crate::grants::Installation;

/// Who makes pods from Jobs and Jobs from CronJobs: with credentials for each controller, and without.
const MANAGER: &str = "system:kube-controller-manager";

pub(super) fn guards(installation: &Installation) -> [Guard; 3] {
    [account(installation), form(installation), identity(installation)].map(Draft::finish)
}

/// The name of the object and of its Channel, also where it is deleted.
fn own_name() -> [Variable; 2] {
    let object = "(request.operation == 'DELETE' ? oldObject : object)";
    [
        variable("name", format!("{object}.metadata.name")),
        variable("channel", format!("{object}.metadata.?labels['{WORKER_LABEL}'].orValue('')")),
    ]
}

/// The name of a worker's ServiceAccount and CronJob.
fn named(kind: &str) -> Validation {
    demand(
        format!("variables.channel != '' && variables.name == '{PREFIX}' + variables.channel"),
        format!(
            "'the operator writes {kind}s {PREFIX}<channel> that are labelled {WORKER_LABEL}, not ' + variables.name"
        ),
    )
}

/// Which ServiceAccounts the operator may write.
fn account(installation: &Installation) -> Draft {
    let user = installation.user();
    Draft {
        name: "subrosa-backup-account",
        description: "The operator writes the ServiceAccounts of backup workers, which mount no token; no other.",
        rules: vec![rule("", "v1", &["serviceaccounts"], &["CREATE", "UPDATE", "DELETE"])],
        conditions: vec![condition("operator", format!("request.userInfo.username == '{user}'"))],
        variables: own_name().into(),
        validations: vec![
            named("ServiceAccount"),
            demand(
                "request.operation == 'DELETE' || \
                 (!object.?automountServiceAccountToken.orValue(true) && object.?secrets.orValue([]).size() == 0)"
                    .to_owned(),
                "'the ServiceAccount of a backup worker mounts no token and names no Secret: ' + variables.name"
                    .to_owned(),
            ),
        ],
    }
}

/// Which CronJobs the operator may write, and which Jobs it may make.
fn form(installation: &Installation) -> Draft {
    let user = installation.user();
    let pod = "variables.pod";
    let (channel, own) = ("variables.channel", "variables.name");
    let list = |args: Vec<String>| listed(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let (run, drill) = (list(arguments()), list(drill::arguments()));
    let harmless = "!c.?securityContext.?allowPrivilegeEscalation.orValue(true) && \
         !c.?securityContext.?privileged.orValue(false) && \
         c.?securityContext.?capabilities.?drop.orValue([]) == ['ALL'] && \
         c.?securityContext.?capabilities.?add.orValue([]).size() == 0";
    let image = installation.worker_image().unwrap_or_default();
    let job = is_job();
    let on_job = |expression: String| format!("request.operation == 'DELETE' || ({expression})");
    let volume = [
        "has(volume.persistentVolumeClaim) && volume.persistentVolumeClaim.?readOnly.orValue(false) && \
         !variables.drill"
            .to_owned(),
        format!("has(volume.ephemeral) && variables.drill && volume.name == '{}'", drill::VOLUME),
        format!("has(volume.configMap) && volume.configMap.name == {channel} + '{}'", config_map_name("")),
        "has(volume.projected) && volume.projected.sources.all(source, has(source.serviceAccountToken))"
            .to_owned(),
        "has(volume.secret) && volume.secret.?items.orValue([]).size() > 0 && \
         volume.secret.items.all(item, item.key in ['accessKeyId', 'secretAccessKey'])"
            .to_owned(),
        format!(
            "has(volume.secret) && volume.name.startsWith('{DUMP_TLS}') && \
             volume.secret.?items.orValue([]).size() > 0 && volume.secret.items.all(item, item.key in [{}])",
            listed(&DUMP_FILES)
        ),
        "has(volume.emptyDir)".to_owned(),
    ]
    .map(|kind| format!("({kind})"))
    .join(" || ");
    let refused = |what: &str| {
        format!("'the operator writes CronJobs and Jobs of backup workers only: {what}, in ' + {own}")
    };
    Draft {
        name: "subrosa-backup-form",
        description: "The operator writes the CronJobs and Jobs of a Channel's backup worker in one form each, for runs and for drills; no other.",
        rules: vec![
            rule("batch", "v1", &["cronjobs"], &["CREATE", "UPDATE", "DELETE"]),
            rule("batch", "v1", &["jobs"], &["CREATE"]),
        ],
        conditions: vec![condition("operator", format!("request.userInfo.username == '{user}'"))],
        variables: own_name().into_iter().chain(of_pod()).collect(),
        validations: vec![
            demand(
                format!(
                    "{channel} != '' && ({job} ? {own}.startsWith(variables.of + '-') && \
                     {own}.size() == variables.of.size() + 11 : {own} == variables.of)"
                ),
                format!(
                    "'the operator writes CronJobs {PREFIX}<channel> and {}<channel> that are labelled {WORKER_LABEL}, and \
                     Jobs of the same names with the seconds for which they are, not ' + {own}",
                    drill::PREFIX
                ),
            ),
            demand(
                on_job(format!(
                    "{pod}.spec.?serviceAccountName.orValue('') == '{PREFIX}' + {channel} && \
                     {pod}.metadata.?labels['{WORKER_LABEL}'].orValue('') == {channel} && \
                     ('{}' in {pod}.metadata.?labels.orValue({{}})) == variables.drill",
                    drill::LABEL
                )),
                refused("they run as the ServiceAccount of the worker"),
            ),
            demand(
                on_job(format!(
                    "{pod}.spec.containers.size() == 1 && \
                     {pod}.spec.containers.all(c, c.name == '{CONTAINER}' && '{image}' != '' && \
                     c.?image.orValue('') == '{image}' && !has(c.command) && c.?args.orValue([]) == (variables.drill ? [{drill}] : [{run}]) && \
                     c.?env.orValue([]).size() == 0 && c.?envFrom.orValue([]).size() == 0 && !has(c.lifecycle) && \
                     c.?volumeMounts.orValue([]).all(mount, !mount.name.startsWith('{DUMP_TLS}')))"
                )),
                refused("one container of the image of this release, with its own arguments"),
            ),
            demand(
                on_job(format!(
                    "{pod}.spec.?initContainers.orValue([]).all(c, !variables.drill && {})",
                    dumping()
                )),
                refused(
                    "before it those that dump databases, by the digest of an image, with one command and nothing else mounted",
                ),
            ),
            demand(
                on_job(format!("{pod}.spec.?volumes.orValue([]).all(volume, {volume})")),
                refused(
                    "claims that are mounted read-only, its ConfigMap, credentials of the store and a token",
                ),
            ),
            demand(
                on_job(format!(
                    "!{pod}.spec.?hostNetwork.orValue(false) && !{pod}.spec.?hostPID.orValue(false) && \
                     !{pod}.spec.?hostIPC.orValue(false) && \
                     {pod}.spec.?securityContext.?runAsNonRoot.orValue(false) && \
                     {pod}.spec.containers.all(c, {harmless}) && \
                     {pod}.spec.?initContainers.orValue([]).all(c, {harmless})"
                )),
                refused("without privileges"),
            ),
        ],
    }
}

/// Of what the operator writes: the CronJob that it is or that a Job is of, whether for drills, and the pod.
fn of_pod() -> [Variable; 3] {
    let job = is_job();
    [
        variable("drill", format!("variables.name.startsWith('{}')", drill::PREFIX)),
        variable("of", format!("(variables.drill ? '{}' : '{PREFIX}') + variables.channel", drill::PREFIX)),
        variable(
            "pod",
            format!("{job} ? dyn(object).spec.template : dyn(object).spec.jobTemplate.spec.template"),
        ),
    ]
}

const fn is_job() -> &'static str {
    "request.resource.resource == 'jobs'"
}

/// Texts without quotes as a list of CEL.
fn listed(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("'{text}'")).collect::<Vec<_>>().join(", ")
}

/// What a container `c` is that dumps databases. The Channel names its image, which only the operator reads there.
fn dumping() -> String {
    let nothing = ["env", "envFrom", "volumeDevices", "ports"]
        .map(|field| format!("c.?{field}.orValue([]).size() == 0"))
        .join(" && ");
    let none = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"]
        .map(|field| format!("!has(c.{field})"))
        .join(" && ");
    format!(
        "c.name.startsWith('{DUMP_CONTAINER}') && c.?restartPolicy.orValue('') == 'Always' && {} && \
         c.?command.orValue([]) == [{}] && c.?args.orValue([]).size() >= 7 && c.args[0] == 'dump' && \
         '{DUMP_CONTAINER}' + c.args[1] == c.name && {nothing} && {none} && \
         c.?volumeMounts.orValue([]).all(mount, mount.name == '{DUMP_VOLUME}' || \
         (mount.name.startsWith('{DUMP_TLS}') && mount.?readOnly.orValue(false)))",
        rules::matches("c.?image.orValue('')", rules::IMAGE),
        listed(&dump_command())
    )
}

/// Who may have a worker's identity, and look into its pods.
fn identity(installation: &Installation) -> Draft {
    let operator = installation.user();
    let by = |controller: &str| {
        format!(
            "request.userInfo.username in ['{MANAGER}', 'system:serviceaccount:kube-system:{controller}']"
        )
    };
    let resource = |name: &str| format!("request.resource.resource == '{name}'");
    let of = |object: &str, path: &str| {
        let pod = format!("dyn({object}).{path}");
        format!(
            "({pod}spec.?serviceAccountName.orValue('').startsWith('{PREFIX}') || \
             '{WORKER_LABEL}' in {pod}?metadata.?labels.orValue({{}}))"
        )
    };
    let (pod, job) = ("", "spec.template.");
    let cron_job = "spec.jobTemplate.spec.template.";
    // A controller sets status and finalizers of what it made; the template stays as it is.
    let template = |path: &str, controller: &str| {
        let (new, old) = (of("object", path), of("oldObject", path));
        format!(
            "request.operation == 'CREATE' ? (!{new} || {}) : \
             ({new} == {old} && (!{new} || dyn(object).{path}spec == dyn(oldObject).{path}spec || {}))",
            by(controller),
            by(controller)
        )
    };
    let message = |what: &str| {
        format!(
            "'ServiceAccounts {PREFIX}<channel> and the label {WORKER_LABEL} are for the pods that make backups: {what}'"
        )
    };
    Draft {
        name: "subrosa-backup-identity",
        description: "The pods that make backups come from the CronJobs that the operator writes; nobody else has their ServiceAccount, its tokens, or a shell in them.",
        rules: vec![
            rule("", "v1", &["pods"], &["CREATE", "UPDATE"]),
            rule("", "v1", &["pods/ephemeralcontainers"], &["UPDATE"]),
            rule("", "v1", &["pods/exec", "pods/attach"], &["CONNECT"]),
            rule("", "v1", &["serviceaccounts/token"], &["CREATE"]),
            rule("batch", "v1", &["jobs", "cronjobs"], &["CREATE", "UPDATE"]),
        ],
        conditions: vec![],
        variables: vec![variable("sub", "request.?subResource.orValue('')".to_owned())],
        validations: vec![
            demand(
                format!(
                    "!({}) || variables.sub != '' || ({})",
                    resource("pods"),
                    template(pod, "job-controller")
                ),
                message("only the controller of Jobs makes such a pod"),
            ),
            demand(
                format!(
                    "!({}) || (request.operation == 'CREATE' && request.userInfo.username == '{operator}') || ({})",
                    resource("jobs"),
                    template(job, "cronjob-controller")
                ),
                message(
                    "only the controller of CronJobs and the operator make such a Job; use subrosa backup now",
                ),
            ),
            demand(
                format!(
                    "!({}) || (request.userInfo.username == '{operator}') || \
                     (request.operation == 'CREATE' ? !{} : ({} == {} && (!{} || \
                     dyn(object).spec == dyn(oldObject).spec)))",
                    resource("cronjobs"),
                    of("object", cron_job),
                    of("object", cron_job),
                    of("oldObject", cron_job),
                    of("object", cron_job)
                ),
                message("only the operator writes such a CronJob; change spec.backup of the Channel"),
            ),
            demand(
                format!(
                    "!({} && variables.sub in ['exec', 'attach', 'ephemeralcontainers']) || \
                     !(request.name.startsWith('{PREFIX}') || request.name.startsWith('{}'))",
                    resource("pods"),
                    drill::PREFIX
                ),
                message("nobody looks into such a pod; read its log"),
            ),
            demand(
                format!(
                    "!({}) || !request.name.startsWith('{PREFIX}') || \
                     'system:nodes' in request.userInfo.?groups.orValue([])",
                    resource("serviceaccounts")
                ),
                message("only the kubelet asks for such a token"),
            ),
        ],
    }
}
