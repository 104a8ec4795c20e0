//! Openings in Vault's audit log.
//!
//! A line of the log tells of one answer of Vault. It names the key, the policies of the session and the person's entity in
//! clear. The policies tell the login; which role or grant let a person in it does not tell, so a use counts for each that could.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::Deserialize;
use subrosa_crds::{Reason, access_role::SeenUses};

use crate::world::fault::Fault;

/// How many logins, classes and people are told apart. Further ones are not counted.
const MOST_KEYS: usize = 20_000;
/// How many of the newest openings of each are remembered by their time.
const MOST_TIMES: usize = 100;

/// What one line of the log tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditedAnswer {
    /// Something was opened.
    Opened(AuditedOpening),
    /// A record was read: at this path. So the log is of the Vault that has it.
    Read(String, Timestamp),
    /// Something else.
    Other(Timestamp),
}

/// Something was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedOpening {
    /// When.
    pub at: Timestamp,
    /// The policies of the session.
    pub policies: Vec<String>,
    /// The person's entity.
    pub entity: String,
    /// The Channel's id and the class, as slots have them.
    pub opened: String,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    time: Timestamp,
    #[serde(default)]
    error: String,
    #[serde(default)]
    auth: Auth,
    request: Request,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    entity_id: String,
    policies: Vec<String>,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    path: String,
}

/// What a line of the log tells; none where it is not understood.
pub fn answer(line: &str) -> Option<AuditedAnswer> {
    // A device may write something before each entry.
    let line: Line = serde_json::from_str(line.get(line.find('{')?..)?).ok()?;
    let (is_answer, at) = (line.kind == "response" && line.error.is_empty(), line.time);
    if is_answer && line.request.path.ends_with("/data/domain") {
        return Some(AuditedAnswer::Read(line.request.path, at));
    }
    let key = line.request.path.split_once("/decrypt/").map(|(_, key)| key);
    let opened = key.and_then(|key| key.rsplit_once('.')).filter(|_| is_answer);
    Some(match opened {
        Some((opened, _)) => AuditedAnswer::Opened(AuditedOpening {
            at,
            policies: line.auth.policies,
            entity: line.auth.entity_id,
            opened: opened.to_owned(),
        }),
        None => AuditedAnswer::Other(at),
    })
}

/// The openings of one person, of one class, by one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Openings {
    count: i64,
    last: Option<Timestamp>,
    times: VecDeque<Timestamp>,
}

/// What was read of the log.
#[derive(Clone, Debug, Default)]
pub struct AuditCounts {
    /// When it begins.
    since: Option<Timestamp>,
    /// By policy, class and entity.
    openings: BTreeMap<(String, String), BTreeMap<String, Openings>>,
    keys: usize,
    /// When each record was last read, by path.
    read: BTreeMap<String, Timestamp>,
}

impl AuditCounts {
    /// Adds what a line tells.
    pub fn add(&mut self, answer: AuditedAnswer) {
        let at = match &answer {
            AuditedAnswer::Opened(one) => one.at,
            AuditedAnswer::Read(_, at) | AuditedAnswer::Other(at) => *at,
        };
        self.since.get_or_insert(at);
        match answer {
            AuditedAnswer::Read(path, at) => {
                self.read.insert(path, at);
            }
            AuditedAnswer::Opened(one) => {
                for policy in &one.policies {
                    self.count(policy, &one);
                }
            }
            AuditedAnswer::Other(_) => {}
        }
    }

    fn count(&mut self, policy: &str, one: &AuditedOpening) {
        if !policy.starts_with("subrosa-login.") {
            return;
        }
        let key = (policy.to_owned(), one.opened.clone());
        let is_known = self.openings.get(&key).is_some_and(|people| people.contains_key(&one.entity));
        if !is_known {
            if self.keys >= MOST_KEYS {
                return;
            }
            self.keys += 1;
        }
        let openings = self.openings.entry(key).or_default().entry(one.entity.clone()).or_default();
        openings.count = openings.count.saturating_add(1);
        openings.last = openings.last.max(Some(one.at));
        openings.times.push_back(one.at);
        if openings.times.len() > MOST_TIMES {
            openings.times.pop_front();
        }
    }

    /// When the record at `path` was last read, as the log tells.
    pub fn last_read(&self, path: &str) -> Option<Timestamp> {
        self.read.get(path).copied()
    }

    /// How often anybody opened one of `opened` by one of `policies`.
    pub fn of_all(&self, policies: &[String], opened: &[String]) -> SeenUses {
        let (mut count, mut last) = (0_i64, None);
        for people in self.of(policies, opened) {
            for one in people.values() {
                count = count.saturating_add(one.count);
                last = last.max(one.last);
            }
        }
        counted(count, last, self.since)
    }

    /// How often the person with `entity` did so from `began` to `ends`.
    pub fn of_one(
        &self,
        policies: &[String],
        opened: &[String],
        entity: &str,
        (began, ends): (Timestamp, Timestamp),
    ) -> SeenUses {
        let times = self.of(policies, opened).filter_map(|people| people.get(entity));
        let times = times.flat_map(|one| &one.times).filter(|at| (began..=ends).contains(*at));
        let (mut count, mut last) = (0_i64, None);
        for at in times {
            count = count.saturating_add(1);
            last = last.max(Some(*at));
        }
        counted(count, last, self.since)
    }

    fn of<'a>(
        &'a self,
        policies: &'a [String],
        opened: &'a [String],
    ) -> impl Iterator<Item = &'a BTreeMap<String, Openings>> {
        let keys = policies
            .iter()
            .flat_map(move |policy| opened.iter().map(move |one| (policy.clone(), one.clone())));
        keys.filter_map(|key| self.openings.get(&key))
    }
}

