//! The containers of a worker's pod that dump databases, each of an image that the Channel names.
//!
//! They begin before the worker and end with it, as sidecars do (`restartPolicy: Always`): a worker that was killed leaves
//! nobody waiting. Each waits until the worker opens the pipe of a dump. All they share with it is a directory in memory.

use k8s_openapi::{
    api::{
        core::v1::{
            Capabilities, Container, EmptyDirVolumeSource, KeyToPath, SecretVolumeSource, SecurityContext,
            Volume, VolumeMount,
        },
        networking::v1::{NetworkPolicyEgressRule, NetworkPolicyIngressRule},
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::LabelSelector},
};
use subrosa_crds::{
    backup::DumpSource,
    channel::{Backup, DatabaseDump},
    common::{PortRange, Protocol},
    names::ChannelId,
};

use super::{WORKER_LABEL, template::volume_name};
use crate::{
    network,
    world::{declaration::Declaration, selector},
};

/// What the names of these containers begin with.
pub const DUMP_CONTAINER: &str = "dump-";
/// The volume in which the pipes are.
pub const DUMP_VOLUME: &str = "dumps";
/// What the names of volumes with a certificate for a database begin with.
pub const DUMP_TLS: &str = "tls-";
/// The files that are mounted of a database's Secret.
pub const DUMP_FILES: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];
/// Where the pipes are mounted: the default of `subrosa backup run --dumps`.
const DUMPS: &str = "/dumps";
/// Where the certificate is mounted.
const TLS: &str = "/var/run/secrets/database";

/// What a container does, with its arguments: its name, the key of `\restrict`, host, port, user, and the databases.
///
/// libpq takes no key that others may read, and a Secret's files are root's, so the key is copied; the directory is in
/// memory. `\restrict` keeps a dump from running commands in the psql that loads it; with the same key each time, equal
/// data gives equal dumps, of which the store has one copy. The server never sees it. Without quotes and backslashes of
/// its own, so that an admission policy can have it as a text.
pub const DUMP_SCRIPT: &str = r#"name=$1 key=$2 host=$3 port=$4 user=$5; shift 5; trap "exit 0" TERM; umask 077; cd /dumps || exit 1; export LC_ALL=C PGCONNECT_TIMEOUT=30 PGSSLMODE=verify-full PGSSLCERT=/var/run/secrets/database/tls.crt PGSSLKEY=/dumps/$name.key PGSSLROOTCERT=/var/run/secrets/database/ca.crt; cp /var/run/secrets/database/tls.key $name.key && for database in "$@"; do dump=$name.$database; mkfifo $dump.sql || break; pg_dump --format=plain --restrict-key=$key --no-password --lock-wait-timeout=600000 --host=$host --port=$port --username=$user --dbname=$database >$dump.sql 2>$dump.err & wait $!; echo $? >$dump.part; mv $dump.part $dump.code; done; while :; do sleep 3600 & wait $!; done"#;

/// The command of such a container.
pub fn dump_command() -> [&'static str; 3] {
    ["/bin/sh", "-c", DUMP_SCRIPT]
}

/// Its arguments, of which the first is the name that a shell has.
pub fn dump_arguments(database: &DatabaseDump, id: &ChannelId) -> Vec<String> {
    let port = database.port().to_string();
    let told = ["dump", &database.name, id.as_str(), &database.host, &port, &database.user];
    told.map(str::to_owned).into_iter().chain(database.names.iter().cloned()).collect()
}

/// What the worker is told of them.
pub(super) fn sources(backup: &Backup) -> Vec<DumpSource> {
    let told =
        |database: &DatabaseDump| DumpSource { name: database.name.clone(), names: database.names.clone() };
    backup.databases.iter().map(told).collect()
}

pub(super) fn containers(backup: &Backup, id: &ChannelId) -> Vec<Container> {
    backup.databases.iter().map(|database| container(database, id)).collect()
}

fn container(database: &DatabaseDump, id: &ChannelId) -> Container {
    Container {
        name: format!("{DUMP_CONTAINER}{}", database.name),
        image: Some(database.image.clone()),
        restart_policy: Some("Always".to_owned()),
        command: Some(dump_command().map(str::to_owned).into()),
        args: Some(dump_arguments(database, id)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![
            VolumeMount {
                name: DUMP_VOLUME.to_owned(),
                mount_path: DUMPS.to_owned(),
                ..VolumeMount::default()
            },
            VolumeMount {
                name: tls_volume(database),
                mount_path: TLS.to_owned(),
                read_only: Some(true),
                ..VolumeMount::default()
            },
        ]),
        ..Container::default()
    }
}

fn tls_volume(database: &DatabaseDump) -> String {
    volume_name(DUMP_TLS, &database.name)
}

/// Where the worker finds the pipes; it writes nothing there.
pub(super) fn mounts(backup: &Backup) -> Option<VolumeMount> {
    (!backup.databases.is_empty()).then(|| VolumeMount {
        name: DUMP_VOLUME.to_owned(),
        mount_path: DUMPS.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    })
}

pub(super) fn volumes(backup: &Backup) -> Vec<Volume> {
    let key = |key: &str| KeyToPath { key: key.to_owned(), path: key.to_owned(), ..KeyToPath::default() };
    let of_database = |database: &DatabaseDump| Volume {
        name: tls_volume(database),
        secret: Some(SecretVolumeSource {
            secret_name: Some(database.tls_secret.clone()),
            items: Some(DUMP_FILES.map(key).into()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let pipes = mounts(backup).map(|_| Volume {
        name: DUMP_VOLUME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(Quantity("16Mi".to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    });
    pipes.into_iter().chain(backup.databases.iter().map(of_database)).collect()
}

fn ports(backup: &Backup) -> Vec<PortRange> {
    let mut ports: Vec<_> = backup.databases.iter().map(DatabaseDump::port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports.into_iter().map(|port| PortRange { protocol: Protocol::Tcp, start: port, end: port }).collect()
}

/// What lets the worker's pods to the databases; `None` where there are none.
pub(super) fn egress(channel: &Declaration, backup: &Backup) -> Option<NetworkPolicyEgressRule> {
    let databases = selector::tidy(channel.selector());
    let (peer, ports) = network::to_pods(&channel.name().namespace, &databases, &ports(backup));
    let some = !ports.is_empty();
    some.then(|| NetworkPolicyEgressRule { to: Some(vec![peer]), ports: Some(ports) })
}

/// What lets the worker's pods in, in the Channel's own policy; `None` where it has no databases.
pub fn ingress(channel: &Declaration) -> Option<NetworkPolicyIngressRule> {
    let backup = channel.backup()?;
    let label = [(WORKER_LABEL.to_owned(), channel.name().name.clone())].into();
    let workers = LabelSelector { match_labels: Some(label), ..LabelSelector::default() };
    let (peer, ports) = network::to_pods(&channel.name().namespace, &workers, &ports(backup));
    let some = !ports.is_empty();
    some.then(|| NetworkPolicyIngressRule { from: Some(vec![peer]), ports: Some(ports) })
}

/// The first database whose port no listener of the Channel has: nothing could reach it there.
pub(crate) fn unheard(channel: &Declaration) -> Option<&DatabaseDump> {
    let listens = |port: u16| {
        let ranges = channel.listeners().iter().filter_map(|listener| listener.range());
        ranges
            .into_iter()
            .any(|range| range.protocol == Protocol::Tcp && (range.start..=range.end).contains(&port))
    };
    channel.backup()?.databases.iter().find(|database| !listens(database.port()))
}
