//! Random lives of three keys under two policies: approvals of every kind, holds, edits that people approve or not, restores of
//! Vault, of the cluster or of both, clocks that jump, processes that end at any write. Whatever happens, no key goes without enough people's unexpired approval, and none that is held.

mod checks;
mod life;

use proptest::prelude::*;
use subrosa_crds::Reason;

use self::life::Life;
use super::step::Next;

/// What may happen.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The destroyer works until it has nothing to do, or ends after so many things it did.
    Look {
        ends_after: Option<u8>,
    },
    /// Time passes.
    Hours(i32),
    /// All clocks jump.
    Years(i8),
    /// The operator lists what is due.
    List,
    Approve {
        who: u8,
        fault: u8,
        list: u8,
    },
    ApprovePolicy {
        who: u8,
        policy: u8,
    },
    Deny {
        hours: u8,
        list: u8,
    },
    DenialIsDeleted,
    /// Of one Channel, or of all.
    HoldMade {
        channel: u8,
    },
    MatterCorrected,
    /// The object goes, as with its definition.
    HoldObjectGone,
    ReleaseAsked {
        approvals: u8,
    },
    PolicyEdited {
        policy: u8,
        approvals: u8,
        grace_days: u8,
        keep_days: u8,
    },
    PolicyGone {
        policy: u8,
    },
    DestructionsGone,
    ApprovalsGone,
    GuardEdited,
    /// Of Vault and of the cluster.
    Snapshot,
    Restore {
        store: bool,
        cluster: bool,
    },
    KeyBroughtBack {
        key: u8,
    },
    KeySetAsideByOther {
        key: u8,
    },
    KeyReplaced {
        key: u8,
    },
    /// From a backup of the key alone.
    KeyComesBack {
        key: u8,
    },
    FreezeApproved,
}

