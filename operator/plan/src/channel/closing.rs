//! Withdrawn connections, until no pod can still use them.
//!
//! ```text
//!   Open ──▶ withdrawn, and still noted as open ──▶ Closing ──▶ Closed
//!        one end no longer          policy and trust files     every pod started later, or has read its
//!        declares it                have been narrowed         files again: its certificate has ended
//! ```

use std::fmt;

use jiff::Timestamp;
use subrosa_crds::names::ChannelRef;

use super::{Plan, Scope};
use crate::{
    network,
    record::channel::{ChannelRecord, Withdrawal},
    world::{
        PodFacts, World,
        answers::{Answer, Seen},
        certificate::Validity,
        declaration::Declaration,
        selector,
    },
};

impl Plan {
    /// The record with withdrawn connections as closing, and connections about to open as open.
    ///
    /// It is written before anything opens, so that a crash loses no opening. A withdrawn connection stays recorded
    /// as open until policy and trust files are narrowed (`withdrawn`). `presented` is when the last certificate
    /// expires that pods may present now; `None` where unknown.
    pub(super) fn note_connections(
        &self,
        record: &mut ChannelRecord,
        withdrawn: bool,
        presented: Option<Timestamp>,
        now: Timestamp,
    ) {
        let mut open = self.open();
        for key in record.open.difference(&self.open()) {
            if !withdrawn {
                open.insert(key.clone());
            } else if !record.closing.iter().any(|withdrawal| &withdrawal.key == key) {
                record.closing.push(Withdrawal { key: key.clone(), since: now, until: presented });
            }
        }
        record.closing.retain(|withdrawal| !open.contains(&withdrawal.key));
        // A time that was unknown then may be known now; it can only lengthen the wait.
        for withdrawal in &mut record.closing {
            withdrawal.until = withdrawal.until.or(presented);
        }
        record.open = open;
    }
}

/// Whether the expiry of the pods' certificates is needed, because a withdrawal waits for it.
pub fn asks_for_certificates(plan: &Plan, record: &ChannelRecord) -> bool {
    record.closing.iter().any(|withdrawal| withdrawal.until.is_none())
        || record.open.difference(&plan.open()).next().is_some()
}

/// When the last certificate of another issuer expires that pods may present: the one in the Secret, and those that
/// probes saw. `None` where unknown.
pub fn external_until(found: Option<Validity>, seen: Option<&Seen>) -> Option<Timestamp> {
    let answers = seen.into_iter().flatten().flat_map(|(_, pod)| pod.answers.values());
    let shown = answers.filter_map(|answer| match answer {
        Answer::Certificate(shown) => Some(shown.not_after),
        _ => None,
    });
    shown
        .chain([found.map(|validity| validity.not_after)])
        .reduce(|one, other| Some(one?.max(other?)))
        .flatten()
}

/// Why a withdrawn connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// No pod of the Channel runs.
    NoPods,
    /// Every pod of the Channel started after the withdrawal.
    Restarted,
    /// Every certificate that was in use at the withdrawal has expired.
    CertificatesEnded,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPods => "no pod of this Channel runs",
            Self::Restarted => "every pod of this Channel started after the withdrawal",
            Self::CertificatesEnded => {
                "every certificate of then has ended, so every pod has read its trust files again; a TLS session that was \
                 established before may go on until one end closes it or its pod is restarted"
            }
        })
    }
}

/// The result for withdrawn connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettledWithdrawals {
    /// Whether connections were withdrawn that had been recorded as open.
    pub withdrawn: bool,
    /// Those that are closed now, with the proof.
    pub closed: Vec<(Withdrawal, Proof)>,
    /// When time alone closes others.
    pub wake_at: Vec<Timestamp>,
}

/// Removes closed connections from `record`. None counts as closed until policy and trust files are `withdrawn`.
pub fn settle(
    record: &mut ChannelRecord,
    withdrawn: bool,
    oldest: Option<Timestamp>,
    now: Timestamp,
) -> SettledWithdrawals {
    let mut settled = SettledWithdrawals::default();
    if !withdrawn {
        return settled;
    }
    for one in std::mem::take(&mut record.closing) {
        let proof = match oldest {
            None => Some(Proof::NoPods),
            Some(oldest) if oldest > one.since => Some(Proof::Restarted),
            Some(_) => one.until.filter(|until| now > *until).map(|_| Proof::CertificatesEnded),
        };
        match proof {
            Some(proof) => settled.closed.push((one, proof)),
            None => {
                settled.wake_at.extend(one.until);
                record.closing.push(one);
            }
        }
    }
    settled
}

