//! `subrosa status --destruction`: what waits for people before data ends, what is held, and why nothing is
//! destroyed.
//!
//! Finished Destructions are only counted; open, held and frozen ones are shown.

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;
use subrosa_crds::{Destruction, LegalHold, Reason, condition, destruction::KeyOutcome};

use crate::cli::{
    ends::{EndObjects, needed},
    harmless,
    output::Paint,
    table::{Cell, Table, Tone},
    words,
};

/// The most key names in a line.
const MOST_KEYS: usize = 3;

/// The report for a compliance officer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// Why nothing is destroyed in a trust domain.
    pub frozen: Vec<FrozenRow>,
    /// Rules of RetentionPolicies that wait for Approvals.
    pub waiting: Vec<WaitingRow>,
    /// Destructions whose trust domain is gone while keys of theirs are set aside.
    pub stranded: Vec<StrandedRow>,
    /// Destructions that are not finished.
    pub open: Vec<OrderRow>,
    /// How many are finished.
    pub finished: usize,
    /// LegalHolds that did not end.
    pub holds: Vec<HoldRow>,
    /// What this user may not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
}

/// A trust domain in which nothing is destroyed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrozenRow {
    /// Its name.
    pub trust_domain: String,
    /// In one word.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// What was seen.
    pub message: String,
}

/// A Destruction whose TrustDomain was deleted while keys of it are set aside: nobody destroys or restores them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StrandedRow {
    /// Its name.
    pub destruction: String,
    /// The trust domain that is gone.
    pub trust_domain: String,
    /// How many keys are set aside.
    pub set_aside: usize,
    /// The keys, by their names in Vault.
    pub keys: Vec<String>,
}

/// A policy with rules that are weaker than what binds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingRow {
    /// Its name.
    pub retention_policy: String,
    /// The trust domain in which they wait.
    pub trust_domain: String,
    /// The rules.
    pub rules: Vec<String>,
}

/// A Destruction.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRow {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub state: String,
    /// The day.
    pub due: String,
    /// How many keys it lists.
    pub keys: usize,
    /// How many people approve, of how many.
    pub approvals: String,
    /// Until when it can be called off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_until: Option<String>,
    /// What is so, and the next step.
    pub message: String,
}

/// A LegalHold.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldRow {
    /// Its name.
    pub name: String,
    /// The matter.
    pub matter: String,
    /// Whether it is in force: the reason of condition Effective.
    pub effective: String,
    /// How many keys it holds.
    pub keys: i64,
    /// For how many it came too late.
    pub too_late: i64,
    /// By when somebody looks whether it is still needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_by: Option<String>,
    /// Whether that day has passed.
    pub overdue: bool,
    /// How many people approve its end, of how many; where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

impl Ending {
    /// The report on the objects at `now`.
    pub fn of(seen: &EndObjects, now: Timestamp) -> Self {
        let told = || seen.told.iter().flatten();
        let frozen = told().filter_map(|(domain, told)| {
            let frozen = told.frozen.clone()?;
            Some(FrozenRow {
                trust_domain: domain.clone(),
                reason: frozen.reason,
                since: frozen.since,
                message: frozen.message,
            })
        });
        let waiting = told().flat_map(|(domain, told)| {
            told.waiting.iter().map(|(policy, rules)| WaitingRow {
                retention_policy: policy.clone(),
                trust_domain: domain.clone(),
                rules: rules.clone(),
            })
        });
        let (done, open): (Vec<_>, Vec<_>) = seen.destructions.iter().partition(|one| is_finished(one));
        let mut hidden: Vec<_> = seen.hidden.iter().map(ToString::to_string).collect();
        if seen.told.is_none() {
            hidden.push(format!("ConfigMap {}/subrosa-destroyer (freezes, rules that wait)", seen.namespace));
        }
        Self {
            frozen: frozen.collect(),
            waiting: waiting.collect(),
            stranded: stranded(seen),
            open: open.into_iter().map(order).collect(),
            finished: done.len(),
            holds: seen.holding().map(|hold| held(hold, now)).collect(),
            hidden,
        }
    }
}

fn is_finished(one: &Destruction) -> bool {
    let state = one.status.as_ref().and_then(|status| status.state.as_deref());
    [Reason::Destroyed, Reason::Voided].iter().any(|done| state == Some(done.as_str()))
}

/// Keys set aside under deleted TrustDomains, by the last status of their Destructions. Empty where TrustDomains may not be read.
fn stranded(seen: &EndObjects) -> Vec<StrandedRow> {
    if seen.hidden.contains(&"TrustDomains") {
        return Vec::new();
    }
    let rows = seen.destructions.iter().filter(|one| seen.domain(&one.spec.trust_domain).is_none());
    let rows = rows.filter_map(|one| {
        let keys = one.status.iter().flat_map(|status| &status.keys);
        let keys: Vec<_> = keys
            .filter(|key| key.set_aside_at.is_some() && key.destroyed_at.is_none())
            .map(KeyOutcome::key_name)
            .collect();
        (!keys.is_empty()).then(|| StrandedRow {
            destruction: one.name_any(),
            trust_domain: one.spec.trust_domain.clone(),
            set_aside: keys.len(),
            keys,
        })
    });
    rows.collect()
}

