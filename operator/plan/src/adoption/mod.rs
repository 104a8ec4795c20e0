//! A Channel that adopts the data keys of an earlier Channel of its name: whether it may, and the next step.
//!
//! A namespace that is deleted and created again has another UID, so its Channels have other identities and cannot
//! open what was sealed before. An Adoption names which Channel adopts which earlier identity. It changes two
//! records, in this order: first the earlier Channel's record names the adopter (compare-and-set, so only one can
//! win), then the adopter's record names the earlier identity. The workload's access follows from the second record.
//! The keys and their schedule do not change.
//!
//! A denial undoes its Adoption in reverse order: first the access, then the adopter's record, then the earlier
//! Channel's record.

pub mod status;

use std::collections::BTreeSet;

use jiff::Timestamp;
use subrosa_crds::{
    Reason,
    adoption::AdoptingChannel,
    names::{ChannelId, ChannelRef},
};

use crate::{
    access::alias,
    record::{adoption::AdoptionMark, channel::ChannelRecord},
    world::{World, fault::Fault},
};

/// The next step of one Channel of an Adoption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdoptionStep {
    /// Write into the earlier Channel's record who adopts it.
    Mark,
    /// That is written. Write into the adopter's record whom it adopts.
    Take,
    /// Both records are written.
    Done,
    /// Both records are written, by the Adoption of this name.
    DoneBy(String),
    /// Something must happen first; try again later.
    Wait(Fault),
    /// Not possible.
    Refuse(Fault),
    /// Cannot be decided now.
    Unknown(Fault),
}

/// The inputs that decide about one Channel of an Adoption.
#[derive(Clone, Copy, Debug)]
pub struct AdoptionFacts<'a> {
    /// The trust domain.
    pub domain: &'a str,
    /// The adopter and the identity that it adopts.
    pub pair: &'a AdoptingChannel,
    /// The UID of the Adoption. An Adoption continues only what it began itself.
    pub uid: &'a str,
    /// The record of the earlier Channel, or why it cannot be read.
    pub earlier: Result<Option<&'a ChannelRecord>, &'a str>,
    /// The record of the Channel.
    pub own: Option<&'a ChannelRecord>,
    /// The identities of the Channels that the trust domain governs.
    pub known: &'a BTreeSet<ChannelId>,
}

/// The next step of `pair`, from the watches and the records.
pub fn step(facts: &AdoptionFacts<'_>, world: &World) -> AdoptionStep {
    match judged(facts, world) {
        Ok(step) | Err(step) => step,
    }
}

fn judged(facts: &AdoptionFacts<'_>, world: &World) -> Result<AdoptionStep, AdoptionStep> {
    let AdoptionFacts { pair, .. } = *facts;
    let channel = pair.channel();
    let (Ok(id), Ok(adopts)) = (pair.id.parse::<ChannelId>(), pair.adopts.parse::<ChannelId>()) else {
        return Err(refuse(
            Reason::Malformed,
            "id and adopts: expected two identities of Channels".to_owned(),
        ));
    };
    is_there(facts, &channel, &id, world)?;
    let earlier = earlier(facts, &channel, &adopts)?;
    let Some(own) = facts.own else {
        let message = format!("Channel {channel} has no record yet: it is tried again when it has");
        return Err(AdoptionStep::Wait(Fault::new(Reason::WorkUnderWay, message)));
    };
    if let Some(mark) = own.adopts.iter().find(|mark| mark.id == adopts) {
        return Ok(if mark.uid == facts.uid {
            AdoptionStep::Done
        } else {
            AdoptionStep::DoneBy(mark.adoption.clone())
        });
    }
    matches_something(facts, earlier, &channel, world)?;
    if own.adopts.len() >= alias::ADOPTED.len() {
        let message = format!(
            "Channel {channel} adopted the keys of {} earlier ones, and no more can be: reseal what they sealed under its own \
             keys instead",
            own.adopts.len()
        );
        return Err(refuse(Reason::TooManyAdopted, message));
    }
    if earlier.access.is_some() {
        let message =
            format!("the access of the earlier Channel {channel} ({adopts}) is being withdrawn first");
        return Err(AdoptionStep::Wait(Fault::new(Reason::WorkUnderWay, message)));
    }
    match &earlier.adopted_by {
        Some(by) if by.id == id && by.uid == facts.uid => Ok(AdoptionStep::Take),
        _ => Ok(AdoptionStep::Mark),
    }
}

