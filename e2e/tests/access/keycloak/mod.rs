//! People of a real Keycloak, configured as docs/identity-provider.md says: what it sends for each way to log in, what OpenBao
//! says to it, and who opens a recording in the end.

mod browser;
mod realm;

use std::time::Duration;

use serde_json::{Value, json};
use subrosa_e2e::{Environment, keycloak, keycloak::Keycloak, tools};
use subrosa_records::vault::setup::ProviderKeys;

use super::{
    provider::Provider,
    world::{RECORDING, World, ready, role},
};
use browser::{Browser, Tokens, claims};
use realm::{ANNA, BAS, CLIENT, COOK, GUESTS, STAFF};

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn people_of_keycloak_open_what_an_access_role_names() {
    if let Some(why) = keycloak::unsupported() {
        tools::say(&format!("not run: {why}"));
        return;
    }
    let (keycloak, env) = tokio::join!(Keycloak::start(), Environment::builder().local().start());
    let (keycloak, env) = (keycloak.unwrap(), env.unwrap());
    let page = Page::read();
    let keys = ProviderKeys::Discovered { ca_pem: Some(keycloak.endpoint().ca_pem.clone()) };
    // Vault reads the issuer's configuration when it is set up, so the realm comes first.
    realm::set_up(&keycloak).await;
    let access = page.access(&keycloak.issuer(STAFF));
    let world = World::of(env, access, keys, Provider::new()).await;
    let hospital = Hospital { keycloak, world, page };
    let mut browser = Browser::new(&hospital.keycloak);
    let anna = hospital.who_shows_a_second_factor_opens(&mut browser).await;
    hospital.who_shows_a_password_alone_is_refused().await;
    hospital.what_the_client_lacks_is_missed(&mut browser).await;
    hospital.a_group_of_the_same_name_is_another_one().await;
    hospital.tokens_of_another_realm_are_refused().await;
    hospital.a_password_alone_cannot_add_a_second_factor().await;
    hospital.who_is_in_no_group_is_refused(&mut browser).await;
    hospital.an_old_second_factor_counts_no_more(&mut browser).await;
    hospital.who_leaves_is_logged_out_first(&anna).await;
}

struct Hospital {
    keycloak: Keycloak,
    world: World,
    page: Page,
}

impl Hospital {
    async fn who_shows_a_second_factor_opens(&self, browser: &mut Browser<'_>) -> Tokens {
        let recording = self.world.sealed("voice", RECORDING).await;
        self.world.apply(&role("reviewer", "strong", &["/cc-quality"], &[("voice", RECORDING)])).await;
        self.world.role("reviewer", ready).await;
        let anna = browser.tokens(STAFF, CLIENT, &ANNA).await;
        for token in [&anna.id, &anna.access] {
            let sent = claims(token);
            assert_eq!(sent["iss"], self.keycloak.issuer(STAFF));
            assert_eq!(sent["sub"], realm::id(&self.keycloak, &ANNA).await);
            assert_eq!((&sent["aud"], &sent["azp"]), (&json!("subrosa"), &json!("subrosa")));
            assert_eq!(sent["amr"], json!(["pwd", "otp"]));
            assert_eq!(sent["acr"], "1", "the same for a password alone");
            assert_eq!(sent["groups"], json!(["/cc-quality"]));
            let (until, from) = (sent["exp"].as_i64().unwrap(), sent["iat"].as_i64().unwrap());
            assert!((290..=300).contains(&(until - from)), "{sent}");
            let session = self.world.login_with("strong", token).await.unwrap();
            assert!(self.world.opens(&session, &recording).await);
        }
        // The same person and the same token, after a login that the role does not name.
        let session = self.world.login_with("night", &anna.id).await.unwrap();
        assert!(!self.world.opens(&session, &recording).await, "the role names another login");
        self.refused("gate", &anna.id, "another second factor").await;
        self.refused("strong", &format!("{}AAAA", anna.id), "a changed token").await;
        // Who has a session at the provider is not asked again: what was shown before still counts, and `acr` is another.
        let again = browser.tokens(STAFF, CLIENT, &ANNA).await;
        let sent = claims(&again.id);
        assert_eq!((&sent["amr"], &sent["acr"]), (&json!(["pwd", "otp"]), &json!("0")));
        anna
    }