fn order(one: &Destruction) -> OrderRow {
    let status = one.status.clone().unwrap_or_default();
    let ready = condition::find(&status.conditions, condition::READY);
    OrderRow {
        name: one.name_any(),
        state: status.state.unwrap_or_else(|| Reason::NotReconciled.as_str().to_owned()),
        due: one.spec.due.clone(),
        keys: one.spec.keys.len(),
        approvals: status.approvals.unwrap_or_else(|| "-".to_owned()),
        grace_until: status.grace_until,
        message: ready
            .map_or("the destroyer has not looked at it yet; see whether it runs", |one| &one.message)
            .to_owned(),
    }
}

fn held(hold: &LegalHold, now: Timestamp) -> HoldRow {
    let status = hold.status.clone().unwrap_or_default();
    let effective = condition::find(&status.conditions, condition::EFFECTIVE);
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let review = status.review_by.as_deref().and_then(|day| day.parse::<jiff::civil::Date>().ok());
    HoldRow {
        name: hold.name_any(),
        matter: hold.spec.matter.clone(),
        effective: effective.map_or(Reason::NotReconciled.as_str(), |one| &one.reason).to_owned(),
        keys: status.held.unwrap_or_default(),
        too_late: status.too_late_count.unwrap_or_default(),
        overdue: review.is_some_and(|day| day < today),
        review_by: status.review_by,
        release: status.approvals.filter(|_| hold.spec.is_released()),
    }
}

/// The report as text.
pub fn drawn(report: &Ending, paint: Paint) -> String {
    let mut parts = Vec::new();
    if !report.hidden.is_empty() {
        let text = format!("Not shown, for you may not read them: {}", report.hidden.join(", "));
        parts.push(format!("{}\n", paint.odd(&text)));
    }
    if !report.frozen.is_empty() {
        parts.push(frozen(report).text(paint));
    }
    if !report.stranded.is_empty() {
        parts.push(set_aside_for_nobody(report).text(paint));
    }
    if report.open.is_empty() {
        parts.push("No Destruction is open.\n".to_owned());
    } else {
        parts.push(orders(report).text(paint));
    }
    if !report.waiting.is_empty() {
        parts.push(waiting(report).text(paint));
    }
    if report.holds.is_empty() {
        parts.push("Nothing is held.\n".to_owned());
    } else {
        parts.push(holds(report).text(paint));
    }
    let finished = words::counted(report.finished, "Destruction");
    parts.push(format!("{finished} finished; subrosa verify destruction/NAME checks the record\n"));
    parts.join("\n")
}

fn frozen(report: &Ending) -> Table {
    let mut table = Table::new(["NOTHING IS DESTROYED IN", "REASON", "SINCE"]);
    for row in &report.frozen {
        let name = harmless(&row.trust_domain);
        table.row([
            name.clone().into(),
            Cell::new(harmless(&row.reason), Tone::Bad),
            row.since.to_string().into(),
        ]);
        table.below(Cell::new(harmless(&row.message), Tone::Bad));
        table
            .below(Cell::new(format!("next: subrosa approve trustdomain/{name}, after a look"), Tone::Faint));
    }
    table
}

