//! The records of the granter that grow with what people make.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::Serialize;
use subrosa_plan::{
    record::{
        break_glass::BreakGlassRecord,
        destroyer::SeenGuard,
        has_room,
        reviews::{ReviewMark, ReviewsRecord},
        revocations::{ReleaseMark, RevocationsRecord},
    },
    roles::{
        revoked::entities::{self, FoundEntity},
        uses::{self, GlassLogin},
    },
};

use super::{Measured, at, body, long};

#[test]
fn so_does_what_grows_with_people() {
    let bodies = [
        ("the record of revocations", body(&largest_revocations())),
        ("the record of reviews", body(&largest_reviews(253))),
        ("the record of reviews by people with short names", body(&largest_reviews(8))),
        ("the record of break-glass", body(&largest_break_glass())),
    ];
    for (what, body) in bodies {
        Measured::of(&body).is_far_below(what);
    }
}

/// As much as is noted of people who left, and as many releases as there is room for after that.
fn largest_revocations() -> RevocationsRecord {
    let mut record = RevocationsRecord {
        guard: Some(SeenGuard { version: long(0, 100), since: at() }),
        ..RevocationsRecord::default()
    };
    let entity = |number| {
        let one = FoundEntity { id: long(number, 36), is_disabled: false, mounts: BTreeMap::new() };
        (long(number, 36), vec![one])
    };
    record.entities = entities::noted(&record, &(0..20_000).map(entity).collect());
    filled(record, |record, number| {
        let mark = ReleaseMark {
            at: at(),
            approver: long(number, 256),
            approval: long(number, 253),
            uid: long(number, 36),
        };
        record.released.insert(long(number, 36), mark);
    })
}

/// Adds to `record` until it has no room, as one after another would. Every look at the room writes the record out, so
/// it adds many at once first.
fn filled<R: Serialize + Clone>(mut record: R, add: impl Fn(&mut R, usize)) -> R {
    let mut number = 0;
    for block in [256, 16, 1] {
        while has_room(&record) {
            let mut more = record.clone();
            (number..number + block).for_each(|number| add(&mut more, number));
            if block > 1 && !has_room(&more) {
                break;
            }
            record = more;
            number += block;
        }
    }
    record
}

/// As many reviews as there is room for, with names as long as `length`.
fn largest_reviews(length: usize) -> ReviewsRecord {
    let record = ReviewsRecord {
        guard: Some(SeenGuard { version: long(0, 100), since: at() }),
        ..ReviewsRecord::default()
    };
    filled(record, |record, number| {
        let of = if number % 2 == 0 { &mut record.roles } else { &mut record.given };
        of.insert(long(number, 36), review(number, length));
    })
}

fn review(number: usize, length: usize) -> ReviewMark {
    ReviewMark {
        at: at(),
        approver: long(number, length),
        approval: long(number, length),
        uid: long(number, 36),
        digest: format!("sha256:{}", "f".repeat(64)),
    }
}

/// As many people as there is room for who used break-glass of as many AccessRoles, none of which was reviewed; and as many reviews of
/// others as there is room for after that.
fn largest_break_glass() -> BreakGlassRecord {
    let mut record = BreakGlassRecord {
        guard: Some(SeenGuard { version: long(0, 100), since: at() }),
        log_unread_since: Some(at()),
        ..BreakGlassRecord::default()
    };
    let login = |number| GlassLogin {
        alias: long(number, 36),
        person: long(number, 128),
        entity: long(number, 36),
        token: long(number, 36),
        at: at(),
    };
    let roles = (0..200).map(|role| (long(role, 36), BTreeSet::new())).collect();
    let logins: Vec<_> = (0..500).map(login).collect();
    uses::observe(&mut record, &logins, &roles, SignedDuration::from_hours(1), at());
    assert!(uses::crowded(&record, &logins).is_some(), "it is as large as it becomes");
    // Those of roles that are gone go on to others.
    uses::pass_on(&mut record, &(0..400).map(|role| long(role * 3, 36)).collect::<Vec<_>>());
    for number in 0.. {
        if !has_room(&record) {
            break;
        }
        record.reviewed.insert(long(number, 36), review(number, 253));
    }
    record
}
