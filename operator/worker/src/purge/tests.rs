use std::{
    collections::HashMap,
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime},
};

use age_core::format::Stanza;
use subrosa_records::vault::{VaultError, sealing::WrappedKey};

use super::*;
use crate::{age::header::file_key, item::ItemId, seal::SealError};

const ID: &str = "abcdefghijklmnop";
/// With which the Channel seals today.
const LIVING: &str = "2026";
/// Destroyed.
const DEAD: &str = "2015";

fn key(cohort: &str) -> DataKeyName {
    format!("{ID}.chat.{cohort}").parse().unwrap()
}

fn header(key: &DataKeyName) -> Vec<u8> {
    let wrapped = WrappedKey { version: 1, bytes: vec![1; 44] };
    let sealed = SealedKey { key: key.clone(), item: ItemId::of_name("a"), wrapped };
    Header::write(&file_key(&[5; 16]).unwrap(), &sealed.stanza())
}

/// A volume, and what is asked about it.
struct Volume {
    directory: tempfile::TempDir,
    purge: Purge,
    destroyed: BTreeMap<DataKeyName, DestroyedKey>,
}

/// Knows these keys, and none other; away after so many questions.
struct Knows {
    keys: HashMap<String, KeyPresence>,
    left: AtomicUsize,
}

impl KeyWitness for Knows {
    async fn look(&self, key: &DataKeyName) -> Result<KeyPresence, SealError> {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| SealError::Vault(VaultError::Sealed))?;
        Ok(self.keys.get(&key.to_string()).cloned().unwrap_or(KeyPresence::Gone))
    }
}

#[derive(Default)]
struct Told {
    dead: Vec<String>,
    troubles: Vec<String>,
}

impl PurgeProgress for Told {
    fn dead(&mut self, path: &Path) {
        self.dead.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }

    fn trouble(&mut self, path: &Path, problem: &str) {
        self.troubles.push(format!("{}: {problem}", path.file_name().unwrap().to_string_lossy()));
    }

    fn looked(&mut self, _: u64) {}
}

impl Volume {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let ago = |days: i64| now - jiff::SignedDuration::from_hours(24 * days);
        let gone = DestroyedKey {
            destruction: "contactcenter.20200107.0a1b2c3d".into(),
            destroyed: ago(40),
            gone: ago(40),
            effective: Some(ago(10)),
            is_back: false,
        };
        let purge = Purge {
            directories: vec![directory.path().to_owned()],
            recursive: true,
            apply: true,
            channel: ID.parse().unwrap(),
            now,
        };
        Self { directory, purge, destroyed: BTreeMap::from([(key(DEAD), gone)]) }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file of some hundred days ago.
    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.at(name), bytes).unwrap();
        let old = SystemTime::now() - Duration::from_secs(100 * 24 * 3600);
        File::options().write(true).open(self.at(name)).unwrap().set_modified(old).unwrap();
    }

    fn sealed(&self, name: &str, cohort: &str) {
        self.write(name, &[header(&key(cohort)), vec![9; 500]].concat());
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// With a Vault that has these keys beside the living one.
    async fn purged(&self, keys: &[(&str, KeyPresence)]) -> (PurgeReport, Told) {
        let (report, told, ended) = self.asking(keys, usize::MAX).await;
        ended.unwrap();
        (report, told)
    }

    async fn asking(
        &self,
        keys: &[(&str, KeyPresence)],
        questions: usize,
    ) -> (PurgeReport, Told, Result<(), ProofError>) {
        let mut there = HashMap::from([(key(LIVING).to_string(), KeyPresence::There)]);
        there.extend(keys.iter().map(|(cohort, is)| (key(cohort).to_string(), is.clone())));
        let knows = Knows { keys: there, left: AtomicUsize::new(questions) };
        let mut proofs = Proofs::new(knows, vec![key(LIVING)]);
        let (mut report, mut told) = (PurgeReport::default(), Told::default());
        let destroyed = DestroyedKeys::with(ID.parse().unwrap(), self.destroyed.clone());
        let ended = run(&self.purge, &destroyed, &mut proofs, &mut told, &mut report).await;
        (report, told, ended)
    }
}

