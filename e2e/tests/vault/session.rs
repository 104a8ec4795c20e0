//! Sessions: login, renewal, and a new login when the token is dead.

use std::time::Duration;

use serde_json::{Value, json};
use subrosa_crds::Reason;
use subrosa_e2e::audit::BaoAuditEntry;
use subrosa_e2e::wait;
use subrosa_records::vault::auth::{Login, Session, SessionState};
use subrosa_records::vault::transit::{Transit, TransitKeyType};
use subrosa_records::vault::{TransitKeyName, Vault};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::{Bao, REVIEWER, SYSTEM, World, captured_logs, login, mount, service_tokens};

const LOGIN: &str = "auth/kubernetes/login";
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a session until the guard is dropped.
struct Running {
    vault: Vault,
    state: watch::Receiver<SessionState>,
    _stop: DropGuard,
}

impl Running {
    async fn start(vault: Vault, login: Login) -> Self {
        let stop = CancellationToken::new();
        let session = Session::new(vault.clone(), login);
        let mut state = session.state();
        let stopped = stop.clone();
        tokio::spawn(async move { session.run(stopped).await });
        let begun = state.wait_for(|state| !matches!(state, SessionState::Starting));
        timeout(PATIENCE, begun).await.unwrap().unwrap();
        Self { vault, state, _stop: stop.drop_guard() }
    }

    async fn works(&self) -> bool {
        transit(&self.vault).list_keys().await.is_ok()
    }
}

fn transit(vault: &Vault) -> Transit {
    Transit::new(vault.clone(), mount("transit"))
}

impl World {
    /// A role like the operator's, whose tokens last as long as told.
    async fn role(&self, name: &str, ttl: &str, max_ttl: &str) -> Login {
        let role = json!({
            "bound_service_account_names": ["subrosa"], "bound_service_account_namespaces": [SYSTEM],
            "audience": "vault", "token_policies": ["subrosa-operator"], "token_no_default_policy": true,
            "token_ttl": ttl, "token_max_ttl": max_ttl,
        });
        self.bao.admin("POST", &format!("auth/kubernetes/role/{name}"), role).await;
        login(name, &self.operator_jwt)
    }

    /// How often a role's token was given or used at that path, as OpenBao's audit log has it.
    fn audited(&self, path: &str, role: &str) -> usize {
        let ours = |entry: &&BaoAuditEntry| {
            let entry_role = entry.auth.metadata.as_ref().and_then(|metadata| metadata.get("role"));
            entry.kind == "response"
                && entry.error.is_empty()
                && entry.request.path == path
                && entry_role.is_some_and(|entry_role| entry_role == role)
        };
        self.bao.server().audit_log().unwrap().iter().filter(ours).count()
    }

    /// Waits until a role's token was given or used at that path so often.
    async fn is_audited(&self, path: &str, role: &str, times: usize) {
        let often_enough = || async {
            let found = self.audited(path, role);
            if found >= times { Ok(()) } else { Err(format!("{path} for {role}: {found}")) }
        };
        wait::until(PATIENCE, often_enough).await.unwrap();
    }

