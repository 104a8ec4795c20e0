//! Which Channels are held: their declaration is not in force, so the earlier state stays.

use std::{cell::RefCell, collections::BTreeMap};

use jiff::Timestamp;
use subrosa_crds::names::ChannelRef;

use super::validate;
use crate::world::World;

/// Answers whether a Channel is held, validating it on the first question. Most peers need no validation, because
/// nothing new opens with them and their policy protects the pods that they declare.
pub(super) struct HeldChannels<'a> {
    world: &'a World,
    now: Timestamp,
    known: RefCell<BTreeMap<ChannelRef, bool>>,
}

impl<'a> HeldChannels<'a> {
    pub(super) fn new(world: &'a World, now: Timestamp) -> Self {
        Self { world, now, known: RefCell::default() }
    }

    /// Notes the known answer for a Channel.
    pub(super) fn note(&self, name: &ChannelRef, held: bool) {
        self.known.borrow_mut().insert(name.clone(), held);
    }

    /// Whether that Channel is held; false where there is none.
    pub(super) fn is(&self, name: &ChannelRef) -> bool {
        if let Some(known) = self.known.borrow().get(name) {
            return *known;
        }
        let invalid = |channel| validate::validate(channel, self.world, self.now).is_err();
        let held = self.world.channel(name).is_some_and(invalid);
        self.note(name, held);
        held
    }
}