/// Whether either record still has what the Adoption did for `pair`. A denial undoes that even when the Channel is
/// gone.
pub fn stands(facts: &AdoptionFacts<'_>) -> bool {
    let is_own = |mark: &AdoptionMark, id: &str| mark.uid == facts.uid && mark.id.as_str() == id;
    facts.own.is_some_and(|own| own.adopts.iter().any(|mark| is_own(mark, &facts.pair.adopts)))
        || facts
            .earlier
            .ok()
            .flatten()
            .and_then(|earlier| earlier.adopted_by.as_ref())
            .is_some_and(|mark| is_own(mark, &facts.pair.id))
}

/// Checks that the Channel exists and has the identity that the Adoption names.
fn is_there(
    facts: &AdoptionFacts<'_>,
    channel: &ChannelRef,
    id: &ChannelId,
    world: &World,
) -> Result<(), AdoptionStep> {
    let minted =
        world.namespaces.get(&channel.namespace).map(|found| ChannelId::mint(&found.uid, &channel.name));
    if world.channel(channel).is_none() {
        let message = format!(
            "there is no Channel {channel}, so nothing of it opens what was sealed before: apply it, and it does"
        );
        return Err(AdoptionStep::Wait(Fault::new(Reason::WorkUnderWay, message)));
    }
    match minted {
        Some(minted) if minted == *id && facts.known.contains(id) => Ok(()),
        Some(minted) if minted != *id => Err(refuse(
            Reason::NotFound,
            format!(
                "the identity of Channel {channel} is {minted}, and not {id}: make another Adoption for that one"
            ),
        )),
        _ => Err(refuse(
            Reason::OtherTrustDomain,
            format!("Channel {channel} belongs to another trust domain than {}", facts.domain),
        )),
    }
}

/// The earlier Channel's record, if no other Channel has adopted its keys.
fn earlier<'a>(
    facts: &AdoptionFacts<'a>,
    channel: &ChannelRef,
    adopts: &ChannelId,
) -> Result<&'a ChannelRecord, AdoptionStep> {
    if facts.known.contains(adopts) {
        let message = format!("{adopts} is the identity of a Channel that is there: its keys are its own");
        return Err(refuse(Reason::NotOrphaned, message));
    }
    let earlier = facts.earlier.map_err(|problem| refuse(Reason::RecordUnreadable, problem.to_owned()))?;
    let Some(earlier) = earlier else {
        let message = format!(
            "Vault has no record channels/{adopts}: take the identity from status.orphans of the Channel or the TrustDomain"
        );
        return Err(refuse(Reason::NotFound, message));
    };
    if earlier.id() != *adopts {
        let message =
            format!("the record channels/{adopts} in Vault says that it is of {}: restore it", earlier.id());
        return Err(refuse(Reason::RecordUnreadable, message));
    }
    if earlier.trust_domain != facts.domain {
        let message =
            format!("{adopts} belonged to TrustDomain {}, not to {}", earlier.trust_domain, facts.domain);
        return Err(refuse(Reason::OtherTrustDomain, message));
    }
    if earlier.channel != *channel {
        // A LegalHold selects keys by namespace and Channel name, so adopted keys must belong to the same name.
        let message = format!(
            "{adopts} was Channel {}: a Channel takes over from an earlier one of its own namespace and name only",
            earlier.channel
        );
        return Err(refuse(Reason::NameDiffers, message));
    }
    let other = earlier.adopted_by.as_ref().filter(|by| by.id.as_str() != facts.pair.id);
    if let Some(by) = other.filter(|by| facts.known.contains(&by.id)) {
        let message = format!("the Channel of identity {} has its keys, by Adoption {}", by.id, by.adoption);
        return Err(refuse(Reason::AdoptedByAnother, message));
    }
    Ok(earlier)
}

