//! ServiceAccounts that AccessRoles name: they open what the role says, by a login of their own, pinned by their UID, and nothing else.

mod attempts;
mod reviewed;

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{AccessRole, AccessRoleStatus, TrustDomain};
use subrosa_e2e::{
    Environment,
    installation::{AUDIENCE, governed_namespace},
    operator, wait,
};
use subrosa_records::vault::setup::ProviderKeys;

use super::{
    leavers::{Looking, release, revocation, told},
    provider::Provider,
    world::{ADMIN, CHAT, DOMAIN, NS, RECORDING, REVIEWER, World, access, ready, reason, role},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long the API server may take a token of a ServiceAccount that is gone, which it remembers for ten seconds.
const CACHED: Duration = Duration::from_secs(15);
const BACK: &str = "cc-back";
const MOUNT: &str = "subrosa-people-service-accounts";
const JWT_AUDIENCE: &str = "subrosa-access";
const NAME: &str = "transcriber";

/// A world with a login for ServiceAccounts, and three of them of which two have one name.
pub async fn world() -> World {
    let env = Environment::builder().local().start().await.unwrap();
    let provider = Provider::new();
    let keys = ProviderKeys::Given(vec![provider.public_key()]);
    let mut access = access();
    access["serviceAccounts"] = json!({"slots": 8, "sealSlots": 1});
    let world = World::of(env, access, keys, provider).await;
    governed_namespace(&world.env, BACK, DOMAIN).await.unwrap();
    for (namespace, name) in [(NS, NAME), (BACK, NAME), (NS, "archiver")] {
        world.apply(&account(namespace, name)).await;
    }
    world
}

pub async fn a_service_account_opens_what_its_role_names(world: &mut World) {
    let recording = world.sealed("voice", RECORDING).await;
    let early = login(world, NS, NAME).await.unwrap();
    assert!(!world.opens(&early, &recording).await, "nothing is given yet");
    without_a_login(world).await;

    world.apply(&of_accounts("transcribe", &[NAME, "archiver"], RECORDING)).await;
    let status = world.role("transcribe", ready).await;
    is_told(&status);
    assert!(world.opens(&early, &recording).await, "the session from before follows");
    let archiver = login(world, NS, "archiver").await.unwrap();
    assert!(world.opens(&archiver, &recording).await, "also one that logs in for the first time");
    exactly_that(world, &early).await;
    nobody_else(world, &recording).await;
    a_job_opens_it(world).await;
    quiet(world).await;
    attempts::neither_process_gets_more_by_it(world, &early).await;
    made_anew(world, &early, &recording).await;
    revoked(world, &recording).await;
    excluded(world).await;
    not_given(world).await;
    reviewed::an_overdue_role_gives_it_nothing_until_it_is_reviewed(world).await;
    deleted(world, &recording).await;
    with_the_role(world, &recording).await;
    with_the_login(world, &recording).await;
}

/// A role that names ServiceAccounts in a TrustDomain that has no login for them, and one that names one that is not there.
async fn without_a_login(world: &World) {
    declare(world, Value::Null).await;
    world.apply(&of_accounts("early", &[NAME], CHAT)).await;
    let status = world.role("early", |status| reason(status).0 == "LoginMissing").await;
    assert!(reason(&status).1.contains("spec.access.serviceAccounts"), "{status:?}");
    world.delete("early").await;
    declare(world, json!({"slots": 8, "sealSlots": 1})).await;
    world.apply(&of_accounts("ghost", &["nobody"], CHAT)).await;
    let status = world.role("ghost", |status| reason(status).0 == "ServiceAccountNotFound").await;
    assert!(reason(&status).1.contains("nobody"), "{status:?}");
    assert_eq!(status.effective.unwrap().count, 0, "nothing is in force");
    world.delete("ghost").await;
}

/// A machine's login is told as one.
fn is_told(status: &AccessRoleStatus) {
    let effective = status.effective.as_ref().unwrap();
    let rule = |name: &str| {
        json!({
            "login": "service-accounts", "serviceAccount": name, "channel": "voice", "dataClass": RECORDING, "action": "Open",
        })
    };
    let expected = json!([rule("archiver"), rule(NAME)]);
    assert_eq!((effective.count, serde_json::to_value(&effective.rules).unwrap()), (2, expected));
    assert_eq!(Some(&effective.digest), status.digest.as_ref(), "all that it names is in force");
    let session = status.session.as_ref().unwrap();
    assert_eq!((session.ttl.as_str(), session.outlives.as_str()), ("15m", "16m"));
    assert!(session.message.starts_with("a machine: no second factor"), "{session:?}");
    assert!(reason(status).1.contains("without a second factor"), "{status:?}");
    assert_eq!(status.exception, None, "no exception is asked for");
}

async fn exactly_that(world: &World, session: &str) {
    let bao = world.env.openbao();
    let (key, ciphertext) = world.sealed("voice", RECORDING).await;
    for other in [world.sealed("voice", CHAT).await, world.sealed("video", RECORDING).await] {
        assert!(!world.opens(session, &other).await, "{}", other.0);
    }
    let id = key.split('.').next().unwrap();
    for (method, path, body) in [
        ("POST", format!("transit/encrypt/{key}"), json!({"plaintext": "YQ=="})),
        ("POST", format!("transit/datakey/plaintext/{key}"), json!({})),
        ("POST", format!("transit/rewrap/{key}"), json!({"ciphertext": ciphertext})),
        ("POST", format!("transit/decrypt/{id}"), json!({"ciphertext": ciphertext})),
        ("GET", format!("transit/keys/{key}"), Value::Null),
        ("GET", "transit/keys".to_owned(), Value::Null),
        ("POST", "auth/token/renew-self".to_owned(), json!({})),
        ("POST", "auth/token/create".to_owned(), json!({})),
        ("GET", "subrosa/data/domain".to_owned(), Value::Null),
        ("GET", format!("auth/{MOUNT}/role/service-accounts"), Value::Null),
        ("POST", "sys/wrapping/wrap".to_owned(), json!({"a": "b"})),
        ("GET", "cubbyhole/a".to_owned(), Value::Null),
    ] {
        let body = (!body.is_null()).then_some(body);
        let (status, answer) = bao.request_as(session, method, &path, body).await.unwrap();
        assert_eq!(status, 403, "{method} {path}: {answer}");
    }
}

/// Whoever is not that ServiceAccount, after that login.
async fn nobody_else(world: &World, recording: &(String, String)) {
    let bao = world.env.openbao();
    let elsewhere = login(world, BACK, NAME).await.unwrap();
    assert!(!world.opens(&elsewhere, recording).await, "one of that name in another namespace");
    let voice = login(world, NS, "voice").await.unwrap();
    assert!(!world.opens(&voice, recording).await, "another one of the namespace");
    assert!(login(world, "default", "default").await.is_err(), "a namespace of no TrustDomain");

    // The same ServiceAccount, as a workload logs in; and each token at the other's login.
    let jwt = world.env.service_account_token(NS, NAME, AUDIENCE).await.unwrap();
    let workload = bao.kubernetes_login("kubernetes", "subrosa-workload", &jwt).await.unwrap();
    assert!(!world.opens(&workload, recording).await, "the login decides");
    for (mount, login, audience) in [
        (MOUNT, "service-accounts", AUDIENCE),
        (MOUNT, "service-accounts", ""),
        ("kubernetes", "subrosa-workload", JWT_AUDIENCE),
    ] {
        let jwt = world.env.service_account_token(NS, NAME, audience).await.unwrap();
        assert!(bao.kubernetes_login(mount, login, &jwt).await.is_err(), "{mount} {audience}");
    }
    // A person who has the ServiceAccount's UID for a name, and its name for a group.
    let uid = accounts(world, NS).get(NAME).await.unwrap().metadata.uid.unwrap();
    for login in ["strong", "clerk"] {
        let claims = json!({"amr": ["mfa"], "groups": [NAME, format!("{NS}/{NAME}"), "archiver"]});
        let person = world.login(login, &uid, claims).await.unwrap();
        assert!(!world.opens(&person, recording).await, "a person after {login}");
    }
}

/// With the settings of the Channel and a token of its own, as in a pod.
async fn a_job_opens_it(world: &World) {
    let maps: Api<ConfigMap> = Api::namespaced(world.admin.clone(), NS);
    let settings = maps.get("voice-sealing").await.unwrap().data.unwrap().remove("sealing.yaml").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let run = |token: &str, mount: Option<&str>, arguments: &[&str]| {
        let mut command = Command::new(operator::binary().unwrap());
        command.current_dir(directory.path()).env_clear().stdin(Stdio::null());
        command.env("SUBROSA_SEALING", at("sealing.yaml")).env("SUBROSA_TOKEN_FILE", at(token));
        if let Some(mount) = mount {
            command.env("SUBROSA_ACCESS_MOUNT", mount);
        }
        let output = command.args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    fs::write(at("sealing.yaml"), settings).unwrap();
    fs::write(at("0001.wav"), "said in confidence").unwrap();
    let token =
        async |name: &str, audience: &str| world.env.service_account_token(NS, name, audience).await.unwrap();
    // The Channel's own workload seals, and may not open.
    fs::write(at("workload"), token("voice", AUDIENCE).await).unwrap();
    let (well, said) = run("workload", None, &["seal", "--class", RECORDING, "0001.wav"]);
    assert!(well, "{said}");
    fs::remove_file(at("0001.wav")).unwrap();
    let (well, said) = run("workload", None, &["unseal", "0001.wav.age"]);
    assert!(!well && !at("0001.wav").exists(), "{said}");
    fs::write(at("other"), token("voice", JWT_AUDIENCE).await).unwrap();
    let (well, said) = run("other", Some(MOUNT), &["unseal", "0001.wav.age"]);
    assert!(!well && !at("0001.wav").exists(), "{said}");
    fs::write(at("job"), token(NAME, JWT_AUDIENCE).await).unwrap();
    let (well, said) = run("job", Some(MOUNT), &["unseal", "0001.wav.age"]);
    assert!(well, "{said}");
    assert_eq!(fs::read_to_string(at("0001.wav")).unwrap(), "said in confidence");
    let (well, said) = run("job", Some(MOUNT), &["seal", "--class", RECORDING, "--force", "0001.wav"]);
    assert!(!well, "who opens does not seal: {said}");
}

/// An unchanged world is written nothing.
async fn quiet(world: &World) {
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), NS);
    let bao = world.env.openbao();
    let state = async || {
        let role = roles.get("transcribe").await.unwrap().metadata.resource_version;
        let mut groups = Vec::new();
        for number in 0..8 {
            let path = format!("identity/group/name/subrosa_oosterlinde_open_service-accounts_{number:03}");
            groups.push(bao.request("GET", &path, None).await.unwrap()["data"]["last_update_time"].clone());
        }
        let aliases = bao.request("LIST", "identity/entity-alias/id", None).await.unwrap();
        (role, groups, aliases["data"]["keys"].clone())
    };
    world.granter.round().await;
    let before = state().await;
    world.granter.round().await;
    world.granter.round().await;
    assert_eq!(state().await, before);
}

