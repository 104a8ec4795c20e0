use std::{fs, io::Write as _, time::SystemTime};

use super::{
    fake::{FakeKeys, Recorder, text},
    *,
};

fn watch(recorder: &Recorder, rule: FinishedRule) -> Watch {
    Watch {
        scope: WatchScope { root: recorder.at(""), recursive: true, unfinished: vec![".tmp".into()] },
        rule,
        jobs: NonZeroUsize::new(3).unwrap(),
        workers: NonZeroUsize::MIN,
        every: Duration::from_millis(20),
        grace: Duration::from_millis(200),
        quiet_at_start: Duration::ZERO,
    }
}

/// A process that seals.
struct Life {
    counts: Arc<WatchCounts>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), WatchError>>,
}

impl Life {
    fn begin(watch: Watch, keys: FakeKeys) -> Self {
        let (counts, stop) = (Arc::new(WatchCounts::default()), CancellationToken::new());
        let task = tokio::spawn(run(watch, Arc::new(keys), Arc::clone(&counts), stop.clone()));
        Self { counts, stop, task }
    }

    fn now(&self) -> WatchSnapshot {
        self.counts.snapshot(SystemTime::now())
    }

    async fn until(&self, what: &str, so: impl Fn(&WatchSnapshot) -> bool) {
        let began = Instant::now();
        while !so(&self.now()) {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}: {:?}", self.now());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self) -> WatchSnapshot {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        self.counts.snapshot(SystemTime::now())
    }
}

const QUIET: FinishedRule = FinishedRule::Quiet(Duration::from_millis(60));

