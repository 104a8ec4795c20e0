//! Earlier Channels of the same name: those whose keys were adopted, and those whose keys could be.

use jiff::Timestamp;
use subrosa_crds::{ChannelStatus, Reason, channel::AdoptedStatus};

use crate::{
    channel::Plan,
    record::channel::ChannelRecord,
    world::{World, declaration::Declaration},
};

/// How many orphans status lists.
const NAMED: usize = 16;

/// The adopted identities and the adoptable ones. What is unknown now stays as it was in status.
pub fn earlier(
    channel: &Declaration,
    plan: &Plan,
    record: Option<&ChannelRecord>,
    world: &World,
) -> (Vec<AdoptedStatus>, Vec<String>) {
    let before = || channel.status().unwrap_or_default().into_owned();
    let at = |at: Timestamp| at.to_string();
    let Some(record) = record else {
        let ChannelStatus { adopted, orphans, .. } = before();
        return (adopted, orphans);
    };
    let adopted = record.adopts.iter().map(|one| AdoptedStatus {
        id: one.id.to_string(),
        adoption: one.adoption.clone(),
        at: at(one.at),
    });
    let domain = plan.domain.metadata.name.as_deref().unwrap_or_default();
    let known = world.earlier.get(domain).and_then(|earlier| earlier.orphans(channel.name(), &plan.id));
    let orphans = match known {
        Some(ids) => {
            let others = ids.into_iter().filter(|id| record.adopted().all(|one| one != *id));
            others.take(NAMED).map(ToString::to_string).collect()
        }
        None => before().orphans,
    };
    (adopted.collect(), orphans)
}

/// Events about keys of earlier Channels that nobody can use, and about adopted keys.
pub fn news(before: Option<&ChannelStatus>, now: &ChannelStatus) -> Vec<(Reason, String)> {
    let mut news = Vec::new();
    let knew = |id: &&String| before.is_none_or(|before| !before.orphans.contains(id));
    let new: Vec<_> = now.orphans.iter().filter(knew).map(String::as_str).collect();
    if !new.is_empty() {
        let note = format!(
            "data was sealed by an earlier Channel of this name, whose namespace was deleted ({}); this one cannot open it until \
             people approve that it adopts those keys; next: subrosa adopt --keys",
            new.join(", ")
        );
        news.push((Reason::KeysOrphaned, note));
    }
    let had = |one: &&AdoptedStatus| before.is_none_or(|before| !before.adopted.contains(one));
    for one in now.adopted.iter().filter(had) {
        let note =
            format!("the keys of the earlier Channel {} were adopted, by Adoption {}", one.id, one.adoption);
        news.push((Reason::Adopted, note));
    }
    news
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use subrosa_crds::names::ChannelId;

    use super::*;
    use crate::{
        record::adoption::AdoptionMark,
        testing::{DOMAIN, Scene, now},
    };

    #[test]
    fn orphans_are_told_once_and_are_none_any_more_when_they_are_adopted() {
        let mut scene = Scene::new().channel("cc-front/voice", json!({}));
        let (old, plan) = (ChannelId::mint("old", "voice"), scene.plan("cc-front/voice"));
        let mut record = scene.first_record("cc-front/voice");
        let told = |scene: &Scene, record: Option<&ChannelRecord>| {
            let (adopted, orphans) = earlier(scene.get("cc-front/voice"), &plan, record, &scene.world);
            ChannelStatus { adopted, orphans, ..ChannelStatus::default() }
        };
        assert_eq!(told(&scene, Some(&record)), ChannelStatus::default());
        let known = scene.world.earlier.entry(DOMAIN.into()).or_default();
        known.note(scene.world.channels["cc-front"]["voice"].name(), &old, None);
        assert!(told(&scene, Some(&record)).orphans.is_empty(), "half a search");
        scene.world.earlier.get_mut(DOMAIN).unwrap().searched(&[&old].into());
        let orphaned = told(&scene, Some(&record));
        assert_eq!(orphaned.orphans, [old.to_string()]);
        let reasons = |before: Option<&ChannelStatus>, now: &ChannelStatus| -> Vec<_> {
            news(before, now).into_iter().map(|(reason, _)| reason).collect()
        };
        assert_eq!(reasons(None, &orphaned), [Reason::KeysOrphaned]);
        assert!(reasons(Some(&orphaned), &orphaned).is_empty());
        record.adopts.push(AdoptionMark {
            id: old,
            adoption: "again".into(),
            uid: "u".into(),
            at: now(),
            approved_by: Vec::new(),
        });
        let adopted = told(&scene, Some(&record));
        assert!(adopted.orphans.is_empty() && adopted.adopted[0].adoption == "again", "{adopted:?}");
        assert_eq!(reasons(Some(&orphaned), &adopted), [Reason::Adopted]);
    }
}
