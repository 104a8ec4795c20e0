//! Who did what and when, by the audit logs of the API server and of OpenBao.

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;
use subrosa_e2e::{Environment, Installation, audit::Mark};

/// So much has to have been done by a leader for its silence to say something.
pub const ENOUGH: usize = 20;

/// Which server has it in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Api,
    Vault,
}

/// Something that was done.
#[derive(Clone, Debug)]
pub struct Effect {
    pub server: Server,
    /// The replica's own name for itself.
    agent: String,
    /// When the request came.
    came: Timestamp,
    /// When the answer went.
    done: Timestamp,
    pub what: String,
}

impl Effect {
    fn is_by(&self, pod: &str) -> bool {
        self.agent.contains(&format!("({pod}_"))
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {:?}", self.done, self.agent, self.what, self.server)
    }
}

/// All of it.
pub struct Timeline {
    /// Without the election's own writes.
    effects: Vec<Effect>,
    /// The election's: accepted writes of the Lease.
    elections: Vec<Effect>,
}

impl Timeline {
    pub fn read(env: &Environment, installed: &Installation) -> Result<Self> {
        let user = installed.names.user();
        let api: Vec<Value> = env.audit()?.entries_since(Mark::default())?;
        let accepted = api.iter().filter(|entry| entry["user"]["username"] == *user && is_effect(entry));
        let api = accepted.map(of_api).collect::<Result<Vec<_>>>()?;
        let (elections, mut effects): (Vec<_>, Vec<_>) =
            api.into_iter().partition(|effect| effect.what.contains("/leases"));
        effects.extend(of_vault(&env.openbao().audit().entries_since(Mark::default())?)?);
        effects.sort_by_key(|effect| effect.done);
        Ok(Self { effects, elections })
    }

    /// When `pod` was elected: its first accepted write of the Lease.
    fn elected(&self, pod: &str) -> Option<Timestamp> {
        self.elections.iter().filter(|effect| effect.is_by(pod)).map(|effect| effect.came).min()
    }

    /// The effects of a replica.
    pub fn of(&self, pod: &str) -> impl Iterator<Item = &Effect> {
        self.effects.iter().filter(move |effect| effect.is_by(pod))
    }

    /// When `pod` had its first effect after `since`, if by now it has one on each server. A login alone is none: on a
    /// busy machine the log may be read between it and what it was made for.
    pub fn first_effects(&self, pod: &str, since: Timestamp) -> Option<Timestamp> {
        let later = |effect: &&Effect| effect.done > since && effect.what != LOGIN;
        let first = |server| {
            let of_server = self.of(pod).filter(|effect| effect.server == server);
            of_server.filter(later).map(|effect| effect.done).min()
        };
        Some(first(Server::Api)?.min(first(Server::Vault)?))
    }

    /// Nothing was done by `old` once `new` was elected, nor by `new` before; and the first thing `new` did in
    /// Vault after its login was to revoke.
    pub fn never_both(&self, old: &str, new: &str) -> Result<()> {
        let elected = self.elected(new).with_context(|| format!("{new} was never elected"))?;
        let late: Vec<_> =
            self.of(old).filter(|effect| effect.done >= elected).map(Effect::to_string).collect();
        ensure!(late.is_empty(), "{new} was elected at {elected}; after that:\n{}", late.join("\n"));
        let early: Vec<_> =
            self.of(new).filter(|effect| effect.came < elected).map(Effect::to_string).collect();
        ensure!(early.is_empty(), "{new} was elected at {elected}; before that:\n{}", early.join("\n"));
        ensure!(self.of(old).count() > ENOUGH, "{old} did next to nothing");

        let mut vault: Vec<_> = self.of(new).filter(|effect| effect.server == Server::Vault).collect();
        vault.sort_by_key(|effect| effect.came);
        let first: Vec<&str> = vault.iter().take(2).map(|effect| effect.what.as_str()).collect();
        let expected = [LOGIN, "update auth/token/revoke-accessor"];
        ensure!(first == expected, "the first things {new} did in Vault: {first:?}");
        Ok(())
    }
}

/// How a login stands in the log of OpenBao.
const LOGIN: &str = "update auth/kubernetes/login";

/// A finished, accepted request that may have changed something; a token is something.
fn is_effect(entry: &Value) -> bool {
    let verb = entry["verb"].as_str().unwrap_or_default();
    ["create", "update", "patch", "delete", "deletecollection"].contains(&verb)
        && entry["stage"] == "ResponseComplete"
        && entry["responseStatus"]["code"].as_u64().is_some_and(|code| code < 400)
}

fn time(value: &Value) -> Result<Timestamp> {
    value.as_str().context("an entry without a time")?.parse().context("an entry's time")
}

fn of_api(entry: &Value) -> Result<Effect> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Effect {
        server: Server::Api,
        agent: text(&entry["userAgent"]),
        came: time(&entry["requestReceivedTimestamp"])?,
        done: time(&entry["stageTimestamp"])?,
        what: format!("{} {}", text(&entry["verb"]), text(&entry["requestURI"])),
    })
}

/// OpenBao's log has an entry for each request and one for each answer.
fn of_vault(entries: &[Value]) -> Result<Vec<Effect>> {
    let mut effects = Vec::new();
    let asked =
        |id: &Value| entries.iter().find(|entry| entry["type"] == "request" && entry["request"]["id"] == *id);
    for entry in entries {
        let operation = entry["request"]["operation"].as_str().unwrap_or_default();
        let agent = entry["request"]["headers"]["user-agent"][0].as_str().unwrap_or_default();
        let changes = ["create", "update", "patch", "delete"].contains(&operation);
        let accepted = entry["error"].as_str().is_none_or(str::is_empty);
        if entry["type"] != "response" || !changes || !accepted || !agent.starts_with("subrosa/") {
            continue;
        }
        let done = time(&entry["time"])?;
        effects.push(Effect {
            server: Server::Vault,
            agent: agent.to_owned(),
            came: asked(&entry["request"]["id"]).map_or(Ok(done), |entry| time(&entry["time"]))?,
            done,
            what: format!("{operation} {}", entry["request"]["path"].as_str().unwrap_or_default()),
        });
    }
    Ok(effects)
}
