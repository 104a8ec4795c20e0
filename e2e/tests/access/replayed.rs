//! One token of the provider logs in again and again until it expires, so what a person was is known until then: the bound of a
//! right is the session's time after that. What OpenBao makes of tokens that do not say when they end.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use subrosa_e2e::wait;
use subrosa_records::vault::setup::{PeopleParams, ProviderKeys};

use super::world::{RECORDING, World, access};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long OpenBao takes a token after its end, as `vault-setup` writes it: clocks differ.
const SKEW: i64 = 60;

/// Role `reviewer` lets group `cc-quality` open recordings of `voice`.
pub async fn an_old_token_of_the_provider_ends_with_its_time(world: &World) {
    it_brings_a_lost_group_back_until_it_expires(world).await;
    times(world).await;
    leeway_that_somebody_wrote_is_put_right(world).await;
}

async fn it_brings_a_lost_group_back_until_it_expires(world: &World) {
    let recording = world.sealed("voice", RECORDING).await;
    // As good as expired: it is taken for some seconds more.
    let mut short = None;
    for _ in 0..5 {
        let now = Timestamp::now().as_second();
        let claims = json!({
            "amr": ["mfa"], "groups": ["cc-quality"], "iat": now - 200, "exp": now - SKEW + 8,
        });
        let jwt = world.provider.token("piet", claims);
        if let Ok(session) = world.login_with("strong", &jwt).await {
            short = Some((jwt, session, now + 8));
            break;
        }
    }
    let (jwt, session, ends) = short.unwrap();
    assert!(world.opens(&session, &recording).await);

    // The provider took the group away; the old token gives it back, to every session.
    let now = world.login("strong", "piet", json!({"amr": ["mfa"], "groups": ["all"]})).await.unwrap();
    assert!(!world.opens(&session, &recording).await && !world.opens(&now, &recording).await);
    match world.login_with("strong", &jwt).await {
        Ok(again) => {
            assert_ne!(again, session);
            for session in [&again, &session, &now] {
                assert!(world.opens(session, &recording).await);
            }
        }
        // A machine that was slow.
        Err(error) => assert!(Timestamp::now().as_second() >= ends, "{error}"),
    }
    let last = wait::until(PATIENCE, || async {
        match world.login_with("strong", &jwt).await {
            Ok(session) => Err(session),
            Err(error) => Ok(error),
        }
    });
    let refused = last.await.unwrap();
    assert!(refused.contains("expired"), "{refused}");
    let late = Timestamp::now().as_second() - ends;
    assert!((0..20).contains(&late), "refused {late} s after its end and the leeway");
    assert!(world.opens(&session, &recording).await, "a session that there is goes on for its own time");
    let left =
        world.env.openbao().request_as(&session, "GET", "auth/token/lookup-self", None).await.unwrap().1;
    assert!(left["data"]["ttl"].as_i64().is_some_and(|ttl| ttl > 500 && ttl <= 900), "{left}");
    world.login("strong", "piet", json!({"amr": ["mfa"], "groups": ["all"]})).await.unwrap();
    assert!(!world.opens(&session, &recording).await);
    assert!(world.login_with("strong", &jwt).await.is_err());
}

/// Which times let somebody in: relative to now, in seconds.
async fn times(world: &World) {
    const TEN_YEARS: i64 = 10 * 365 * 24 * 3600;
    for (exp, iat, nbf, expected) in [
        (Some(300), Some(0), None, Ok(())),
        (Some(TEN_YEARS), Some(0), None, Ok(())),
        (Some(SKEW / -2), Some(-200), None, Ok(())),
        (Some(-90), Some(-200), None, Err("expired")),
        // Without an end: two and a half minutes after the later of the other two.
        (None, Some(-100), None, Ok(())),
        (None, Some(-240), None, Err("expired")),
        (None, None, Some(-100), Ok(())),
        (None, None, Some(-240), Err("expired")),
        (None, Some(-9000), Some(-100), Ok(())),
        (None, Some(-100), Some(-9000), Ok(())),
        (None, Some(-9000), Some(-9000), Err("expired")),
        (None, None, None, Err("no issued at (iat), not before (nbf), or expiration time (exp)")),
        // From the future.
        (Some(300), Some(30), None, Ok(())),
        (Some(300), Some(90), None, Err("")),
        (Some(300), Some(0), Some(30), Ok(())),
        (Some(300), Some(0), Some(90), Err("not yet valid")),
        (None, Some(90), None, Err("")),
        // With nothing but an end: not before two and a half minutes of it.
        (Some(100), None, None, Ok(())),
        (Some(600), None, None, Err("not yet valid")),
    ] {
        let now = Timestamp::now().as_second();
        let at = |seconds: Option<i64>| seconds.map_or(Value::Null, |seconds| json!(now + seconds));
        let claims = json!({
            "amr": ["mfa"], "groups": ["cc-quality"], "exp": at(exp), "iat": at(iat), "nbf": at(nbf),
        });
        let got = world.login("strong", "piet", claims).await;
        let what = format!("exp {exp:?}, iat {iat:?}, nbf {nbf:?}: {got:?}");
        match expected {
            Ok(()) => assert!(got.is_ok(), "{what}"),
            Err(words) => assert!(got.is_err_and(|error| error.contains(words)), "{what}"),
        }
    }
}

/// A role in Vault is merged when it is written, so what `vault-setup` does not name stays.
async fn leeway_that_somebody_wrote_is_put_right(world: &World) {
    let now = Timestamp::now().as_second();
    let claims = json!({"amr": ["mfa"], "groups": ["cc-quality"], "exp": null, "iat": now - 3600});
    let jwt = world.provider.token("piet", claims);
    let year = 365 * 24 * 3600;
    let wide = json!({"role_type": "jwt", "expiration_leeway": year, "not_before_leeway": year, "clock_skew_leeway": year});
    world.env.openbao().request("POST", "auth/subrosa-people/role/strong", Some(wide)).await.unwrap();
    assert!(world.login_with("strong", &jwt).await.is_ok(), "so wide is the leeway");
    let people = PeopleParams {
        access: serde_json::from_value(access()).unwrap(),
        keys: ProviderKeys::Given(vec![world.provider.public_key()]),
        granter_service_account: "subrosa-granter".into(),
    };
    let written = world.installed.set_up_people(&world.env, people).await.unwrap();
    assert!(written.contains(&"auth/subrosa-people/role/strong".to_owned()), "{written:?}");
    assert!(world.login_with("strong", &jwt).await.is_err());
}
