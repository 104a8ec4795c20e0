use std::os::unix::{ffi::OsStrExt as _, fs::symlink};

use super::*;
use crate::watch::fake::{FakeKeys, Recorder, text};

fn how() -> How {
    How { workers: NonZeroUsize::MIN, stop: Arc::default(), names: Names::default() }
}

async fn sealed(recorder: &Recorder, keys: &FakeKeys, name: &str) -> Result<Done, Trouble> {
    seal(keys, recorder.found(name), None, how()).await
}

fn done(recorder: &Recorder, name: &str, length: usize) -> Done {
    Done::Sealed { to: recorder.at(name), bytes: length as u64 }
}

#[tokio::test]
async fn a_recording_is_sealed_and_its_plaintext_goes() {
    for length in [0, 1, 70_000, 3 << 20] {
        let recorder = Recorder::new();
        recorder.write("a.wav", &text(length));
        let result = sealed(&recorder, &FakeKeys::default(), "a.wav").await.unwrap();
        assert_eq!(result, done(&recorder, "a.wav.age", length));
        assert_eq!(recorder.names(), ["a.wav.age"]);
        assert!(recorder.opened("a.wav.age").unwrap() == text(length));
    }
}

#[tokio::test]
async fn what_was_sealed_in_an_earlier_life_is_not_sealed_again() {
    let recorder = Recorder::new();
    recorder.write("a.wav", &text(70_000));
    let leftover = recorder.leftover("a.wav");
    let keys = FakeKeys::default();
    let result = seal(&keys, recorder.found("a.wav"), Some(leftover), how()).await.unwrap();
    assert_eq!((result, keys.asked()), (done(&recorder, "a.wav.age", 70_000), 0));
    assert_eq!(recorder.names(), ["a.wav.age"]);
    assert!(recorder.opened("a.wav.age").unwrap() == text(70_000));
}

#[tokio::test]
async fn what_only_looks_sealed_is_sealed_anew() {
    for damage in [0, 10, 150, 60_000] {
        let recorder = Recorder::new();
        recorder.write("a.wav", &text(70_000));
        let leftover = recorder.leftover("a.wav");
        File::options().write(true).open(&leftover.path).unwrap().set_len(damage).unwrap();
        let result =
            seal(&FakeKeys::default(), recorder.found("a.wav"), Some(leftover), how()).await.unwrap();
        assert_eq!(result, done(&recorder, "a.wav.age", 70_000));
        assert!(recorder.opened("a.wav.age").unwrap() == text(70_000));
        assert_eq!(recorder.names(), ["a.wav.age"]);
    }
}

#[tokio::test]
async fn a_name_that_is_used_again_costs_no_recording() {
    let recorder = Recorder::new();
    for number in 1..4 {
        recorder.write("a.wav", &text(number * 1000));
        sealed(&recorder, &FakeKeys::default(), "a.wav").await.unwrap();
    }
    assert_eq!(recorder.names(), ["a.2.wav.age", "a.3.wav.age", "a.wav.age"]);
    for (number, name) in [(1, "a.wav.age"), (2, "a.2.wav.age"), (3, "a.3.wav.age")] {
        assert!(recorder.opened(name).unwrap() == text(number * 1000));
    }
}

#[tokio::test]
async fn a_sealed_file_that_opens_to_the_same_is_recognised() {
    let recorder = Recorder::new();
    recorder.write("a.wav", &text(70_000));
    sealed(&recorder, &FakeKeys::default(), "a.wav").await.unwrap();
    recorder.write("a.wav", &text(70_000));
    let result = sealed(&recorder, &FakeKeys::default(), "a.wav").await.unwrap();
    assert_eq!((result, recorder.names()), (Done::WasSealed, vec!["a.wav.age".to_owned()]));
    // Of the same length, and another: or by one who may not open, who cannot know.
    let mut other = text(70_000);
    other[69_999] ^= 1;
    recorder.write("a.wav", &other);
    sealed(&recorder, &FakeKeys::default(), "a.wav").await.unwrap();
    recorder.write("a.wav", &text(70_000));
    sealed(&recorder, &FakeKeys::sealing_only(), "a.wav").await.unwrap();
    assert_eq!(recorder.names(), ["a.2.wav.age", "a.3.wav.age", "a.wav.age"]);
    assert!(recorder.opened("a.2.wav.age").unwrap() == other);
}

