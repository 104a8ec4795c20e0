//! A run: one snapshot of each volume and of each dump, and then the manifest that names them. Without a manifest nothing of it counts.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use jiff::Timestamp;
use rustic_core::{ConfigOptions, IndexedIdsStatus, KeyOptions, Repository, RusticError};
use subrosa_crds::{
    backup::{BackupReport, BackupSettings, REPORT_LIMIT, VolumeReport},
    cohort::Cohort,
};
use tokio::{runtime::Handle, task::spawn_blocking};

use super::{
    dump::{self, Dump},
    keys::{self, RepositoryKey, WindowKeys},
    manifest::{ManifestChain, VolumeSnapshot},
    problem::{BackupError, BackupProblem},
    progress::BytesDone,
    repository::Objects,
    settings,
    store::Bucket,
    volume,
};

/// The size of packs. It does not grow with the repository, because what is read of a pack is compared with the hash of
/// all of it.
const DATA_PACK: u64 = 16 << 20;
/// The same, of directories.
const TREE_PACK: u64 = 4 << 20;

/// What a run may do.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The directory with a directory for each volume.
    pub volumes: PathBuf,
    /// The directory with a pipe for each dump of a database.
    pub dumps: PathBuf,
    /// Whether each volume must be mounted.
    pub mounted: bool,
    /// Whether a volume may hold much less than the last time.
    pub allow_shrink: bool,
    /// The manifests that are known to have been written.
    pub at_least: u64,
}

/// Backs all volumes up. Whatever happens is in the report; nothing that failed counts.
pub async fn run<K: WindowKeys>(
    store: &Bucket,
    keys: &K,
    settings: &BackupSettings,
    options: &RunOptions,
    progress: &BytesDone,
) -> BackupReport {
    let started = Timestamp::now();
    let mut report = BackupReport {
        started,
        finished: started,
        run: None,
        store: settings.store.id.clone(),
        window: None,
        reason: None,
        message: None,
        volumes: Vec::new(),
        drill: None,
    };
    let mut problems = Vec::new();
    if let Err(error) = all(store, keys, settings, options, progress, &mut report, &mut problems).await {
        problems.push(error);
    }
    if let Some(first) = problems.first() {
        report.reason = Some(first.problem.to_string());
        let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
        report.message = Some(messages.join("; "));
    }
    report.finished = Timestamp::now();
    bounded(report)
}

/// The report of a run that could not begin.
pub fn failed(started: Timestamp, error: &BackupError) -> BackupReport {
    bounded(BackupReport {
        started,
        finished: Timestamp::now(),
        run: None,
        store: None,
        window: None,
        reason: Some(error.problem.to_string()),
        message: Some(error.message.clone()),
        volumes: Vec::new(),
        drill: None,
    })
}

async fn all<K: WindowKeys>(
    store: &Bucket,
    keys: &K,
    settings: &BackupSettings,
    options: &RunOptions,
    progress: &BytesDone,
    report: &mut BackupReport,
    problems: &mut Vec<BackupError>,
) -> Result<(), BackupError> {
    let window = settings::window(settings, report.started)?;
    report.window = Some(window.to_string());
    let chain = ManifestChain::read(store, keys, settings, options.at_least).await?;
    if let Some(last) = chain.manifests().last().filter(|last| last.time > report.started) {
        return Err(BackupProblem::ClockWentBack.with(format!(
            "manifest {} is of {}, and now is {}: look at the clocks",
            last.number, last.time, report.started
        )));
    }
    let mut present = Vec::new();
    for name in &settings.volumes {
        match volume::look(&options.volumes, name, options.mounted) {
            Ok(()) => present.push(name.clone()),
            Err(error) => problems.push(error),
        }
    }
    let dumps = Dump::all(settings);
    if present.is_empty() && dumps.is_empty() {
        return if problems.is_empty() {
            Err(BackupProblem::ConfigInvalid
                .with("volumes and databases: there is none; name what is to be backed up"))
        } else {
            Ok(())
        };
    }
    let key = keys::open_or_make(store, keys, settings, window).await?;
    let parents: Vec<_> = present.into_iter().map(|name| (parent(&chain, window, &name), name)).collect();
    let time = report.started.to_zoned(settings::zone(settings)?);
    let work = Work {
        objects: Objects::new(store.clone(), keys::base(settings, window), Handle::current()),
        key,
        settings: settings.clone(),
        volumes: options.volumes.clone(),
        dumps: options.dumps.clone(),
        time,
        progress: progress.clone(),
    };
    let read = spawn_blocking(move || work.snapshots(parents, &dumps))
        .await
        .map_err(|error| BackupProblem::RunFailed.with(format!("the run ended early: {error}")))?;
    let mut snapshots = Vec::new();
    for read in read? {
        match read {
            Ok((mut snapshot, failed)) => {
                let judge = || volume::judge(&snapshot, chain.manifests(), options.allow_shrink);
                if let Some(error) = failed.or_else(judge) {
                    snapshot.problem = Some(error.problem.to_string());
                    problems.push(error);
                }
                snapshots.push(snapshot);
            }
            Err(error) => problems.push(error),
        }
    }
    report.volumes = snapshots.iter().map(reported).collect();
    if snapshots.is_empty() {
        return Ok(());
    }
    report.run = Some(chain.append(store, keys, settings, (window, report.started), snapshots).await?);
    Ok(())
}

