//! How far rustic is, as two numbers of bytes that anybody may look at.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rustic_core::{HiddenProgress, Progress, ProgressBars, ProgressType, RusticProgress};

/// The bytes that are done, and how many there are; 0 while that is unknown.
#[derive(Clone, Debug, Default)]
pub struct BytesDone {
    /// Done.
    pub done: Arc<AtomicU64>,
    /// In all.
    pub total: Arc<AtomicU64>,
}

impl ProgressBars for BytesDone {
    fn progress(&self, kind: ProgressType, _: &str) -> Progress {
        match kind {
            ProgressType::Bytes => Progress::new(self.clone()),
            ProgressType::Counter | ProgressType::Spinner => Progress::new(HiddenProgress),
        }
    }
}

impl RusticProgress for BytesDone {
    fn is_hidden(&self) -> bool {
        false
    }

    fn set_length(&self, length: u64) {
        self.total.fetch_add(length, Ordering::Relaxed);
    }

    fn set_title(&self, _: &str) {}

    fn inc(&self, more: u64) {
        self.done.fetch_add(more, Ordering::Relaxed);
    }

    fn finish(&self) {}
}
