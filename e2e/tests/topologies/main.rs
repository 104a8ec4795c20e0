//! Two ends can talk on a port if and only if both declared it: random topologies, planned, judged by an
//! evaluator of NetworkPolicy that shares no code with the plan, against an oracle that reads the
//! declarations naively.
//!
//! A failure names its topology; the numbers are seeds, so it is the same one every time.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

mod breaks;
mod evaluator;
mod generate;
mod manifests;
mod oracle;
mod town;

use std::{collections::BTreeMap, path::Path, thread, time::Instant};

use anyhow::Result;
use evaluator::{Answer, document, judge};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use rand::{SeedableRng as _, rngs::StdRng};
use subrosa_e2e::tools;
use town::{Question, Town};

/// How many topologies are judged.
const TOPOLOGIES: u64 = 2_000;
/// Documents that one judge gets at once.
const BATCH: u64 = 100;
/// How many topologies each break may take until it is caught.
const PATIENCE: u64 = 150;

fn town(seed: u64) -> (Town, StdRng) {
    let mut random = StdRng::seed_from_u64(seed);
    let town = generate::town(&mut random);
    (town, random)
}

/// Where judge and oracle disagree, and how often each pair of reasons let something pass.
#[derive(Default)]
struct Findings {
    questions: usize,
    allowed: BTreeMap<(&'static str, &'static str), usize>,
    disagreements: Vec<String>,
}

impl Findings {
    fn compare(&mut self, seed: u64, town: &Town, questions: &[Question<'_>], answers: &[Answer]) {
        assert_eq!(questions.len(), answers.len());
        for (question, answer) in questions.iter().zip(answers) {
            self.questions += 1;
            let expected = oracle::allows(town, *question);
            if let Some(reasons) = expected {
                *self.allowed.entry(reasons).or_default() += 1;
            }
            if answer.allowed != expected.is_some() {
                let Answer { allowed, ingress, egress } = *answer;
                let text = format!(
                    "topology {seed}: {question:?}
  declared: {expected:?}
  policies: allowed {allowed}, ingress {ingress}, egress {egress}"
                );
                self.disagreements.push(text);
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.questions += other.questions;
        self.disagreements.extend(other.disagreements);
        for (reasons, count) in other.allowed {
            *self.allowed.entry(reasons).or_default() += count;
        }
    }
}

/// Judges the topologies of `seeds`, after `blind` was done to what the plan reads and `slip` to what it wrote.
fn judged(
    program: &Path,
    seeds: impl Iterator<Item = u64>,
    blind: impl Fn(&mut Town),
    slip: impl Fn(&mut NetworkPolicy),
) -> Result<Findings> {
    let mut towns = Vec::new();
    let mut documents = Vec::new();
    for seed in seeds {
        let (town, random) = town(seed);
        let mut seen = town.clone();
        blind(&mut seen);
        let mut policies = manifests::policies(&manifests::world(&seen));
        policies.iter_mut().for_each(&slip);
        documents.push(document(&town, &policies, &generate::questions(&town, &mut random.clone()))?);
        towns.push((seed, town, random));
    }
    let answers = judge(program, documents)?;
    let mut findings = Findings::default();
    for ((seed, town, random), answers) in towns.iter_mut().zip(&answers) {
        findings.compare(*seed, town, &generate::questions(town, random), answers);
    }
    Ok(findings)
}

#[test]
fn a_pair_can_talk_if_and_only_if_both_declared_it() -> Result<()> {
    let program = tools::evaluator()?;
    let began = Instant::now();
    let workers = thread::available_parallelism().map_or(2, |count| count.get() as u64);
    let whole = thread::scope(|scope| {
        let work = |worker: u64| {
            let program = &program;
            move || -> Result<Findings> {
                let mut found = Findings::default();
                for batch in (0..TOPOLOGIES / BATCH).filter(|batch| batch % workers == worker) {
                    found.add(judged(program, batch * BATCH..(batch + 1) * BATCH, |_| {}, |_| {})?);
                }
                Ok(found)
            }
        };
        let running: Vec<_> = (0..workers).map(|worker| scope.spawn(work(worker))).collect();
        let mut whole = Findings::default();
        for one in running {
            whole.add(one.join().unwrap()?);
        }
        Ok::<_, anyhow::Error>(whole)
    })?;
    let allowed: usize = whole.allowed.values().sum();
    println!(
        "{TOPOLOGIES} topologies, {} questions, {allowed} allowed, in {:.1} s",
        whole.questions,
        began.elapsed().as_secs_f32()
    );
    for ((leaving, entering), count) in &whole.allowed {
        println!("{count:8}  {leaving}, {entering}");
    }
    let first = whole.disagreements.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(whole.disagreements.is_empty(), "{} disagreements:\n{first}", whole.disagreements.len());

    // Chance must have met everything, or agreement says nothing.
    for (leaving, entering) in [
        ("to a Channel", "from a Channel"),
        ("to a replica", "from a replica"),
        ("to a party", "to outside"),
        ("from outside", "from a party"),
        ("to a named service", "to an ungoverned pod"),
        ("to a named service", "to outside"),
        ("to a service for all", "to an ungoverned pod"),
        ("from an ungoverned pod", "from a named service"),
        ("from an ungoverned pod", "from a service for all"),
        ("to DNS", "to an ungoverned pod"),
    ] {
        let count = whole.allowed.get(&(leaving, entering)).copied().unwrap_or_default();
        assert!(count >= 100, "only {count} times {leaving}, {entering}");
    }
    assert!(whole.questions - allowed > allowed, "most of what can be asked was never declared");
    Ok(())
}

#[test]
fn a_plan_that_is_wrong_is_caught() -> Result<()> {
    let program = tools::evaluator()?;
    let caught = |blind: breaks::Blind, slip: breaks::Slip| -> Result<Option<u64>> {
        for start in (0..PATIENCE).step_by(25) {
            let found = judged(&program, start..start + 25, blind, slip)?;
            if !found.disagreements.is_empty() {
                return Ok(Some(start + 25));
            }
        }
        Ok(None)
    };
    assert_eq!(caught(|_| {}, |_| {})?, None, "what is right must not be caught");
    let mut missed = Vec::new();
    let blind = breaks::BLIND.map(|(name, blind)| (name, blind, (|_| {}) as breaks::Slip));
    let slips = breaks::SLIPS.map(|(name, slip)| (name, (|_| {}) as breaks::Blind, slip));
    for (name, blind, slip) in blind.into_iter().chain(slips) {
        match caught(blind, slip)? {
            Some(count) => println!("caught within {count:3} topologies: {name}"),
            None => missed.push(name),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
    Ok(())
}
