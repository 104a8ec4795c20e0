//! The kernel's file events (inotify). They only help: writers on other machines are invisible, and events can be
//! lost. Without them, a file that does not change counts as finished.

use std::path::{Path, PathBuf};

use super::finished::FileEvent;

/// The events since the last call.
#[derive(Debug, Default)]
pub struct FileNews {
    /// The events in order, with the file of each.
    pub told: Vec<(PathBuf, FileEvent)>,
    /// Whether events were lost.
    pub lost: bool,
}

#[cfg(target_os = "linux")]
pub use linux::FileEvents;

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::{HashMap, HashSet},
        ffi::OsStr,
        mem::MaybeUninit,
        os::fd::OwnedFd,
        os::unix::ffi::OsStrExt as _,
    };

    use rustix::{
        fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
        io::Errno,
    };

    use super::*;

    /// The watched directories.
    pub struct FileEvents {
        queue: Option<OwnedFd>,
        directories: HashMap<i32, PathBuf>,
        /// The same by path, for fast lookup.
        known: HashSet<PathBuf>,
    }

    impl FileEvents {
        /// Watches nothing yet; never does where the kernel grants no inotify instance.
        pub fn new() -> Self {
            let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok();
            Self { queue, directories: HashMap::new(), known: HashSet::new() }
        }

        /// Watches `directory`.
        pub fn watch(&mut self, directory: &Path) {
            if self.known.contains(directory) {
                return;
            }
            let what = WatchFlags::CREATE
                | WatchFlags::OPEN
                | WatchFlags::MODIFY
                | WatchFlags::CLOSE_WRITE
                | WatchFlags::CLOSE_NOWRITE
                | WatchFlags::MOVED_TO
                | WatchFlags::ONLYDIR
                | WatchFlags::DONT_FOLLOW;
            let added = self.queue.as_ref().and_then(|queue| inotify::add_watch(queue, directory, what).ok());
            if let Some(number) = added {
                self.known.insert(directory.to_owned());
                // A renamed directory keeps its number.
                if let Some(before) = self.directories.insert(number, directory.to_owned()) {
                    self.known.remove(&before);
                }
            }
        }

        /// The events since the last call.
        pub fn news(&mut self) -> FileNews {
            let mut news = FileNews::default();
            let Some(queue) = &self.queue else { return news };
            let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
            let mut reader = Reader::new(queue, &mut buffer);
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(Errno::INTR) => continue,
                    // No more events, for now or for good.
                    Err(_) => return news,
                };
                let flags = event.events();
                news.lost |= flags.contains(ReadFlags::QUEUE_OVERFLOW);
                if flags.contains(ReadFlags::IGNORED) {
                    if let Some(gone) = self.directories.remove(&event.wd()) {
                        self.known.remove(&gone);
                    }
                    continue;
                }
                let what = [
                    (ReadFlags::CREATE, FileEvent::Created),
                    (ReadFlags::OPEN, FileEvent::Opened),
                    (ReadFlags::MODIFY, FileEvent::Written),
                    (ReadFlags::CLOSE_WRITE, FileEvent::Closed),
                    (ReadFlags::CLOSE_NOWRITE, FileEvent::ClosedUnwritten),
                    (ReadFlags::MOVED_TO, FileEvent::Named),
                ];
                let what = what.into_iter().find(|(flag, _)| flags.contains(*flag));
                if let (Some((_, told)), Some(directory), Some(name)) =
                    (what, self.directories.get(&event.wd()), event.file_name())
                {
                    news.told.push((directory.join(OsStr::from_bytes(name.to_bytes())), told));
                }
            }
        }
    }
}

/// Other systems: no events.
#[cfg(not(target_os = "linux"))]
pub struct FileEvents;

#[cfg(not(target_os = "linux"))]
impl FileEvents {
    /// Tells of nothing.
    pub fn new() -> Self {
        Self
    }

    /// Nothing.
    pub fn watch(&mut self, _: &Path) {}

    /// Nothing.
    pub fn news(&mut self) -> FileNews {
        FileNews::default()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    #[test]
    fn a_directory_that_went_and_came_again_is_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let day = directory.path().join("day");
        let mut events = FileEvents::new();
        for _ in 0..2 {
            fs::create_dir(&day).unwrap();
            events.watch(&day);
            fs::write(day.join("a"), "a").unwrap();
            assert_eq!(events.news().told.last(), Some(&(day.join("a"), FileEvent::Closed)));
            fs::remove_dir_all(&day).unwrap();
            events.news();
        }
    }

    #[test]
    fn a_writer_that_holds_a_file_open_is_told_apart_from_one_that_closed_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut events = FileEvents::new();
        events.watch(directory.path());
        let mut file = fs::File::create(at("a")).unwrap();
        file.write_all(b"a").unwrap();
        let begun = [FileEvent::Created, FileEvent::Opened, FileEvent::Written].map(|told| (at("a"), told));
        assert_eq!(events.news().told, begun);
        drop(file);
        fs::write(at("b"), "b").unwrap();
        fs::rename(at("b"), at("c")).unwrap();
        drop(fs::read(at("c")).unwrap());
        let expected = [
            (at("a"), FileEvent::Closed),
            (at("b"), FileEvent::Created),
            (at("b"), FileEvent::Opened),
            (at("b"), FileEvent::Written),
            (at("b"), FileEvent::Closed),
            (at("c"), FileEvent::Named),
            (at("c"), FileEvent::Opened),
            (at("c"), FileEvent::ClosedUnwritten),
        ];
        assert_eq!(events.news().told, expected);
    }
}
