//! A crash after any single write of the granter, to the API server or to OpenBao, hurts nothing: the next start ends where an
//! uninterrupted run ends.
//!
//! Granters talk to both servers through proxies with one counter. With the n-th write the world goes dark, the answer is lost, and
//! the granter is gone; each n is tried, while rights are given and while they are taken away. The operator stands still: what it
//! wrote is there.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};
use subrosa_crds::{AccessRevocation, AccessRole, condition};
use subrosa_e2e::{Mode, Proxy, Tap, Write, wait};
use tokio::time::timeout;

use super::{
    leavers::revocation,
    world::{AnotherGranter, DOMAIN, NS, RECORDING, World, ready, role},
};

const PATIENCE: Duration = Duration::from_secs(60);
const ROLE: &str = "crashing";
/// Of the provider, and of no other role here.
const GROUP: &str = "b";
const PERSON: &str = "cora";

/// What is done between two looks at the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// The role and a person are revoked.
    TakeAway,
    /// From nothing to a role in force, and somebody used break-glass.
    Give,
}

/// In this order: the role is in force before.
const PHASES: [Phase; 2] = [Phase::TakeAway, Phase::Give];

struct Rig<'a> {
    world: &'a World,
    tap: Arc<Tap>,
    api: Proxy,
    _bao: Proxy,
    entity: String,
}

pub async fn a_crash_after_any_write_of_the_granter_hurts_nothing(world: &mut World) {
    let mut crashing = role(ROLE, "strong", &[GROUP], &[("voice", RECORDING)]);
    crashing["spec"]["breakGlass"] = json!({"group": "on-call"});
    crashing["spec"]["review"] = json!({"every": "90d", "author": "e2e-admin"});
    world.apply(&crashing).await;
    somebody_uses_break_glass(world).await;
    // Both slots are there, and the use is told.
    let is_told =
        |one: &condition::Condition| one.type_ == condition::BREAK_GLASS && one.reason == "UseNotReviewed";
    let prepared = wait::until(PATIENCE, || async {
        world.role(ROLE, |status| ready(status) && status.conditions.iter().any(is_told)).await;
        let mut opened = 0;
        for number in 0..3 {
            let path = format!("identity/group/name/subrosa_{DOMAIN}_open_break-glass_{number:03}");
            let slot = world.env.openbao().request("GET", &path, None).await.unwrap();
            opened += slot["data"]["member_group_ids"].as_array().map_or(0, Vec::len);
        }
        if opened == 1 { Ok(()) } else { Err(opened) }
    });
    prepared.await.unwrap();
    world.stop_operator();
    let rig = Rig::build(world).await;
    let began = Instant::now();
    let mut known = BTreeMap::new();
    for phase in PHASES {
        let (picture, writes) = rig.learn(phase).await;
        let told: Vec<_> = writes.iter().map(ToString::to_string).collect();
        println!("{phase:?}: {} writes of the granter:\n  {}", writes.len(), told.join("\n  "));
        known.insert(phase, (picture, writes));
    }
    let longest = known.values().map(|(_, writes)| writes.len()).max().unwrap();
    let (mut crashes, mut planned) = (0, 0);
    for n in 1..=longest {
        for phase in PHASES {
            let (picture, writes) = &known[&phase];
            let cut = (n <= writes.len()).then_some(n);
            planned += usize::from(cut.is_some());
            crashes += usize::from(rig.interrupted(phase, cut, picture).await.is_some());
        }
    }
    println!("{crashes} crashes of {planned} planned in {:.0?}", began.elapsed());
    assert!(crashes * 3 >= planned * 2, "only {crashes} of {planned} came to pass");
    rig.end().await;
    world.delete(ROLE).await;
    world.start_operator().await;
    world.role("reviewer", ready).await;
}