/// Another one under the same name gets nothing before the granter has seen it, and the one before nothing afterwards.
async fn made_anew(world: &World, before: &str, recording: &(String, String)) {
    let old = world.env.service_account_token(NS, NAME, JWT_AUDIENCE).await.unwrap();
    let uid = accounts(world, NS).get(NAME).await.unwrap().metadata.uid.unwrap();
    accounts(world, NS).delete(NAME, &DeleteParams::default()).await.unwrap();
    world.apply(&account(NS, NAME)).await;
    assert_ne!(accounts(world, NS).get(NAME).await.unwrap().metadata.uid.unwrap(), uid);
    let anew = login(world, NS, NAME).await.unwrap();
    assert!(!world.opens(&anew, recording).await, "nobody has seen it yet");
    let found = wait::until(PATIENCE, || async {
        world.granter.round().await;
        if world.opens(&anew, recording).await { Ok(()) } else { Err("closed".to_owned()) }
    });
    found.await.unwrap();
    assert!(!world.opens(before, recording).await, "the session of the one before");
    refused_after_a_while(world, &old, recording).await;
    assert!(world.opens(&anew, recording).await);
}

/// The API server remembers for some seconds that a token was valid: it may log in so long, and opens nothing by that.
async fn refused_after_a_while(world: &World, jwt: &str, recording: &(String, String)) {
    let began = Instant::now();
    let refused = wait::until(CACHED, || async {
        match world.env.openbao().kubernetes_login(MOUNT, "service-accounts", jwt).await {
            Ok(session) => {
                assert!(!world.opens(&session, recording).await, "it opens nothing, logged in or not");
                Err("it still logs in".to_owned())
            }
            Err(_) => Ok(()),
        }
    });
    refused.await.unwrap();
    println!("a token of a deleted ServiceAccount logged in for at most {:?} more", began.elapsed());
}