    async fn who_shows_a_password_alone_is_refused(&self) {
        let bas = Browser::new(&self.keycloak).tokens(STAFF, CLIENT, &BAS).await;
        let sent = claims(&bas.id);
        assert_eq!((&sent["amr"], &sent["acr"]), (&json!(["pwd"]), &json!("1")));
        assert_eq!(sent["groups"], json!(["/cc-quality"]));
        self.refused("strong", &bas.id, "a password alone").await;
        // A flow whose executions have no reference values, which is what a new realm has.
        let mut browser = Browser::new(&self.keycloak);
        let bas = browser.tokens(STAFF, realm::WITHOUT_REFERENCES, &known(BAS)).await;
        assert_eq!(claims(&bas.id)["amr"], json!([]));
        self.refused("strong", &bas.id, "no reference values").await;
    }

    /// Each of these clients lacks one thing of the example's, and the session at the provider has all that is asked for.
    async fn what_the_client_lacks_is_missed(&self, browser: &mut Browser<'_>) {
        let recording = self.world.sealed("voice", RECORDING).await;
        let tokens = browser.tokens(STAFF, realm::WITHOUT_AMR, &ANNA).await;
        assert_eq!(claims(&tokens.id)["amr"], Value::Null);
        self.refused("strong", &tokens.id, "no amr mapper").await;

        let tokens = browser.tokens(STAFF, realm::WITHOUT_AUDIENCE, &ANNA).await;
        assert_eq!(claims(&tokens.id)["aud"], realm::WITHOUT_AUDIENCE);
        assert_eq!(claims(&tokens.access)["aud"], Value::Null);
        self.refused("strong", &tokens.id, "another audience").await;
        self.refused("strong", &tokens.access, "no audience").await;

        let tokens = browser.tokens(STAFF, realm::WITHOUT_GROUPS, &ANNA).await;
        assert_eq!(claims(&tokens.id)["groups"], Value::Null);
        assert_eq!(claims(&tokens.id)["aud"], json!([realm::WITHOUT_GROUPS, "subrosa"]));
        self.refused("strong", &tokens.id, "no group mapper").await;

        let tokens = browser.tokens(STAFF, realm::SHORT_GROUPS, &ANNA).await;
        assert_eq!(claims(&tokens.id)["groups"], json!(["cc-quality"]));
        let session = self.world.login_with("strong", &tokens.id).await.unwrap();
        assert!(!self.world.opens(&session, &recording).await, "the role names /cc-quality");
    }

    /// Why the example sends whole paths.
    async fn a_group_of_the_same_name_is_another_one(&self) {
        let recording = self.world.sealed("voice", RECORDING).await;
        let mut browser = Browser::new(&self.keycloak);
        let cook = browser.tokens(STAFF, CLIENT, &COOK).await;
        assert_eq!(claims(&cook.id)["groups"], json!(["/canteen/cc-quality"]));
        let session = self.world.login_with("strong", &cook.id).await.unwrap();
        assert!(!self.world.opens(&session, &recording).await);
        let short = browser.tokens(STAFF, realm::SHORT_GROUPS, &COOK).await;
        assert_eq!(claims(&short.id)["groups"], json!(["cc-quality"]), "which is what Anna's token says");
    }

    async fn tokens_of_another_realm_are_refused(&self) {
        let stranger = Browser::new(&self.keycloak).tokens(GUESTS, CLIENT, &ANNA).await;
        assert_eq!(claims(&stranger.id)["amr"], json!(["pwd", "otp"]));
        assert_eq!(claims(&stranger.id)["iss"], self.keycloak.issuer(GUESTS));
        self.refused("strong", &stranger.id, "another realm").await;
    }

    /// Keycloak lets whoever knows a password register a telephone, unless that is turned off.
    async fn a_password_alone_cannot_add_a_second_factor(&self) {
        let bas = known(BAS);
        let challenge = "0".repeat(43);
        let action = [("kc_action", "CONFIGURE_TOTP"), ("code_challenge", challenge.as_str())];
        let location = Browser::new(&self.keycloak).code(STAFF, CLIENT, &bas, &action).await;
        assert!(location.contains("kc_action_status=error"), "{location}");
    }