    /// The accessors of the live tokens of a role. Only while nobody logs in: OpenBao revokes a token that is
    /// looked up before its lease is written down.
    async fn tokens_of(&self, role: &str) -> Vec<Value> {
        let accessors = self.bao.admin("LIST", "auth/token/accessors", json!(null)).await;
        let mut found = Vec::new();
        for accessor in accessors["data"]["keys"].as_array().unwrap() {
            let body = json!({"accessor": accessor});
            let (_, token) =
                self.bao.raw(self.bao.root_token(), "POST", "auth/token/lookup-accessor", body).await;
            if token["data"]["meta"]["role"] == role {
                found.push(accessor.clone());
            }
        }
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_last() {
    let world = World::start().await;
    tokio::join!(
        a_token_is_renewed_before_it_ends(&world),
        a_lease_near_its_maximum_is_replaced_by_a_login(&world),
        a_refused_login_says_what_to_check_and_is_tried_again(&world),
    );
    a_revoked_token_is_noticed_by_the_next_request_and_replaced(&world).await;
    nothing_secret_was_traced(&world).await;
}

async fn a_token_is_renewed_before_it_ends(world: &World) {
    // A third of the lease is left for a renewal on a busy machine.
    let login = world.role("brief", "9s", "1h").await;
    let running = Running::start(world.bao.connect(), login).await;
    sleep(Duration::from_secs(19)).await;
    world.is_audited("auth/token/renew-self", "brief", 3).await;
    assert!(running.works().await, "more than twice as old as its lease");
    assert_eq!(world.audited(LOGIN, "brief"), 1, "the same token");
}

async fn a_lease_near_its_maximum_is_replaced_by_a_login(world: &World) {
    // It logs in again after 10 s: when this looks, its second token is not about to end.
    let login = world.role("ending", "8s", "12s").await;
    let running = Running::start(world.bao.connect(), login).await;
    sleep(Duration::from_secs(13)).await;
    world.is_audited(LOGIN, "ending", 2).await;
    assert!(running.works().await, "older than any of the role's tokens may become");
}

async fn a_revoked_token_is_noticed_by_the_next_request_and_replaced(world: &World) {
    let login = world.role("revoked", "1h", "1h").await;
    let mut running = Running::start(world.bao.connect(), login).await;
    assert!(matches!(*running.state.borrow_and_update(), SessionState::LoggedIn));
    let tokens = world.tokens_of("revoked").await;
    assert_eq!(tokens.len(), 1);
    for accessor in tokens {
        world.bao.admin("POST", "auth/token/revoke-accessor", json!({"accessor": accessor})).await;
    }
    let error = transit(&running.vault).list_keys().await.unwrap_err();
    assert_eq!(error.reason(), Reason::VaultTokenRejected, "not a missing permission: {error}");
    timeout(PATIENCE, running.state.changed()).await.unwrap().unwrap();
    assert!(matches!(*running.state.borrow(), SessionState::LoggedIn));
    assert!(running.works().await);
}

async fn a_refused_login_says_what_to_check_and_is_tried_again(world: &World) {
    let early = login("late", &world.operator_jwt);
    let error = Session::new(world.bao.connect(), early.clone()).login().await.unwrap_err();
    assert_eq!(error.reason(), Reason::VaultLoginRefused);
    assert!(error.next_step().contains("role late"), "{}", error.next_step());
    assert!(!format!("{error:?} {early:?}").contains(&world.operator_jwt));

    let mut running = Running::start(world.bao.connect(), early).await;
    assert!(matches!(*running.state.borrow(), SessionState::LoggedOut(_)));
    assert!(!running.works().await);
    world.role("late", "1h", "1h").await;
    let logged_in = running.state.wait_for(|state| matches!(state, SessionState::LoggedIn));
    timeout(PATIENCE, logged_in).await.unwrap().unwrap();
    assert!(running.works().await);
}

async fn nothing_secret_was_traced(world: &World) {
    let running = Running::start(world.bao.connect(), login("subrosa", &world.operator_jwt)).await;
    let name = TransitKeyName::new("abcdefgh.ca").unwrap();
    transit(&running.vault).create_key(&name, TransitKeyType::EcdsaP256, None).await.unwrap();
    transit(&running.vault).sign(&name, 1, b"x").await.unwrap();
    let shown = format!("{:?} {:?}", running.vault, running.state.borrow());
    let log = captured_logs();
    assert!(log.contains("TRACE") && log.contains("transit/keys/abcdefgh.ca"), "the traces are there");
    for text in [&log, &shown] {
        assert!(!text.contains(world.bao.root_token()), "the root token");
        assert!(!text.contains(REVIEWER), "a reviewer's JWT");
        assert!(!text.contains(&world.operator_jwt), "the operator's JWT");
        assert_eq!(service_tokens(text), Vec::<&str>::new());
    }
}

#[tokio::test]
async fn a_given_token_is_adopted_or_refused() {
    let bao = Bao::start().await;
    let vault = bao.connect();
    let given = format!("{}\n", bao.root_token());
    Session::new(vault.clone(), Login::Token(given.as_str().into())).login().await.unwrap();
    assert!(vault.has_token());
    let error = Session::new(vault, Login::Token("s.wrong".into())).login().await.unwrap_err();
    assert_eq!(error.reason(), Reason::VaultTokenRejected);
}
