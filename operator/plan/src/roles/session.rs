//! How long a right can outlive its reason.

use subrosa_crds::{
    access_role::SessionStatus,
    trust_domain::{ACCOUNTS_LOGIN, AccessSpec, ServiceAccountsLogin, seconds_of},
};

/// What is told where it is not known.
pub const UNKNOWN: &str = "Unknown";
/// How long after its end Vault takes a token of the provider, for clocks that differ.
const CLOCKS: u32 = 60;

/// How long a session of `login` lasts, and a right after the provider took a group from a person; `None` without such a
/// login.
///
/// Everything else that ends a right ends it in every session at once. A group that the provider takes away is gone with
/// the person's next login, or at the end of the last session that a token from before began.
pub fn session(access: &AccessSpec, login: &str) -> Option<SessionStatus> {
    if let Some(accounts) = access.service_accounts.as_ref().filter(|_| login == ACCOUNTS_LOGIN) {
        return Some(of_accounts(accounts));
    }
    let ttl = access.logins.iter().find(|one| one.name == login)?;
    let (text, seconds) = (ttl.ttl().to_owned(), ttl.ttl_seconds());
    let begins = format!(
        "a session lasts {text} and cannot be renewed. A group that the provider takes from a person is gone with their next login, \
         but a token of the provider from before logs in again until it expires"
    );
    let (outlives, message) = match &access.provider.token_life {
        Some(life) => {
            let bound = written(seconds.saturating_add(seconds_of(life)).saturating_add(CLOCKS));
            let message = format!(
                "{begins}: {life} after it was made, as the TrustDomain says, and a minute more for clocks that differ. Subrosa does \
                 not see the tokens: subrosa access token shows of one how long it lives"
            );
            (bound, message)
        }
        None => {
            let message = format!(
                "{begins}, and Subrosa does not see when that is; next: write how long such a token lives into \
                 spec.access.provider.tokenLife of the TrustDomain"
            );
            (UNKNOWN.to_owned(), message)
        }
    };
    Some(SessionStatus { ttl: text, outlives, message })
}

/// The same of a ServiceAccount. While the granter runs, its deletion takes everything from every session at once; else the last
/// session that one of its tokens began is the bound, and the API server takes a token for some seconds after that.
fn of_accounts(accounts: &ServiceAccountsLogin) -> SessionStatus {
    let (ttl, seconds) = (accounts.ttl().to_owned(), accounts.ttl_seconds());
    let outlives = written(seconds.saturating_add(CLOCKS));
    let message = format!(
        "a machine: no second factor is asked of it. A session lasts {ttl} and cannot be renewed. When the ServiceAccount is deleted the \
         granter takes away at once what it opens; while the granter is down, the last session that it began is the bound"
    );
    SessionStatus { ttl, outlives, message }
}

/// Such as `21m` or `1h30m`.
fn written(seconds: u32) -> String {
    let (hours, minutes) = (seconds / 3600, seconds % 3600 / 60);
    match (hours, minutes) {
        (0, minutes) => format!("{minutes}m"),
        (hours, 0) => format!("{hours}h"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{merge, read};

    fn of(patch: serde_json::Value, login: &str) -> Option<SessionStatus> {
        let mut access = json!({
            "provider": {"issuer": "https://login.example"},
            "logins": [{"name": "strong", "acceptedAmr": ["mfa"]}, {"name": "night", "acceptedAmr": ["mfa"], "ttl": "12h"}],
        });
        merge(&mut access, patch);
        session(&read(access), login)
    }

    #[test]
    fn a_right_lasts_as_long_as_the_last_session_that_a_token_from_before_began() {
        let life = |life: &str| json!({"provider": {"tokenLife": life}});
        for (patch, login, ttl, outlives) in [
            (json!({}), "strong", "15m", "Unknown"),
            (life("5m"), "strong", "15m", "21m"),
            (life("1h"), "strong", "15m", "1h16m"),
            (life("59m"), "night", "12h", "13h"),
        ] {
            let found = of(patch.clone(), login).unwrap();
            assert_eq!((found.ttl.as_str(), found.outlives.as_str()), (ttl, outlives), "{patch}");
            assert_eq!(found.message.contains("next: "), outlives == UNKNOWN, "{}", found.message);
        }
        assert_eq!(of(json!({}), "gone"), None);
        assert_eq!(of(life("5m"), "service-accounts"), None);
        let accounts = json!({"provider": {"tokenLife": "5m"}, "serviceAccounts": {"ttl": "30m"}});
        let found = of(accounts, "service-accounts").unwrap();
        assert_eq!((found.ttl.as_str(), found.outlives.as_str()), ("30m", "31m"));
        assert!(found.message.contains("no second factor"), "{}", found.message);
    }
}
