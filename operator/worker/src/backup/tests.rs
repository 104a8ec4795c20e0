use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use object_store::{ObjectStoreExt as _, memory::InMemory, path::Path as Name};
use subrosa_crds::backup::{BackupReport, BackupSettings};

use super::{
    check::{CheckReport, ReadData, check},
    fake::{FakeVault, failing_after, settings},
    manifest::ManifestChain,
    problem::{BackupError, BackupProblem},
    progress::BytesDone,
    restore::{RestoreReport, RestoreRequest, WhichRun, restore},
    run::{RunOptions, run},
    store::Bucket,
};

const ID: &str = "abcdefghijklmnop";

/// A Channel with volumes, a store and a Vault.
struct Scene {
    directory: tempfile::TempDir,
    objects: Arc<InMemory>,
    vault: FakeVault,
    settings: BackupSettings,
}

impl Scene {
    fn new(volumes: &[&str]) -> Self {
        let scene = Self {
            directory: tempfile::tempdir().unwrap(),
            objects: Arc::new(InMemory::new()),
            vault: FakeVault::default(),
            settings: settings(ID, volumes),
        };
        for volume in volumes {
            fs::create_dir_all(scene.volume(volume)).unwrap();
        }
        scene
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.directory.path().join("volumes").join(name)
    }

    fn store(&self) -> Bucket {
        Bucket::over(Arc::clone(&self.objects) as _)
    }

    async fn run(&self) -> BackupReport {
        self.run_with(&self.store(), false).await
    }

    async fn run_with(&self, store: &Bucket, allow_shrink: bool) -> BackupReport {
        let options = RunOptions {
            volumes: self.directory.path().join("volumes"),
            dumps: self.directory.path().join("dumps"),
            mounted: false,
            allow_shrink,
            at_least: 0,
        };
        run(store, &self.vault, &self.settings, &options, &BytesDone::default()).await
    }

    async fn restore(&self, to: &str, run: WhichRun) -> Result<RestoreReport, BackupError> {
        self.restore_as(&self.settings, to, run, false, 0).await
    }

    async fn restore_as(
        &self,
        settings: &BackupSettings,
        to: &str,
        run: WhichRun,
        overwrite: bool,
        at_least: u64,
    ) -> Result<RestoreReport, BackupError> {
        let to = self.directory.path().join(to);
        let request = RestoreRequest { run, volume: None, to, overwrite, at_least };
        restore(&self.store(), &self.vault, settings, &request, &BytesDone::default()).await
    }

    async fn check(&self) -> CheckReport {
        let wanted = (None, 0, ReadData::All);
        check(&self.store(), &self.vault, &self.settings, wanted, &BytesDone::default()).await.unwrap()
    }

    fn at(&self, place: &str) -> PathBuf {
        self.directory.path().join(place)
    }

    async fn all(&self) -> BTreeMap<String, Bytes> {
        let mut all = BTreeMap::new();
        for (name, _) in self.store().list("").await.unwrap() {
            let content = self.store().get(&name).await.unwrap().unwrap();
            all.insert(name, content);
        }
        all
    }

    async fn put(&self, name: &str, content: Bytes) {
        self.objects.put(&Name::from(name), content.into()).await.unwrap();
    }

    async fn delete(&self, name: &str) {
        self.objects.delete(&Name::from(name)).await.unwrap();
    }
}

/// What was done, and each object with its new content.
type Mutation = (String, Vec<(String, Option<Bytes>)>);

