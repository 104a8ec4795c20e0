//! Validity and key algorithm of certificates, and arithmetic on their times.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
pub use subrosa_crds::channel::KeyAlgorithm;

/// From when until when a certificate is valid; both ends included, whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First valid second.
    pub not_before: Timestamp,
    /// Last valid second.
    pub not_after: Timestamp,
}

impl Validity {
    /// The length of the validity.
    #[must_use]
    pub fn lifetime(&self) -> SignedDuration {
        self.not_after.duration_since(self.not_before)
    }

    /// Whether a certificate of this validity is valid at `at`.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.not_before <= at && at <= self.not_after
    }
}

/// How far two clocks of one cluster may disagree before a certificate of ours is refused.
///
/// Certificates are backdated by at most this much, and every wait for "has certainly expired" adds it.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// X.509 times have whole seconds; deciding in the same unit keeps records and certificates equal.
#[must_use]
pub fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// `duration × numerator / denominator`, in whole seconds.
#[must_use]
pub fn fraction(duration: SignedDuration, numerator: i64, denominator: i64) -> SignedDuration {
    let seconds = i128::from(duration.as_secs()) * i128::from(numerator) / i128::from(denominator.max(1));
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// `at + duration`, at most the end of representable time.
#[must_use]
pub fn after(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_add(duration).unwrap_or(if duration.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

/// Identifies a certificate: the SHA-256 of its DER. A serial is unique only for its issuer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// Lower-case hex; with a precision that many digits of it.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = f.precision().unwrap_or(usize::MAX);
        self.0.iter().take(most / 2).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
