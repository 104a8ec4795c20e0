//! The next step of a grant that has slots: the granter's part.

use jiff::{SignedDuration, Timestamp};
use subrosa_crds::Reason;

use super::slots::GrantSlot;
use crate::record::grants::OpenGrant;

/// How long after the record says so the policies of a grant are written.
pub const BEGINNING: SignedDuration = SignedDuration::from_secs(60);
/// How long a grant waits for the operator.
pub const WAITING: SignedDuration = SignedDuration::from_hours(1);
/// How exactly clocks agree.
const CLOCKS: SignedDuration = SignedDuration::from_secs(5);

/// A policy of a grant slot as Vault has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantPolicy {
    /// When Vault removes it; none where it never does.
    pub expires: Option<Timestamp>,
}

/// One slot of a grant as Vault has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceFacts {
    /// The slot; none where Vault does not have it.
    pub slot: Option<GrantSlot>,
    /// Its policy; none where Vault does not have it.
    pub policy: Option<GrantPolicy>,
    /// What the slot has to open; none while the Channel or class is not there.
    pub opens: Option<String>,
}

impl PlaceFacts {
    fn is_open(&self) -> bool {
        let is = self.slot.as_ref().and_then(GrantSlot::opens);
        is.is_some() && is == self.opens.as_deref()
    }

