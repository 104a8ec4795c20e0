//! Fifty lives of keys at once, with a destroyer that is ended in the middle of its work again and again: a key that is gone
//! was approved by two people and never held, and a key that should go has gone in the end. Meanwhile Channels and Destructions are
//! deleted, Vault is restored from a snapshot, and all clocks jump.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use subrosa_crds::{Approval, CONFIRM_DELETE_ANNOTATION, Channel, Destruction, Reason, approval::TargetKind};

use crate::{
    restored::go_on,
    world::{CLASS, NS, World, hold},
};

/// How many lives.
const LIVES: usize = 50;
/// How many times something happens in each.
const TURNS: usize = 12;

/// What happens to one key, and when.
struct Life {
    channel: String,
    order: Option<Destruction>,
    /// At which turn it is listed.
    listed: usize,
    /// Who approves at which turn.
    approvals: Vec<(usize, &'static str)>,
    /// An Approval that must not count.
    forged: Option<(usize, &'static str)>,
    denied: Option<usize>,
    /// When its Destruction is deleted, and when its Channel is, and made again.
    erased: Option<usize>,
    recreated: Option<usize>,
    held: Option<usize>,
    /// Whether the hold was in force before the point of no return, as its status said.
    was_held: bool,
}

impl Life {
    fn random(number: usize, random: &mut StdRng) -> Self {
        let turn = |random: &mut StdRng| random.random_range(0..TURNS);
        let listed = random.random_range(0..3);
        let people = ["anna", "bas", "cees"];
        let mut approvals = Vec::new();
        for _ in 0..random.random_range(0..4) {
            approvals.push((random.random_range(listed..TURNS / 2), people[random.random_range(0..3)]));
        }
        let forged = ["digest", "uid", "expired", "replayed", "self-made"][random.random_range(0..5)];
        Self {
            channel: format!("life-{number}"),
            order: None,
            listed,
            approvals,
            forged: random.random_bool(0.4).then(|| (random.random_range(listed..TURNS), forged)),
            denied: random.random_bool(0.15).then(|| random.random_range(listed..TURNS)),
            erased: random.random_bool(0.1).then(|| random.random_range(listed + 1..TURNS)),
            recreated: random.random_bool(0.1).then(|| random.random_range(0..TURNS - 2)),
            held: random.random_bool(0.25).then(|| turn(random)),
            was_held: false,
        }
    }

    /// How many different people approved.
    fn people(&self) -> usize {
        self.approvals.iter().map(|(_, who)| who).collect::<std::collections::BTreeSet<_>>().len()
    }

    async fn turn(&mut self, turn: usize, world: &World) {
        if turn == self.listed {
            self.order = Some(world.list(&[&self.channel]).await);
        }
        if self.held == Some(turn) {
            world.apply(&hold(&self.channel, json!({"namespaces": [NS], "channels": [self.channel]}))).await;
        }
        let channels: Api<Channel> = Api::namespaced(world.admin.clone(), NS);
        if self.recreated == Some(turn) {
            let channel = channels.get(&self.channel).await.unwrap();
            let confirmed = json!({"metadata": {"annotations": {CONFIRM_DELETE_ANNOTATION: channel.uid()}}});
            channels.patch(&self.channel, &PatchParams::default(), &Patch::Merge(confirmed)).await.unwrap();
            channels.delete(&self.channel, &DeleteParams::default()).await.unwrap();
        }
        if self.recreated.is_some_and(|gone| gone + 2 == turn) {
            let made = channel(&self.channel);
            world
                .until("the Channel is made again", || async {
                    channels
                        .create(&PostParams::default(), &made)
                        .await
                        .map(drop)
                        .map_err(|error| error.to_string())
                })
                .await;
        }
        let Some(order) = &self.order else { return };
        if self.erased == Some(turn) {
            let destructions: Api<Destruction> = Api::all(world.admin.clone());
            destructions.delete(&order.name_any(), &DeleteParams::default()).await.unwrap();
        }
        if self.erased.is_some_and(|erased| erased <= turn) {
            return;
        }
        for (_, who) in self.approvals.iter().filter(|(at, _)| *at == turn) {
            world.approve(who, order).await;
        }
        let (name, uid, digest) = (order.name_any(), order.uid().unwrap(), order.spec.digest.as_str());
        if let Some((_, forged)) = self.forged.filter(|(at, _)| *at == turn) {
            let kind = TargetKind::Destruction;
            let zero = format!("sha256:{:064}", 0);
            match forged {
                "digest" => world.decide("Approve", "daan", kind, &name, &uid, &zero).await,
                // What was said of another list of the same keys, and what who lists says itself.
                "replayed" => {
                    let mut other = order.spec.clone();
                    other.nonce = "f".repeat(32);
                    world.decide("Approve", "daan", kind, &name, &uid, &other.computed_digest()).await;
                }
                "self-made" => assert!(self_made(world, order).await.is_err(), "the operator approved"),
                "uid" => world.decide("Approve", "daan", kind, &name, "another", digest).await,
                _ => {
                    world
                        .decide_until("Approve", "daan", kind, &name, &uid, digest, jiff::Timestamp::now())
                        .await
                }
            }
        }
        if self.denied == Some(turn) {
            world.decide("Deny", "emma", TargetKind::Destruction, &name, &uid, digest).await;
        }
    }
}

/// The Channel as the world made it.
fn channel(name: &str) -> Channel {
    serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": name, "namespace": NS},
        "spec": {
            "workload": {"selector": {"matchLabels": {"app": name}}, "serviceAccountName": name},
            "dataClasses": [CLASS],
        },
    }))
    .unwrap()
}

