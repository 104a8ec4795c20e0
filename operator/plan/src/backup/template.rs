//! The pod of a backup worker, which mounts the Channel's volumes and has as little as possible else.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Affinity, Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, KeyToPath,
        PersistentVolumeClaimVolumeSource, PodAffinity, PodAffinityTerm, PodSecurityContext, PodSpec,
        PodTemplateSpec, ProjectedVolumeSource, SeccompProfile, SecretVolumeSource, SecurityContext,
        ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection, WeightedPodAffinityTerm,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use sha2::Digest as _;
use subrosa_crds::{backup::FILE, channel::Backup, names::ChannelId};

use super::{CONTAINER, config_map_name, dumps, name};
use crate::world::declaration::Declaration;

/// Where the settings are mounted.
const SETTINGS: &str = "/etc/subrosa";
/// Where the token for Vault is mounted.
const TOKEN: &str = "/var/run/secrets/subrosa";
/// Where the store's credentials are mounted.
const STORE: &str = "/var/run/secrets/store";
/// Where the volumes are mounted, each by the name of its claim.
const VOLUMES: &str = "/volumes";
/// What the names of volumes for claims begin with.
const DATA: &str = "data-";
/// Where scratch files may be written.
const SCRATCH: &str = "/tmp";
/// Where the kubelet reads what a container left: the default of `terminationMessagePath`.
pub(super) const REPORT: &str = "/dev/termination-log";
/// The user and the group of the image.
const NOBODY: i32 = 65532;
/// How long a token for Vault is valid; the kubelet renews it.
const TOKEN_SECONDS: i64 = 600;

/// The pod of the worker of `channel`.
pub(super) fn pod(
    channel: &Declaration,
    (backup, id): (&Backup, &ChannelId),
    audience: &str,
    image: &str,
    labels: BTreeMap<String, String>,
) -> PodTemplateSpec {
    let (user, group) =
        (backup.run_as_user.unwrap_or(NOBODY).into(), backup.run_as_group.unwrap_or(NOBODY).into());
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
        spec: Some(PodSpec {
            service_account_name: Some(name(&channel.name().name)),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            restart_policy: Some("Never".to_owned()),
            affinity: Some(beside(channel)),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(user),
                run_as_group: Some(group),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            init_containers: Some(dumps::containers(backup, id)).filter(|all| !all.is_empty()),
            containers: vec![container(backup, image)],
            volumes: Some(volumes(channel, backup, audience)),
            ..PodSpec::default()
        }),
    }
}

fn container(backup: &Backup, image: &str) -> Container {
    let of_volumes = backup.volumes.iter().map(|volume| VolumeMount {
        name: volume_name(DATA, volume),
        mount_path: format!("{VOLUMES}/{volume}"),
        read_only: Some(true),
        ..VolumeMount::default()
    });
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(name != "scratch"),
        ..VolumeMount::default()
    };
    let own = [
        mount("settings", SETTINGS),
        mount("vault", TOKEN),
        mount("store", STORE),
        mount("scratch", SCRATCH),
    ];
    Container {
        name: CONTAINER.to_owned(),
        image: Some(image.to_owned()),
        args: Some(arguments()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(own.into_iter().chain(dumps::mounts(backup)).chain(of_volumes).collect()),
        ..Container::default()
    }
}

/// The arguments of a worker's container.
pub fn arguments() -> Vec<String> {
    let own = [("--volumes", VOLUMES), ("--report", REPORT)];
    let own = own.into_iter().flat_map(|(option, value)| [option.to_owned(), value.to_owned()]);
    // Where a claim is not mounted there is an empty directory, which must not count.
    ["backup", "run", "--mounted"].map(str::to_owned).into_iter().chain(login()).chain(own).collect()
}

/// Whose backups, where they are, and who asks for them.
pub(super) fn login() -> impl Iterator<Item = String> {
    let pairs = [
        ("--config", format!("{SETTINGS}/{FILE}")),
        ("--token-file", format!("{TOKEN}/token")),
        ("--credentials", STORE.to_owned()),
    ];
    pairs.into_iter().flat_map(|(option, value)| [option.to_owned(), value])
}

/// No claim's own name: names of volumes share one list with those below.
pub(super) fn volume_name(kind: &str, claim: &str) -> String {
    // A volume's name has at most 63 characters, as a claim's.
    let digest = sha2::Sha256::digest(claim.as_bytes());
    format!("{kind}{}", data_encoding::HEXLOWER.encode(digest.get(..8).unwrap_or_default()))
}

fn volumes(channel: &Declaration, backup: &Backup, audience: &str) -> Vec<Volume> {
    let named = |name: &str| Volume { name: name.to_owned(), ..Volume::default() };
    let token = VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            audience: Some(audience.to_owned()),
            expiration_seconds: Some(TOKEN_SECONDS),
            path: "token".to_owned(),
            ..ServiceAccountTokenProjection::default()
        }),
        ..VolumeProjection::default()
    };
    let key = |key: &str| KeyToPath { key: key.to_owned(), path: key.to_owned(), ..KeyToPath::default() };
    let own = [
        Volume {
            config_map: Some(ConfigMapVolumeSource {
                name: config_map_name(&channel.name().name),
                ..ConfigMapVolumeSource::default()
            }),
            ..named("settings")
        },
        Volume {
            projected: Some(ProjectedVolumeSource {
                sources: Some(vec![token]),
                ..ProjectedVolumeSource::default()
            }),
            ..named("vault")
        },
        Volume {
            secret: Some(SecretVolumeSource {
                secret_name: Some(backup.write_secret.clone()),
                items: Some(vec![key("accessKeyId"), key("secretAccessKey")]),
                ..SecretVolumeSource::default()
            }),
            ..named("store")
        },
        Volume {
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(Quantity("1Gi".to_owned())),
                ..EmptyDirVolumeSource::default()
            }),
            ..named("scratch")
        },
    ];
    let of_claims = backup.volumes.iter().map(|claim| Volume {
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.clone(),
            read_only: Some(true),
        }),
        ..named(&volume_name(DATA, claim))
    });
    own.into_iter().chain(dumps::volumes(backup)).chain(of_claims).collect()
}

/// On the node of the workload's pods, where there are any: a volume that is ReadWriteOnce can be mounted only there.
fn beside(channel: &Declaration) -> Affinity {
    let term = PodAffinityTerm {
        label_selector: Some(channel.selector().clone()),
        topology_key: "kubernetes.io/hostname".to_owned(),
        ..PodAffinityTerm::default()
    };
    let preferred = WeightedPodAffinityTerm { pod_affinity_term: term, weight: 100 };
    Affinity {
        pod_affinity: Some(PodAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![preferred]),
            ..PodAffinity::default()
        }),
        ..Affinity::default()
    }
}