/// The last snapshot of a volume in this window, complete or not.
fn parent(chain: &ManifestChain, window: Cohort, name: &str) -> Option<String> {
    let window = window.to_string();
    let last = chain.manifests().iter().rev().take_while(|manifest| manifest.window == window);
    let mut snapshots = last.flat_map(|manifest| &manifest.volumes);
    snapshots.find(|volume| volume.name == name).map(|volume| volume.snapshot.clone())
}

fn reported(snapshot: &VolumeSnapshot) -> VolumeReport {
    VolumeReport {
        name: snapshot.name.clone(),
        snapshot: snapshot.snapshot.clone(),
        files: snapshot.files,
        bytes: snapshot.bytes,
        unreadable: snapshot.unreadable,
    }
}

/// What was made of a volume or of a dump: a snapshot, perhaps with why it does not count.
type Made = Result<(VolumeSnapshot, Option<BackupError>), BackupError>;

/// The part of a run that rustic does, on a thread of its own.
struct Work {
    objects: std::sync::Arc<Objects>,
    key: RepositoryKey,
    settings: BackupSettings,
    volumes: PathBuf,
    dumps: PathBuf,
    time: jiff::Zoned,
    progress: BytesDone,
}

impl Work {
    /// A snapshot of each volume and of each dump. A failure of the store ends all; one of a volume only that volume.
    fn snapshots(
        &self,
        volumes: Vec<(Option<String>, String)>,
        dumps: &[Dump],
    ) -> Result<Vec<Made>, BackupError> {
        let repository = self.repository()?;
        let mut made = Vec::new();
        for (parent, name) in volumes {
            let volume: (&Path, &str) = (&self.volumes, &name);
            let of = (&repository, &*self.objects);
            let archived = volume::archive(of, &self.settings, volume, parent.as_deref(), &self.time);
            made.push(archived.map(|snapshot| (snapshot, None)));
            if let Some(failure) = self.objects.failure() {
                return Err(failure);
            }
        }
        for dump in dumps {
            let of = (&repository, &*self.objects);
            made.push(dump::archive(of, &self.settings, (&self.dumps, dump), &self.time));
            if let Some(failure) = self.objects.failure() {
                return Err(failure);
            }
        }
        Ok(made)
    }

    fn repository(&self) -> Result<Repository<IndexedIdsStatus>, BackupError> {
        let failed = |error: Box<RusticError>| self.objects.told(&error);
        let repository = self.objects.repository(self.progress.clone()).map_err(failed)?;
        let open = if repository.config_id().map_err(failed)?.is_some() {
            repository.open(self.key.credentials())
        } else {
            let sizes = ConfigOptions::default()
                .set_datapack_size(ByteSize(DATA_PACK))
                .set_datapack_growfactor(0)
                .set_treepack_size(ByteSize(TREE_PACK))
                .set_treepack_growfactor(0);
            repository.init(self.key.credentials(), &KeyOptions::default(), &sizes)
        };
        open.and_then(Repository::to_indexed_ids).map_err(failed)
    }
}

/// Cuts a report to what is kept of it.
pub(super) fn bounded(mut report: BackupReport) -> BackupReport {
    let size = |report: &BackupReport| serde_json::to_vec(report).map_or(0, |text| text.len());
    while size(&report) > REPORT_LIMIT {
        match &mut report.message {
            Some(message) if message.len() > 256 => {
                let mut end = message.len() / 2;
                while !message.is_char_boundary(end) {
                    end -= 1;
                }
                message.truncate(end);
                message.push('…');
            }
            // All of them are in the manifest.
            _ if report.volumes.pop().is_some() => {}
            _ => break,
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_room_where_it_is_kept() {
        let error = BackupProblem::StoreUnreachable.with("no answer");
        let mut report = failed(Timestamp::UNIX_EPOCH, &error);
        assert_eq!(report.message.as_deref(), Some("no answer"));
        report.message = Some("é".repeat(5000));
        report.volumes = (0..60)
            .map(|number| VolumeReport {
                name: format!("volume-{number}"),
                snapshot: "a".repeat(64),
                files: u64::MAX,
                bytes: u64::MAX,
                unreadable: 0,
            })
            .collect();
        let report = bounded(report);
        assert!(serde_json::to_vec(&report).unwrap().len() <= REPORT_LIMIT);
        assert!(report.volumes.len() > 10 && report.message.is_some_and(|message| message.len() <= 260));
    }
}
