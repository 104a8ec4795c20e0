//! The records of the granter that grow with what people make.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use subrosa_plan::{
    record::{
        break_glass::{BreakGlassRecord, OpenUse, SeenLogin},
        destroyer::SeenGuard,
        has_room,
        reviews::{ReviewMark, ReviewsRecord},
        revocations::{ReleaseMark, RevocationsRecord},
    },
    roles::revoked::entities::{self, FoundEntity},
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
        record.roles.insert(long(number, 36), review(number, length));
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

/// 500 people who once used break-glass, and thirty on call whose use is reviewed for none of fifty AccessRoles.
fn largest_break_glass() -> BreakGlassRecord {
    let seen = |number: usize| {
        let of_role = |role| long(role, 36);
        let roles = if number < 30 { (0..50).map(of_role).collect() } else { BTreeSet::new() };
        (long(number, 36), SeenLogin { token: long(number, 36), at: at(), roles })
    };
    let one = |number| {
        let person = long(number, 128);
        (long(number, 36), OpenUse { person, first: at(), last: at(), logins: i32::MAX })
    };
    BreakGlassRecord {
        guard: Some(SeenGuard { version: long(0, 100), since: at() }),
        seen: (0..500).map(seen).collect(),
        uses: (0..50).map(|role| (long(role, 36), (0..30).map(one).collect())).collect(),
        reviewed: (0..50).map(|role| (long(role, 36), review(role, 253))).collect(),
    }
}