fn counted(count: i64, last: Option<Timestamp>, since: Option<Timestamp>) -> SeenUses {
    let message = match count {
        0 => NO_PROOF,
        _ => {
            "so many answers of Vault are in the part of its audit log that is read; an answer may open several things at once"
        }
    };
    SeenUses {
        reason: Reason::UsesCounted.as_str().to_owned(),
        message: message.to_owned(),
        count: Some(count),
        last: last.map(|at| at.to_string()),
        since: since.map(|at| at.to_string()),
    }
}

/// What no use means.
pub const NO_PROOF: &str =
    "no use is in the part of Vault's audit log that is read, which is no proof that there was none";

/// What status says while nobody counts.
pub fn not_counted(fault: &Fault) -> SeenUses {
    SeenUses {
        reason: fault.reason.as_str().to_owned(),
        message: fault.message.clone(),
        ..SeenUses::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{at, merge};

    const NIGHT: &str = "subrosa-login.oosterlinde.night";

    fn line(patch: Value) -> String {
        let mut line = json!({
            "time": "2026-11-22T10:00:00.123456789Z", "type": "response",
            "auth": {"entity_id": "e-1", "policies": ["default", NIGHT], "client_token": "hmac-sha256:00"},
            "request": {
                "operation": "update", "path": "transit/decrypt/abcdefghij234567.call-recording.2026w47",
                "data": {"ciphertext": "hmac-sha256:01"},
            },
            "response": {"data": {"plaintext": "hmac-sha256:02"}},
        });
        merge(&mut line, patch);
        line.to_string()
    }

    fn counts(lines: &[String]) -> AuditCounts {
        let mut counts = AuditCounts::default();
        lines.iter().filter_map(|line| answer(line)).for_each(|one| counts.add(one));
        counts
    }

    fn count(counts: &AuditCounts, policy: &str, opened: &str) -> Option<i64> {
        counts.of_all(&[policy.to_owned()], &[opened.to_owned()]).count
    }

    #[test]
    fn only_what_vault_opened_counts_and_for_its_login_alone() {
        let lines = [
            line(json!({})),
            format!("before: {}", line(json!({"auth": {"entity_id": "e-2"}}))),
            line(json!({"type": "request"})),
            line(json!({"error": "1 error occurred: permission denied"})),
            line(json!({"request": {"path": "transit/encrypt/abcdefghij234567.call-recording.2026w47"}})),
            line(json!({"auth": {"policies": ["subrosa-workload"]}})),
            "no line of the log".to_owned(),
        ];
        let counts = counts(&lines);
        assert_eq!(count(&counts, NIGHT, "abcdefghij234567.call-recording"), Some(2));
        assert_eq!(
            count(&counts, "subrosa-login.oosterlinde.strong", "abcdefghij234567.call-recording"),
            Some(0)
        );
        assert_eq!(count(&counts, NIGHT, "abcdefghij234567.chat-log"), Some(0));
        let seen = counts.of_all(&[NIGHT.to_owned()], &["abcdefghij234567.call-recording".to_owned()]);
        assert_eq!(seen.reason, "UsesCounted");
        assert!(
            seen.last.is_some()
                && seen.since.as_deref().is_some_and(|since| since.starts_with("2026-11-22T10"))
        );
        let none = counts.of_all(&[], &[]);
        assert!(none.message.contains("no proof"), "{none:?}");
    }

    #[test]
    fn a_grant_has_what_its_person_opened_in_its_time() {
        let lines: Vec<_> = [("e-1", "09"), ("e-1", "10"), ("e-1", "11"), ("e-1", "13"), ("e-2", "10")]
            .iter()
            .map(|(entity, hour)| {
                line(json!({"time": format!("2026-11-22T{hour}:30:00Z"), "auth": {"entity_id": entity}}))
            })
            .collect();
        let seen = counts(&lines).of_one(
            &[NIGHT.to_owned()],
            &["abcdefghij234567.call-recording".to_owned()],
            "e-1",
            (at("2026-11-22T10:00:00Z"), at("2026-11-22T12:00:00Z")),
        );
        assert_eq!((seen.count, seen.last.as_deref()), (Some(2), Some("2026-11-22T11:30:00Z")));
    }

    #[test]
    fn a_read_of_the_record_tells_whose_log_it_is() {
        let read = line(json!({"request": {"path": "subrosa/data/domain"}, "time": "2026-11-22T10:05:00Z"}));
        let counts = counts(&[read]);
        assert_eq!(counts.last_read("subrosa/data/domain"), Some(at("2026-11-22T10:05:00Z")));
        assert_eq!(counts.last_read("other/data/domain"), None);
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut counts = AuditCounts::default();
        let opening = |entity: usize| {
            AuditedAnswer::Opened(AuditedOpening {
                at: at("2026-11-22T10:00:00Z"),
                policies: vec![NIGHT.to_owned()],
                entity: format!("e-{entity}"),
                opened: "a.b".to_owned(),
            })
        };
        for entity in 0..MOST_KEYS + 10 {
            counts.add(opening(entity));
        }
        for _ in 0..MOST_TIMES + 10 {
            counts.add(opening(0));
        }
        assert_eq!(counts.keys, MOST_KEYS);
        let times = counts.openings.values().flat_map(BTreeMap::values).map(|one| one.times.len()).max();
        assert_eq!(times, Some(MOST_TIMES));
    }
}