    /// Keycloak sends no empty list of groups. So the login is refused, and what it would have ended goes on until the session's end,
    /// unless somebody disables the person in Vault.
    async fn who_is_in_no_group_is_refused(&self, browser: &mut Browser<'_>) {
        let recording = self.world.sealed("voice", RECORDING).await;
        let before = browser.tokens(STAFF, CLIENT, &ANNA).await;
        let session = self.world.login_with("strong", &before.id).await.unwrap();
        let group = realm::group(&self.keycloak, &ANNA).await;
        self.keycloak.admin("DELETE", &group, None).await.unwrap();
        let after = browser.tokens(STAFF, CLIENT, &ANNA).await;
        assert_eq!(claims(&after.id)["groups"], Value::Null);
        self.refused("strong", &after.id, "in no group").await;
        assert!(self.world.opens(&session, &recording).await, "a session of before");

        let bao = self.world.env.openbao();
        let (_, own) = bao.request_as(&session, "GET", "auth/token/lookup-self", None).await.unwrap();
        assert_eq!(own["data"]["meta"]["role"], "strong");
        let entity = format!("identity/entity/id/{}", own["data"]["entity_id"].as_str().unwrap());
        bao.request("POST", &entity, Some(json!({"disabled": true}))).await.unwrap();
        assert!(!self.world.opens(&session, &recording).await);
        bao.request("POST", &entity, Some(json!({"disabled": false}))).await.unwrap();
        self.keycloak.admin("PUT", &group, None).await.unwrap();
    }

    async fn an_old_second_factor_counts_no_more(&self, browser: &mut Browser<'_>) {
        realm::forget_after(&self.keycloak, 1).await;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let old = loop {
            let found = browser.tokens(STAFF, CLIENT, &ANNA).await;
            if claims(&found.id)["amr"] == json!([]) {
                break found;
            }
            assert!(tokio::time::Instant::now() < deadline, "{}", claims(&found.id));
        };
        self.refused("strong", &old.id, "no reference values").await;
    }

    /// A token that is out opens until it expires. One that gets new ones is stopped by a logout alone: disabling holds only as long
    /// as somebody is disabled.
    async fn who_leaves_is_logged_out_first(&self, anna: &Tokens) {
        let user = format!("/staff/users/{}", realm::id(&self.keycloak, &ANNA).await);
        let enable = async |enabled: bool| {
            let body = json!({"enabled": enabled});
            self.keycloak.admin("PUT", &user, Some(&body)).await.unwrap();
        };
        let refreshed = async || {
            let fields = [
                ("grant_type", "refresh_token"),
                ("client_id", CLIENT),
                ("refresh_token", anna.refresh.as_str()),
            ];
            let answer = self.keycloak.token(STAFF, &fields).await.unwrap();
            answer["access_token"].is_string()
        };
        enable(false).await;
        assert!(!refreshed().await);
        self.world.login_with("strong", &anna.id).await.expect("the token is not expired");
        enable(true).await;
        assert!(refreshed().await, "the session of before goes on");
        self.keycloak.admin("POST", &format!("{user}/logout"), None).await.unwrap();
        enable(false).await;
        enable(true).await;
        assert!(!refreshed().await);
    }

    /// OpenBao refuses this token with the message that the page has for this case.
    async fn refused(&self, login: &str, token: &str, case: &str) {
        let said = self.world.login_with(login, token).await.expect_err(case).replace("\\\"", "\"");
        let expected = self.page.refusal(case);
        assert!(said.contains(expected), "{case}: {said}, and the page says {expected}");
    }
}

/// Somebody who has chosen their password.
fn known(person: browser::Person) -> browser::Person {
    browser::Person { password: person.chosen, ..person }
}

/// docs/identity-provider.md.
struct Page(String);

impl Page {
    fn read() -> Self {
        Self(std::fs::read_to_string(tools::workspace().unwrap().join("docs/identity-provider.md")).unwrap())
    }

    /// The logins of the worked example, for this issuer.
    fn access(&self, issuer: &str) -> Value {
        let (_, rest) = self.0.split_once("<!-- tested: access -->").unwrap();
        let yaml = rest.split("```").nth(1).unwrap().strip_prefix("yaml\n").unwrap();
        let spec: Value = serde_saphyr::from_str(yaml).unwrap();
        let mut access = spec["spec"]["access"].clone();
        access["provider"]["issuer"] = json!(issuer);
        access
    }

    /// What a person sees, by the table's first cell.
    fn refusal(&self, case: &str) -> &str {
        let start = format!("| {case} |");
        let row = self.0.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("the page has no row {case}"));
        row.split('`').nth(1).unwrap_or_else(|| panic!("no message in {row}"))
    }
}