/// An AccessRevocation ends it without a round, and one of its namespace and its role too.
async fn revoked(world: &World, recording: &(String, String)) {
    let _looking = Looking::begin(&world.granter, false);
    let session = login(world, NS, NAME).await.unwrap();
    let archiver = login(world, NS, "archiver").await.unwrap();
    assert!(world.opens(&session, recording).await && world.opens(&archiver, recording).await);
    let subject = |namespace: &str| json!({"serviceAccount": {"namespace": namespace, "name": NAME}});
    world.apply(&revocation("elsewhere", subject(BACK))).await;
    world.apply(&revocation("account", subject(NS))).await;
    let closes = async |session: &str| {
        let found = wait::until(PATIENCE, || async {
            if world.opens(session, recording).await { Err("it opens".to_owned()) } else { Ok(()) }
        });
        found.await.unwrap();
    };
    closes(&session).await;
    assert!(world.opens(&archiver, recording).await, "others go on");
    let status = told(world, "account", "Revoked").await;
    assert_eq!(status.trust_domains[0].roles, [format!("{NS}/transcribe")], "{status:?}");
    let status = told(world, "elsewhere", "Revoked").await;
    assert!(status.trust_domains[0].roles.is_empty(), "{status:?}");
    // Nor does one that is made anew under its name get anything.
    accounts(world, NS).delete(NAME, &DeleteParams::default()).await.unwrap();
    world.apply(&account(NS, NAME)).await;
    let session = login(world, NS, NAME).await.unwrap();
    for _ in 0..3 {
        world.granter.round().await;
        assert!(!world.opens(&session, recording).await);
    }
    for name in ["account", "elsewhere"] {
        release(world, &world.reviewer, REVIEWER, name).await;
    }
    opens_again(world, &session, recording).await;

    for (name, subject) in [
        ("role", json!({"role": {"namespace": NS, "name": "transcribe"}})),
        ("namespace", json!({"namespace": NS})),
    ] {
        world.apply(&revocation(name, subject)).await;
        closes(&session).await;
        closes(&archiver).await;
        told(world, name, "Revoked").await;
        release(world, &world.reviewer, REVIEWER, name).await;
        opens_again(world, &session, recording).await;
    }
}

