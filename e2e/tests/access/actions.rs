//! What each action of an AccessRole gives: one role whose actions change, and one session that follows it.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{
    AccessRole, AccessRoleStatus, Channel,
    access_role::AccessAction::{self, List, Open, Seal},
};
use subrosa_e2e::operator;

use super::{
    operations::{Member, a_session_can_do_what_these_actions_say},
    world::{NS, RECORDING, World, ready, reason, role},
};

const LOGIN: &str = "clerk";
const GROUP: &str = "cc-quality";

pub async fn each_action_gives_what_it_says_and_nothing_else(world: &World) {
    let sealed = world.sealed("voice", RECORDING).await;
    let mut archive = role("archive", LOGIN, &["CC-Quality"], &[("voice", RECORDING)]);
    archive["spec"]["allow"][0]["actions"] = json!(["Seal"]);
    world.apply(&archive).await;
    gives(&world.role("archive", ready).await, &[Seal]);
    let claims = json!({"amr": ["mfa"], "groups": [GROUP]});
    let session = world.login(LOGIN, "otto", claims.clone()).await.unwrap();
    let desk = Desk::of(world, &session).await;

    // Sealed with what the provider's person has, and not opened.
    fs::write(desk.at("call.wav"), b"said in confidence").unwrap();
    desk.well(&["seal", "--class", RECORDING, "call.wav"]);
    fs::remove_file(desk.at("call.wav")).unwrap();
    assert!(desk.fails(&["unseal", "call.wav.age"]).contains("may not open"));
    assert!(desk.fails(&["reseal", "call.wav.age"]).contains("may not open"));
    assert!(!world.opens(&session, &sealed).await);
    a_session_can_do_what_these_actions_say(world, &Member { login: LOGIN, group: GROUP, actions: &[Seal] })
        .await;
    // The same person after another login seals nothing: there the role only opens.
    let strong = world.login("strong", "otto", claims).await.unwrap();
    assert!(!seals(world, &strong, &sealed.0).await, "the login decides");
    assert!(seals(world, &session, &sealed.0).await);

    // To move it to the newest version takes both, as Vault's own rewrap cannot keep what binds a key to its item.
    becomes(world, &["Reseal"]).await;
    gives(&world.role("archive", |status| ready(status) && has(status, Open)).await, &[Open, Seal]);
    rotated(world, &sealed.0).await;
    let before = fs::read(desk.at("call.wav.age")).unwrap();
    desk.well(&["reseal", "call.wav.age"]);
    assert!(before != fs::read(desk.at("call.wav.age")).unwrap(), "it has another key");
    desk.well(&["unseal", "call.wav.age"]);
    assert_eq!(fs::read(desk.at("call.wav")).unwrap(), b"said in confidence");
    rewrap_loses_the_binding(world, &sealed.0).await;
    let both = Member { login: LOGIN, group: GROUP, actions: &[Open, Seal] };
    a_session_can_do_what_these_actions_say(world, &both).await;

    // Only looked at: nothing in Vault, at once and in the session that is there.
    becomes(world, &["List"]).await;
    gives(&world.role("archive", |status| ready(status) && !has(status, Open)).await, &[List]);
    assert!(!world.opens(&session, &sealed).await && !seals(world, &session, &sealed.0).await);
    a_session_can_do_what_these_actions_say(world, &Member { login: LOGIN, group: GROUP, actions: &[List] })
        .await;
    let member = world.env.client_as("otto", &["oidc:CC-Quality", "system:authenticated"]).unwrap();
    let channels: Api<Channel> = Api::namespaced(member, NS);
    let seen = channels.get("voice").await.unwrap().status.unwrap();
    assert!(seen.keys.iter().any(|key| key.data_class == RECORDING), "with its keys, cohorts and due dates");
    assert!(matches!(channels.get("video").await, Err(kube::Error::Api(status)) if status.code == 403));

    // Where a login has no room for sealing, or not enough, the field to raise is named.
    let mut crowd = role("crowd", "night", &["CC-Quality"], &[("voice", RECORDING)]);
    crowd["spec"]["allow"][0]["actions"] = json!(["Seal"]);
    world.apply(&crowd).await;
    let status = world.role("crowd", |status| reason(status).0 == "SlotsExhausted").await;
    assert!(reason(&status).1.contains("raise spec.access.logins[].sealSlots and run"), "{status:?}");
    world.delete("crowd").await;
    world.delete("archive").await;
}