/// The operator approves what it listed.
async fn self_made(world: &World, order: &Destruction) -> kube::Result<Approval> {
    let operator = world.env.client_for_token(&world.installed.token).unwrap();
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let approval = json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval", "metadata": {"name": order.name_any()},
        "spec": {
            "target": {
                "kind": "Destruction", "name": order.name_any(), "uid": order.uid(), "digest": order.spec.digest,
            },
            "decision": "Approve", "approver": "daan", "expires": expires.to_string(),
        },
    });
    let approval: Approval = serde_json::from_value(approval).unwrap();
    Api::all(operator).create(&PostParams::default(), &approval).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_lives_end_as_people_decided_wherever_the_process_ends() {
    let seed = rand::random();
    println!("the seed is {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut lives: Vec<_> = (0..LIVES).map(|number| Life::random(number, &mut random)).collect();
    let names: Vec<_> = lives.iter().map(|life| life.channel.clone()).collect();
    let mut world = World::start(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut sealed = BTreeMap::new();
    for name in &names {
        sealed.insert(name.clone(), world.sealed(name).await);
    }
    world.look().await;
    world.days_on(4).await;
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.admin.clone());
    bindings.delete("subrosa-destruction", &DeleteParams::default()).await.unwrap();
    let kept = random.random_range(1..TURNS - 4);
    let (restored, jumped) = (kept + random.random_range(1..4), random.random_range(4..TURNS));
    println!("a snapshot at {kept}, restored at {restored}; the clocks jump at {jumped}");
    let mut snapshot = None;
    let mut ended = 0;
    for turn in 0..TURNS {
        if turn == kept {
            snapshot = Some(world.env.openbao().snapshot().await.unwrap());
        }
        if turn == restored {
            world.env.openbao_mut().restore(snapshot.take().unwrap()).await.unwrap();
            world.restart().await;
            world.look().await;
            assert_eq!(world.frozen().await.0, "StoreRestored");
            go_on(&world, &["anna", "bas"]).await;
        }
        if turn == jumped {
            world.jump(20).await;
            assert_eq!(world.frozen().await.0, "ClockJumped");
            go_on(&world, &["anna", "bas"]).await;
        }
        for life in &mut lives {
            life.turn(turn, &world).await;
        }
        for _ in 0..4 {
            let patience = Duration::from_millis(random.random_range(1..400));
            if tokio::time::timeout(patience, world.destroyer.round()).await.is_err() {
                ended += 1;
                world.restart().await;
            }
        }
        world.look().await;
        for life in lives.iter_mut().filter(|life| life.held.is_some_and(|held| held <= turn)) {
            let held = world.hold(&life.channel).await.status.unwrap();
            // Two keys of each Channel: of today, which is due, and of tomorrow.
            life.was_held |= held.held == Some(2);
        }
        world.hours_on(8).await;
    }
    assert!(ended > 10, "the process was ended {ended} times only");
    world.days_on(3).await;
    let (mut gone, mut told) = (0, Vec::new());
    for life in &lives {
        let is_gone = world.transit(&world.key(&life.channel)).await.is_none();
        let may_go = life.people() >= 2 && !life.was_held && life.order.is_some();
        let is_erased = life.erased.is_some();
        let state = match &life.order {
            Some(order) if !is_erased => world.state(&order.name_any()).await,
            _ => String::new(),
        };
        // What the snapshot brought back waits for a list that people approve anew.
        let must_go = may_go
            && life.denied.is_none()
            && life.held.is_none()
            && !is_erased
            && state != Reason::Resurrected.as_str();
        let what = format!(
            "{}: {} people, held {:?} {}, denied {:?}, {state}: {:#}",
            life.channel,
            life.people(),
            life.held,
            life.was_held,
            life.denied,
            world.decided(&life.channel).await
        );
        let is_told = is_erased || is_gone == (state == "Destroyed");
        if is_gone && !may_go || must_go && !is_gone || !is_told {
            told.push(what);
        }
        if !is_gone {
            assert!(
                world.opens(&life.channel, &sealed[&life.channel]).await,
                "{} is not whole: {state}",
                life.channel
            );
        }
        // Where the clocks jumped between snapshot and restore, all that went was brought back.
        gone += usize::from(is_gone || state == Reason::Resurrected.as_str());
    }
    assert!(told.is_empty(), "seed {seed}:\n{}", told.join("\n"));
    assert!((3..LIVES).contains(&gone), "{gone} keys went with seed {seed}");
}
