use serde_json::json;

use super::*;
use crate::testing::{merge, now, read};

/// A token with these claims, of this algorithm.
fn signed(algorithm: &str, claims: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    format!("{}.{}.c2lnbmF0dXJl", part(&json!({"alg": algorithm, "typ": "JWT"})), part(claims))
}

fn token(claims: &Value) -> Token {
    Token::read(&signed("RS256", claims)).unwrap()
}

/// What Keycloak sends by examples/identity-provider/keycloak-realm.json.
fn keycloak() -> Value {
    let now = now().as_second();
    json!({
        "iss": "https://login.oosterlinde.example/realms/staff", "aud": "subrosa", "azp": "subrosa", "typ": "ID",
        "sub": "4f1c7b1e-0b7c-4b52-9d4e-2f6a4f0f9d3a", "jti": "onrtac:1", "iat": now, "exp": now + 300,
        "amr": ["pwd", "otp"], "acr": "1", "groups": ["/cc-quality", "/On-Call"],
    })
}

/// An access token of version 1.0, or 2.0, in the shape of Entra's documentation.
fn entra(version: &str) -> Value {
    let now = now().as_second();
    let tenant = "9122040d-6c67-4c5b-b112-36a304b66dad";
    let mut claims = json!({
        "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3", "iat": now, "nbf": now, "exp": now + 4500, "ver": version,
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", "tid": tenant,
        "uti": "rnAfoLfuRkKmC-qXvQAAAA", "groups": ["fee2c45b-915a-4a64-b130-f4eb9e75525e"],
    });
    if version == "1.0" {
        claims["iss"] = json!(format!("https://sts.windows.net/{tenant}/"));
        claims["amr"] = json!(["pwd", "mfa"]);
        claims["acr"] = json!("1");
    } else {
        claims["iss"] = json!(format!("https://login.microsoftonline.com/{tenant}/v2.0"));
    }
    claims
}

/// An ID token of Okta's org authorization server.
fn okta() -> Value {
    let now = now().as_second();
    json!({
        "iss": "https://oosterlinde.okta.com", "aud": "0oab8om4bars6Y80Z0h7", "sub": "00uid4BxXw6I6TV4m0g3", "ver": 1,
        "jti": "ID.9DkcY6EKRNrHtmtoXnVsUX1c", "iat": now, "exp": now + 3600, "auth_time": now, "idp": "00oi5cEXRGWuJRFTY0g3",
        "amr": ["pwd", "mfa", "swk"], "acr": "urn:okta:loa:2fa:any", "groups": ["cc-quality"],
    })
}

fn spec(issuer: &Value, audience: &str, patch: Value) -> AccessSpec {
    let mut spec = json!({
        "provider": {"issuer": issuer, "audience": audience},
        "logins": [{"name": "strong", "acceptedAmr": ["otp", "mfa"]}],
    });
    merge(&mut spec, patch);
    read(spec)
}

/// The reasons of each login, in words.
fn judged(claims: &Value, spec: &AccessSpec) -> Vec<String> {
    let judged = token(claims).judge(spec, now()).into_iter();
    let words = |one: LoginJudged| {
        let reasons: Vec<_> = one.refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
        assert!(
            one.refusals.iter().all(|refusal| refusal.message.contains("; next: ")),
            "{:?}",
            one.refusals
        );
        format!("{}: {}", one.login, reasons.join(", "))
    };
    judged.map(words).collect()
}

fn of_keycloak(patch: Value) -> Vec<String> {
    let mut claims = keycloak();
    merge(&mut claims, patch);
    judged(&claims, &spec(&keycloak()["iss"], "subrosa", json!({})))
}