#[tokio::test]
async fn what_changed_meanwhile_is_neither_sealed_nor_removed() {
    let recorder = Recorder::new();
    recorder.write("a.wav", &text(100));
    let found = recorder.found("a.wav");
    recorder.write("a.wav", &text(200));
    let result = seal(&FakeKeys::default(), found.clone(), None, how()).await.unwrap();
    assert_eq!((result, recorder.names()), (Done::Changed, vec!["a.wav".to_owned()]));
    // While it is sealed: the key is asked for between the look and the reading.
    let path = recorder.at("a.wav");
    let keys = FakeKeys::meanwhile(move || fs::write(&path, text(300)).unwrap());
    let result = sealed(&recorder, &keys, "a.wav").await.unwrap();
    assert_eq!((result, recorder.names()), (Done::Changed, vec!["a.wav".to_owned()]));
    assert_eq!(fs::read(recorder.at("a.wav")).unwrap(), text(300));
    fs::remove_file(recorder.at("a.wav")).unwrap();
    let result = seal(&FakeKeys::default(), found, None, how()).await.unwrap();
    assert_eq!((result, recorder.names()), (Done::Changed, Vec::new()));
}

#[tokio::test]
async fn a_link_that_came_in_its_place_is_not_followed() {
    let recorder = Recorder::new();
    let other = Recorder::new();
    recorder.write("a.wav", &text(100));
    let found = recorder.found("a.wav");
    other.write("b", &text(100));
    fs::remove_file(recorder.at("a.wav")).unwrap();
    symlink(other.at("b"), recorder.at("a.wav")).unwrap();
    let refused = seal(&FakeKeys::default(), found, None, how()).await;
    assert!(!matches!(refused, Ok(Done::Sealed { .. } | Done::WasSealed)));
    assert_eq!((recorder.names(), other.names()), (vec!["a.wav".to_owned()], vec!["b".to_owned()]));
}

#[tokio::test]
async fn the_end_of_the_process_leaves_the_plaintext_and_no_part() {
    let recorder = Recorder::new();
    recorder.write("a.wav", &text(3 << 20));
    let how = how();
    let stop = Arc::clone(&how.stop);
    let keys = FakeKeys::meanwhile(move || stop.store(true, Ordering::Relaxed));
    let stopped = seal(&keys, recorder.found("a.wav"), None, how).await;
    assert!(matches!(stopped, Err(Trouble::Stopped)), "{stopped:?}");
    assert_eq!(recorder.names(), ["a.wav"]);
}

#[tokio::test]
async fn the_end_of_the_process_ends_a_comparison_too() {
    let recorder = Recorder::new();
    recorder.write("a.wav", &text(3 << 20));
    sealed(&recorder, &FakeKeys::default(), "a.wav").await.unwrap();
    recorder.write("a.wav", &text(3 << 20));
    let how = how();
    how.stop.store(true, Ordering::Relaxed);
    let stopped = seal(&FakeKeys::default(), recorder.found("a.wav"), None, how).await;
    assert!(matches!(stopped, Err(Trouble::Stopped)), "{stopped:?}");
    assert_eq!(recorder.names(), ["a.wav", "a.wav.age"]);
}

#[tokio::test]
async fn a_name_that_no_sealed_file_can_have_is_told() {
    let recorder = Recorder::new();
    let long = "a".repeat(240);
    recorder.write(&long, b"text");
    let error = sealed(&recorder, &FakeKeys::default(), &long).await.unwrap_err();
    assert!(error.to_string().contains("too long") && !error.is_general(), "{error}");
    assert_eq!(recorder.names(), [long]);
    let keys = FakeKeys::default();
    sealed(&recorder, &keys, &"a".repeat(240)).await.unwrap_err();
    assert_eq!(keys.asked(), 0, "before Vault is asked and the file is read");
    let recorder = Recorder::new();
    let odd = recorder.at("").join(std::ffi::OsStr::from_bytes(b"\xff.wav"));
    fs::write(&odd, b"text").unwrap();
    let metadata = odd.symlink_metadata().unwrap();
    let found =
        Found { path: odd.clone(), state: FileState::of(&metadata), modified: metadata.modified().unwrap() };
    let error = seal(&FakeKeys::default(), found, None, how()).await.unwrap_err();
    assert!(error.to_string().contains("UTF-8") && odd.exists(), "{error}");
}