async fn opens_again(world: &World, session: &str, recording: &(String, String)) {
    let found = wait::until(PATIENCE, || async {
        world.granter.round().await;
        if world.opens(session, recording).await {
            Ok(())
        } else {
            Err(format!("closed\n{}", world.operator_log()))
        }
    });
    found.await.unwrap();
}

/// Of two roles that exclude each other and name the same ServiceAccount the younger one gives nothing.
async fn excluded(world: &World) {
    let chat = world.sealed("voice", CHAT).await;
    let session = login(world, NS, "archiver").await.unwrap();
    // The API server tells when they were made by the second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mut younger = of_accounts("a-clerk", &["archiver"], CHAT);
    younger["spec"]["conflictsWith"] = json!(["transcribe"]);
    world.apply(&younger).await;
    let status = world.role("a-clerk", |status| reason(status).0 == "ConflictingRoles").await;
    assert!(reason(&status).1.contains("ServiceAccount archiver in AccessRole transcribe"), "{status:?}");
    assert!(!world.opens(&session, &chat).await);
    world.delete("a-clerk").await;
}

/// One that nobody gives, as Argo CD writes it, gives a ServiceAccount nothing either.
async fn not_given(world: &World) {
    let chat = world.sealed("voice", CHAT).await;
    let mut ungiven = of_accounts("from-git", &["archiver"], CHAT);
    ungiven["spec"].as_object_mut().unwrap().remove("grantedBy");
    world.apply(&ungiven).await;
    world.role("from-git", |status| reason(status).0 == "AwaitingApproval").await;
    let session = login(world, NS, "archiver").await.unwrap();
    assert!(!world.opens(&session, &chat).await);
    world.delete("from-git").await;
}