fn set_aside_for_nobody(report: &Ending) -> Table {
    let mut table = Table::new(["SET ASIDE, AND NOBODY LOOKS", "KEYS", "TRUST DOMAIN"]);
    for row in &report.stranded {
        let (name, domain) = (harmless(&row.destruction), harmless(&row.trust_domain));
        table.row([
            name.clone().into(),
            Cell::new(row.set_aside.to_string(), Tone::Bad),
            Cell::new(format!("{domain} (gone)"), Tone::Bad),
        ]);
        let first: Vec<_> = row.keys.iter().take(MOST_KEYS).map(|key| harmless(key)).collect();
        let more = row.keys.len().saturating_sub(first.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        table.below(Cell::new(format!("nothing opens with {}{more}", first.join(", ")), Tone::Odd));
        let next = format!(
            "next: apply TrustDomain {domain} again as it was; to have them back, subrosa deny destruction/{name} first"
        );
        table.below(Cell::new(next, Tone::Faint));
    }
    table
}

fn orders(report: &Ending) -> Table {
    let mut table = Table::new(["DESTRUCTION", "STATE", "DUE", "KEYS", "APPROVALS", "GRACE UNTIL"]);
    for row in &report.open {
        table.row([
            harmless(&row.name).into(),
            Cell::new(harmless(&row.state), Tone::Odd),
            harmless(&row.due).into(),
            row.keys.to_string().into(),
            approvals(&row.approvals),
            harmless(row.grace_until.as_deref().unwrap_or("-")).into(),
        ]);
        table.below(Cell::new(harmless(&row.message), Tone::Odd));
    }
    table
}

fn waiting(report: &Ending) -> Table {
    let mut table = Table::new(["RULES THAT WAIT", "IN", "WHAT"]);
    for row in &report.waiting {
        let name = harmless(&row.retention_policy);
        table.row([
            name.clone().into(),
            harmless(&row.trust_domain).into(),
            Cell::new(harmless(&row.rules.join(", ")), Tone::Odd),
        ]);
        table.below(Cell::new(format!("next: subrosa approve retentionpolicy/{name}"), Tone::Faint));
    }
    table
}

fn holds(report: &Ending) -> Table {
    let mut table =
        Table::new(["LEGAL HOLD", "MATTER", "EFFECTIVE", "KEYS", "TOO LATE", "REVIEW BY", "RELEASE"]);
    for row in &report.holds {
        let in_force = row.effective == Reason::Effective.as_str();
        let tone = |bad: bool| if bad { Tone::Odd } else { Tone::Plain };
        table.row([
            harmless(&row.name).into(),
            harmless(&row.matter).into(),
            Cell::new(harmless(&row.effective), if in_force { Tone::Good } else { Tone::Odd }),
            row.keys.to_string().into(),
            Cell::new(row.too_late.to_string(), tone(row.too_late > 0)),
            Cell::new(harmless(row.review_by.as_deref().unwrap_or("-")), tone(row.overdue)),
            harmless(row.release.as_deref().unwrap_or("-")).into(),
        ]);
        if row.overdue {
            let text = "somebody should look whether it is still needed; it holds all the same";
            table.below(Cell::new(text, Tone::Odd));
        }
    }
    table
}

fn approvals(text: &str) -> Cell {
    let enough = needed(Some(text)).is_some_and(|need| {
        text.split_once('/').and_then(|(have, _)| have.parse::<i32>().ok()).is_some_and(|have| have >= need)
    });
    Cell::new(harmless(text), if enough { Tone::Good } else { Tone::Odd })
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::cli::testing;

    /// Nothing watches these keys any more, so this report is where people find them.
    #[test]
    fn what_is_set_aside_under_a_trust_domain_that_is_gone_is_told() {
        let key = |cohort: &str, set_aside: bool, destroyed: bool| {
            let at = |there: bool| there.then(|| "2026-11-20T00:00:00Z".to_owned());
            KeyOutcome {
                id: "abcdefgh234567ab".into(),
                data_class: "call".into(),
                cohort: cohort.into(),
                set_aside_at: at(set_aside),
                destroyed_at: at(destroyed),
                ..KeyOutcome::default()
            }
        };
        let mut one = testing::destruction();
        let status = one.status.as_mut().unwrap();
        status.keys =
            vec![key("2026w01", true, true), key("2026w02", true, false), key("2026w03", false, false)];
        let (name, domain) = (one.name_any(), testing::domain());
        assert_eq!(one.spec.trust_domain, domain.name_any());
        let mut seen = EndObjects { destructions: vec![one], domains: vec![domain], ..EndObjects::default() };
        assert!(Ending::of(&seen, testing::now()).stranded.is_empty(), "the destroyer looks after it");
        seen.domains.clear();
        let report = Ending::of(&seen, testing::now());
        assert_eq!(report.stranded[0].keys, ["abcdefgh234567ab.call.2026w02"]);
        let text = drawn(&report, Paint(false));
        assert!(
            text.contains("oosterlinde (gone)") && text.contains("abcdefgh234567ab.call.2026w02"),
            "{text}"
        );
        assert!(text.contains(&format!("subrosa deny destruction/{name} first")), "{text}");
        seen.hidden = vec!["TrustDomains"];
        assert!(Ending::of(&seen, testing::now()).stranded.is_empty(), "nobody knows whether it is gone");
    }

    #[test]
    fn one_screen_tells_what_waits_what_is_held_and_what_is_frozen() {
        let mut done = testing::destruction();
        done.status.as_mut().unwrap().state = Some("Destroyed".into());
        let mut late = testing::hold();
        late.metadata.name = Some("old".into());
        late.status.as_mut().unwrap().review_by = Some("2026-11-01".into());
        let mut ended = testing::hold();
        ended.status.as_mut().unwrap().conditions[1].reason = "Released".into();
        let told = serde_json::json!({
            "version": 3,
            "frozen": {"reason": "ClockJumped", "message": "time went back\u{1b}[2J", "since": "2026-11-22T09:00:00Z", "digest": "sha256:0"},
            "waiting": {"contactcenter": ["approvals: 1 (2 bind)", "grace: 1d (14d binds)"]},
        });
        let seen = EndObjects {
            domains: vec![testing::domain()],
            destructions: vec![testing::destruction(), done],
            holds: vec![testing::hold(), late, ended],
            told: Some([("oosterlinde".to_owned(), serde_json::from_value(told).unwrap())].into()),
            namespace: "subrosa-system".into(),
            ..EndObjects::default()
        };
        let report = Ending::of(&seen, testing::now());
        insta::assert_snapshot!("ending", drawn(&report, Paint(false)));
        insta::assert_yaml_snapshot!("ending_report", report);
        let nothing = EndObjects { told: None, hidden: vec!["LegalHolds"], ..EndObjects::default() };
        let text = drawn(&Ending::of(&nothing, testing::now()), Paint(false));
        assert!(text.starts_with("Not shown, for you may not read them: LegalHolds, ConfigMap"), "{text}");
    }
}