impl<'a> Rig<'a> {
    async fn build(world: &'a World) -> Self {
        let tap = Tap::new();
        // Logging in is not writing, a lookup is a read, and a lost Event says what the status says too.
        tap.count_only(|write| {
            write.status < 400
                && !write.path.starts_with("/v1/auth/")
                && write.path != "/v1/identity/lookup/entity"
                && !write.path.contains("/events")
        });
        let (api, bao) =
            (world.env.proxy_api(&tap).await.unwrap(), world.env.proxy_openbao(&tap).await.unwrap());
        let claims = json!({"amr": ["mfa"], "groups": [GROUP]});
        let session = world.login("strong", PERSON, claims).await.unwrap();
        let own =
            world.env.openbao().request_as(&session, "GET", "auth/token/lookup-self", None).await.unwrap().1;
        let entity = own["data"]["entity_id"].as_str().unwrap().to_owned();
        world.reach(&bao.endpoint().url).await;
        let rig = Self { world, tap, api, _bao: bao, entity };
        rig.release().await;
        rig
    }

    async fn end(&self) {
        self.release().await;
        self.world.reach(self.world.env.openbao().url()).await;
    }

    /// An uninterrupted phase: how the world looks then, and what was written.
    async fn learn(&self, phase: Phase) -> (Value, Vec<Write>) {
        self.begin(phase).await;
        self.tap.reset();
        let another = self.another().await;
        let is_over = |picture: &Value| match phase {
            Phase::Give => picture["role"].as_array().is_some_and(|all| {
                all.contains(&json!("Ready True InForce"))
                    && all.contains(&json!("BreakGlass False UseNotReviewed"))
            }),
            Phase::TakeAway => {
                let done = json!("Ready True Revoked");
                picture["revocations"].as_object().is_some_and(|all| all.values().all(|one| one[0] == done))
                    && picture["role"]
                        .as_array()
                        .is_some_and(|all| all.contains(&json!("Ready False Revoked")))
            }
        };
        let picture = self.works(&another, is_over).await;
        let writes = self.tap.writes();
        // Then it is quiet.
        self.tap.reset();
        look(&another).await;
        assert!(self.tap.writes().is_empty(), "{:?}", self.tap.writes());
        self.is_so(phase, &picture).await;
        (picture, writes)
    }

    /// A phase with a crash in it, where `cut` says after which write; says which one that was.
    async fn interrupted(&self, phase: Phase, cut: Option<usize>, known: &Value) -> Option<Write> {
        self.begin(phase).await;
        self.tap.reset();
        let mut hit = None;
        if let Some(n) = cut {
            let cut = self.tap.cut_after_write(n, Mode::Refuse);
            let another = self.another().await;
            hit = tokio::select! {
                biased;
                write = cut => Some(write.unwrap()),
                _ = self.works(&another, |picture| picture == known) => None,
            };
            drop(another);
            self.tap.reset();
            self.tap.set_mode(Mode::Pass);
        }
        let another = self.another().await;
        self.works(&another, |picture| picture == known).await;
        self.is_so(phase, known).await;
        hit
    }

    async fn another(&self) -> AnotherGranter {
        self.world.another_granter(self.api.endpoint()).await
    }

