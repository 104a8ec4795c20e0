//! Somebody leaves: an AccessRevocation ends what they were given with their next request, and keeps it ended.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client,
    api::{DeleteParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{
    AccessRevocation, AccessRevocationStatus, Approval,
    condition::{self, READY},
};
use subrosa_e2e::wait;
use subrosa_granter::Granter;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::world::{CHAT, DOMAIN, NS, RECORDING, REVIEWER, World, access, ready, reason, role};

const PATIENCE: Duration = Duration::from_secs(60);
/// How often the granter looks for entities that were made later, here.
const SWEEP: Duration = Duration::from_secs(3);

/// Role `reviewer` lets group `cc-quality` open recordings of `voice`, and does again afterwards.
pub async fn who_leaves_opens_nothing_from_the_next_request_on(world: &World) {
    let _looking = Looking::begin(&world.granter, false);
    leavers(world).await;
}

/// What looks for ever, in tasks of their own as in the process, until this is dropped.
pub struct Looking {
    stop: CancellationToken,
}

impl Looking {
    /// At AccessRevocations, and where `rounds` says so at everything else too.
    pub fn begin(granter: &Arc<Granter>, rounds: bool) -> Self {
        let stop = CancellationToken::new();
        let (revoking, stopped) = (Arc::clone(granter), stop.clone());
        tokio::spawn(async move { revoking.revoke_until(stopped, SWEEP).await });
        if rounds {
            let (granter, stopped, runtime) = (Arc::clone(granter), stop.clone(), Handle::current());
            tokio::task::spawn_blocking(move || {
                let round = async {
                    loop {
                        granter.round().await;
                    }
                };
                runtime.block_on(stopped.run_until_cancelled(round))
            });
        }
        Self { stop }
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A TrustDomain with the same auth mounts is named before the person's entity is disabled. It stays.
pub async fn who_else_is_hit_is_told_before_it_is_done(world: &World) {
    let mut sister = world.installed.trust_domain(&world.env);
    sister["metadata"]["name"] = json!("sister");
    sister["spec"]["access"] = access();
    world.apply(&sister).await;
    wait::until(PATIENCE, || async {
        world.granter.round().await;
        if world.granter.metrics().text().contains("\"sister\"") { Ok(()) } else { Err("it is not seen yet") }
    })
    .await
    .unwrap();
    let all: Api<AccessRevocation> = Api::all(world.admin.clone());
    let params = WatchParams::default().fields("metadata.name=shared").timeout(60);
    let mut seen = Box::pin(all.watch(&params, "0").await.unwrap());
    let mut shared = revocation("shared", json!({"user": "nobody-yet"}));
    shared["spec"]["trustDomains"] = json!([DOMAIN]);
    world.apply(&shared).await;
    let _looking = Looking::begin(&world.granter, false);
    let mut told = Vec::new();
    while let Some(event) = seen.next().await {
        let (WatchEvent::Added(one) | WatchEvent::Modified(one)) = event.unwrap() else { continue };
        told.extend(one.status);
        if told.last().is_some_and(|status| status.done_at.is_some()) {
            break;
        }
    }
    let first = &told[0];
    assert!(first.also_trust_domains == ["sister"] && first.done_at.is_none(), "{told:?}");
    assert_eq!(condition::find(&first.conditions, READY).unwrap().reason, "Revoking");
    let last = told.last().unwrap();
    assert_eq!(last.also_trust_domains, ["sister"]);
    assert!(condition::find(&last.conditions, READY).unwrap().message.contains("sister"), "{last:?}");
}

async fn leavers(world: &World) {
    world.slots_have_rested().await;
    let recording = world.sealed("voice", RECORDING).await;
    let claims = || json!({"amr": ["mfa"], "groups": ["cc-quality"]});
    let anna = world.login("strong", "anna", claims()).await.unwrap();
    let zoe = world.login("strong", "zoe", claims()).await.unwrap();
    assert!(world.opens(&anna, &recording).await && world.opens(&zoe, &recording).await);
    another_login_of_the_same_entity(world, &anna).await;

    // In another case, and with nothing but an object.
    let began = Instant::now();
    world.apply(&revocation("anna", json!({"user": "ANNA"}))).await;
    until(|| async { !world.opens(&anna, &recording).await }).await;
    println!("from kubectl apply to the first refusal: {:?}", began.elapsed());
    assert!(world.login("strong", "anna", claims()).await.is_err(), "nor does she come in again");
    assert!(world.opens(&zoe, &recording).await, "others go on");
    let status = told(world, "anna", "Revoked").await;
    let domain = &status.trust_domains[0];
    assert_eq!(
        (domain.entities, domain.also_hits.as_slice()),
        (Some(1), ["auth/ldap/".to_owned()].as_slice())
    );
    assert!(status.latency_milliseconds.is_some_and(|took| took < 60_000), "{status:?}");
    assert!(!format!("{:?}", status.conditions).to_lowercase().contains("anna"), "{status:?}");

    // Who never logged in: the entity that the first login makes is disabled.
    world.apply(&revocation("newcomer", json!({"user": "nadia"}))).await;
    let status = told(world, "newcomer", "Revoked").await;
    assert_eq!(status.trust_domains[0].entities, Some(0));
    let nadia = world.login("strong", "Nadia", claims()).await.unwrap();
    until(|| async { !world.opens(&nadia, &recording).await }).await;
    assert!(world.login("strong", "nadia", claims()).await.is_err());

    // It is neither taken back by who may write it nor released by who leaves.
    let all: Api<AccessRevocation> = Api::all(world.admin.clone());
    let refused = all.delete("anna", &DeleteParams::default()).await.unwrap_err();
    assert!(refused.to_string().contains("subrosa approve"), "{refused}");
    world.apply(&revocation("petra", json!({"user": "p-1", "kubernetesUser": "PETRA"}))).await;
    let voided = told(world, "petra", "Revoked").await.approvals_voided.unwrap();
    approve(world, &world.reviewer, REVIEWER, "anna", "by-petra").await;
    until(|| async {
        let status = all.get("petra").await.unwrap().status.unwrap_or_default();
        status.approvals_voided == Some(voided + 1)
    })
    .await;
    told(world, "anna", "Revoked").await;
    assert!(!world.opens(&anna, &recording).await);

    // Two that name the same person: she is back when both are released.
    world.apply(&revocation("anna-again", json!({"user": "anna"}))).await;
    told(world, "anna-again", "Revoked").await;
    release(world, &world.admin, "e2e-admin", "petra").await;
    release(world, &world.reviewer, REVIEWER, "anna").await;
    assert!(!world.opens(&anna, &recording).await, "the other one stands");
    release(world, &world.reviewer, REVIEWER, "anna-again").await;
    until(|| async { world.opens(&anna, &recording).await }).await;
    release(world, &world.reviewer, REVIEWER, "newcomer").await;
    assert!(world.login("strong", "nadia", claims()).await.is_ok());

    groups_and_namespaces(world).await;
}

/// Of login `night`, whose slots nobody else needs.
async fn groups_and_namespaces(world: &World) {
    let chat = world.sealed("video", CHAT).await;
    world.slots_have_rested().await;
    the_first_slot_rests(world).await;
    world.apply(&role("leaving", "night", &["A", "cc-quality"], &[("video", CHAT)])).await;
    world.role("leaving", ready).await;
    let login = async |who: &str, group: &str| {
        world.login("night", who, json!({"amr": ["otp"], "groups": [group]})).await.unwrap()
    };
    let (rob, sam) = (login("rob", "a").await, login("sam", "cc-quality").await);
    assert!(world.opens(&rob, &chat).await && world.opens(&sam, &chat).await);

    // A slot of the same login that Vault refuses to change, of a role that is gone.
    let broken = a_broken_slot(world, &chat.0).await;
    // And a group that Vault does not let stand for one of the provider, since one of an administrator does.
    a_group_of_others(world).await;
    world.apply(&revocation("group-a", json!({"group": "a"}))).await;
    until(|| async {
        world.granter.round().await;
        !world.opens(&rob, &chat).await
    })
    .await;
    assert!(world.opens(&sam, &chat).await, "the other group goes on");
    let status = told(world, "group-a", "Revoked").await;
    assert!(status.trust_domains[0].roles.contains(&format!("{NS}/leaving")), "{status:?}");
    world.role("leaving", ready).await;
    world.role("hr", |status| reason(status).0 == "VaultRequestRefused").await;
    world.delete("hr").await;
    let bao = world.env.openbao();
    bao.request("DELETE", "identity/group/name/of-hr", None).await.unwrap();
    let found = bao.request("GET", &broken, None).await.unwrap();
    assert!(!found["data"]["member_entity_ids"].as_array().unwrap().is_empty(), "it is still broken");
    bao.request("DELETE", &broken, None).await.unwrap();
    bao.request("POST", &broken, Some(json!({"type": "internal"}))).await.unwrap();

    world.apply(&revocation("all-of-front", json!({"namespace": NS}))).await;
    let status = world.role("leaving", |status| reason(status).0 == "Revoked").await;
    assert!(reason(&status).1.contains("AccessRevocation all-of-front"), "{status:?}");
    assert!(!world.opens(&sam, &chat).await);
    told(world, "all-of-front", "Revoked").await;
    for name in ["all-of-front", "group-a"] {
        release(world, &world.reviewer, REVIEWER, name).await;
    }
    world.role("leaving", ready).await;
    world.role("reviewer", ready).await;
    assert!(world.opens(&rob, &chat).await && world.opens(&sam, &chat).await);
    world.delete("leaving").await;
    world.granter.round().await;
}

/// The first slot of login `night`, which nobody needs now, rests for ten minutes from now on: roles get later ones.
async fn the_first_slot_rests(world: &World) {
    let rests = json!({"metadata": {"freed": Timestamp::now().as_second().to_string()}});
    world.env.openbao().request("POST", &slot(0), Some(rests)).await.unwrap();
}

/// A slot of login `night`.
fn slot(number: usize) -> String {
    format!("identity/group/name/subrosa_oosterlinde_open_night_{number:03}")
}

/// Makes another kind of group of the first slot of login `night`, with a person in it: members of such a group are written by
/// logins alone.
async fn a_broken_slot(world: &World, key: &str) -> String {
    let bao = world.env.openbao();
    let mut used = None;
    for number in 0..6 {
        let found = bao.request("GET", &slot(number), None).await.unwrap();
        let opens = found["data"]["metadata"]["open"].as_str().map(|opened| format!("{opened}."));
        if opens.is_some_and(|opened| key.starts_with(&opened)) {
            used = Some(number);
        }
    }
    assert!(used.is_some_and(|used| used > 0), "the broken one comes first: {used:?}");
    bao.request("DELETE", &slot(0), None).await.unwrap();
    let made = bao.request("POST", &slot(0), Some(json!({"type": "external"}))).await.unwrap();
    stands_for(world, &made, "strays").await;
    world.login("night", "stray", json!({"amr": ["otp"], "groups": ["strays"]})).await.unwrap();
    slot(0)
}

/// An administrator's group that stands for `cc-hr`, which a role names.
async fn a_group_of_others(world: &World) {
    let path = "identity/group/name/of-hr";
    let made = world.env.openbao().request("POST", path, Some(json!({"type": "external"}))).await.unwrap();
    stands_for(world, &made, "cc-hr").await;
    world.apply(&role("hr", "night", &["cc-hr"], &[("video", CHAT)])).await;
}

/// Lets a group of Vault stand for one of the provider.
async fn stands_for(world: &World, group: &Value, name: &str) {
    let bao = world.env.openbao();
    let mounts = bao.request("GET", "sys/auth", None).await.unwrap();
    let accessor = &mounts["data"]["subrosa-people/"]["accessor"];
    let alias = json!({"name": name, "mount_accessor": accessor, "canonical_id": group["data"]["id"]});
    bao.request("POST", "identity/group-alias", Some(alias)).await.unwrap();
}

/// An administrator gave the entity of a session an alias of another auth mount.
async fn another_login_of_the_same_entity(world: &World, session: &str) {
    let bao = world.env.openbao();
    bao.request("POST", "sys/auth/ldap", Some(json!({"type": "userpass"}))).await.unwrap();
    let mounts = bao.request("GET", "sys/auth", None).await.unwrap();
    let own = bao.request_as(session, "GET", "auth/token/lookup-self", None).await.unwrap().1;
    let alias = json!({
        "name": "a.jansen", "mount_accessor": mounts["data"]["ldap/"]["accessor"],
        "canonical_id": own["data"]["entity_id"],
    });
    bao.request("POST", "identity/entity-alias", Some(alias)).await.unwrap();
}

pub fn revocation(name: &str, subject: Value) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRevocation", "metadata": {"name": name},
        "spec": {"subject": subject, "reason": "Exit"},
    })
}

