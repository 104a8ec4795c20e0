//! From an AccessRole to somebody who opens a recording, and back.

use jiff::Timestamp;
use serde_json::json;

use super::world::{CHAT, RECORDING, World, ready, role};

pub async fn who_is_in_the_group_opens_after_the_right_login_and_nobody_else(world: &World) {
    let recording = world.sealed("voice", RECORDING).await;
    let (chat, of_video) = (world.sealed("voice", CHAT).await, world.sealed("video", RECORDING).await);
    let quality = json!({"amr": ["pwd", "mfa"], "groups": ["cc-quality", "all"]});
    let early = world.login("strong", "anna", quality.clone()).await.unwrap();
    assert!(!world.opens(&early, &recording).await, "nothing is given yet");

    world.apply(&role("reviewer", "strong", &["CC-Quality"], &[("voice", RECORDING)])).await;
    let status = world.role("reviewer", ready).await;
    assert_eq!(status.rights.as_deref(), Some("1/1"));
    let effective = status.effective.unwrap();
    let rule = json!({
        "login": "strong", "group": "cc-quality", "channel": "voice", "dataClass": RECORDING, "action": "Open",
    });
    assert_eq!((effective.count, serde_json::to_value(&effective.rules).unwrap()), (1, json!([rule])));
    assert_eq!(Some(effective.digest), status.digest, "all that it names is in force");
    let session = status.session.unwrap();
    assert_eq!((session.ttl.as_str(), session.outlives.as_str()), ("15m", "21m"));
    let anna = world.login("strong", "anna", quality.clone()).await.unwrap();
    assert!(world.opens(&anna, &recording).await);
    assert!(world.opens(&early, &recording).await, "the earlier session of the same person follows");
    assert!(!world.opens(&anna, &chat).await, "another class");
    assert!(!world.opens(&anna, &of_video).await, "another Channel");

    // The same person, after a login that the role does not name.
    let tired =
        world.login("night", "anna", json!({"amr": ["otp"], "groups": ["cc-quality"]})).await.unwrap();
    assert!(!world.opens(&tired, &recording).await, "the login decides, not the person");
    assert!(world.opens(&anna, &recording).await, "and takes nothing from the other session");
    let bas = world.login("strong", "bas", json!({"amr": ["hwk"], "groups": ["cc-billing"]})).await.unwrap();
    assert!(!world.opens(&bas, &recording).await, "another group");

    // Without a second factor, or with a claim that is not as it should be, nobody comes in.
    for claims in [
        json!({"amr": ["pwd"], "groups": ["cc-quality"]}),
        json!({"amr": ["MFA"], "groups": ["cc-quality"]}),
        json!({"amr": [], "groups": ["cc-quality"]}),
        json!({"groups": ["cc-quality"]}),
        json!({"amr": ["mfa"]}),
        json!({"amr": ["mfa"], "_claim_names": {"groups": "src1"}}),
        json!({"amr": ["mfa"], "groups": ["cc-quality"], "aud": "another"}),
        json!({"amr": ["mfa"], "groups": ["cc-quality"], "iss": "https://elsewhere.example"}),
    ] {
        assert!(world.login("strong", "anna", claims.clone()).await.is_err(), "{claims}");
    }
    a_token_logs_in_until_a_minute_after_its_end(world).await;

    // The session cannot be renewed, and a group that is gone is gone with the next login, in every session.
    let (status, _) = world
        .env
        .openbao()
        .request_as(&anna, "POST", "auth/token/renew-self", Some(json!({})))
        .await
        .unwrap();
    assert_eq!(status, 403);
    world.login("strong", "anna", json!({"amr": ["mfa"], "groups": ["all"]})).await.unwrap();
    assert!(!world.opens(&anna, &recording).await);
    let anna = world.login("strong", "anna", quality.clone()).await.unwrap();
    assert!(world.opens(&anna, &recording).await);
}

/// What `status.session.outlives` counts with: the token's life and a minute. A token without an end lives for 150 seconds.
async fn a_token_logs_in_until_a_minute_after_its_end(world: &World) {
    let now = Timestamp::now().as_second();
    for (made, ends, is_taken) in [
        (now - 300, json!(now - 20), true),
        (now - 300, json!(now - 90), false),
        (now - 60, json!(null), true),
        (now - 240, json!(null), false),
    ] {
        let claims = json!({"amr": ["mfa"], "groups": ["all"], "iat": made, "exp": ends});
        let taken = world.login("strong", "zoe", claims.clone()).await;
        assert_eq!(taken.is_ok(), is_taken, "{claims}: {taken:?}");
    }
}

/// What a role no longer says ends in the sessions that there are, also while the operator stands still.
pub async fn what_a_role_no_longer_says_ends(world: &mut World) {
    let (recording, chat) = (world.sealed("voice", RECORDING).await, world.sealed("voice", CHAT).await);
    let anna =
        world.login("strong", "anna", json!({"amr": ["mfa"], "groups": ["cc-quality"]})).await.unwrap();
    assert!(world.opens(&anna, &recording).await && !world.opens(&anna, &chat).await);
    world.apply(&role("second", "strong", &["cc-quality"], &[("voice", CHAT)])).await;
    world.role("second", ready).await;
    assert!(world.opens(&anna, &chat).await);
    world.stop_operator();
    world.delete("second").await;
    world.apply(&role("reviewer", "strong", &["b"], &[("voice", RECORDING)])).await;
    world.role("reviewer", |status| ready(status) && status.observed_generation == Some(2)).await;
    assert!(!world.opens(&anna, &chat).await, "the role is gone");
    assert!(!world.opens(&anna, &recording).await, "the group is no longer named");
    let bas = world.login("strong", "bas", json!({"amr": ["hwk"], "groups": ["b"]})).await.unwrap();
    assert!(world.opens(&bas, &recording).await);
}
