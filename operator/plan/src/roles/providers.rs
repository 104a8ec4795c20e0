//! What identity providers are known not to send, by the issuer of their tokens.
//!
//! From their documentation (docs/identity-provider.md has the sources), not run.

use subrosa_crds::trust_domain::{AccessLogin, AccessSpec, BreakGlassLogin};

use super::break_glass;

/// Why nobody, or nobody by some of the logins, could log in with tokens of the provider, and what else is weak.
pub fn warnings(access: &AccessSpec) -> Vec<String> {
    let mut found: Vec<String> = access.logins.iter().filter_map(without_second_factor).collect();
    found.extend(access.break_glass.iter().filter_map(unlogged));
    let issuer = access.provider.issuer.trim_end_matches('/');
    let glass = break_glass::access(access);
    let logins = || access.logins.iter().chain(glass.iter().flat_map(|glass| &glass.logins));
    let by_amr = || logins().find(|login| !login.accepted_amr.is_empty()).map(|login| login.name.as_str());
    let by_acr = || logins().find(|login| !login.accepted_acr.is_empty()).map(|login| login.name.as_str());
    let claim = access.provider.acr_claim();
    if issuer == "https://accounts.google.com" {
        found.push(
            "Google sends neither amr nor acr, and no groups: nobody can log in; next: let another provider, such as Keycloak, ask for \
             the second factor and send the groups"
                .to_owned(),
        );
    }
    let entra_v2 = issuer.starts_with("https://login.microsoftonline.com/") && issuer.ends_with("/v2.0");
    if let (true, Some(login)) = (entra_v2, by_amr()) {
        found.push(format!(
            "Entra ID sends no amr in tokens of version 2.0: nobody logs in by {login}; next: acceptedAcr with acrClaim acrs, or tokens of \
             version 1.0"
        ));
    }
    let entra = entra_v2 || issuer.starts_with("https://sts.windows.net/");
    if let (true, "acr", Some(login)) = (entra, claim, by_acr()) {
        found.push(format!(
            "the claim acr of Entra ID is 0 or 1 and says nothing of a second factor: nobody logs in by {login}; next: acrClaim acrs, with an \
             authentication context such as c1"
        ));
    }
    found
}

fn without_second_factor(login: &AccessLogin) -> Option<String> {
    let exception = login.exception.as_ref()?;
    Some(format!(
        "login {} asks for no second factor until {}: a stolen password is enough. Vault does not know that day: after it AccessRoles with \
         this login give nothing, and it logs in all the same",
        login.name, exception.expires
    ))
}

fn unlogged(glass: &BreakGlassLogin) -> Option<String> {
    let exception = glass.exception.as_ref()?;
    Some(format!(
        "break-glass opens until {} also where the granter cannot read Vault's audit log: nobody counts then what was opened",
        exception.expires
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::read;

    fn told(issuer: &str, login: Value, claim: &str) -> String {
        let mut login = login;
        login["name"] = json!("strong");
        let provider = json!({"issuer": issuer, "acrClaim": claim});
        warnings(&read(json!({"provider": provider, "logins": [login]}))).join("\n")
    }

    #[test]
    fn a_provider_that_cannot_say_it_is_told_by_name() {
        let (amr, acr) = (json!({"acceptedAmr": ["mfa"]}), json!({"acceptedAcr": ["c1"]}));
        let (v1, v2) = ("https://sts.windows.net/t/", "https://login.microsoftonline.com/t/v2.0");
        assert!(told("https://accounts.google.com", amr.clone(), "acr").contains("Google sends neither"));
        assert!(told(v2, amr.clone(), "acr").contains("Entra ID sends no amr in tokens of version 2.0"));
        assert_eq!(told(v1, amr.clone(), "acr"), "");
        assert!(told(v1, acr.clone(), "acr").contains("is 0 or 1"));
        assert!(told(v2, acr.clone(), "acr").contains("is 0 or 1"));
        for provider in [v1, v2, "https://oosterlinde.okta.com", "https://login.example/realms/staff"] {
            assert_eq!(told(provider, acr.clone(), "acrs"), "", "{provider}");
        }
    }

    #[test]
    fn a_login_without_a_second_factor_is_told_with_its_day() {
        let exception = json!({"exception": {"reason": "late", "expires": "2027-01-31"}});
        let told = told("https://login.example", exception, "acr");
        assert!(told.contains("login strong asks for no second factor until 2027-01-31"), "{told}");
    }
}
