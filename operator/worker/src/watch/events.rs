//! What the kernel tells of files in the directories that are watched. It is a help and no more: writers on other machines
//! are not seen, and events can be lost. Without it, a file that does not change is taken for finished.

use std::path::{Path, PathBuf};

use super::finished::Told;

/// What was told since the last time.
#[derive(Debug, Default)]
pub struct News {
    /// Of which file, in order.
    pub told: Vec<(PathBuf, Told)>,
    /// Whether something was lost.
    pub lost: bool,
}

#[cfg(target_os = "linux")]
pub use linux::Events;

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::HashMap, ffi::OsStr, mem::MaybeUninit, os::fd::OwnedFd, os::unix::ffi::OsStrExt as _,
    };

    use rustix::{
        fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
        io::Errno,
    };

    use super::*;

    /// Directories that the kernel tells of.
    pub struct Events {
        queue: Option<OwnedFd>,
        directories: HashMap<i32, PathBuf>,
    }

    impl Events {
        /// Tells of nothing yet; of nothing ever where the kernel gives no more queues.
        pub fn new() -> Self {
            let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok();
            Self { queue, directories: HashMap::new() }
        }

        /// From now on tells of what happens in `directory`.
        pub fn watch(&mut self, directory: &Path) {
            if self.directories.values().any(|known| known == directory) {
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
                self.directories.insert(number, directory.to_owned());
            }
        }

        /// What happened since the last time.
        pub fn news(&mut self) -> News {
            let mut news = News::default();
            let Some(queue) = &self.queue else { return news };
            let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
            let mut reader = Reader::new(queue, &mut buffer);
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(Errno::INTR) => continue,
                    // There is no more, for now or for ever.
                    Err(_) => return news,
                };
                let flags = event.events();
                news.lost |= flags.contains(ReadFlags::QUEUE_OVERFLOW);
                if flags.contains(ReadFlags::IGNORED) {
                    self.directories.remove(&event.wd());
                    continue;
                }
                let what = [
                    (ReadFlags::CREATE, Told::Created),
                    (ReadFlags::OPEN, Told::Opened),
                    (ReadFlags::MODIFY, Told::Written),
                    (ReadFlags::CLOSE_WRITE, Told::Closed),
                    (ReadFlags::CLOSE_NOWRITE, Told::ClosedUnwritten),
                    (ReadFlags::MOVED_TO, Told::Named),
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

/// Elsewhere nothing is told.
#[cfg(not(target_os = "linux"))]
pub struct Events;

#[cfg(not(target_os = "linux"))]
impl Events {
    /// Tells of nothing.
    pub fn new() -> Self {
        Self
    }

    /// Nothing.
    pub fn watch(&mut self, _: &Path) {}

    /// Nothing.
    pub fn news(&mut self) -> News {
        News::default()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    #[test]
    fn a_writer_that_holds_a_file_open_is_told_apart_from_one_that_closed_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut events = Events::new();
        events.watch(directory.path());
        let mut file = fs::File::create(at("a")).unwrap();
        file.write_all(b"a").unwrap();
        let begun = [Told::Created, Told::Opened, Told::Written].map(|told| (at("a"), told));
        assert_eq!(events.news().told, begun);
        drop(file);
        fs::write(at("b"), "b").unwrap();
        fs::rename(at("b"), at("c")).unwrap();
        drop(fs::read(at("c")).unwrap());
        let expected = [
            (at("a"), Told::Closed),
            (at("b"), Told::Created),
            (at("b"), Told::Opened),
            (at("b"), Told::Written),
            (at("b"), Told::Closed),
            (at("c"), Told::Named),
            (at("c"), Told::Opened),
            (at("c"), Told::ClosedUnwritten),
        ];
        assert_eq!(events.news().told, expected);
    }
}