/// Waits until an AccessRevocation is Ready with this reason.
pub async fn told(world: &World, name: &str, word: &str) -> AccessRevocationStatus {
    let all: Api<AccessRevocation> = Api::all(world.admin.clone());
    let found = wait::until(PATIENCE, || async {
        if word == "Revoked" {
            world.granter.round().await;
        }
        let status = all.get(name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let is_so = condition::find(&status.conditions, READY)
            .is_some_and(|ready| ready.status == "True" && ready.reason == word);
        if is_so { Ok(status) } else { Err(format!("{status:?}")) }
    });
    found.await.unwrap_or_else(|error| panic!("AccessRevocation {name}: {error:#}"))
}

/// Has it released by `who`, and deletes it. An Approval counts that is younger than the first look at the admission policy.
pub async fn release(world: &World, client: &Client, who: &str, name: &str) {
    let all: Api<AccessRevocation> = Api::all(world.admin.clone());
    let count = std::sync::atomic::AtomicUsize::new(0);
    let found = wait::until(PATIENCE, || async {
        let count = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        approve(world, client, who, name, &format!("{name}-{count}")).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let status = all.get(name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let ready = condition::find(&status.conditions, READY);
        if ready.is_some_and(|ready| ready.reason == "Released") {
            Ok(status)
        } else {
            Err(format!("{status:?}"))
        }
    });
    let status = found.await.unwrap_or_else(|error| panic!("AccessRevocation {name}: {error:#}"));
    assert_eq!(status.released.map(|one| one.approver).as_deref(), Some(who));
    all.delete(name, &DeleteParams::default()).await.unwrap();
}

async fn approve(world: &World, client: &Client, who: &str, name: &str, approval: &str) {
    let one = Api::<AccessRevocation>::all(world.admin.clone()).get(name).await.unwrap();
    let expires = (Timestamp::now() + SignedDuration::from_hours(24)).to_string();
    let made: Approval = serde_json::from_value(json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval", "metadata": {"name": format!("release-{approval}")},
        "spec": {
            "target": {
                "kind": "AccessRevocation", "name": name, "uid": one.metadata.uid, "digest": one.spec.release_digest(),
            },
            "decision": "Approve", "approver": who, "expires": expires,
        },
    }))
    .unwrap();
    Api::all(client.clone()).create(&Default::default(), &made).await.unwrap();
}

/// Waits for long, since where requests fail at random a watch may be begun again late.
pub async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let found = wait::until(3 * PATIENCE, || async {
        if holds().await { Ok(()) } else { Err("it does not hold yet") }
    });
    found.await.unwrap();
}
