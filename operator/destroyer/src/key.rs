//! Takes the steps of one key, until nothing more can be done now.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use subrosa_crds::{LegalHold, Reason, names::DataKeyName, period::Period};
use subrosa_plan::{
    destruction::{
        holds::{self, Selected},
        order::{Order, Orders},
        step::{self, Facts, Hold, KeySeen, Next, Released},
    },
    record::decision::DecisionRecord,
    world::fault::Fault,
};
use subrosa_records::vault::{RecordPath, VaultError, canary::CanaryAnswer};

use crate::{survey, vault, vault::DestroyerVault};

/// The most steps of one key in one look. A whole destruction needs fewer.
const MOST_STEPS: usize = 16;

/// The inputs that decide about a key, beside its state in Vault.
#[derive(Clone, Copy, Debug)]
pub struct Decides<'a> {
    /// Every LegalHold there is.
    pub holds: &'a [LegalHold],
    /// The LegalHolds whose release was approved.
    pub released: &'a [Released],
    /// The unfinished Destructions of the trust domain, judged.
    pub orders: &'a Orders<'a>,
    /// Why all destruction is frozen, where it is.
    pub frozen: Option<&'a Fault>,
    /// Whether the hourly limit allows one more key to be set aside or condemned.
    pub has_room: bool,
    /// The trust domain's time zone.
    pub zone: &'a TimeZone,
    /// The time.
    pub now: Timestamp,
}

/// The result of this look for a key.
#[derive(Clone, Debug)]
pub struct KeyStep {
    /// The key's record; `None` where there is none.
    pub record: Option<DecisionRecord>,
    /// The state of the key.
    pub is: Fault,
    /// Whether it was set aside in this look.
    pub begun: bool,
    /// Whether it was destroyed in this look.
    pub ended: bool,
}

/// Takes one step after the other, each after reading everything again.
///
/// # Errors
/// When Vault does not answer or refuses: the next look continues.
pub async fn settle(vault: &DestroyerVault, name: &DataKeyName, by: &Decides<'_>) -> Result<KeyStep, Fault> {
    let path = survey::path(name).map_err(|error| vault::fault(&error))?;
    let settled = steps(vault, name, &path, by).await;
    // It had to be cached until now, because a write keeps fields that this binary does not know.
    vault.decisions.forget(&path);
    settled
}

async fn steps(
    vault: &DestroyerVault,
    name: &DataKeyName,
    path: &RecordPath,
    by: &Decides<'_>,
) -> Result<KeyStep, Fault> {
    let (mut begun, mut ended) = (false, false);
    for _ in 0..MOST_STEPS {
        let entry = vault.decisions.read(path).await.map_err(|error| vault::fault(&error))?;
        let Some(record) = entry.record else {
            let is = Fault::new(Reason::KeyUnrecorded, "there is no record of decisions about it yet");
            return Ok(KeyStep { record: None, is, begun, ended });
        };
        let holds = holding(by, &record, name);
        // A hold is recorded whatever the state of the key in Vault.
        if let Some(held) = step::with_holds(&record, &holds, by.released, by.now) {
            match vault.decide(path, held, entry.version).await {
                Ok(()) | Err(VaultError::CasConflict { .. }) => {}
                Err(error) => return Err(vault::fault(&error)),
            }
            continue;
        }
        let seen = seen(vault, name).await?;
        let order = by.orders.of(&record, &name.to_string());
        let facts = facts(by, &record, seen, order, name, &holds);
        let (next, room) = (step::next(&facts), facts.key);
        let written = match (next, order, room) {
            (Next::Stay(is), ..) => return Ok(KeyStep { record: Some(record), is, begun, ended }),
            (Next::Write(record), ..) => Some(*record),
            (Next::Begin, Some(order), Some(key)) => {
                begun = true;
                Some(step::begun(&record, order, key, canary(vault, name).await?, by.now))
            }
            (Next::Begin, ..) => {
                let is = Fault::new(Reason::NotListed, "no Destruction lists it");
                return Ok(KeyStep { record: Some(record), is, begun, ended });
            }
            (Next::SetAside, ..) => {
                vault.keys.soft_delete(name).await.map_err(|error| vault::fault(&error))?;
                None
            }
            (Next::Restore, ..) => {
                vault.keys.restore(name).await.map_err(|error| vault::fault(&error))?;
                tracing::warn!(key = %name, "brought back");
                None
            }
            (Next::Delete, ..) => {
                delete(vault, name).await?;
                None
            }
            (Next::Prove, ..) => match prove(vault, name, &record).await? {
                Ok(()) => {
                    ended = true;
                    Some(step::proven(&record, by.now))
                }
                Err(is) => return Ok(KeyStep { record: Some(record), is, begun, ended }),
            },
        };
        if let Some(record) = written {
            match vault.decide(path, record, entry.version).await {
                Ok(()) => {}
                // A conflict, or the answer was lost: read the record again.
                Err(VaultError::CasConflict { .. }) => (begun, ended) = (false, false),
                Err(error) => return Err(vault::fault(&error)),
            }
        }
    }
    Err(Fault::new(Reason::WorkUnderWay, format!("key {name} is not settled yet")))
}

