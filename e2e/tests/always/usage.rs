//! What a scenario goes through, and what it may use up of what cannot be given back.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use subrosa_e2e::{audit::BaoAuditEntry, openbao::key_path};

use crate::{cluster::Cluster, scenario::Scenario};

/// What a scenario goes through, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Create,
    Change,
    Renew,
    Rotate,
    Delete,
}

pub const PHASES: [Phase; 5] = [Phase::Create, Phase::Change, Phase::Renew, Phase::Rotate, Phase::Delete];

/// How the operator ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The answer to the n-th write is lost, and nothing else moves either. One Channel at a time.
    Unanswered(usize),
    /// The answer to the n-th write has just arrived; other requests may be under way.
    Answered(usize),
}

impl Crash {
    /// One Channel at a time where the order should be the same each time.
    pub fn concurrency(self) -> u16 {
        match self {
            Self::Unanswered(_) => 1,
            Self::Answered(_) => 16,
        }
    }
}

/// What was used up, by Channel: signatures of its authority, and versions of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    serials: BTreeMap<&'static str, i64>,
    versions: BTreeMap<&'static str, i64>,
}

impl Usage {
    /// What a scenario has used up so far.
    pub async fn of(cluster: &Cluster, scenario: &Scenario) -> Result<Self> {
        let mut usage = Self::default();
        let log: Vec<BaoAuditEntry> = cluster.env.openbao().audit_log()?;
        for (name, id) in &scenario.ids {
            let path = format!("transit-ca/sign/{}", id.authority_key());
            let signed = log.iter().filter(|entry| entry.is_write() && entry.request.path == path);
            usage.serials.insert(name, i64::try_from(signed.count())?);
            usage.versions.insert(name, 0);
        }
        for key in cluster.keys().await? {
            let Some((name, _)) = scenario.ids.iter().find(|(_, id)| key.starts_with(id.as_str())) else {
                continue;
            };
            let (_, described) = cluster.root("GET", &key_path(&key), None).await?;
            let latest = described["data"]["latest_version"].as_i64().context("no version")?;
            *usage.versions.entry(name).or_default() += latest;
        }
        Ok(usage)
    }

    /// What was used up since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let minus = |after: &BTreeMap<&'static str, i64>, before: &BTreeMap<&'static str, i64>| {
            after.iter().map(|(name, count)| (*name, count - before.get(name).unwrap_or(&0))).collect()
        };
        Self {
            serials: minus(&self.serials, &before.serials),
            versions: minus(&self.versions, &before.versions),
        }
    }

    /// Whether something is less than in a run without a crash.
    pub fn is_short(&self) -> bool {
        self.serials.values().chain(self.versions.values()).any(|count| *count < 0)
    }

    /// One extra in all, or one a Channel where several were worked on at once.
    pub fn at_most_one(&self, crash: Crash) -> Result<()> {
        let each: BTreeMap<_, _> =
            self.serials.iter().map(|(name, serials)| (*name, serials + self.versions[name])).collect();
        ensure!(!self.is_short(), "less than without a crash: {self:?}");
        ensure!(each.values().all(|count| *count <= 1), "more than one extra: {self:?}");
        let total: i64 = each.values().sum();
        ensure!(total <= i64::from(crash.concurrency()), "more than one extra in all: {self:?}");
        Ok(())
    }
}

fn counts(counts: [(&'static str, i64); 3]) -> BTreeMap<&'static str, i64> {
    BTreeMap::from(counts)
}

/// What an uninterrupted run may use up: a serial for each authority and each leaf, a version for each key.
pub fn expected(phase: Phase) -> Usage {
    let none = [("voice", 0), ("portal", 0), ("db", 0)];
    let (serials, versions) = match phase {
        Phase::Create => ([("voice", 2), ("portal", 2), ("db", 2)], [("voice", 3), ("portal", 3), ("db", 1)]),
        Phase::Change => ([("voice", 0), ("portal", 1), ("db", 0)], none),
        Phase::Renew => ([("voice", 1), ("portal", 0), ("db", 0)], none),
        Phase::Rotate => ([("voice", 0), ("portal", 0), ("db", 2)], [("voice", 1), ("portal", 0), ("db", 1)]),
        Phase::Delete => (none, none),
    };
    Usage { serials: counts(serials), versions: counts(versions) }
}

#[test]
fn one_extra_is_forgiven_and_no_more() {
    let used = |voice: (i64, i64), db: (i64, i64)| Usage {
        serials: BTreeMap::from([("voice", voice.0), ("db", db.0)]),
        versions: BTreeMap::from([("voice", voice.1), ("db", db.1)]),
    };
    let (alone, together) = (Crash::Unanswered(1), Crash::Answered(1));
    for one in [used((0, 0), (0, 0)), used((1, 0), (0, 0)), used((0, 0), (0, 1))] {
        assert!(one.at_most_one(alone).is_ok() && one.at_most_one(together).is_ok());
    }
    for two in [used((2, 0), (0, 0)), used((1, 1), (0, 0)), used((0, 0), (-1, 0))] {
        assert!(two.at_most_one(alone).is_err() && two.at_most_one(together).is_err());
    }
    let each = used((1, 0), (0, 1));
    assert!(each.at_most_one(alone).is_err() && each.at_most_one(together).is_ok());
}