/// Checks that the adopter declares a data class of which the earlier Channel has keys.
fn matches_something(
    facts: &AdoptionFacts<'_>,
    earlier: &ChannelRecord,
    channel: &ChannelRef,
    world: &World,
) -> Result<(), AdoptionStep> {
    let there = earlier.classes();
    let declared = world.channel(channel).map(|channel| channel.data_classes()).unwrap_or_default();
    if declared.iter().any(|class| there.contains(class.as_str())) {
        return Ok(());
    }
    let list = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let message = format!(
        "{} has keys of the data classes {}, and Channel {channel} declares {}: declare one of them",
        facts.pair.adopts,
        list(there.into_iter().collect()),
        list(declared.iter().map(String::as_str).collect()),
    );
    Err(refuse(Reason::NothingToAdopt, message))
}

fn refuse(reason: Reason, message: String) -> AdoptionStep {
    AdoptionStep::Refuse(Fault::new(reason, message))
}

/// The earlier Channel's record with the adopter noted; `None` where another Channel in `known` has adopted it
/// already.
pub fn marked(
    earlier: ChannelRecord,
    mark: &AdoptionMark,
    known: &BTreeSet<ChannelId>,
) -> Option<ChannelRecord> {
    let taken = earlier.adopted_by.as_ref().is_some_and(|by| by.id != mark.id && known.contains(&by.id));
    // A mark by another Adoption for the same adopter is replaced: people approved this one.
    let is_marked = earlier.adopted_by.as_ref().is_some_and(|by| (&by.id, &by.uid) == (&mark.id, &mark.uid));
    match (taken || earlier.access.is_some(), is_marked) {
        (true, _) => None,
        (false, true) => Some(earlier),
        (false, false) => Some(ChannelRecord { adopted_by: Some(mark.clone()), ..earlier }),
    }
}

/// The adopter's record with the earlier identity noted.
pub fn taken(mut own: ChannelRecord, mark: &AdoptionMark) -> Option<ChannelRecord> {
    if own.adopted().all(|id| *id != mark.id) {
        if own.adopts.len() >= alias::ADOPTED.len() {
            return None;
        }
        own.adopts.push(mark.clone());
    }
    Some(own)
}

/// The adopter's record without what the Adoption with this UID gave it, and with an Event about that.
pub fn taken_back(own: ChannelRecord, adopts: &ChannelId, uid: &str, now: Timestamp) -> ChannelRecord {
    let mut left = own.clone();
    let is_it = |mark: &AdoptionMark| mark.id == *adopts && mark.uid == uid;
    let Some(adoption) = own.adopts.iter().find(|mark| is_it(mark)).map(|mark| mark.adoption.clone()) else {
        return own;
    };
    left.adopts.retain(|mark| !is_it(mark));
    let note = format!(
        "somebody denies Adoption {adoption}: the workload may not open what the earlier Channel {adopts} sealed any more"
    );
    left.keep_news(Some(&own), &mut vec![(Reason::OpeningWithdrawn, note)], &BTreeSet::new(), now);
    left
}

/// The earlier Channel's record without the adopter `id`, if the Adoption with this UID noted it.
pub fn unmarked(earlier: ChannelRecord, id: &ChannelId, uid: &str) -> ChannelRecord {
    let adopted_by = earlier.adopted_by.clone().filter(|mark| mark.id != *id || mark.uid != uid);
    ChannelRecord { adopted_by, ..earlier }
}

#[cfg(test)]
mod tests;