#[tokio::test(flavor = "multi_thread")]
async fn what_is_finished_is_sealed_and_what_is_not_waits() {
    let recorder = Recorder::new();
    for number in 0..40 {
        recorder.write(&format!("{number}.wav"), &text(number * 3000));
    }
    fs::create_dir(recorder.at("day")).unwrap();
    recorder.write("day/x.wav", b"in a subdirectory");
    recorder.write("y.wav.tmp", b"not finished");
    // A call on hold: its file is open, and nothing comes.
    let life = Life::begin(watch(&recorder, QUIET), FakeKeys::default());
    life.until("looked", |now| now.looked).await;
    let mut call = File::create(recorder.at("call.wav")).unwrap();
    life.until("seen", |now| now.waiting >= 1).await;
    tokio::time::sleep(Duration::from_millis(40)).await;
    call.write_all(b"the first half, ").unwrap();
    life.until("sealed", |now| now.sealed == 41).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(recorder.at("call.wav").exists() && !recorder.at("call.wav.age").exists());
    call.write_all(b"the second").unwrap();
    drop(call);
    life.until("the call", |now| now.sealed == 42 && now.waiting == 0).await;
    assert_eq!(life.end().await.failed, 0);
    assert_eq!(recorder.opened("call.wav.age").unwrap(), b"the first half, the second");
    assert_eq!(recorder.opened("day/x.wav.age").unwrap(), b"in a subdirectory");
    for number in 0..40 {
        assert!(recorder.opened(&format!("{number}.wav.age")).unwrap() == text(number * 3000));
    }
    assert_eq!(recorder.names().len(), 43, "{:?}", recorder.names());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_vault_is_away_nothing_is_removed() {
    let recorder = Recorder::new();
    for number in 0..10 {
        recorder.write(&format!("{number}.wav"), &text(number));
    }
    let life = Life::begin(watch(&recorder, FinishedRule::Named), FakeKeys::away(5));
    life.until("a failure", |now| now.failed > 0).await;
    let now = life.now();
    assert!(now.trouble.unwrap().contains("sealed"));
    assert_eq!(recorder.names().iter().filter(|name| name.ends_with(".wav")).count(), 10);
    // A failure is not one for each file: after three at once it waits.
    assert!(now.failed <= 3, "{}", now.failed);
    life.until("sealed", |now| now.sealed == 10).await;
    assert_eq!(life.end().await.trouble, None);
    assert!(recorder.names().iter().all(|name| name.ends_with(".age")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_takes_no_file_is_told_until_it_does() {
    let recorder = Recorder::new();
    recorder.write("a.wav", &text(10));
    let life = Life::begin(watch(&recorder, FinishedRule::Named), FakeKeys::in_unwritable(2));
    life.until("it is told", |now| {
        now.trouble.as_ref().is_some_and(|told| told.contains("no file can be made"))
    })
    .await;
    assert!(recorder.at("a.wav").exists());
    life.until("sealed", |now| now.sealed == 1 && now.trouble.is_none()).await;
    life.end().await;
    // And no longer when nothing is left to be sealed there.
    recorder.write("b.wav", &text(10));
    let life = Life::begin(watch(&recorder, FinishedRule::Named), FakeKeys::in_unwritable(usize::MAX));
    life.until("it is told again", |now| now.trouble.is_some()).await;
    fs::remove_file(recorder.at("b.wav")).unwrap();
    life.until("nothing is left", |now| now.waiting == 0 && now.trouble.is_none()).await;
    life.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_on_hold_before_the_start_is_not_cut() {
    let recorder = Recorder::new();
    let mut call = File::create(recorder.at("call.wav")).unwrap();
    call.write_all(b"the first half, ").unwrap();
    recorder.write("old.wav", b"of an earlier call");
    let old = File::options().write(true).open(recorder.at("old.wav")).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    let mut held = watch(&recorder, QUIET);
    held.quiet_at_start = Duration::from_secs(900);
    let life = Life::begin(held, FakeKeys::default());
    life.until("the old one", |now| now.sealed == 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(recorder.at("call.wav").exists(), "nobody saw who holds it open");
    call.write_all(b"the second").unwrap();
    drop(call);
    life.until("the call", |now| now.sealed == 2).await;
    life.end().await;
    assert_eq!(recorder.opened("call.wav.age").unwrap(), b"the first half, the second");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_life_goes_on_wherever_the_last_one_ended() {
    let recorder = Recorder::new();
    // While a part was written; after it was whole; after the plaintext was removed.
    recorder.write("a.wav", &text(1000));
    recorder.write(".subrosa-watch-abcdef.part", b"half");
    recorder.write("b.wav", &text(2000));
    recorder.leftover("b.wav");
    recorder.write("c.wav", &text(3000));
    recorder.leftover("c.wav");
    fs::remove_file(recorder.at("c.wav")).unwrap();
    // And a recorder that then used the name again.
    recorder.write("c.wav", &text(4000));
    let life = Life::begin(watch(&recorder, QUIET), FakeKeys::sealing_only());
    life.until("sealed", |now| now.sealed == 3).await;
    life.end().await;
    assert_eq!(recorder.names(), ["a.wav.age", "b.wav.age", "c.2.wav.age", "c.wav.age"]);
    for (name, length) in
        [("a.wav.age", 1000), ("b.wav.age", 2000), ("c.wav.age", 3000), ("c.2.wav.age", 4000)]
    {
        assert!(recorder.opened(name).unwrap() == text(length), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_that_cannot_be_sealed_holds_up_no_other() {
    let recorder = Recorder::new();
    let long = "a".repeat(240);
    recorder.write(&long, b"its sealed file would have too long a name");
    for number in 0..5 {
        recorder.write(&format!("{number}.wav"), &text(number));
    }
    let mut one = watch(&recorder, FinishedRule::Named);
    one.jobs = NonZeroUsize::MIN;
    let life = Life::begin(one, FakeKeys::default());
    life.until("the others", |now| now.sealed == 5 && now.failed > 0 && now.waiting == 1).await;
    let end = life.end().await;
    assert_eq!(end.trouble, None);
    assert!(recorder.names().contains(&long));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_not_seal_in_one_directory() {
    let recorder = Recorder::new();
    let life = Life::begin(watch(&recorder, QUIET), FakeKeys::default());
    life.until("looked", |now| now.looked).await;
    let second = Life::begin(watch(&recorder, QUIET), FakeKeys::default());
    let refused = second.task.await.unwrap().unwrap_err();
    assert!(matches!(refused, WatchError::Taken(_)), "{refused}");
    life.end().await;
    let nowhere = WatchScope { root: recorder.at("nowhere"), recursive: false, unfinished: vec![] };
    let refused = lock(&nowhere).unwrap_err().to_string();
    assert!(refused.contains("nowhere"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_the_oldest_plaintext_is_told() {
    let recorder = Recorder::new();
    recorder.write("a.wav.old", b"old");
    let file = File::options().write(true).open(recorder.at("a.wav.old")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(500)).unwrap();
    let life = Life::begin(watch(&recorder, FinishedRule::Named), FakeKeys::away(usize::MAX));
    life.until("a failure", |now| now.failed > 0).await;
    let oldest = life.now().oldest;
    assert!((500..520).contains(&oldest), "{oldest}");
    let began = Instant::now();
    life.end().await;
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn looking_takes_a_tenth_of_the_time_at_most() {
    let second = Duration::from_secs(1);
    assert_eq!(until_next_look(second, Duration::from_millis(99)), second);
    assert_eq!(until_next_look(second, Duration::from_millis(700)), Duration::from_secs(7));
}