fn kept(report: &PurgeReport) -> Vec<(WhyKept, u64)> {
    report.kept.iter().map(|(why, count)| (*why, *count)).collect()
}

#[tokio::test]
async fn dead_files_go_and_others_stay() {
    let volume = Volume::new();
    fs::create_dir(volume.at("day")).unwrap();
    for name in ["1.age", "2.age", "day/3.age"] {
        volume.sealed(name, DEAD);
    }
    volume.sealed("alive.age", LIVING);
    volume.sealed("unrecorded.age", "2014");
    volume.write("plain.wav", b"plaintext");
    let (report, told) = volume.purged(&[]).await;
    let length = header(&key(DEAD)).len() as u64 + 500;
    assert_eq!((report.files, report.bytes, report.failed), (3, 3 * length, 0));
    let [line] = report.keys.as_slice() else { panic!("{report:?}") };
    assert_eq!((line.class.as_str(), line.cohort.as_str(), line.files), ("chat", DEAD, 3));
    // That Vault has no such key is no proof: nobody recorded that it was destroyed.
    assert_eq!(kept(&report), [(WhyKept::NotDestroyed, 2)]);
    assert_eq!(volume.names(), ["alive.age", "day", "plain.wav", "unrecorded.age"]);
    assert_eq!(told.dead.len(), 3);
    assert_eq!(fs::read_dir(volume.at("day")).unwrap().count(), 0);
}

#[tokio::test]
async fn without_being_told_to_nothing_is_removed() {
    let mut volume = Volume::new();
    volume.purge.apply = false;
    volume.sealed("1.age", DEAD);
    let (report, told) = volume.purged(&[]).await;
    assert_eq!((report.applied, report.files), (false, 1));
    assert_eq!((told.dead, volume.names()), (vec!["1.age".to_owned()], vec!["1.age".to_owned()]));
}

#[tokio::test]
async fn what_may_be_opened_again_stays() {
    type Change = fn(&mut DestroyedKey);
    let refused = KeyPresence::Refused("permission denied".into());
    let later = |key: &mut DestroyedKey| {
        key.effective = Some(Timestamp::now() + jiff::SignedDuration::from_mins(5));
    };
    // Another key of that name, made by somebody after: the file was sealed with that one.
    let before = |key: &mut DestroyedKey| key.destroyed -= jiff::SignedDuration::from_hours(24 * 80);
    let cases: [(WhyKept, Change, KeyPresence); 7] = [
        (WhyKept::KeyBack, |_| {}, KeyPresence::There),
        (WhyKept::KeySetAside, |_| {}, KeyPresence::SetAside),
        (WhyKept::Refused, |_| {}, refused),
        (WhyKept::KeyBack, |key| key.is_back = true, KeyPresence::Gone),
        (WhyKept::EffectiveUnknown, |key| key.effective = None, KeyPresence::Gone),
        (WhyKept::NotEffective, later, KeyPresence::Gone),
        (WhyKept::WrittenAfter, before, KeyPresence::Gone),
    ];
    for (why, change, in_vault) in cases {
        let mut volume = Volume::new();
        volume.sealed("1.age", DEAD);
        change(volume.destroyed.get_mut(&key(DEAD)).unwrap());
        let (report, _) = volume.purged(&[(DEAD, in_vault)]).await;
        assert_eq!((kept(&report), report.files), (vec![(why, 1)], 0), "{why:?}");
        assert_eq!(volume.names(), ["1.age"], "{why:?}");
    }
}

