//! What becomes of an Adoption that was done once: it is lost with Vault, and taken back by a denial.

use subrosa_crds::{AdoptionStatus, condition};

use super::*;

/// Status of the only Channel of `asked` with `people`, after `before` was told.
fn told_again(
    anew: &Anew,
    asked: &Adoption,
    people: &[&str],
    change: Value,
    before: Option<&AdoptionStatus>,
) -> AdoptionStatus {
    let decided = decided(asked, people, change);
    let asked = Adoption { status: before.cloned(), ..asked.clone() };
    let one = outcome(&anew.pair.adopts, &anew.step(), before, &decided, now());
    status(&asked, Some(vec![one]), &decided, now())
}

#[test]
fn what_was_adopted_and_is_not_any_more_is_told_until_it_is_again() {
    let mut anew = Anew::new();
    let asked = adoption(vec![&anew.pair]);
    let expired = || json!({"spec": {"expires": "2026-11-22T11:00:00Z"}});
    let restored = (anew.earlier.clone(), anew.own.clone());
    anew.adopt(false);
    let adopted = told_again(&anew, &asked, &["bas", "cees"], json!({}), None);
    assert_eq!((adopted.state.as_deref(), adopted.adopted), (Some("Adopted"), Some(1)));
    // Approvals expire: what they led to is told as it was.
    assert_eq!(told_again(&anew, &asked, &["bas", "cees"], expired(), Some(&adopted)), adopted);
    assert_eq!(told_again(&anew, &asked, &[], json!({}), Some(&adopted)), adopted);
    // Vault does not answer: what is not known is as it was told.
    let unknown = AdoptionStep::Unknown(Fault::new(Reason::VaultTimeout, "no answer"));
    let people = decided(&asked, &[], json!({}));
    let same = outcome(&anew.pair.adopts, &unknown, Some(&adopted), &people, now());
    assert_eq!(same, adopted.channels[0]);
    assert_eq!(outcome(&anew.pair.adopts, &unknown, None, &people, now()).state, "WorkUnderWay");
    // Vault is restored to what it was before.
    (anew.earlier, anew.own) = restored;
    let lost = told_again(&anew, &asked, &["bas", "cees"], expired(), Some(&adopted));
    assert_eq!((lost.state.as_deref(), lost.adopted), (Some("AdoptionLost"), Some(0)));
    assert_eq!(lost.channels[0].state, "AdoptionLost");
    assert_eq!((lost.adopted_at.as_ref(), lost.approved_by.len()), (adopted.adopted_at.as_ref(), 2));
    let ready = condition::find(&lost.conditions, condition::READY).unwrap();
    assert!(ready.status == "False" && ready.message.contains("restore of Vault"), "{ready:?}");
    assert_eq!(told_again(&anew, &asked, &[], json!({}), Some(&lost)).state, lost.state, "and stays so");
    let quiet = told_again(&anew, &asked, &["bas", "cees"], expired(), Some(&lost));
    assert_eq!(quiet, lost, "an unchanged world is written nothing");
    // People approve again.
    let decided = decided(&asked, &["bas", "cees"], json!({}));
    assert!(decided.allows(&anew.step(), now()));
    anew.adopt(false);
    let again = told_again(&anew, &asked, &["bas", "cees"], json!({}), Some(&lost));
    assert_eq!(
        (again.state.as_deref(), again.adopted_at.as_ref()),
        (Some("Adopted"), adopted.adopted_at.as_ref())
    );
    // The Channel is deleted, and its namespace made anew once more.
    let scene = std::mem::replace(&mut anew.scene, Scene::new());
    anew.scene = scene.without("cc-front/voice");
    let gone = told_again(&anew, &asked, &[], json!({}), Some(&again));
    assert_eq!((gone.state.as_deref(), gone.adopted), (Some("WorkUnderWay"), Some(0)));
    let told = |status: &AdoptionStatus| status.channels[0].message.clone().unwrap();
    assert!(told(&gone).contains("there is no Channel cc-front/voice"), "{gone:#?}");
    let scene = std::mem::replace(&mut anew.scene, Scene::new());
    anew.scene = scene.channel("cc-front/voice", json!({"dataClasses": ["call-recording"]}));
    anew.scene.world.namespaces.get_mut("cc-front").unwrap().uid = "once more".into();
    let other = told_again(&anew, &asked, &[], json!({}), Some(&gone));
    assert_eq!((other.state.as_deref(), other.channels[0].state.as_str()), (Some("Refused"), "NotFound"));
}