#[test]
fn keycloak_s_token_is_taken_and_each_thing_that_it_lacks_is_named() {
    assert_eq!(of_keycloak(json!({})), ["strong: "]);
    for (patch, expected) in [
        (json!({"iss": "https://login.oosterlinde.example/realms/guests"}), "WrongIssuer"),
        (json!({"aud": ["account", "other"]}), "WrongAudience"),
        (json!({"aud": null}), "WrongAudience"),
        (json!({"sub": null}), "NoPerson"),
        (json!({"amr": null}), "NoSecondFactor"),
        (json!({"amr": []}), "NoSecondFactor"),
        (json!({"amr": ["pwd"]}), "OtherSecondFactor"),
        (json!({"amr": ["OTP"]}), "OtherSecondFactor"),
        (json!({"groups": null}), "NoGroups"),
        (json!({"groups": {"a": 1}}), "NoGroups"),
        (json!({"amr": ["pwd"], "groups": null}), "OtherSecondFactor, NoGroups"),
    ] {
        assert_eq!(of_keycloak(patch.clone()), [format!("strong: {expected}")], "{patch}");
    }
    // What Vault takes all the same.
    for patch in [
        json!({"aud": ["account", "subrosa"]}),
        json!({"amr": "otp"}),
        json!({"groups": "/cc-quality"}),
        json!({"groups": []}),
    ] {
        assert_eq!(of_keycloak(patch.clone()), ["strong: "], "{patch}");
    }
}

#[test]
fn a_token_is_taken_from_a_minute_before_to_a_minute_after() {
    let at = now().as_second();
    for (patch, expected) in [
        (json!({"exp": at - 60}), ""),
        (json!({"exp": at - 61}), "Expired"),
        (json!({"exp": null, "iat": at - 210}), ""),
        (json!({"exp": null, "iat": at - 211}), "Expired"),
        (json!({"iat": at + 60}), ""),
        (json!({"iat": at + 61}), "NotYetValid"),
        (json!({"nbf": at + 61}), "NotYetValid"),
        (json!({"iat": null, "exp": at + 210}), ""),
        (json!({"iat": null, "exp": at + 600}), "NotYetValid"),
        (json!({"iat": null, "exp": null}), "NoTime"),
        (json!({"exp": serde_json::from_str::<Value>(&format!("{}.5", at + 300)).unwrap()}), ""),
    ] {
        assert_eq!(of_keycloak(patch.clone()), [format!("strong: {expected}")], "{patch}");
    }
}

#[test]
fn entra_sends_amr_in_version_one_only_and_contexts_in_a_claim_of_its_own() {
    let audience = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
    let (first, second) = (entra("1.0"), entra("2.0"));
    assert_eq!(judged(&first, &spec(&first["iss"], audience, json!({}))), ["strong: "]);
    assert_eq!(judged(&second, &spec(&second["iss"], audience, json!({}))), ["strong: NoSecondFactor"]);
    assert_eq!(
        judged(&second, &spec(&first["iss"], audience, json!({}))),
        ["strong: WrongIssuer, NoSecondFactor"]
    );
    let contexts = json!({
        "provider": {"acrClaim": "acrs"}, "logins": [{"name": "context", "acceptedAcr": ["c1"]}],
    });
    let by_context = spec(&second["iss"], audience, contexts);
    assert_eq!(judged(&second, &by_context), ["context: NoSecondFactor"]);
    let mut stepped_up = second.clone();
    stepped_up["acrs"] = json!(["p1", "c1"]);
    assert_eq!(judged(&stepped_up, &by_context), ["context: "]);
    stepped_up["acrs"] = json!(["c2"]);
    assert_eq!(judged(&stepped_up, &by_context), ["context: OtherSecondFactor"]);
}

#[test]
fn too_many_groups_have_a_reason_of_their_own() {
    let audience = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
    let overage = json!({
        "groups": null, "_claim_names": {"groups": "src1"},
        "_claim_sources": {"src1": {"endpoint": "https://graph.microsoft.com/v1.0/users/x/getMemberObjects"}},
    });
    for patch in
        [overage, json!({"groups": null, "hasgroups": true}), json!({"groups": null, "hasgroups": "true"})]
    {
        let mut claims = entra("1.0");
        merge(&mut claims, patch.clone());
        assert_eq!(
            judged(&claims, &spec(&claims["iss"], audience, json!({}))),
            ["strong: TooManyGroups"],
            "{patch}"
        );
    }
    // Another claim that stands elsewhere says nothing of groups.
    let other = json!({"groups": null, "_claim_names": {"address": "src1"}});
    assert_eq!(of_keycloak(other), ["strong: NoGroups"]);
    assert_eq!(
        of_keycloak(json!({"_claim_names": {"groups": "src1"}})),
        ["strong: "],
        "they are there all the same"
    );
}