#[tokio::test]
async fn what_is_not_this_channels_alone_stays() {
    let volume = Volume::new();
    let other: DataKeyName = format!("ponmlkjihgfedcba.chat.{DEAD}").parse().unwrap();
    volume.write("other.age", &header(&other));
    // One more recipient, which opens it after the key is gone.
    let text = String::from_utf8(header(&key(DEAD))).unwrap();
    let (before, mac) = text.split_once("---").unwrap();
    let more = Stanza { tag: "X25519".into(), args: vec!["a".into()], body: vec![7; 32] };
    let more = String::from_utf8(Header::write(&file_key(&[5; 16]).unwrap(), &more)).unwrap();
    let more = more.lines().skip(1).take(2).collect::<Vec<_>>().join("\n");
    volume.write("both.age", format!("{before}{more}\n---{mac}").as_bytes());
    volume.write(
        "age.age",
        Header::write(
            &file_key(&[5; 16]).unwrap(),
            &Stanza { tag: "X25519".into(), args: vec!["a".into()], body: vec![7; 32] },
        )
        .as_slice(),
    );
    volume.write("empty.age", b"");
    volume.write("text.age", b"no sealed file");
    let (report, told) = volume.purged(&[]).await;
    assert_eq!(kept(&report), [(WhyKept::OtherChannel, 1), (WhyKept::Foreign, 4)], "{:?}", told.troubles);
    assert_eq!((report.failed, volume.names().len()), (0, 5));
}

#[tokio::test]
async fn of_earlier_channels_of_the_name_go_those_that_were_adopted() {
    let mut volume = Volume::new();
    let earlier: DataKeyName = format!("ponmlkjihgfedcba.chat.{DEAD}").parse().unwrap();
    let record = volume.destroyed[&key(DEAD)].clone();
    volume.destroyed.insert(earlier.clone(), record);
    volume.write("earlier.age", &header(&earlier));
    let asked = async |volume: &Volume, is: KeyPresence| {
        let keys = HashMap::from([(key(LIVING).to_string(), KeyPresence::There), (earlier.to_string(), is)]);
        let mut proofs = Proofs::new(Knows { keys, left: AtomicUsize::new(9) }, vec![key(LIVING)]);
        let (mut report, mut told) = (PurgeReport::default(), Told::default());
        let destroyed = DestroyedKeys::with(ID.parse().unwrap(), volume.destroyed.clone());
        run(&volume.purge, &destroyed, &mut proofs, &mut told, &mut report).await.unwrap();
        report
    };
    let refused = asked(&volume, KeyPresence::Refused("permission denied".into())).await;
    assert_eq!((kept(&refused), refused.refusal), (vec![(WhyKept::OtherChannel, 1)], None));
    for (is, why) in [(KeyPresence::There, WhyKept::KeyBack), (KeyPresence::SetAside, WhyKept::KeySetAside)] {
        assert_eq!(kept(&asked(&volume, is).await), [(why, 1)]);
    }
    assert_eq!(asked(&volume, KeyPresence::Gone).await.files, 1);
    assert!(volume.names().is_empty());
}

#[tokio::test]
async fn a_damaged_header_is_told_and_holds_up_no_other() {
    let volume = Volume::new();
    volume.write("cut.age", &header(&key(DEAD))[..100]);
    let odd = String::from_utf8(header(&key(DEAD))).unwrap().replace(".chat.", ".ch/at.");
    volume.write("odd.age", odd.as_bytes());
    volume.sealed("z.age", DEAD);
    let (report, told) = volume.purged(&[]).await;
    assert_eq!((report.files, report.failed, told.troubles.len()), (1, 2, 2), "{:?}", told.troubles);
    assert_eq!(volume.names(), ["cut.age", "odd.age"]);
}

#[tokio::test]
async fn a_vault_without_the_living_key_or_that_is_away_ends_it() {
    let volume = Volume::new();
    for number in 0..3 {
        volume.sealed(&format!("{number}.age"), DEAD);
    }
    let (report, _, ended) = volume.asking(&[(LIVING, KeyPresence::Gone)], usize::MAX).await;
    assert!(matches!(ended, Err(ProofError::NoLivingKey { .. })) && report.files == 0);
    let (report, _, ended) = volume.asking(&[], 1).await;
    assert!(matches!(ended, Err(ProofError::Vault(_))) && report.files == 0);
    assert_eq!(volume.names().len(), 3);
}

#[tokio::test]
async fn a_file_with_another_name_elsewhere_frees_nothing() {
    let volume = Volume::new();
    volume.sealed("1.age", DEAD);
    fs::hard_link(volume.at("1.age"), volume.at("backup")).unwrap();
    let (report, _) = volume.purged(&[]).await;
    assert_eq!((report.files, report.bytes), (1, 0));
    assert_eq!(volume.names(), ["backup"]);
}