fn facts<'a>(
    by: &Decides<'a>,
    record: &'a DecisionRecord,
    key: Option<KeySeen>,
    order: Option<&'a Order<'a>>,
    name: &DataKeyName,
    holds: &'a [Hold],
) -> Facts<'a> {
    let today = by.now.to_zoned(by.zone.clone()).date();
    let due = order.and_then(|order| order.due(record, &name.class, name.cohort)).or(record.due);
    Facts {
        record,
        key,
        holds,
        released: by.released,
        order,
        due,
        today,
        grace_ends: order.and_then(|order| grace_ends(&order.rules.grace, today, by.zone)),
        frozen: by.frozen,
        has_room: by.has_room,
        now: by.now,
    }
}

/// The LegalHolds that match the key by its first recorded facts and whose release was not approved.
fn holding(by: &Decides<'_>, record: &DecisionRecord, name: &DataKeyName) -> Vec<Hold> {
    let key = Selected { channel: &record.channel, class: &name.class, cohort: name.cohort };
    holds::holding(by.holds, by.released, key).into_iter().map(holds::named).collect()
}

/// When the grace ends: at the end of its last day, so that it is never shorter than declared.
fn grace_ends(grace: &str, today: Date, zone: &TimeZone) -> Option<Timestamp> {
    let last = grace.parse::<Period>().ok()?.after(today).ok()?;
    Some(last.tomorrow().ok()?.to_zoned(zone.clone()).ok()?.timestamp())
}

async fn seen(vault: &DestroyerVault, name: &DataKeyName) -> Result<Option<KeySeen>, Fault> {
    let Some(key) = vault.keys.read_key(name).await.map_err(|error| vault::fault(&error))? else {
        return Ok(None);
    };
    let first = key.versions.get(&1).map(|version| version.created);
    let Some(created) = first else {
        // Vault drops the times of versions below the minimum, so the key cannot be identified.
        let message =
            format!("transit key {name} does not show its first version: a minimum version was raised");
        return Err(Fault::new(Reason::KeyVersionsWithheld, message));
    };
    Ok(Some(KeySeen { created, set_aside: key.soft_deleted }))
}

/// Seals a canary and opens it: a canary that never opened would prove nothing later.
async fn canary(vault: &DestroyerVault, name: &DataKeyName) -> Result<String, Fault> {
    let canary = vault.keys.seal_canary(name).await.map_err(|error| vault::fault(&error))?;
    match vault.keys.open_canary(name, &canary).await.map_err(|error| vault::fault(&error))? {
        CanaryAnswer::Opened => Ok(canary),
        other => Err(Fault::new(
            Reason::ProofFailed,
            format!("the canary of key {name} does not open before: {other:?}"),
        )),
    }
}

async fn delete(vault: &DestroyerVault, name: &DataKeyName) -> Result<(), Fault> {
    tracing::warn!(key = %name, "deleting");
    vault.keys.allow_deletion(name).await.map_err(|error| vault::fault(&error))?;
    match vault.keys.delete(name).await {
        Ok(()) | Err(VaultError::NotFound { .. }) => Ok(()),
        Err(error) => Err(vault::fault(&error)),
    }
}

async fn prove(
    vault: &DestroyerVault,
    name: &DataKeyName,
    record: &DecisionRecord,
) -> Result<Result<(), Fault>, Fault> {
    let canary = record.destruction.as_ref().map(|mark| mark.canary.as_str()).unwrap_or_default();
    Ok(match vault.keys.open_canary(name, canary).await.map_err(|error| vault::fault(&error))? {
        CanaryAnswer::KeyNotFound => Ok(()),
        other => {
            let message = format!("Vault shows no key {name}, and says to its canary: {other:?}");
            Err(Fault::new(Reason::ProofFailed, message))
        }
    })
}