    fn expires(&self) -> Option<Timestamp> {
        self.policy.as_ref().and_then(|policy| policy.expires)
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantStep {
    /// The operator opens the slots.
    Wait,
    /// Note in the record that it begins.
    Begin,
    /// Write the policies that are missing.
    Write,
    /// Note in the record when Vault ends it.
    NoteEnd(Timestamp),
    /// The person is a member of each slot, and nobody else.
    Stand,
    /// It is over, for this reason.
    End(Reason),
}

/// The next step of `open`, whose slots are `places`, in the same order.
pub fn next(open: &OpenGrant, places: &[PlaceFacts], now: Timestamp) -> GrantStep {
    if places.len() != open.slots.len() || places.iter().any(|place| place.slot.is_none()) {
        return GrantStep::End(Reason::SetupOutdated);
    }
    let all_open = places.iter().all(PlaceFacts::is_open);
    let Some(began) = open.began else {
        let waited = now.duration_since(open.decided);
        return match waited > WAITING || waited < -CLOCKS {
            true => GrantStep::End(Reason::GrantExpired),
            false if all_open => GrantStep::Begin,
            false => GrantStep::Wait,
        };
    };
    if !all_open {
        return GrantStep::End(Reason::NotFound);
    }
    let Some(ends) = open.ends else { return beginning(open, places, began, now) };
    let as_noted = |place: &PlaceFacts| {
        place.expires().is_some_and(|expires| expires <= ends.saturating_add(CLOCKS).unwrap_or(ends))
    };
    match now < ends && places.iter().all(as_noted) {
        true => GrantStep::Stand,
        false => GrantStep::End(Reason::GrantExpired),
    }
}

/// While not every policy was seen. A policy that is there has to end as one that was written at the beginning does.
fn beginning(open: &OpenGrant, places: &[PlaceFacts], began: Timestamp, now: Timestamp) -> GrantStep {
    let since = now.duration_since(began);
    let longest = SignedDuration::from_mins(open.duration.minutes()) + BEGINNING + CLOCKS;
    let is_right = |place: &PlaceFacts| {
        place.policy.is_none()
            || place.expires().is_some_and(|expires| expires.duration_since(began) <= longest)
    };
    if !places.iter().all(is_right) {
        return GrantStep::End(Reason::GrantExpired);
    }
    if places.iter().all(|place| place.policy.is_some()) {
        let ends = places.iter().filter_map(PlaceFacts::expires).max();
        return ends.map_or(GrantStep::End(Reason::GrantExpired), GrantStep::NoteEnd);
    }
    match since <= BEGINNING && since >= -CLOCKS {
        true => GrantStep::Write,
        false => GrantStep::End(Reason::GrantExpired),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{roles::grants::testing::open, testing::at};

    const OPENED: &str = "abcdefghij234567.chat";

    fn place(opens: Option<&str>, expires: Option<Option<&str>>) -> PlaceFacts {
        let metadata: BTreeMap<_, _> =
            opens.map(|opened| ("open".to_owned(), opened.to_owned())).into_iter().collect();
        let slot =
            GrantSlot { name: "s".to_owned(), metadata, people: Default::default(), has_groups: false };
        let policy = expires.map(|expires| GrantPolicy { expires: expires.map(at) });
        PlaceFacts { slot: Some(slot), policy, opens: Some(OPENED.to_owned()) }
    }

    fn step(open: &OpenGrant, place: PlaceFacts, now: &str) -> GrantStep {
        next(open, &[place], at(now))
    }

    #[test]
    fn it_begins_when_the_operator_opened_every_slot_and_waits_for_an_hour() {
        let waiting = open();
        let opened = || place(Some(OPENED), None);
        assert_eq!(step(&waiting, place(None, None), "2026-11-22T10:59:00Z"), GrantStep::Wait);
        let other = place(Some("abcdefghij234567.mail"), None);
        assert_eq!(step(&waiting, other, "2026-11-22T10:00:10Z"), GrantStep::Wait);
        assert_eq!(step(&waiting, opened(), "2026-11-22T10:00:10Z"), GrantStep::Begin);
        for now in ["2026-11-22T11:00:01Z", "2026-11-22T09:00:00Z"] {
            assert_eq!(step(&waiting, opened(), now), GrantStep::End(Reason::GrantExpired), "{now}");
        }
        let missing = PlaceFacts { slot: None, ..opened() };
        assert_eq!(step(&waiting, missing, "2026-11-22T10:00:10Z"), GrantStep::End(Reason::SetupOutdated));
    }

    #[test]
    fn policies_are_written_for_one_minute_and_never_again() {
        let mut begun = open();
        begun.began = Some(at("2026-11-22T10:00:10Z"));
        let opened = |expires| place(Some(OPENED), expires);
        assert_eq!(step(&begun, opened(None), "2026-11-22T10:01:10Z"), GrantStep::Write);
        // A crash that lasted longer, and a clock that was set back.
        for now in ["2026-11-22T10:01:11Z", "2026-11-22T10:00:00Z", "2026-11-21T10:00:00Z"] {
            assert_eq!(step(&begun, opened(None), now), GrantStep::End(Reason::GrantExpired), "{now}");
        }
        let ends = at("2026-11-22T12:00:11Z");
        let right = opened(Some(Some("2026-11-22T12:00:11Z")));
        assert_eq!(step(&begun, right.clone(), "2026-11-22T10:00:20Z"), GrantStep::NoteEnd(ends));
        // One that lasts longer than was approved, or for ever: a Vault that knows no ttl.
        for expires in [Some("2026-11-22T14:00:11Z"), None] {
            let wrong = opened(Some(expires));
            assert_eq!(step(&begun, wrong, "2026-11-22T10:00:20Z"), GrantStep::End(Reason::GrantExpired));
        }
        begun.ends = Some(ends);
        assert_eq!(step(&begun, right.clone(), "2026-11-22T11:00:00Z"), GrantStep::Stand);
        assert_eq!(step(&begun, right, "2026-11-22T12:00:11Z"), GrantStep::End(Reason::GrantExpired));
        // Vault ended it: it is not written again, also within the first minute.
        assert_eq!(step(&begun, opened(None), "2026-11-22T10:00:20Z"), GrantStep::End(Reason::GrantExpired));
        let longer = opened(Some(Some("2026-11-22T12:10:00Z")));
        assert_eq!(step(&begun, longer, "2026-11-22T11:00:00Z"), GrantStep::End(Reason::GrantExpired));
        let closed = place(None, Some(Some("2026-11-22T12:00:11Z")));
        assert_eq!(step(&begun, closed, "2026-11-22T11:00:00Z"), GrantStep::End(Reason::NotFound));
    }
}
