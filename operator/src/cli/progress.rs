//! A progress line on the terminal, for work that takes longer than a second.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(250);
/// Shorter work shows no line.
const AFTER: Duration = Duration::from_secs(1);

/// A line that says how much of so many bytes is done. Dropped, it goes.
pub struct Progress {
    done: Arc<AtomicU64>,
    shared: Arc<Shared>,
    drawing: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ended: Mutex<bool>,
    wake: Condvar,
}

impl Progress {
    /// For `total` bytes; not drawn where standard error is no terminal.
    pub fn of(total: u64) -> Self {
        Self::watching(Arc::default(), Arc::new(AtomicU64::new(total)))
    }

    /// The same for numbers that somebody else counts, of which the total may grow.
    pub fn watching(done: Arc<AtomicU64>, total: Arc<AtomicU64>) -> Self {
        let shared = Arc::<Shared>::default();
        let drawing = io::stderr().is_terminal().then(|| {
            let (done, shared) = (Arc::clone(&done), Arc::clone(&shared));
            thread::spawn(move || draw(&total, &done, &shared))
        });
        Self { done, shared, drawing }
    }

    /// The counter of bytes done.
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.done)
    }

    /// Prints something without disturbing the line.
    pub fn aside<T>(&self, say: impl FnOnce() -> T) -> T {
        let _held = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if self.drawing.is_some() {
            erase();
        }
        say()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        *self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
        if let Some(drawing) = self.drawing.take() {
            // Waits until it draws nothing more.
            let _ = drawing.join();
            erase();
        }
    }
}

fn draw(total: &AtomicU64, done: &AtomicU64, shared: &Shared) {
    let began = Instant::now();
    let mut ended = shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
    while !*ended {
        let waited = shared.wake.wait_timeout(ended, EVERY);
        ended = waited.unwrap_or_else(PoisonError::into_inner).0;
        if !*ended && began.elapsed() >= AFTER {
            let line = line(done.load(Ordering::Relaxed), total.load(Ordering::Relaxed), began.elapsed());
            // The terminal may be gone.
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
        }
    }
}

fn erase() {
    let _ = write!(io::stderr(), "\r\x1b[K");
}

fn line(done: u64, total: u64, took: Duration) -> String {
    let rate = size(u64::try_from(u128::from(done) * 1000 / took.as_millis().max(1)).unwrap_or(u64::MAX));
    match u64::try_from(u128::from(done) * 100 / u128::from(total.max(1))) {
        // The length of a stream is unknown, and a file may have grown.
        Ok(percent) if total > 0 => {
            format!("{:3} %  {} of {}, {rate} a second", percent.min(100), size(done), size(total))
        }
        _ => format!("{}, {rate} a second", size(done)),
    }
}

/// A readable number of bytes: `1.5 KiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match UNITS.into_iter().find(|(_, power)| bytes >> power > 0) {
        Some((unit, power)) => {
            let tenths = (u128::from(bytes) * 10) >> power;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let second = Duration::from_secs(2);
        assert_eq!(line(512 << 20, 1 << 30, second), " 50 %  512.0 MiB of 1.0 GiB, 256.0 MiB a second");
        assert_eq!(line(3 << 10, 0, second), "3.0 KiB, 1.5 KiB a second");
        assert_eq!(line(20, 10, second), "100 %  20 B of 10 B, 10 B a second");
        assert!(line(u64::MAX, u64::MAX, Duration::ZERO).starts_with("100 %"));
    }

    #[test]
    fn where_no_terminal_is_nothing_is_drawn() {
        let progress = Progress { done: Arc::default(), shared: Arc::default(), drawing: None };
        progress.counter().fetch_add(5, Ordering::Relaxed);
        assert_eq!(progress.aside(|| 7), 7);
    }
}