#[test]
fn okta_says_it_by_either_claim() {
    let (claims, audience) = (okta(), "0oab8om4bars6Y80Z0h7");
    assert_eq!(judged(&claims, &spec(&claims["iss"], audience, json!({}))), ["strong: "]);
    let levels = |accepted: &str| {
        spec(&claims["iss"], audience, json!({"logins": [{"name": "level", "acceptedAcr": [accepted]}]}))
    };
    assert_eq!(judged(&claims, &levels("urn:okta:loa:2fa:any")), ["level: "]);
    assert_eq!(judged(&claims, &levels("phr")), ["level: OtherSecondFactor"]);
}

#[test]
fn break_glass_needs_an_enrolled_group_in_its_spelling_and_the_token_s_id() {
    let glass = |group: &str| json!({"breakGlass": {"groups": [group], "acceptedAmr": ["hwk"]}});
    let of = |claims: &Value, group: &str| judged(claims, &spec(&keycloak()["iss"], "subrosa", glass(group)));
    let mut claims = keycloak();
    assert_eq!(of(&claims, "/On-Call"), ["strong: ", "break-glass: OtherSecondFactor"]);
    claims["amr"] = json!(["otp", "hwk"]);
    assert_eq!(of(&claims, "/On-Call"), ["strong: ", "break-glass: "]);
    assert_eq!(of(&claims, "/on-call"), ["strong: ", "break-glass: GroupNotEnrolled"]);
    claims["jti"] = Value::Null;
    assert_eq!(of(&claims, "/On-Call"), ["strong: ", "break-glass: NoTokenId"]);
    let mount =
        token(&claims).judge(&spec(&keycloak()["iss"], "subrosa", glass("a")), now()).pop().unwrap().mount;
    assert_eq!(mount, "subrosa-people-break-glass");
}

#[test]
fn a_login_with_an_exception_asks_for_no_second_factor() {
    let exception =
        json!({"logins": [{"name": "old", "exception": {"reason": "late", "expires": "2027-01-31"}}]});
    let mut claims = keycloak();
    claims["amr"] = json!(["pwd"]);
    assert_eq!(judged(&claims, &spec(&keycloak()["iss"], "subrosa", exception)), ["old: "]);
}

#[test]
fn what_is_no_token_is_said_without_repeating_it() {
    let whole = signed("RS256", &keycloak());
    assert_eq!(Token::read("opaque").unwrap_err(), NoToken::Parts);
    assert_eq!(Token::read("a.b.c.d.e").unwrap_err(), NoToken::Encrypted);
    assert_eq!(Token::read(&whole.replacen('.', ".*", 1)).unwrap_err(), NoToken::Malformed("payload"));
    assert_eq!(Token::read(&format!("canary{whole}")).unwrap_err(), NoToken::Malformed("header"));
    for wrong in ["canary", "canary.canary.canary", "a.b.c.d.canary"] {
        assert!(!Token::read(wrong).unwrap_err().to_string().contains("canary"), "{wrong}");
    }
    assert!(Token::read(&format!("\n{whole}\n")).is_ok());
    assert!(!format!("{:?}", token(&keycloak())).contains("4f1c7b1e"));
    for algorithm in ["none", "HS256", ""] {
        let token = Token::read(&signed(algorithm, &keycloak())).unwrap();
        let judged = token.judge(&spec(&keycloak()["iss"], "subrosa", json!({})), now());
        assert_eq!(judged[0].refusals[0].reason, RefusedFor::Signature, "{algorithm}");
    }
}

#[test]
fn a_token_says_how_long_it_lives() {
    assert_eq!(token(&keycloak()).life(), Some(300));
    assert_eq!(token(&entra("2.0")).life(), Some(4500));
    assert_eq!(token(&json!({"iat": 1})).life(), None);
}