fn event() -> impl Strategy<Value = Event> {
    let happens = prop_oneof![
        Just(Event::DenialIsDeleted),
        (0_u8..4).prop_map(|channel| Event::HoldMade { channel }),
        Just(Event::MatterCorrected),
        Just(Event::HoldObjectGone),
        (0_u8..4).prop_map(|approvals| Event::ReleaseAsked { approvals }),
        (0_u8..2, 1_u8..4, 1_u8..20, 1_u8..60).prop_map(|(policy, approvals, grace_days, keep_days)| {
            Event::PolicyEdited { policy, approvals, grace_days, keep_days }
        }),
        (0_u8..2).prop_map(|policy| Event::PolicyGone { policy }),
        Just(Event::DestructionsGone),
        Just(Event::ApprovalsGone),
        Just(Event::GuardEdited),
        Just(Event::Snapshot),
        (any::<bool>(), any::<bool>()).prop_map(|(store, cluster)| Event::Restore { store, cluster }),
        (0_u8..3).prop_map(|key| Event::KeyBroughtBack { key }),
        (0_u8..3).prop_map(|key| Event::KeySetAsideByOther { key }),
        (0_u8..3).prop_map(|key| Event::KeyReplaced { key }),
        (0_u8..3).prop_map(|key| Event::KeyComesBack { key }),
    ];
    prop_oneof![
        8 => prop::option::of(0_u8..12).prop_map(|ends_after| Event::Look { ends_after }),
        4 => (1_i32..200).prop_map(Event::Hours),
        1 => (-10_i8..=10).prop_map(Event::Years),
        3 => Just(Event::List),
        8 => (0_u8..4, 0_u8..12, 0_u8..3).prop_map(|(who, fault, list)| Event::Approve { who, fault, list }),
        3 => (0_u8..3, 0_u8..2).prop_map(|(who, policy)| Event::ApprovePolicy { who, policy }),
        1 => (1_u8..100, 0_u8..3).prop_map(|(hours, list)| Event::Deny { hours, list }),
        2 => Just(Event::FreezeApproved),
        11 => happens,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_key_goes_without_approvals_and_none_that_is_held(events in prop::collection::vec(event(), 1..32)) {
        let mut life = Life::new();
        // The rules of the first look bind: later edits weaken nothing unless people approve them.
        life.happens(Event::Look { ends_after: None });
        for event in events {
            life.happens(event);
        }
    }
}

/// The life that ends as it should: without it the test above could hold by doing nothing.
fn approved_and_set_aside() -> Life {
    let mut life = Life::new();
    let look = || Event::Look { ends_after: None };
    life.happens(look());
    for _ in 0..5 {
        life.happens(Event::Hours(24 * 6));
        life.happens(look());
    }
    life.happens(Event::List);
    life.happens(Event::Hours(24 * 3));
    life.happens(look());
    // The newest list is that of the other policy.
    life.happens(Event::Approve { who: 0, fault: 9, list: 1 });
    life.happens(look());
    assert_eq!(reason(&life), Reason::AwaitingApproval);
    life.happens(Event::Approve { who: 1, fault: 9, list: 1 });
    life.happens(look());
    assert_eq!(reason(&life), Reason::SetAside);
    let aside = life.store.keys.iter().map(|kept| kept.key.unwrap().set_aside).collect::<Vec<_>>();
    assert_eq!(aside, [true, true, false], "the list that was approved");
    life
}

fn reason(life: &Life) -> Reason {
    match life.next() {
        Next::Stay(fault) => fault.reason,
        other => panic!("{other:?}"),
    }
}

fn passes(life: &mut Life, times: usize) {
    for _ in 0..times {
        life.happens(Event::Hours(24 * 5));
        life.happens(Event::Look { ends_after: None });
    }
}

#[test]
fn an_approved_key_is_destroyed_after_its_grace_though_the_process_ends_after_every_act() {
    let mut life = approved_and_set_aside();
    for _ in 0..4 {
        life.happens(Event::Hours(24 * 4));
        for _ in 0..12 {
            life.happens(Event::Look { ends_after: Some(4) });
        }
        for _ in 0..12 {
            life.happens(Event::Look { ends_after: Some(6) });
        }
    }
    assert_eq!((reason(&life), life.destroyed), (Reason::Destroyed, 2));
    assert!(life.store.keys[0].decision.destroyed().is_some());
}

#[test]
fn a_hold_a_denial_and_an_edit_win_until_the_last_moment() {
    let last = |what: Event, expected: Reason| {
        let mut life = approved_and_set_aside();
        passes(&mut life, 2);
        life.happens(Event::Hours(24 * 5));
        life.happens(what);
        life.happens(Event::Look { ends_after: None });
        assert_eq!((reason(&life), life.destroyed), (expected, 0));
        assert!(!life.store.keys[0].key.unwrap().set_aside, "brought back");
    };
    last(Event::HoldMade { channel: 3 }, Reason::Held);
    last(Event::Deny { hours: 50, list: 1 }, Reason::ApprovalDenied);
    let edited = Event::PolicyEdited { policy: 0, approvals: 2, grace_days: 14, keep_days: 31 };
    last(edited, Reason::PolicyChanged);
    last(Event::PolicyGone { policy: 0 }, Reason::RetentionPolicyNotFound);
    last(Event::DestructionsGone, Reason::NotListed);
    last(Event::ApprovalsGone, Reason::AwaitingApproval);
    last(Event::GuardEdited, Reason::AwaitingApproval);
}

#[test]
fn a_hold_whose_matter_was_corrected_ends_as_people_approve() {
    let mut life = approved_and_set_aside();
    let look = || Event::Look { ends_after: None };
    life.happens(Event::HoldMade { channel: 0 });
    life.happens(look());
    assert_eq!(reason(&life), Reason::Held);
    life.happens(Event::MatterCorrected);
    life.happens(look());
    life.happens(Event::ReleaseAsked { approvals: 2 });
    life.happens(look());
    assert!(life.store.keys[0].decision.holds.is_empty(), "{:#?}", life.store.keys[0].decision);
}

#[test]
fn a_hold_of_one_key_lets_the_others_of_its_list_go() {
    let mut life = approved_and_set_aside();
    life.happens(Event::HoldMade { channel: 0 });
    passes(&mut life, 4);
    assert_eq!((reason(&life), life.destroyed), (Reason::Held, 1));
}

#[test]
fn a_shorter_period_and_a_gone_policy_end_as_people_approve() {
    let mut life = Life::new();
    let look = || Event::Look { ends_after: None };
    life.happens(look());
    passes(&mut life, 2);
    life.happens(Event::PolicyEdited { policy: 1, approvals: 1, grace_days: 1, keep_days: 5 });
    life.happens(Event::PolicyGone { policy: 0 });
    life.happens(Event::List);
    // Alphabetical: the list of the ward, which is there, is the newest.
    life.happens(Event::Approve { who: 0, fault: 9, list: 0 });
    passes(&mut life, 1);
    assert_eq!(life.destroyed, 0, "nobody approved the shorter period");
    life.happens(Event::ApprovePolicy { who: 0, policy: 1 });
    life.happens(look());
    passes(&mut life, 4);
    assert_eq!(life.destroyed, 1);
    for who in 0..2 {
        life.happens(Event::Approve { who, fault: 9, list: 1 });
    }
    life.happens(look());
    assert_eq!(reason(&life), Reason::SetAside);
    passes(&mut life, 4);
    assert_eq!(life.destroyed, 3);
}

#[test]
fn a_restore_and_a_jump_freeze_and_one_of_both_sides_goes_on_as_it_was() {
    let frozen = |store, cluster| {
        let mut life = approved_and_set_aside();
        life.happens(Event::Snapshot);
        passes(&mut life, 2);
        life.happens(Event::Restore { store, cluster });
        life.happens(Event::Hours(24));
        life.happens(Event::Look { ends_after: None });
        let frozen = life.store.destroyer.frozen.as_ref().map(|frozen| frozen.reason.clone());
        (frozen, life)
    };
    let (reason, mut life) = frozen(true, false);
    assert_eq!((reason.as_deref(), life.destroyed), (Some("StoreRestored"), 0));
    life.happens(Event::FreezeApproved);
    life.happens(Event::Look { ends_after: None });
    assert!(life.store.destroyer.frozen.is_none());
    assert_eq!(frozen(false, true).0.as_deref(), Some("StateRestored"));
    // Nothing tells of it where both sides agree and it was less than a week ago.
    let mut life = approved_and_set_aside();
    life.happens(Event::Snapshot);
    passes(&mut life, 1);
    life.happens(Event::Restore { store: true, cluster: true });
    life.happens(Event::Look { ends_after: None });
    assert!(life.store.destroyer.frozen.is_none());
    passes(&mut life, 3);
    assert_eq!(life.destroyed, 2);
}