#[test]
fn a_name_begins_no_line_of_a_log() {
    let source = || io::ErrorKind::PermissionDenied.into();
    let path = || PathBuf::from("a\nERROR all is lost.wav");
    for trouble in [
        Trouble::from(SealError::File { path: path(), source: source() }),
        Trouble::Directory { path: path(), source: source() },
        Trouble::Name { path: path(), problem: "it is too long" },
    ] {
        assert!(!trouble.to_string().contains('\n'), "{trouble:?}");
    }
}

#[test]
fn a_full_disk_is_no_trouble_of_one_file_and_a_missing_key_is() {
    let full = |kind: io::ErrorKind| {
        Trouble::from(SealError::File { path: "a".into(), source: kind.into() }).is_general()
    };
    assert!(full(io::ErrorKind::StorageFull) && full(io::ErrorKind::QuotaExceeded));
    assert!(!full(io::ErrorKind::PermissionDenied));
    let key = "abcdefghijklmnop.call-recording.2026w45".parse().unwrap();
    assert!(
        !Trouble::from(SealError::KeyGone { doing: seal::Doing::Seal, key }).is_general(),
        "that of an old recording stops no new one"
    );
}

#[test]
fn two_recordings_that_are_sealed_at_once_get_two_names() {
    let recorder = Recorder::new();
    recorder.write("a.wav.age", b"of an earlier one");
    let names = Names::default();
    recorder.write("a.wav", b"one");
    recorder.write("a.2.wav", b"two");
    let (first, one) = free_name(&recorder.found("a.wav"), "a.wav", &names).unwrap();
    let (_second, two) = free_name(&recorder.found("a.2.wav"), "a.2.wav", &names).unwrap();
    assert_eq!((one.as_str(), two.as_str()), ("a.2.wav", "a.2.2.wav"));
    drop(first);
    assert!(free_name(&recorder.found("a.2.wav"), "a.2.wav", &names).unwrap().1 == "a.2.wav", "given up");
}

#[tokio::test]
async fn a_sealed_file_whose_name_was_taken_gets_the_next_one() {
    let recorder = Recorder::new();
    recorder.write("a.wav", &text(100));
    let leftover = recorder.leftover("a.wav");
    let found = recorder.found("a.wav");
    recorder.write("a.wav.age", b"of somebody else");
    // The plaintext is another one by now: the sealed file is the only copy of what it was.
    recorder.write("a.wav", &text(200));
    assert_eq!(finish(&found, &leftover).unwrap(), Done::Changed);
    assert_eq!(recorder.names(), ["a.2.wav.age", "a.wav", "a.wav.age"]);
    assert_eq!(fs::read(recorder.at("a.wav.age")).unwrap(), b"of somebody else");
}

#[tokio::test]
async fn a_change_whose_time_was_set_back_is_noticed() {
    let recorder = Recorder::new();
    recorder.write("a.wav", &text(100));
    let found = recorder.found("a.wav");
    let file = File::options().write(true).open(recorder.at("a.wav")).unwrap();
    fs::write(recorder.at("a.wav"), text(101).split_off(1)).unwrap();
    file.set_modified(found.modified).unwrap();
    let result = seal(&FakeKeys::default(), found, None, how()).await.unwrap();
    assert_eq!((result, recorder.names()), (Done::Changed, vec!["a.wav".to_owned()]));
}

/// In which order names come and go: a kill between any two of them is survived only in this one.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_plaintext_goes_after_the_sealed_file_is_whole_and_before_it_has_its_name() {
    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

    let recorder = Recorder::new();
    recorder.write("a.wav", &text(3000));
    let queue = inotify::init(CreateFlags::NONBLOCK).unwrap();
    let what = WatchFlags::DELETE | WatchFlags::MOVED_TO;
    inotify::add_watch(&queue, recorder.at(""), what).unwrap();
    sealed(&recorder, &FakeKeys::default(), "a.wav").await.unwrap();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(queue, &mut buffer);
    let mut seen = Vec::new();
    while let Ok(event) = reader.next() {
        let name = event.file_name().unwrap().to_str().unwrap().to_owned();
        seen.push((event.events().contains(ReadFlags::DELETE), name));
    }
    let [(false, whole), (true, plain), (false, named)] = seen.as_slice() else { panic!("{seen:?}") };
    assert!(whole.starts_with(".subrosa-sealed-"), "{whole}");
    assert_eq!((plain.as_str(), named.as_str()), ("a.wav", "a.wav.age"));
}