/// That exactly these are in force, and all that the role names.
fn gives(status: &AccessRoleStatus, actions: &[AccessAction]) {
    let effective = status.effective.as_ref().unwrap();
    let found: Vec<_> = effective.rules.iter().map(|rule| rule.action).collect();
    assert_eq!(found, actions);
    let all = actions.len();
    assert_eq!(status.rights.as_deref(), Some(format!("{all}/{all}").as_str()));
    assert_eq!(Some(&effective.digest), status.digest.as_ref());
}

fn has(status: &AccessRoleStatus, action: AccessAction) -> bool {
    status.effective.as_ref().is_some_and(|all| all.rules.iter().any(|rule| rule.action == action))
}

async fn becomes(world: &World, actions: &[&str]) {
    let roles: Api<AccessRole> = Api::namespaced(world.admin.clone(), NS);
    let allow = json!([{"channels": ["voice"], "dataClasses": [RECORDING], "actions": actions}]);
    let patch = json!({"spec": {"allow": allow}});
    roles.patch("archive", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

async fn seals(world: &World, session: &str, key: &str) -> bool {
    let body = json!({"plaintext": "YQ=="});
    let path = format!("transit/encrypt/{key}");
    let (status, answer) = world.env.openbao().request_as(session, "POST", &path, Some(body)).await.unwrap();
    assert!([200, 403].contains(&status), "{status} {answer}");
    status == 200
}

async fn rotated(world: &World, key: &str) {
    world.env.openbao().request("POST", &format!("transit/keys/{key}/rotate"), None).await.unwrap();
}

/// With every right: what is bound to an item by associated data is refused, what is not is moved.
async fn rewrap_loses_the_binding(world: &World, key: &str) {
    let bao = world.env.openbao();
    let wrapped = async |body: Value| {
        let made = bao.request("POST", &format!("transit/encrypt/{key}"), Some(body)).await.unwrap();
        let again = json!({"ciphertext": made["data"]["ciphertext"]});
        let path = format!("transit/rewrap/{key}");
        bao.request_as(bao.root_token(), "POST", &path, Some(again)).await.unwrap()
    };
    let bound = json!({"plaintext": "YQ==", "associated_data": STANDARD.encode("item")});
    let (status, answer) = wrapped(bound).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.to_string().contains("message authentication failed"), "{answer}");
    assert_eq!(wrapped(json!({"plaintext": "YQ=="})).await.0, 200);
}

/// A directory in which somebody seals and opens with a session of theirs.
struct Desk {
    directory: tempfile::TempDir,
    session: String,
}

impl Desk {
    async fn of(world: &World, session: &str) -> Self {
        let maps: Api<ConfigMap> = Api::namespaced(world.admin.clone(), NS);
        let settings = maps.get("voice-sealing").await.unwrap().data.unwrap().remove("sealing.yaml").unwrap();
        let desk = Self { directory: tempfile::tempdir().unwrap(), session: session.to_owned() };
        fs::write(desk.at("sealing.yaml"), settings).unwrap();
        desk
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.current_dir(self.directory.path()).env_clear().stdin(Stdio::null());
        command.env("SUBROSA_SEALING", self.at("sealing.yaml")).env("VAULT_TOKEN", &self.session);
        command.args(arguments).output().unwrap()
    }

    fn well(&self, arguments: &[&str]) {
        let output = self.run(&operator::binary().unwrap(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }

    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(&operator::binary().unwrap(), arguments);
        assert!(!output.status.success(), "{arguments:?}");
        said(&output)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
