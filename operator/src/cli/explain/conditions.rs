//! Describes conditions.

use jiff::Timestamp;
use subrosa_crds::{
    Reason,
    condition::{self, Condition},
};

use super::page::{Page, tone_of};
use crate::cli::words;

/// Every condition: its message, since when, and what it means.
pub fn describe(conditions: &[Condition], now: Timestamp, page: &mut Page) {
    looked_at_by("operator", conditions, now, page);
}

/// The same of what the destroyer tells: LegalHolds and Destructions.
pub fn describe_ends(conditions: &[Condition], now: Timestamp, page: &mut Page) {
    looked_at_by("destroyer", conditions, now, page);
}

fn looked_at_by(who: &str, conditions: &[Condition], now: Timestamp, page: &mut Page) {
    page.section("Why it is so");
    if conditions.is_empty() {
        page.line(&format!("The {who} has not looked at it yet."), tone_of("Ready", "Unknown"));
        page.next_step(&format!(
            "see whether the {who} runs: kubectl -n {} get pods",
            crate::cli::OPERATOR_NAMESPACE
        ));
    }
    tell(conditions, now, page, meaning);
}

/// Every condition of an AccessRole, which is the granter's.
pub fn describe_granted(conditions: &[Condition], now: Timestamp, page: &mut Page) {
    page.section("Why it is so");
    if conditions.is_empty() {
        page.line("The granter has not looked at it yet.", tone_of("Ready", "Unknown"));
        page.next_step("see whether the granter runs (granter.enabled of the chart)");
    }
    tell(conditions, now, page, |_| None);
}

fn tell(
    conditions: &[Condition],
    now: Timestamp,
    page: &mut Page,
    meaning: fn(&Condition) -> Option<&'static str>,
) {
    for one in conditions {
        let age = words::age(one.last_transition_time.0, now);
        page.line(
            &format!("{} {} ({}), for {age}", one.type_, one.status, one.reason),
            tone_of(&one.type_, &one.status),
        );
        page.below(&one.message);
        if let Some(meaning) = meaning(one) {
            page.below(meaning);
        }
        let to_do = match one.type_.as_str() {
            condition::STALLED => one.status == "True",
            condition::READY => one.status == "False" && !condition::is_true(conditions, condition::STALLED),
            condition::GUARDED
            | condition::KEYS_INTACT
            | condition::VAULT_REACHABLE
            | condition::AGREEMENTS_VALID => one.status == "False",
            condition::BREAK_GLASS => one.status != "True",
            _ => false,
        };
        if to_do {
            page.next_step(&one.message);
        }
    }
}

/// The meaning of a condition beyond its message.
fn meaning(one: &Condition) -> Option<&'static str> {
    Some(match (one.type_.as_str(), one.status.as_str()) {
        (condition::READY, "True") if Reason::of(one) == Some(Reason::InForceUnproven) => {
            "Everything this side can put in force is in force as far as the operator can see."
        }
        (condition::STALLED, "True") => {
            "What protects it stays as it is; nothing new is made until somebody changes the manifest."
        }
        (condition::RECONCILING, "True") => "It goes on by itself.",
        (condition::ISSUING, "True") => {
            "It does not make the Channel unready: what is in the certificate now works."
        }
        (condition::SERVED, "Unknown") => {
            "Whether the pods serve the certificate in the Secret is not claimed."
        }
        (condition::ISOLATED, "Unknown") => {
            "That packets are blocked is not claimed: nobody has tried from a pod."
        }
        (condition::CONNECTED, "False") => {
            "It does not make the Channel unready: the other end decides for itself."
        }
        _ => return None,
    })
}
