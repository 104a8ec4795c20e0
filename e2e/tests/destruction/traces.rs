//! Fifty lives of keys at once, with a destroyer that is ended in the middle of its work again and again: a key that is gone
//! was approved by two people and never held, and a key that should go has gone in the end.

use std::{collections::BTreeMap, time::Duration};

use kube::ResourceExt as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use subrosa_crds::{Destruction, approval::TargetKind};

use crate::world::{NS, World, hold};

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
        let forged = ["digest", "uid", "expired"][random.random_range(0..3)];
        Self {
            channel: format!("life-{number}"),
            order: None,
            listed,
            approvals,
            forged: random.random_bool(0.3).then(|| (random.random_range(listed..TURNS), forged)),
            denied: random.random_bool(0.15).then(|| random.random_range(listed..TURNS)),
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
        let Some(order) = &self.order else { return };
        for (_, who) in self.approvals.iter().filter(|(at, _)| *at == turn) {
            world.approve(who, order).await;
        }
        let (name, uid, digest) = (order.name_any(), order.uid().unwrap(), order.spec.digest.as_str());
        if let Some((_, forged)) = self.forged.filter(|(at, _)| *at == turn) {
            let kind = TargetKind::Destruction;
            let zero = format!("sha256:{:064}", 0);
            match forged {
                "digest" => world.decide("Approve", "daan", kind, &name, &uid, &zero).await,
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
    let mut ended = 0;
    for turn in 0..TURNS {
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
        let must_go = may_go && life.denied.is_none() && life.held.is_none();
        let state = match &life.order {
            Some(order) => world.state(&order.name_any()).await,
            None => String::new(),
        };
        let what = format!(
            "{}: {} people, held {:?} {}, denied {:?}, {state}: {:#}",
            life.channel,
            life.people(),
            life.held,
            life.was_held,
            life.denied,
            world.decided(&life.channel).await
        );
        if is_gone && !may_go || must_go && !is_gone || is_gone != (state == "Destroyed") {
            told.push(what);
        }
        if !is_gone {
            assert!(
                world.opens(&life.channel, &sealed[&life.channel]).await,
                "{} is not whole: {state}",
                life.channel
            );
        }
        gone += usize::from(is_gone);
    }
    assert!(told.is_empty(), "seed {seed}:\n{}", told.join("\n"));
    assert!((3..LIVES).contains(&gone), "{gone} keys went with seed {seed}");
}
