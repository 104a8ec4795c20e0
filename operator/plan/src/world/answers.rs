//! What the pods of Channels answered to probes, and where probes come from.

use std::{collections::BTreeMap, net::IpAddr};

use super::certificate::Fingerprint;
use jiff::Timestamp;

/// The operator's own pods, which send the probes. Where they are unknown, no probe is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The operator's namespace.
    pub namespace: String,
    /// The labels of its pods; never empty, which would mean every pod of the namespace.
    pub labels: BTreeMap<String, String>,
}

/// One run of one pod: a restart is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodTarget {
    /// Its address.
    pub ip: IpAddr,
    /// When the container that runs longest was started.
    pub running_since: Option<Timestamp>,
}

/// What a listener answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A certificate, and proof that it holds the key.
    Certificate(Presented),
    /// A certificate whose key it does not hold.
    KeyNotHeld,
    /// Not TLS, or an answer that it does not speak TLS.
    Plaintext,
    /// It closed the connection before it showed a certificate.
    NoCertificate,
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    Silent,
}

/// A certificate as it was presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Which it is.
    pub fingerprint: Fingerprint,
    /// Serial number, lower-case hex, for people.
    pub serial: String,
    /// Whether the Channel's own authority signed it.
    pub ours: bool,
    /// Until when it is valid.
    pub not_after: Option<Timestamp>,
}

/// What was seen at one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSeen {
    /// Which run of it.
    pub target: PodTarget,
    /// By port.
    pub answers: BTreeMap<u16, Answer>,
}

/// What was seen of a Channel's pods, by name.
pub type Seen = BTreeMap<String, PodSeen>;