/// One Adoption lists several Channels: what is taken back of one pair is not another's.
#[test]
fn what_is_taken_back_is_that_of_the_pair() {
    let mut anew = Anew::new();
    anew.adopt(false);
    let (id, adopts) = (anew.own.id(), anew.earlier.id());
    let other = ChannelId::mint("the namespace between", "voice");
    anew.own = taken(anew.own.clone(), &Anew::mark(&other)).unwrap();
    let left = taken_back(anew.own.clone(), &adopts, "u", now());
    assert_eq!(left.adopted().collect::<Vec<_>>(), [&other]);
    assert_eq!(unmarked(anew.earlier.clone(), &other, "u"), anew.earlier, "another Channel has it");
    assert_eq!(unmarked(anew.earlier.clone(), &id, "u").adopted_by, None);
    let pair = AdoptingChannel { adopts: ChannelId::mint("never", "voice").to_string(), ..anew.pair.clone() };
    let known = orphans::known(DOMAIN, &anew.scene.world);
    let (earlier, own) = (Ok(None), Some(&anew.own));
    assert!(!stands(&AdoptionFacts { domain: DOMAIN, uid: "u", pair: &pair, earlier, own, known: &known }));
}

/// A denial made while nobody knows who decided takes nothing back.
#[test]
fn a_denial_counts_only_under_the_guard() {
    let asked = adoption(vec![&Anew::new().pair]);
    let denied = decided(&asked, &["!daan"], json!({}));
    assert!(denied.is_denied());
    let unguarded = Some(Fault::new(Reason::GuardsEdited, "edited"));
    assert!(!AdoptionDecision { unguarded, ..denied }.is_denied());
}

#[test]
fn a_denial_takes_back_what_its_adoption_gave_and_no_other() {
    let mut anew = Anew::new();
    let asked = adoption(vec![&anew.pair]);
    anew.adopt(false);
    let stands = |anew: &Anew, uid: &str| {
        let known = orphans::known(DOMAIN, &anew.scene.world);
        let (earlier, own) = (Ok(Some(&anew.earlier)), Some(&anew.own));
        stands(&AdoptionFacts { domain: DOMAIN, uid, pair: &anew.pair, earlier, own, known: &known })
    };
    assert!(stands(&anew, "u") && !stands(&anew, "another"));
    let adopted = told_again(&anew, &asked, &["bas", "cees"], json!({}), None);
    let denied = decided(&asked, &["bas", "cees", "!daan"], json!({}));
    assert!(denied.is_denied());
    let (id, adopts) = (anew.own.id(), anew.earlier.id());
    assert_eq!(taken_back(anew.own.clone(), &adopts, "another", now()), anew.own);
    assert_eq!(unmarked(anew.earlier.clone(), &id, "another"), anew.earlier);
    anew.own = taken_back(anew.own.clone(), &adopts, "u", now());
    assert_eq!(anew.own.adopted().count(), 0);
    assert_eq!(anew.own.tell.len(), 1, "it is told: {:?}", anew.own.tell);
    assert!(
        anew.own.tell[0].note.contains("Adoption cc-front") && anew.own.tell[0].reason == "OpeningWithdrawn"
    );
    assert!(stands(&anew, "u"), "a process that ended here goes on");
    assert_eq!(taken_back(anew.own.clone(), &adopts, "u", now()), anew.own, "twice is once");
    anew.earlier = unmarked(anew.earlier.clone(), &id, "u");
    assert!(!stands(&anew, "u") && anew.step() == AdoptionStep::Mark);
    let told = told_again(&anew, &asked, &["bas", "cees", "!daan"], json!({}), Some(&adopted));
    assert_eq!((told.state.as_deref(), told.adopted), (Some("ApprovalDenied"), Some(0)));
    assert_eq!(told.channels[0].state, "ApprovalDenied");
    // The denial has expired, and the Approvals too: nothing comes back by itself.
    let later = told_again(&anew, &asked, &[], json!({}), Some(&told));
    assert_eq!((later.state.as_deref(), later.adopted_at.is_some()), (Some("AwaitingApproval"), true));
    // Another Adoption of the same keys says who gave them, and its denial takes nothing.
    anew.adopt(false);
    anew.own.adopts[0].uid = "another".into();
    anew.own.adopts[0].adoption = "first".into();
    let other = told_again(&anew, &asked, &["bas", "cees", "!daan"], json!({}), None);
    assert_eq!(other.state.as_deref(), Some("Adopted"));
    assert!(other.channels[0].message.as_deref().unwrap().contains("Adoption first"), "{other:#?}");
}
