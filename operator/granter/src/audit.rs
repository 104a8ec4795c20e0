//! Reads Vault's audit log where it is given as a file, a part in each round, and keeps status quiet about it. What a line tells is
//! decided in [`audit`].

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use subrosa_crds::{AccessRole, Reason, TrustDomain, access_role::SeenUses};
use subrosa_plan::{
    record::grants::OpenGrant,
    roles::{
        audit::{self, AuditCounts},
        break_glass, names,
    },
    world::{domain, fault::Fault},
};

use crate::domain::OpenedByPair;

/// How much of the log is read when the granter starts.
const FIRST: u64 = 256 << 20;
/// How much is read in one round.
const AT_ONCE: u64 = 16 << 20;
/// The longest line that is understood.
const LONGEST_LINE: u64 = 1 << 20;
/// How old the newest read of the record may be in the log at the least: the granter itself reads it in each round, which may be
/// further apart.
const ALIVE: SignedDuration = SignedDuration::from_mins(10);
/// How often the status of an object changes because of uses alone.
const TOLD_EVERY: Duration = Duration::from_secs(600);

/// The log, and what was told of it.
pub struct VaultAuditLog {
    path: Option<PathBuf>,
    /// How old the newest read of the record may be in the log.
    alive: SignedDuration,
    read: Arc<Mutex<LogRead>>,
    /// When uses of each object were told last, by its UID.
    told: Mutex<BTreeMap<String, Instant>>,
}

/// What was read of the log.
#[derive(Default)]
struct LogRead {
    counts: AuditCounts,
    /// The file, and how far it was read.
    at: Option<(u64, u64)>,
    /// Whether more is there than was read.
    is_behind: bool,
    /// Why it could not be read.
    failed: Option<String>,
}

impl VaultAuditLog {
    /// The log in that file, if there is one, of a granter whose rounds are at most that far apart.
    pub fn new(path: Option<PathBuf>, interval: Duration) -> Self {
        let two_rounds = SignedDuration::try_from(interval * 2).unwrap_or(SignedDuration::MAX);
        Self { path, alive: ALIVE.max(two_rounds), read: Arc::default(), told: Mutex::default() }
    }

    /// Reads what was added.
    pub async fn read(&self) {
        let Some(path) = self.path.clone() else { return };
        let read = Arc::clone(&self.read);
        let done = tokio::task::spawn_blocking(move || {
            let mut read = locked(&read);
            let done = read.go_on(&path);
            read.failed = done.err().map(|error| error.to_string());
            if let Some(error) = &read.failed {
                tracing::warn!(file = %path.display(), "Vault's audit log is not read: {error}");
            }
        });
        // It ends before that only when the process does.
        drop(done.await);
    }

    /// Why nobody counts the uses in a trust domain.
    pub fn unseen(&self, of: &TrustDomain) -> Option<Fault> {
        let Some(path) = &self.path else {
            let message = "nobody counts uses: the granter was not given Vault's audit log; next: granter.auditLog of the chart";
            return Some(Fault::new(Reason::AuditLogNotGiven, message));
        };
        let read = locked(&self.read);
        let problem = if let Some(error) = &read.failed {
            format!("{error}; next: look whether the file is there and the granter may read it")
        } else if read.is_behind {
            "it is being read, which takes some rounds; next: wait some minutes".to_owned()
        } else {
            let record = format!("{}/data/domain", domain::kv_mount(of));
            let last = read.counts.last_read(&record);
            if last.is_some_and(|last| Timestamp::now().duration_since(last) <= self.alive) {
                return None;
            }
            format!(
                "the granter's own requests to Vault of the last {} minutes ({record}) are not in it; next: give the log of this Vault, \
                 which is written now",
                self.alive.as_mins()
            )
        };
        let message = format!("nobody counts uses: Vault's audit log {}: {problem}", path.display());
        Some(Fault::new(Reason::AuditLogUnreadable, message))
    }

    /// How often what a role names was opened, as its status tells it.
    pub fn of_role(&self, of: &TrustDomain, role: &AccessRole, opened: &OpenedByPair) -> SeenUses {
        let before = role.status.as_ref().and_then(|status| status.uses.as_ref());
        let uses = match self.unseen(of) {
            Some(fault) => audit::not_counted(&fault),
            None => {
                let name = of.name_any();
                let mut policies = vec![names::login_policy(&name, &role.spec.login)];
                if role.spec.break_glass.is_some() {
                    policies.push(names::login_policy(&name, break_glass::LOGIN));
                }
                locked(&self.read).counts.of_all(&policies, &classes(opened))
            }
        };
        self.quiet(role.uid().unwrap_or_default(), before, uses, Instant::now())
    }

    /// How often a person opened what a grant gives them, as its status tells it.
    pub fn of_grant(
        &self,
        of: &TrustDomain,
        uid: &str,
        open: &OpenGrant,
        opened: &OpenedByPair,
        before: Option<&SeenUses>,
    ) -> Option<SeenUses> {
        let began = open.began?;
        let end = open.ended.as_ref().map(|end| end.at);
        let ends = end.or(open.ends).unwrap_or_else(Timestamp::now);
        let uses = match self.unseen(of) {
            Some(fault) => audit::not_counted(&fault),
            None => {
                let policies = [names::login_policy(&of.name_any(), &open.login)];
                let counts = &locked(&self.read).counts;
                counts.of_one(&policies, &classes(opened), &open.entity, (began, ends))
            }
        };
        match end {
            // The last that is told of it.
            Some(_) => Some(uses),
            None => Some(self.quiet(uid.to_owned(), before, uses, Instant::now())),
        }
    }