    /// Looks until it is so; shows how the world looks then.
    async fn works(&self, another: &AnotherGranter, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let work = async {
            loop {
                look(another).await;
                last = self.picture().await;
                if is_so(&last) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let ended = timeout(PATIENCE, work).await;
        assert!(ended.is_ok(), "it does not come to rest: {last:#}");
        last
    }

    /// What leads to a phase.
    async fn begin(&self, phase: Phase) {
        match phase {
            Phase::Give => {
                self.release().await;
                self.unbind().await;
                for record in ["reviews", "revocations"] {
                    self.root("DELETE", &format!("subrosa/metadata/{record}"), Value::Null).await;
                }
                somebody_uses_break_glass(self.world).await;
            }
            Phase::TakeAway => {
                let named = json!({"role": {"namespace": NS, "name": ROLE}});
                self.world.apply(&revocation("crashing-role", named)).await;
                self.world
                    .apply(&revocation("crashing-person", json!({"user": PERSON.to_uppercase()})))
                    .await;
            }
        }
    }

    /// Each AccessRevocation goes as if it had been released, and the person is enabled.
    async fn release(&self) {
        self.world.forget_revocations().await;
        self.root("POST", &format!("identity/entity/id/{}", self.entity), json!({"disabled": false})).await;
    }

    /// No group of Vault stands for the group of the role.
    async fn unbind(&self) {
        for (_, group) in self.groups().await {
            if group["alias"]["name"] == GROUP {
                let id = group["alias"]["id"].as_str().unwrap();
                self.root("DELETE", &format!("identity/group-alias/id/{id}"), Value::Null).await;
            }
        }
    }

    /// Every group of the trust domain in Vault.
    async fn groups(&self) -> BTreeMap<String, Value> {
        let names = self.root("LIST", "identity/group/name", Value::Null).await;
        let mut groups = BTreeMap::new();
        for name in names["data"]["keys"].as_array().unwrap() {
            let name = name.as_str().unwrap();
            if name.starts_with(&format!("subrosa_{DOMAIN}_")) {
                let found = self.root("GET", &format!("identity/group/name/{name}"), Value::Null).await;
                groups.insert(name.to_owned(), found["data"].clone());
            }
        }
        groups
    }

    /// What the granter makes, without times and ids.
    async fn picture(&self) -> Value {
        let groups = self.groups().await;
        let stands_for: BTreeMap<&str, &str> = groups
            .values()
            .filter_map(|group| Some((group["id"].as_str()?, group["alias"]["name"].as_str()?)))
            .collect();
        let slots = groups.iter().filter(|(name, _)| name.contains("_open_")).map(|(name, slot)| {
            let members = slot["member_group_ids"].as_array().into_iter().flatten();
            let members = members.map(|id| stands_for.get(id.as_str().unwrap()).copied().unwrap_or("nobody"));
            let mut members: Vec<_> = members.collect();
            members.sort_unstable();
            let people = slot["member_entity_ids"].as_array().map_or(0, Vec::len);
            (name.clone(), json!({"groups": members, "people": people, "opens": slot["metadata"]["open"]}))
        });
        let slots: BTreeMap<String, Value> = slots.collect();
        let object = format!("subrosa-access-{ROLE}");
        let roles: Api<Role> = Api::namespaced(self.world.admin.clone(), NS);
        let bindings: Api<RoleBinding> = Api::namespaced(self.world.admin.clone(), NS);
        let bound = bindings.get_opt(&object).await.unwrap();
        let entity = self.root("GET", &format!("identity/entity/id/{}", self.entity), Value::Null).await;
        let record = self.record("revocations").await;
        json!({
            "slots": slots,
            "kubernetes role": roles.get_opt(&object).await.unwrap().map(|role| json!(role.rules)),
            "binding": bound.map(|one| json!([one.role_ref, one.subjects])),
            "role": self.role().await,
            "revocations": self.revocations().await,
            "disabled": entity["data"]["disabled"],
            "noted": record["entities"].as_object().is_some_and(|all| all.contains_key(&self.entity)),
            "reviews": !self.record("reviews").await["guard"].is_null(),
            "uses": self.uses().await == self.told().await,
        })
    }

    async fn record(&self, name: &str) -> Value {
        let (bao, path) = (self.world.env.openbao(), format!("subrosa/data/{name}"));
        let (_, found) = bao.request_as(bao.root_token(), "GET", &path, None).await.unwrap();
        found["data"]["data"].clone()
    }

    /// The conditions of the role.
    async fn role(&self) -> Vec<String> {
        let roles: Api<AccessRole> = Api::namespaced(self.world.admin.clone(), NS);
        let status = roles.get(ROLE).await.unwrap().status.unwrap_or_default();
        let told = status.conditions.iter().map(|one| format!("{} {} {}", one.type_, one.status, one.reason));
        let mut told: Vec<_> = told.collect();
        told.sort();
        told
    }

    /// What is told of each AccessRevocation.
    async fn revocations(&self) -> BTreeMap<String, Value> {
        let all: Api<AccessRevocation> = Api::all(self.world.admin.clone());
        let told = all.list(&ListParams::default()).await.unwrap().items.into_iter().map(|one| {
            let (name, status) = (one.name_any(), one.status.unwrap_or_default());
            let ready = condition::find(&status.conditions, condition::READY);
            let ready = ready.map(|one| format!("Ready {} {}", one.status, one.reason)).unwrap_or_default();
            let of: Vec<_> =
                status.trust_domains.iter().map(|one| json!([one.entities, one.roles])).collect();
            (name, json!([ready, of]))
        });
        told.collect()
    }

    /// The id of the last token of the provider with which somebody used break-glass, as Vault has it.
    async fn uses(&self) -> Value {
        let aliases = self.root("LIST", "identity/entity-alias/id", Value::Null).await;
        let infos = aliases["data"]["key_info"].as_object().unwrap();
        let glass = infos.iter().find(|(_, one)| one["mount_path"] == "auth/subrosa-people-break-glass/");
        let id = glass.map(|(id, _)| id.clone()).unwrap();
        let found = self.root("GET", &format!("identity/entity-alias/id/{id}"), Value::Null).await;
        found["data"]["metadata"]["jti"].clone()
    }

    /// The same as the granter noted it.
    async fn told(&self) -> Value {
        let record = self.record("break-glass").await;
        let seen = record["seen"].as_object().into_iter().flatten().next();
        seen.map(|(_, one)| one["token"].clone()).unwrap_or_default()
    }

    /// What people can do then.
    async fn is_so(&self, phase: Phase, picture: &Value) {
        let recording = self.world.sealed("voice", RECORDING).await;
        let session = self.world.login("strong", PERSON, json!({"amr": ["mfa"], "groups": [GROUP]})).await;
        let opens = match &session {
            Ok(session) => self.world.opens(session, &recording).await,
            Err(_) => false,
        };
        let other = json!({"amr": ["mfa"], "groups": ["cc-quality"]});
        let other = self.world.login("strong", "nora", other).await.unwrap();
        assert!(self.world.opens(&other, &recording).await, "another role's group goes on");
        let gives = phase == Phase::Give;
        assert_eq!((session.is_ok(), opens), (gives, gives), "{phase:?}: {session:?}");
        assert_eq!(picture["binding"].is_null(), !gives, "{picture:#}");
        assert_eq!(picture["kubernetes role"].is_null(), !gives, "{picture:#}");
        assert_eq!(picture["disabled"], json!(!gives), "{picture:#}");
        assert_eq!(picture["noted"], json!(!gives), "{picture:#}");
        assert_eq!((&picture["uses"], &picture["reviews"]), (&json!(true), &json!(true)), "{picture:#}");
    }

    async fn root(&self, method: &str, path: &str, body: Value) -> Value {
        let body = (!body.is_null()).then_some(body);
        self.world.env.openbao().request(method, path, body).await.unwrap()
    }
}

async fn somebody_uses_break_glass(world: &World) {
    let id = format!("use-{}", rand::random::<u64>());
    let jwt = json!({"amr": ["hwk"], "groups": ["on-call"], "jti": id});
    let body = json!({"role": "break-glass", "jwt": world.provider.token("ivo", jwt)});
    let path = "auth/subrosa-people-break-glass/login";
    world.env.openbao().request("POST", path, Some(body)).await.unwrap();
}

/// One look at everything.
async fn look(another: &AnotherGranter) {
    another.granter.revoke(true).await;
    another.granter.round().await;
    another.granter.revoke(true).await;
}