/// Whether a withdrawn connection would count as closed because the oldest pod started then, or none runs. A watch that
/// is behind must not be the proof of that.
pub fn rests_on_pods(plan: &Plan, record: &ChannelRecord, oldest: Option<Timestamp>, now: Timestamp) -> bool {
    let is_later = |since: Timestamp| oldest.is_none_or(|oldest| oldest > since);
    let withdrawn_now = (!record.open.is_subset(&plan.open())).then_some(now);
    record.closing.iter().map(|one| one.since).chain(withdrawn_now).any(is_later)
}

/// When the oldest pod started that may still use a connection: a pod that the Channel selects, that its policy
/// protects, or that mounts one of its Secrets. `pods` are those of its namespace. `None` where no such pod runs.
pub fn oldest_pod<'p>(
    channel: &Declaration,
    plan: &Plan,
    secrets: &[String],
    world: &World,
    pods: impl IntoIterator<Item = &'p PodFacts>,
) -> Option<Timestamp> {
    let is_held = |_: &ChannelRef| matches!(plan.scope, Scope::Stalled(_));
    let protected = network::workload(channel, world, &is_held);
    let declared = channel.selector();
    let may_have = |pod: &&PodFacts| {
        selector::matches(declared, &pod.labels)
            || selector::matches(&protected, &pod.labels)
            || pod.mounts(plan.certificate_secret())
            || secrets.iter().any(|secret| pod.mounts(secret))
    };
    let running = pods.into_iter().filter(|pod| !pod.finished).filter(may_have);
    running.map(|pod| pod.started.unwrap_or(Timestamp::MIN)).min()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use subrosa_crds::trust_domain::Direction;

    use super::*;
    use crate::{
        record::connection::{ConnectionKey, Other},
        testing::{Scene, at, labels, named, now},
        world::answers::{PodSeen, PodTarget, Presented},
    };

    fn scene() -> Scene {
        Scene::new()
            .channel(
                "cc-front/voice",
                json!({"listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "ivr"}]}),
            )
            .channel("cc-front/ivr", json!({"connectsTo": [{"name": "voice"}]}))
    }

    fn ivr() -> ConnectionKey {
        ConnectionKey {
            direction: Direction::Ingress,
            name: "ivr".into(),
            other: Other::Channel(named("cc-front/ivr")),
        }
    }

    /// The record of voice after ivr withdrew.
    fn noted(withdrawn: bool, presented: Option<Timestamp>) -> ChannelRecord {
        let mut record = scene().record("cc-front/voice");
        let plan = scene().channel("cc-front/ivr", json!({})).plan_with("cc-front/voice", Some(&record));
        plan.note_connections(&mut record, withdrawn, presented, now());
        record
    }

    const END: &str = "2027-11-22T12:00:00Z";

    #[test]
    fn what_could_not_be_withdrawn_is_still_open_and_nothing_is_told_closed() {
        let mut record = noted(false, Some(at(END)));
        assert_eq!((record.open.clone(), record.closing.len()), ([ivr()].into(), 0));
        let settled = settle(&mut record, false, None, now());
        assert_eq!(settled, SettledWithdrawals::default());

        let mut record = noted(true, Some(at(END)));
        assert_eq!(record.closing, [Withdrawal { key: ivr(), since: now(), until: Some(at(END)) }]);
        assert!(record.open.is_empty());
        assert!(
            settle(&mut record, false, None, now()).closed.is_empty(),
            "a later turn that failed proves nothing"
        );
        assert_eq!(record.closing.len(), 1);
        assert_eq!(settle(&mut record, true, None, now()).closed[0].1, Proof::NoPods);
        assert!(record.closing.is_empty());
    }

    #[test]
    fn it_is_closed_when_every_pod_started_later_or_every_certificate_of_then_has_ended() {
        let settled = |oldest: &str, now: &str| {
            let mut record = noted(true, Some(at(END)));
            let settled = settle(&mut record, true, Some(at(oldest)), at(now));
            (settled.closed.first().map(|(_, proof)| *proof), settled.wake_at)
        };
        let later = "2027-01-01T00:00:00Z";
        assert_eq!(settled("2026-11-22T12:00:01Z", later).0, Some(Proof::Restarted));
        assert_eq!(settled("2026-11-22T12:00:00Z", later), (None, vec![at(END)]));
        assert_eq!(settled("2026-11-22T12:00:00Z", END), (None, vec![at(END)]));
        assert_eq!(settled("2026-11-22T12:00:00Z", "2027-11-22T12:00:01Z").0, Some(Proof::CertificatesEnded));
        assert!(Proof::CertificatesEnded.to_string().contains("established before may go on"));
    }

    #[test]
    fn what_is_not_known_is_waited_for_and_noted_once_it_is() {
        let mut record = noted(true, None);
        let old = at("2026-11-01T00:00:00Z");
        let ages_later = at("2099-01-01T00:00:00Z");
        assert!(settle(&mut record, true, Some(old), ages_later).closed.is_empty());
        let plan = scene().channel("cc-front/ivr", json!({})).plan_with("cc-front/voice", Some(&record));
        assert!(asks_for_certificates(&plan, &record));
        plan.note_connections(&mut record, true, Some(at(END)), now());
        assert_eq!(record.closing[0].until, Some(at(END)));
        assert!(!asks_for_certificates(&plan, &record));
        plan.note_connections(&mut record, true, Some(ages_later), now());
        assert_eq!(record.closing[0].until, Some(at(END)), "later certificates came with the narrowed files");
    }

    #[test]
    fn it_rests_on_the_pods_where_none_is_as_old_as_a_withdrawal() {
        let rests = |record: &ChannelRecord, scene: &Scene, oldest: Option<&str>| {
            rests_on_pods(&scene.plan("cc-front/voice"), record, oldest.map(at), now())
        };
        let (before, after) = (Some("2026-11-22T12:00:00Z"), Some("2026-11-22T12:00:01Z"));
        let open = scene().record("cc-front/voice");
        assert!(!rests(&open, &scene(), None), "nothing was withdrawn");
        let less = scene().channel("cc-front/ivr", json!({}));
        for record in [&open, &noted(true, None)] {
            let asked = [None, after, before].map(|oldest| rests(record, &less, oldest));
            assert_eq!(asked, [true, true, false], "{:?}", record.closing);
        }
    }

    #[test]
    fn a_certificate_of_somebody_else_counts_as_it_is_presented() {
        let found = Validity { not_before: now(), not_after: at("2027-02-01T00:00:00Z") };
        let shown = |not_after: Option<Timestamp>| {
            let target = PodTarget { ip: [10, 0, 0, 1].into(), running_since: None };
            let answer = Answer::Certificate(Presented {
                serial: "1".into(),
                fingerprint: crate::testing::fingerprint("1"),
                ours: false,
                not_after,
            });
            let answers = BTreeMap::from([(5061, answer), (5062, Answer::Silent)]);
            Seen::from([("voice-0".to_owned(), PodSeen { target, answers })])
        };
        assert_eq!(external_until(None, None), None);
        assert_eq!(external_until(Some(found), None), Some(found.not_after));
        assert_eq!(external_until(Some(found), Some(&shown(Some(at(END))))), Some(at(END)));
        assert_eq!(external_until(Some(found), Some(&shown(Some(now())))), Some(found.not_after));
        assert_eq!(external_until(Some(found), Some(&shown(None))), None);
        assert_eq!(
            external_until(None, Some(&shown(Some(at(END))))),
            None,
            "the next pod presents the Secret's"
        );
    }

    #[test]
    fn a_pod_that_the_channel_no_longer_selects_still_counts_while_it_mounts_its_secret() {
        let pod = |app: &str, secret: &str, started: &str| PodFacts {
            labels: labels([("app", app)]),
            secrets: vec![secret.into()],
            started: Some(at(started)),
            ..PodFacts::default()
        };
        let oldest = |scene: &Scene| {
            let plan = scene.plan("cc-front/voice");
            let pods = scene.pods.get("cc-front").into_iter().flat_map(BTreeMap::values);
            oldest_pod(scene.get("cc-front/voice"), &plan, &["voice-old".into()], scene, pods)
        };
        assert_eq!(oldest(&scene()), None);
        let scene = scene().pod_with("cc-front/new", pod("voice", "x", "2026-11-22T00:00:00Z"));
        assert_eq!(oldest(&scene), Some(at("2026-11-22T00:00:00Z")));
        let scene = scene.pod_with("cc-front/other", pod("other", "voice-mtls", "2026-11-21T00:00:00Z"));
        assert_eq!(oldest(&scene), Some(at("2026-11-21T00:00:00Z")));
        let scene = scene.pod_with("cc-front/older", pod("other", "voice-old", "2026-11-20T00:00:00Z"));
        assert_eq!(oldest(&scene), Some(at("2026-11-20T00:00:00Z")));
        let scene = scene.pod_with("cc-front/foreign", pod("other", "theirs", "2026-11-01T00:00:00Z"));
        assert_eq!(oldest(&scene), Some(at("2026-11-20T00:00:00Z")));
    }
}