    /// What is told: what was told before, while that is not long ago and only numbers changed.
    fn quiet(&self, uid: String, before: Option<&SeenUses>, uses: SeenUses, now: Instant) -> SeenUses {
        let Some(before) = before.filter(|before| before.reason == uses.reason && **before != uses) else {
            return uses;
        };
        let mut told = locked(&self.told);
        if told.get(&uid).is_some_and(|at| now.duration_since(*at) < TOLD_EVERY) {
            return before.clone();
        }
        told.retain(|_, at| now.duration_since(*at) < TOLD_EVERY);
        told.insert(uid, now);
        uses
    }
}

impl LogRead {
    /// Reads on from where it was read to. A file that is another one or shorter than before is read from its beginning.
    fn go_on(&mut self, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let (inode, length) = (metadata.ino(), metadata.len());
        let (mut from, mut skips) = (0, false);
        match self.at {
            Some((known, at)) if known == inode && at <= length => from = at,
            Some(_) => {}
            None if length > FIRST => (from, skips) = (length - FIRST, true),
            None => {}
        }
        file.seek(SeekFrom::Start(from))?;
        let mut reader = BufReader::new(file);
        let (mut line, mut at) = (Vec::new(), from);
        while at - from < AT_ONCE {
            line.clear();
            let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
            let is_whole = line.last() == Some(&b'\n');
            if read == 0 || !is_whole && u64::try_from(read).unwrap_or(u64::MAX) < LONGEST_LINE {
                // The rest of the line is not written yet.
                break;
            }
            at += u64::try_from(read).unwrap_or_default();
            let is_cut = std::mem::replace(&mut skips, !is_whole);
            if is_whole && !is_cut {
                let found = std::str::from_utf8(&line).ok().and_then(audit::answer);
                found.into_iter().for_each(|one| self.counts.add(one));
            }
        }
        self.at = Some((inode, at));
        self.is_behind = at - from >= AT_ONCE;
        Ok(())
    }
}

/// What is opened, as the names of keys begin.
fn classes(opened: &OpenedByPair) -> Vec<String> {
    opened.values().flatten().map(ToString::to_string).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A directory of its own for a test, which goes with this.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("subrosa-audit-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    fn line(time: &str) -> String {
        format!(
            r#"{{"time":"{time}","type":"response","auth":{{"entity_id":"e","policies":["subrosa-login.d.strong"]}},"request":{{"path":"transit/decrypt/a.b.2026"}}}}"#
        )
    }

    fn count(read: &LogRead) -> Option<i64> {
        read.counts.of_all(&["subrosa-login.d.strong".to_owned()], &["a.b".to_owned()]).count
    }

    #[test]
    fn a_line_is_counted_once_when_it_is_whole_and_a_new_file_from_its_beginning() {
        let directory = Directory::new("whole");
        let path = directory.0.join("audit.log");
        let mut read = LogRead::default();
        assert!(read.go_on(&path).is_err());
        let mut file = File::create(&path).unwrap();
        let (first, second) = (line("2026-11-22T10:00:00Z"), line("2026-11-22T10:01:00Z"));
        write!(file, "{first}\n{}", &second[..40]).unwrap();
        for _ in 0..2 {
            read.go_on(&path).unwrap();
            assert_eq!(count(&read), Some(1));
        }
        writeln!(file, "{}", &second[40..]).unwrap();
        read.go_on(&path).unwrap();
        assert_eq!(count(&read), Some(2));
        std::fs::rename(&path, directory.0.join("audit.log.1")).unwrap();
        std::fs::write(&path, format!("{first}\n")).unwrap();
        read.go_on(&path).unwrap();
        assert_eq!(count(&read), Some(3));
        assert!(!read.is_behind);
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_the_next_one_is_not() {
        let directory = Directory::new("long");
        let path = directory.0.join("audit.log");
        let long = "x".repeat(usize::try_from(LONGEST_LINE).unwrap() + 10);
        std::fs::write(&path, format!("{long}\n{}\n", line("2026-11-22T10:00:00Z"))).unwrap();
        let mut read = LogRead::default();
        read.go_on(&path).unwrap();
        assert_eq!(count(&read), Some(1));
    }

    #[test]
    fn numbers_alone_are_told_every_ten_minutes() {
        let (log, now) = (VaultAuditLog::new(None, Duration::ZERO), Instant::now());
        let uses =
            |count| SeenUses { reason: "UsesCounted".to_owned(), count: Some(count), ..SeenUses::default() };
        let told = |before: Option<&SeenUses>, count: i64, now: Instant| {
            log.quiet("u".to_owned(), before, uses(count), now).count
        };
        assert_eq!(told(None, 1, now), Some(1));
        assert_eq!(told(Some(&uses(1)), 2, now), Some(2), "after a start");
        assert_eq!(told(Some(&uses(2)), 3, now), Some(2));
        assert_eq!(told(Some(&uses(2)), 3, now + TOLD_EVERY), Some(3));
        let unseen = SeenUses { reason: "AuditLogUnreadable".to_owned(), ..SeenUses::default() };
        assert_eq!(log.quiet("u".to_owned(), Some(&uses(3)), unseen.clone(), now), unseen, "at once");
    }
}