/// Bytes that do not repeat.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// Files, links and modes.
fn fill(directory: &Path) {
    fs::write(directory.join("0001.wav"), noise(300_000, 1)).unwrap();
    fs::write(directory.join("empty"), "").unwrap();
    fs::create_dir_all(directory.join("a/b")).unwrap();
    fs::write(directory.join("a/b/deep"), "deep").unwrap();
    fs::write(directory.join("a/secret"), "x").unwrap();
    fs::set_permissions(directory.join("a/secret"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(directory.join("a"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::hard_link(directory.join("0001.wav"), directory.join("a/same.wav")).unwrap();
    symlink("../0001.wav", directory.join("a/link")).unwrap();
    symlink("nowhere", directory.join("dangling")).unwrap();
    let sparse = fs::File::create(directory.join("sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o2710)).unwrap();
}

/// What a tree is: of each path its type, mode, time, content, and which paths are one file.
fn tree(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut inodes: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut places = vec![directory.to_owned()];
    while let Some(place) = places.pop() {
        let mut entries: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let metadata = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(directory).unwrap().to_owned();
            let content = if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if metadata.is_dir() {
                places.push(path.clone());
                String::new()
            } else {
                let first = inodes.entry(metadata.ino()).or_insert_with(|| name.clone()).clone();
                let content = fs::read(&path).unwrap();
                format!("{first:?} {} {:x?}", content.len(), sha2::Sha256::new_with(&content))
            };
            let time = if metadata.is_symlink() { (0, 0) } else { (metadata.mtime(), metadata.mtime_nsec()) };
            found.insert(name, format!("{:o} {time:?} {content}", metadata.mode()));
        }
    }
    found
}

trait Hashed {
    fn new_with(content: &[u8]) -> Vec<u8>;
}

impl Hashed for sha2::Sha256 {
    fn new_with(content: &[u8]) -> Vec<u8> {
        use sha2::Digest as _;
        Self::digest(content).to_vec()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_comes_back_as_it_was() {
    let scene = Scene::new(&["recordings", "mail"]);
    fill(&scene.volume("recordings"));
    fs::write(scene.volume("mail").join("box"), "first").unwrap();
    let before = tree(&scene.volume("recordings"));
    let first = scene.run().await;
    assert_eq!((first.run, &first.reason), (Some(1), &None), "{first:?}");
    fs::write(scene.volume("mail").join("box"), "second, and longer").unwrap();
    let second = scene.run().await;
    assert_eq!((second.run, &second.reason), (Some(2), &None), "{second:?}");

    let restored = scene.restore("newest", WhichRun::Newest).await.unwrap();
    assert_eq!(restored.run, 2);
    assert_eq!(tree(&scene.at("newest/recordings")), before);
    let mode = |place: PathBuf| (place.metadata().unwrap().mode(), place.metadata().unwrap().mtime());
    assert_eq!(mode(scene.at("newest/recordings")), mode(scene.volume("recordings")));
    assert_eq!(fs::read(scene.at("newest/mail/box")).unwrap(), b"second, and longer");
    scene.restore("first", WhichRun::At(first.finished)).await.unwrap();
    assert_eq!(fs::read(scene.at("first/mail/box")).unwrap(), b"first");
    let sparse = scene.at("newest/recordings/sparse").metadata().unwrap();
    assert!(sparse.blocks() * 512 < 1 << 20, "{} blocks", sparse.blocks());

    let refused = scene.restore("newest", WhichRun::Newest).await.unwrap_err();
    assert_eq!(refused.problem, BackupProblem::NotEmpty);
    fs::write(scene.at("newest/mail/box"), "spoilt").unwrap();
    fs::write(scene.at("newest/mail/own"), "kept").unwrap();
    scene.restore_as(&scene.settings, "newest", WhichRun::Newest, true, 0).await.unwrap();
    assert_eq!(fs::read(scene.at("newest/mail/box")).unwrap(), b"second, and longer");
    assert_eq!(fs::read(scene.at("newest/mail/own")).unwrap(), b"kept");

    let checked = scene.check().await;
    assert!(checked.is_good() && checked.manifests == 2, "{checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_pod_is_in_the_store_and_nothing_in_clear() {
    let scene = Scene::new(&["recordings"]);
    fs::write(scene.volume("recordings").join("name-of-a-patient"), "canary ".repeat(1000)).unwrap();
    scene.run().await;
    for (name, content) in scene.all().await {
        assert!(name.starts_with(&format!("{ID}/")), "{name}");
        for clear in ["name-of-a-patient", "canary", "recordings"] {
            let is_manifest = name.contains("/manifests/") && clear == "recordings";
            let found = content.windows(clear.len()).any(|window| window == clear.as_bytes());
            assert!(!found || is_manifest, "{clear} is in {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_that_are_not_there_or_shrank_do_not_count() {
    let scene = Scene::new(&["recordings", "mail", "gone"]);
    for number in 0..10 {
        fs::write(scene.volume("recordings").join(number.to_string()), noise(1000, number)).unwrap();
    }
    fs::remove_dir(scene.volume("gone")).unwrap();
    let report = scene.run().await;
    assert_eq!(report.reason.as_deref(), Some("VolumeEmpty"), "{report:?}");
    let message = report.message.unwrap();
    assert!(message.contains("mail") && message.contains("gone"), "{message}");
    assert_eq!((report.run, report.volumes.len()), (Some(1), 1), "the other is backed up");

    let scene = Scene { settings: settings(ID, &["recordings"]), ..scene };
    for number in 0..6 {
        fs::remove_file(scene.volume("recordings").join(number.to_string())).unwrap();
    }
    assert_eq!(scene.run().await.reason.as_deref(), Some("VolumeShrank"));
    assert_eq!(scene.restore("kept", WhichRun::Newest).await.unwrap().run, 1, "a shrunk one does not count");
    assert_eq!(scene.run().await.reason, None, "the second time it does");
    assert_eq!(scene.restore("less", WhichRun::Newest).await.unwrap().run, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_channel_and_another_window_open_nothing() {
    let scene = Scene::new(&["recordings"]);
    fill(&scene.volume("recordings"));
    let window = scene.run().await.window.unwrap();
    // All objects of the one, under the names of the other.
    let other = settings("bbbbbbbbbbbbbbbb", &["recordings"]);
    for (name, content) in scene.all().await {
        scene.put(&name.replace(ID, "bbbbbbbbbbbbbbbb"), content).await;
    }
    let refused = scene.restore_as(&other, "other", WhichRun::Newest, false, 0).await.unwrap_err();
    assert_eq!(refused.problem, BackupProblem::ManifestForged);
    let manifest = format!("{ID}/manifests/0000000001.json");
    let text = String::from_utf8(scene.all().await[&manifest].to_vec()).unwrap();
    scene.put(&manifest, text.replace(&window, "2020m01").into()).await;
    let refused = scene.restore("window", WhichRun::Newest).await.unwrap_err();
    assert_eq!(refused.problem, BackupProblem::ManifestForged);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_first_runs_one_counts() {
    let scene = Scene::new(&["recordings"]);
    fill(&scene.volume("recordings"));
    let (one, other) = tokio::join!(scene.run(), scene.run());
    let mut counted = [one.run, other.run];
    counted.sort();
    assert!(counted.contains(&Some(1)), "{one:?}\n{other:?}");
    for report in [one, other].iter().filter(|report| report.run.is_none()) {
        let reason = report.reason.as_deref();
        assert!(matches!(reason, Some("AnotherRun" | "RepositoryDamaged")), "{report:?}");
    }
    assert!(scene.run().await.reason.is_none(), "and the next goes on");
    scene.restore("all", WhichRun::Newest).await.unwrap();
    assert_eq!(tree(&scene.at("all/recordings")), tree(&scene.volume("recordings")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_breaks_at_any_write_is_continued_by_the_next() {
    let scene = Scene::new(&["recordings"]);
    fill(&scene.volume("recordings"));
    let mut breaks = 0;
    loop {
        let store = scene.store().failing(failing_after(breaks));
        // Each time there is something new to write.
        fs::write(scene.volume("recordings").join(format!("more-{breaks}")), noise(5000, 7 + breaks as u64))
            .unwrap();
        let report = scene.run_with(&store, false).await;
        if report.reason.is_none() {
            break;
        }
        assert_eq!((report.reason.as_deref(), report.run), (Some("StoreUnreachable"), None), "{report:?}");
        breaks += 1;
        assert!(breaks < 40);
    }
    assert!(breaks >= 5, "only {breaks} writes");
    assert!(scene.run().await.reason.is_none());
    scene.restore("all", WhichRun::Newest).await.unwrap();
    assert_eq!(tree(&scene.at("all/recordings")), tree(&scene.volume("recordings")));
    assert!(scene.check().await.is_good());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_restore_goes_on_where_it_was() {
    let scene = Scene::new(&["recordings"]);
    fill(&scene.volume("recordings"));
    scene.run().await;
    let first = scene.all().await;
    fs::write(scene.volume("recordings").join("0002.wav"), noise(400_000, 2)).unwrap();
    scene.run().await;
    let later = scene.all().await;
    let data = |name: &str| name.contains("/data/") && !first.contains_key(name);
    let lost: Vec<_> = later.iter().filter(|(name, content)| data(name) && content.len() > 300_000).collect();
    assert_eq!(lost.len(), 1, "the pack of the second file");
    let (name, content) = lost[0];
    scene.delete(name).await;
    let error = scene.restore("half", WhichRun::Newest).await.unwrap_err();
    assert_eq!(error.problem, BackupProblem::RepositoryDamaged);
    assert!(error.message.contains(name), "{error}");
    scene.put(name, content.clone()).await;
    let restored = scene.restore("half", WhichRun::Newest).await.unwrap();
    let kept = restored.volumes[0].kept;
    assert!((300_000..40 << 20).contains(&(kept % (40 << 20))), "{kept}");
    assert_eq!(tree(&scene.at("half/recordings")), tree(&scene.volume("recordings")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_went_back_is_told() {
    let scene = Scene::new(&["recordings"]);
    fill(&scene.volume("recordings"));
    scene.run().await;
    let (store, keys) = (scene.store(), &scene.vault);
    let chain = ManifestChain::read(&store, keys, &scene.settings, 1).await.unwrap();
    let last = chain.manifests().last().unwrap().clone();
    let ahead = last.time.checked_add(jiff::SignedDuration::from_hours(24)).unwrap();
    let volumes = last.volumes.clone();
    chain.append(&store, keys, &scene.settings, (last.cohort().unwrap(), ahead), volumes).await.unwrap();
    assert_eq!(scene.run().await.reason.as_deref(), Some("ClockWentBack"));
}

/// Each change of what lies in the store is refused, and nothing is released.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_in_the_store_releases_nothing() {
    let scene = Scene::new(&["recordings"]);
    fill(&scene.volume("recordings"));
    scene.run().await;
    let old = scene.all().await;
    fs::write(scene.volume("recordings").join("0002.wav"), noise(400_000, 2)).unwrap();
    fs::write(scene.volume("recordings").join("0001.wav"), noise(300_000, 3)).unwrap();
    scene.run().await;
    let good = scene.all().await;
    let mut mutations: Vec<Mutation> = Vec::new();
    let mut add = |what: String, name: &str, content: Option<Bytes>| {
        mutations.push((what, vec![(name.to_owned(), content)]));
    };
    for (name, content) in &good {
        add(format!("{name} removed"), name, None);
        for keep in [0, 1, content.len() / 3, content.len() / 2, content.len() - 1] {
            add(format!("{name} cut to {keep}"), name, Some(content.slice(..keep)));
        }
        for at in (0..12).map(|part| part * (content.len() - 1) / 12).chain([content.len() - 2]) {
            let mut changed = content.to_vec();
            changed[at] ^= 1;
            add(format!("{name} changed at {at}"), name, Some(changed.into()));
        }
        add(format!("{name} longer"), name, Some([content, b"\n".as_slice()].concat().into()));
        // Another object of the same kind in its place.
        let kind = |name: &str| name.split('/').nth(2).unwrap_or_default().to_owned();
        for (other, with) in &good {
            if other != name && kind(other) == kind(name) {
                add(format!("{name} is {other}"), name, Some(with.clone()));
            }
        }
    }
    let manifest = |number: u64| format!("{ID}/manifests/{number:010}.json");
    let (first, second) = (good[&manifest(1)].clone(), good[&manifest(2)].clone());
    mutations.push((
        "manifests exchanged".into(),
        vec![(manifest(1), Some(second.clone())), (manifest(2), Some(first.clone()))],
    ));
    add_one(&mut mutations, "the first replayed as the third", &manifest(3), first);
    add_one(&mut mutations, "the second replayed as the third", &manifest(3), second.clone());
    add_one(&mut mutations, "one that leaves a gap", &manifest(4), second);
    let needed = scene.needed().await;
    assert!(old.len() < good.len() && mutations.len() >= 200, "only {} mutations", mutations.len());
    let mut refused = 0;
    for (number, (what, changes)) in mutations.iter().enumerate() {
        for (name, content) in changes {
            match content {
                Some(content) => scene.put(name, content.clone()).await,
                None => scene.delete(name).await,
            }
        }
        let to = format!("tampered-{number}");
        // The newest may be missing unseen, but for who remembers its number.
        let restored = scene.restore_as(&scene.settings, &to, WhichRun::Newest, false, 2).await;
        let matters = changes.iter().any(|(name, _)| needed.contains(name) || !good.contains_key(name));
        match restored {
            Err(error) => {
                refused += 1;
                let odd = [
                    BackupProblem::ManifestForged,
                    BackupProblem::RepositoryDamaged,
                    BackupProblem::KeyMissing,
                ];
                assert!(odd.contains(&error.problem), "{what}: {error}");
                assert!(
                    released(&scene.at(&to)).is_empty(),
                    "{what} released {:?}",
                    released(&scene.at(&to))
                );
            }
            Ok(_) => {
                assert!(!matters, "{what} was not noticed");
                assert_eq!(
                    tree(&scene.at(&to).join("recordings")),
                    tree(&scene.volume("recordings")),
                    "{what}"
                );
            }
        }
        let _ = fs::remove_dir_all(scene.at(&to));
        for (name, _) in changes {
            match good.get(name) {
                Some(content) => scene.put(name, content.clone()).await,
                None => scene.delete(name).await,
            }
        }
    }
    assert!(refused >= 200, "only {refused} of {} were refused", mutations.len());
    scene.restore("good", WhichRun::Newest).await.unwrap();
}

fn add_one(mutations: &mut Vec<Mutation>, what: &str, name: &str, content: Bytes) {
    mutations.push((what.into(), vec![(name.to_owned(), Some(content))]));
}

/// What lies where a volume is restored to, but for what is still in progress.
fn released(to: &Path) -> Vec<PathBuf> {
    let Ok(volumes) = fs::read_dir(to) else { return Vec::new() };
    let entries = volumes.flat_map(|volume| fs::read_dir(volume.unwrap().path()).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with(".subrosa-restore-"))
        .collect()
}

impl Scene {
    /// The objects without which the newest run is not restored.
    async fn needed(&self) -> Vec<String> {
        let mut needed = Vec::new();
        for (name, content) in self.all().await {
            self.delete(&name).await;
            if self.restore_as(&self.settings, "probe", WhichRun::Newest, true, 2).await.is_err() {
                needed.push(name.clone());
            }
            let _ = fs::remove_dir_all(self.at("probe"));
            self.put(&name, content).await;
        }
        needed
    }
}
