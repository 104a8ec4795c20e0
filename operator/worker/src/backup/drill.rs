//! A drill: restores the newest run that counts into a throwaway place, and compares it with what was signed.
//!
//! What was restored is read again from the disk, by other code than wrote it: every file is cut into the pieces that the
//! repository names, and each must have its hash. How many there are and how large is in the manifest, which Vault
//! sealed.

use std::{
    fs,
    io::{self, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rustic_core::{
    IndexedFullStatus, LsOptions, Repository, RusticError,
    repofile::{Node, NodeType},
};
use subrosa_crds::backup::{BackupReport, BackupSettings, DrillReport};
use tokio::{runtime::Handle, task::spawn_blocking};

use super::{
    keys::{self, RepositoryKey, WindowKeys},
    manifest::{BackupManifest, ManifestChain, VolumeSnapshot},
    problem::{BackupError, BackupProblem},
    progress::BytesDone,
    repository::Objects,
    restore::{RestoreRequest, WhichRun, restore, root},
    run::bounded,
    source::LOST_AND_FOUND,
    store::Bucket,
};

/// What a drill may do.
#[derive(Clone, Debug)]
pub struct DrillOptions {
    /// An empty directory, which is empty again afterwards.
    pub to: PathBuf,
    /// The manifests that are known to have been written.
    pub at_least: u64,
    /// When recovery began: before anybody logged in.
    pub started: Timestamp,
}

/// Restores the newest run that counts, verifies it and removes it again. Whatever happens is in the report.
pub async fn drill<K: WindowKeys>(
    store: &Bucket,
    keys: &K,
    settings: &BackupSettings,
    options: &DrillOptions,
    progress: &BytesDone,
) -> BackupReport {
    let mut report = BackupReport {
        started: options.started,
        finished: options.started,
        run: None,
        store: settings.store.id.clone(),
        window: None,
        reason: None,
        message: None,
        volumes: Vec::new(),
        drill: None,
    };
    match proven(store, keys, settings, options, progress).await {
        Ok((window, proof)) => {
            report.window = Some(window);
            report.drill = Some(proof);
        }
        Err(error) => {
            report.reason = Some(error.problem.to_string());
            report.message = Some(error.message);
        }
    }
    // A pod that has ended keeps its directory for a while, and nobody needs these copies.
    clear(&options.to);
    report.finished = Timestamp::now();
    bounded(report)
}

async fn proven<K: WindowKeys>(
    store: &Bucket,
    keys: &K,
    settings: &BackupSettings,
    options: &DrillOptions,
    progress: &BytesDone,
) -> Result<(String, DrillReport), BackupError> {
    let chain = ManifestChain::read(store, keys, settings, options.at_least).await?;
    let run = chain.find(WhichRun::Newest)?.clone();
    let request = RestoreRequest {
        run: WhichRun::Number(run.number),
        volume: None,
        to: options.to.clone(),
        overwrite: false,
        at_least: options.at_least,
    };
    restore(store, keys, settings, &request, progress).await?;
    let (files, bytes) = verified(store, keys, settings, &run, &options.to).await?;
    let since = |time: Timestamp, until: Timestamp| {
        u64::try_from(until.duration_since(time).as_secs()).unwrap_or_default()
    };
    let proof = DrillReport {
        run: run.number,
        time: run.time,
        recovery_seconds: since(options.started, Timestamp::now()),
        recovery_point_seconds: since(run.time, options.started),
        files,
        bytes,
    };
    Ok((run.window, proof))
}

/// Compares what was restored below `to` with the run; returns its files and bytes.
async fn verified<K: WindowKeys>(
    store: &Bucket,
    keys: &K,
    settings: &BackupSettings,
    run: &BackupManifest,
    to: &Path,
) -> Result<(u64, u64), BackupError> {
    let window = run.cohort()?;
    let work = Verification {
        objects: Objects::new(store.clone(), keys::base(settings, window), Handle::current()),
        key: keys::open(store, keys, settings, window).await?,
        host: settings.channel.to_string(),
        to: to.to_owned(),
    };
    let volumes = run.volumes.clone();
    let done = spawn_blocking(move || work.volumes(&volumes)).await;
    done.map_err(|error| BackupProblem::RunFailed.with(format!("the drill ended early: {error}")))?
}

struct Verification {
    objects: Arc<Objects>,
    key: RepositoryKey,
    host: String,
    to: PathBuf,
}

impl Verification {
    fn volumes(&self, volumes: &[VolumeSnapshot]) -> Result<(u64, u64), BackupError> {
        let failed = |error: Box<RusticError>| self.objects.told(&error);
        let repository = self.objects.repository(BytesDone::default()).map_err(failed)?;
        let repository = repository.open(self.key.credentials()).map_err(failed)?;
        let repository = repository.to_indexed().map_err(failed)?;
        let mut all = (0_u64, 0_u64);
        for volume in volumes {
            let found = self.volume(&repository, volume)?;
            if found != (volume.files, volume.bytes) {
                return Err(BackupProblem::RestoreDiffers.with(format!(
                    "volume {} was restored with {} files of {} bytes, and its manifest says {} of {}",
                    volume.name, found.0, found.1, volume.files, volume.bytes
                )));
            }
            all = (all.0.saturating_add(found.0), all.1.saturating_add(found.1));
        }
        Ok(all)
    }

    fn volume(
        &self,
        repository: &Repository<IndexedFullStatus>,
        volume: &VolumeSnapshot,
    ) -> Result<(u64, u64), BackupError> {
        let failed = |error: Box<RusticError>| self.objects.told(&error);
        let root = root(repository, &self.objects, &self.host, volume)?;
        let place = self.to.join(&volume.name);
        directory(&place, &root).map_err(|what| differs(volume, Path::new(""), &what))?;
        let (mut files, mut bytes) = (0_u64, 0_u64);
        for node in repository.ls(&root, &LsOptions::default()).map_err(failed)? {
            let (path, node) = node.map_err(failed)?;
            let at = place.join(&path);
            let differs = |what: String| differs(volume, &path, &what);
            match &node.node_type {
                NodeType::Dir => directory(&at, &node).map_err(differs)?,
                NodeType::File => {
                    files += 1;
                    bytes += self.file(repository, &at, &node)?.map_err(differs)?;
                }
                NodeType::Symlink { .. } => {
                    files += 1;
                    let to = fs::read_link(&at).map_err(|error| differs(unreadable(&error)))?;
                    if to != node.node_type.to_link() {
                        return Err(differs("it links elsewhere".to_owned()));
                    }
                }
                _ => {
                    files += 1;
                    at.symlink_metadata().map_err(|error| differs(unreadable(&error)))?;
                }
            }
        }
        Ok((files, bytes))
    }

    /// Whether a file has exactly the content that the repository names; returns its bytes, or what is different.
    fn file(
        &self,
        repository: &Repository<IndexedFullStatus>,
        at: &Path,
        node: &Node,
    ) -> Result<Result<u64, String>, BackupError> {
        let failed = |error: Box<RusticError>| self.objects.told(&error);
        let file = match mode(at, node, 0o400)
            .and_then(|()| fs::File::open(at).map_err(|error| unreadable(&error)))
        {
            Ok(file) => file,
            Err(what) => return Ok(Err(what)),
        };
        let mut content = BufReader::new(file);
        let mut bytes = 0;
        for id in node.content.iter().flatten() {
            let length = u64::from(repository.get_index_entry(id).map_err(failed)?.data_length());
            bytes += length;
            if !id.into_inner().blob_matches_reader(length, &mut content) {
                return Ok(Err("its content is not what was backed up".to_owned()));
            }
        }
        match content.read(&mut [0]) {
            Ok(0) => Ok(Ok(bytes)),
            Ok(_) => Ok(Err("it is longer than what was backed up".to_owned())),
            Err(error) => Ok(Err(unreadable(&error))),
        }
    }
}

fn directory(at: &Path, node: &Node) -> Result<(), String> {
    mode(at, node, 0o700)
}

/// Whether a file or directory has the permissions that were backed up. Then its owner gets those of `needed` too: with
/// another owner than it had, who restored it might not get in.
fn mode(at: &Path, node: &Node, needed: u32) -> Result<(), String> {
    let metadata = at.symlink_metadata().map_err(|error| unreadable(&error))?;
    if metadata.is_dir() != matches!(node.node_type, NodeType::Dir) || metadata.is_symlink() {
        return Err("it is of another type".to_owned());
    }
    // These bits are the same in the format; set-user-id and the like are not everybody's to set.
    let now = metadata.permissions().mode() & 0o7777;
    if let Some(was) = node.meta.mode.map(|mode| mode & 0o777).filter(|was| *was != now & 0o777) {
        return Err(format!("its mode is {:o}, and was {was:o}", now & 0o777));
    }
    if now & needed != needed {
        fs::set_permissions(at, fs::Permissions::from_mode(now | needed))
            .map_err(|error| unreadable(&error))?;
    }
    Ok(())
}

fn unreadable(error: &io::Error) -> String {
    format!("it cannot be read: {error}")
}

fn differs(volume: &VolumeSnapshot, path: &Path, what: &str) -> BackupError {
    let path = Path::new(&volume.name).join(path);
    BackupProblem::RestoreDiffers.with(format!("{} was restored, and {what}", path.display()))
}

/// Whether nothing is in a directory, or it does not exist.
pub fn is_free(directory: &Path) -> bool {
    entries(directory).next().is_none() && (directory.is_dir() || directory.symlink_metadata().is_err())
}

/// What is in a directory, but for that of the file system itself.
fn entries(directory: &Path) -> impl Iterator<Item = fs::DirEntry> {
    let all = fs::read_dir(directory).into_iter().flatten().flatten();
    all.filter(|entry| entry.file_name() != LOST_AND_FOUND)
}

/// Removes what is in a directory, as far as that is possible.
fn clear(directory: &Path) {
    for entry in entries(directory) {
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = removed {
            tracing::warn!(%error, "what a drill restored could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt as _, memory::InMemory, path::Path as Name};

    use super::*;
    use crate::backup::{
        fake::{self, FakeVault},
        run::{RunOptions, run},
    };

    struct Scene {
        directory: tempfile::TempDir,
        objects: Arc<InMemory>,
        vault: FakeVault,
        settings: BackupSettings,
    }

    /// A Channel of which a run was made.
    async fn scene() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let volume = directory.path().join("volumes/recordings");
        fs::create_dir_all(volume.join("locked")).unwrap();
        fs::write(volume.join("a.wav"), vec![7; 3_000_000]).unwrap();
        fs::write(volume.join("empty"), "").unwrap();
        fs::write(volume.join("locked/b.wav"), "the second call").unwrap();
        fs::hard_link(volume.join("a.wav"), volume.join("same.wav")).unwrap();
        std::os::unix::fs::symlink("a.wav", volume.join("link")).unwrap();
        fs::set_permissions(volume.join("a.wav"), fs::Permissions::from_mode(0o440)).unwrap();
        fs::set_permissions(volume.join("locked"), fs::Permissions::from_mode(0o550)).unwrap();
        let settings = fake::settings("abcdefghijklmnop", &["recordings"]);
        let scene = Scene { directory, objects: Arc::default(), vault: FakeVault::default(), settings };
        let volumes = scene.directory.path().join("volumes");
        let dumps = scene.directory.path().join("dumps");
        let options = RunOptions { volumes, dumps, mounted: false, allow_shrink: false, at_least: 0 };
        let report =
            run(&scene.store(), &scene.vault, &scene.settings, &options, &BytesDone::default()).await;
        assert_eq!(report.reason, None, "{report:?}");
        scene
    }

    impl Scene {
        fn store(&self) -> Bucket {
            Bucket::over(Arc::clone(&self.objects) as _)
        }

        fn to(&self) -> PathBuf {
            self.directory.path().join("drill")
        }

        async fn drill(&self) -> BackupReport {
            let options = DrillOptions { to: self.to(), at_least: 1, started: Timestamp::now() };
            drill(&self.store(), &self.vault, &self.settings, &options, &BytesDone::default()).await
        }
    }

    #[tokio::test]
    async fn a_drill_proves_the_newest_run_and_leaves_nothing() {
        let scene = scene().await;
        let report = scene.drill().await;
        let proof = report.drill.clone().unwrap_or_else(|| panic!("{report:?}"));
        assert_eq!((proof.run, proof.files, report.run, report.volumes.len()), (1, 5, None, 0));
        assert_eq!(proof.bytes, 6_000_015);
        assert!(proof.recovery_seconds < 600 && proof.recovery_point_seconds < 600, "{proof:?}");
        assert!(scene.to().is_dir() && is_free(&scene.to()), "copies in clear are left");
    }

    #[tokio::test]
    async fn a_damaged_pack_or_a_missing_manifest_is_told_and_proves_nothing() {
        let scene = scene().await;
        let packs = scene.store().list("abcdefghijklmnop").await.unwrap();
        let of_data = packs.into_iter().filter(|(name, _)| name.contains("/data/"));
        let pack = of_data.max_by_key(|(_, size)| *size).unwrap().0;
        let mut content = scene.store().get(&pack).await.unwrap().unwrap().to_vec();
        content[20] ^= 1;
        scene.objects.put(&Name::from(pack.as_str()), content.into()).await.unwrap();
        let report = scene.drill().await;
        assert_eq!(
            (report.reason.as_deref(), &report.drill),
            (Some("RepositoryDamaged"), &None),
            "{report:?}"
        );
        assert!(is_free(&scene.to()));
        let manifest = Name::from("abcdefghijklmnop/manifests/0000000001.json");
        scene.objects.delete(&manifest).await.unwrap();
        assert_eq!(scene.drill().await.reason.as_deref(), Some("ManifestForged"));
    }

    #[tokio::test]
    async fn what_was_restored_otherwise_is_found() {
        let scene = scene().await;
        let changed = async |what: &str, change: &dyn Fn(&Path)| {
            let to = scene.directory.path().join(what);
            let request = RestoreRequest {
                run: WhichRun::Newest,
                volume: None,
                to: to.clone(),
                overwrite: false,
                at_least: 0,
            };
            let (store, progress) = (scene.store(), BytesDone::default());
            restore(&store, &scene.vault, &scene.settings, &request, &progress).await.unwrap();
            change(&to.join("recordings"));
            let chain = ManifestChain::read(&store, &scene.vault, &scene.settings, 0).await.unwrap();
            let run = chain.find(WhichRun::Newest).unwrap();
            verified(&store, &scene.vault, &scene.settings, run, &to).await
        };
        assert_eq!(changed("same", &|_| {}).await, Ok((5, 6_000_015)));
        let write = |at: PathBuf, content: &[u8]| {
            let mode = at.metadata().map(|metadata| metadata.permissions());
            let _ = fs::remove_file(&at);
            fs::write(&at, content).unwrap();
            mode.and_then(|mode| fs::set_permissions(&at, mode)).unwrap();
        };
        let mut other = vec![7; 3_000_000];
        other[2_999_999] = 8;
        let locked =
            |at: &Path, mode| fs::set_permissions(at.join("locked"), fs::Permissions::from_mode(mode));
        type Change<'a> = (&'a str, &'a dyn Fn(&Path));
        let cases: [Change<'_>; 7] = [
            ("one byte", &|at| write(at.join("a.wav"), &other)),
            ("cut off", &|at| write(at.join("a.wav"), &other[..2_999_999])),
            ("longer", &|at| write(at.join("empty"), b"x")),
            ("gone", &|at| fs::remove_file(at.join("same.wav")).unwrap()),
            ("mode", &|at| fs::set_permissions(at.join("empty"), fs::Permissions::from_mode(0o666)).unwrap()),
            ("mode of a directory", &|at| locked(at, 0o755).unwrap()),
            ("link", &|at| {
                fs::remove_file(at.join("link")).unwrap();
                std::os::unix::fs::symlink("b.wav", at.join("link")).unwrap();
            }),
        ];
        for (what, change) in cases {
            let found = changed(what, change).await.map_err(|error| error.problem);
            assert_eq!(found, Err(BackupProblem::RestoreDiffers), "{what}");
        }
    }
}