/// A ServiceAccount that is gone: its session opens nothing as soon as the granter has seen it.
async fn deleted(world: &World, recording: &(String, String)) {
    let jwt = world.env.service_account_token(NS, NAME, JWT_AUDIENCE).await.unwrap();
    let session = world.env.openbao().kubernetes_login(MOUNT, "service-accounts", &jwt).await.unwrap();
    let archiver = login(world, NS, "archiver").await.unwrap();
    assert!(world.opens(&session, recording).await);
    accounts(world, NS).delete(NAME, &DeleteParams::default()).await.unwrap();
    let status = world.role("transcribe", |status| reason(status).0 == "ServiceAccountNotFound").await;
    assert!(!world.opens(&session, recording).await);
    assert!(world.opens(&archiver, recording).await, "the other one goes on");
    let effective = status.effective.unwrap();
    let who: Vec<_> = effective.rules.iter().map(|rule| rule.who().to_owned()).collect();
    assert_eq!(who, ["archiver"]);
    assert_ne!(Some(effective.digest), status.digest);
    refused_after_a_while(world, &jwt, recording).await;
    world.apply(&account(NS, NAME)).await;
    world.role("transcribe", ready).await;
}

/// What a role gave ends with it: by the granter alone, and by the operator alone.
async fn with_the_role(world: &mut World, recording: &(String, String)) {
    let session = login(world, NS, NAME).await.unwrap();
    assert!(world.opens(&session, recording).await);
    world.stop_operator();
    // What it names no more.
    world.apply(&of_accounts("transcribe", &["archiver"], RECORDING)).await;
    world.role("transcribe", |status| ready(status) && status.observed_generation == Some(2)).await;
    assert!(!world.opens(&session, recording).await, "it is no longer named");
    let archiver = login(world, NS, "archiver").await.unwrap();
    assert!(world.opens(&archiver, recording).await);
    world.delete("transcribe").await;
    let found = wait::until(PATIENCE, || async {
        world.granter.round().await;
        if world.opens(&archiver, recording).await { Err("it opens".to_owned()) } else { Ok(()) }
    });
    found.await.unwrap();
    world.start_operator().await;
    world.apply(&of_accounts("again", &["archiver"], CHAT)).await;
    world.role("again", ready).await;
    let chat = world.sealed("voice", CHAT).await;
    assert!(world.opens(&archiver, &chat).await);
    world.delete("again").await;
    let found = wait::until(PATIENCE, || async {
        if world.opens(&archiver, &chat).await { Err(world.operator_log()) } else { Ok(()) }
    });
    found.await.unwrap();
}

/// And with the login: the granter alone takes the members out of what is not declared any more.
async fn with_the_login(world: &mut World, recording: &(String, String)) {
    world.apply(&of_accounts("last", &["archiver"], RECORDING)).await;
    world.role("last", ready).await;
    let archiver = login(world, NS, "archiver").await.unwrap();
    assert!(world.opens(&archiver, recording).await);
    world.stop_operator();
    declare(world, Value::Null).await;
    world.role("last", |status| reason(status).0 == "LoginMissing").await;
    assert!(!world.opens(&archiver, recording).await);
    // People are none of its business.
    world.apply(&role("people", "strong", &["cc-quality"], &[("voice", RECORDING)])).await;
    world.start_operator().await;
    world.role("people", ready).await;
}

async fn declare(world: &World, accounts: Value) {
    let domains: Api<TrustDomain> = Api::all(world.admin.clone());
    let patch = json!({"spec": {"access": {"serviceAccounts": accounts}}});
    domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

fn accounts(world: &World, namespace: &str) -> Api<ServiceAccount> {
    Api::namespaced(world.admin.clone(), namespace)
}

fn account(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})
}

/// A session of a ServiceAccount, by a token that the API server makes; else what OpenBao says.
async fn login(world: &World, namespace: &str, name: &str) -> Result<String, String> {
    let jwt = world.env.service_account_token(namespace, name, JWT_AUDIENCE).await.unwrap();
    let session = world.env.openbao().kubernetes_login(MOUNT, "service-accounts", &jwt).await;
    session.map_err(|error| format!("{error:#}"))
}

fn of_accounts(name: &str, accounts: &[&str], class: &str) -> Value {
    let subjects: Vec<_> = accounts.iter().map(|name| json!({"serviceAccount": {"name": name}})).collect();
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole", "metadata": {"name": name, "namespace": NS},
        "spec": {
            "grantedBy": ADMIN, "login": "service-accounts", "subjects": subjects,
            "allow": [{"channels": ["voice"], "dataClasses": [class], "actions": ["Open"]}],
        },
    })
}
