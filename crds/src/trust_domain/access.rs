//! The identity provider and the logins that AccessRoles refer to.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{break_glass::BreakGlassLogin, service_accounts::ServiceAccountsLogin};
use crate::rules;

/// How many slots a login has unless said otherwise.
pub const DEFAULT_SLOTS: i32 = 32;
/// How many pairs of a Channel and a data class AccessGrants can open by a login unless said otherwise.
pub const DEFAULT_GRANT_SLOTS: i32 = 8;
/// How many groups of the provider AccessRoles can name unless said otherwise.
pub const DEFAULT_GROUPS: i32 = 32;
/// How long a session lasts unless said otherwise.
pub const DEFAULT_TTL: &str = "15m";

/// How people log in to Vault. `subrosa vault-setup` writes it there; run it again after each change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.breakGlass) || !self.logins.exists(login, login.name == 'break-glass')")
        .message("break-glass is the name of the login of breakGlass: name this login otherwise"),
    validation = Rule::new("!self.logins.exists(login, login.name == 'service-accounts')")
        .message("service-accounts is the name of the login of serviceAccounts: name this login otherwise")
)]
pub struct AccessSpec {
    /// Who says who people are.
    pub provider: IdentityProvider,
    /// The ways to log in. An AccessRole names one of them, and gives nothing to who logged in another way.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub logins: Vec<AccessLogin>,
    /// A login for emergencies, by AccessRoles that have `spec.breakGlass`. Left out, there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlassLogin>,
    /// A login for ServiceAccounts, by AccessRoles that name them. Left out, there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<ServiceAccountsLogin>,
}

/// A provider of OpenID Connect, such as Keycloak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityProvider {
    /// Where JWT auth is mounted in Vault, for Subrosa alone; `subrosa-people` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = rules::MOUNT))]
    pub mount: Option<String>,
    /// The claim `iss` of its tokens, such as `https://login.oosterlinde.example/realms/staff`; its keys are discovered there.
    #[schemars(length(max = 253), regex(pattern = rules::ISSUER))]
    pub issuer: String,
    /// The claim `aud` that its tokens must have; `subrosa` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = rules::CLAIM_VALUE))]
    pub audience: Option<String>,
    /// The claim that names a person and never changes; `sub` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = rules::CLAIM))]
    pub user_claim: Option<String>,
    /// The claim with a person's groups; `groups` unless said otherwise. A token without it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = rules::CLAIM))]
    #[x_kube(validation = Rule::new("!(self in ['amr', 'acr', 'acrs', 'jti'])")
        .message("amr, acr, acrs and jti say how a person logged in: name the claim with the groups, such as groups"))]
    pub groups_claim: Option<String>,
    /// The claim that says how well a person logged in, where logins have `acceptedAcr`: `acr` unless said otherwise, `acrs` for the
    /// authentication contexts of Entra ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr_claim: Option<AcrClaim>,
    /// How long a token of the provider logs in after it was made (`exp`, less `iat`), such as `5m`: 1m to 99m, or 1h to 24h. Nobody
    /// checks it. With it AccessRoles tell how long a right lasts after the provider took a group away; left out, that is Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 3))]
    #[x_kube(validation = Rule::new("self.matches('^([1-9]|[1-9][0-9])m$') || self.matches('^([1-9]|1[0-9]|2[0-4])h$')")
        .message("must be 1m to 99m or 1h to 24h, such as 5m"))]
    pub token_life: Option<String>,
    /// How many different groups AccessRoles can name; 32 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub groups: Option<i32>,
    /// What the API server writes before a group of the provider, such as `oidc:` (`--oidc-groups-prefix`): then the groups of an
    /// AccessRole may get the Channels that it names. Left out, an AccessRole gives nothing in Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = rules::GROUPS_PREFIX))]
    #[x_kube(validation = Rule::new("self != 'system:'")
        .message("groups that begin with system: are the API server's own: write what --oidc-groups-prefix says, such as oidc:"))]
    pub kubernetes_groups_prefix: Option<String>,
}

/// The claim that says how well a person logged in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AcrClaim {
    /// Of OpenID Connect Core 1.0: one value.
    #[default]
    Acr,
    /// Of Entra ID: the authentication contexts that were satisfied.
    Acrs,
}

/// A way to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.acceptedAmr), has(self.acceptedAcr), has(self.exception)].filter(given, given).size() == 1")
    .message("write exactly one of acceptedAmr, acceptedAcr and exception: one of the first two asks for a second factor, or exception {reason, expires} says why there is none"))]
pub struct AccessLogin {
    /// How AccessRoles name it; also the role that a person names to Vault.
    #[schemars(length(min = 1, max = 20), regex(pattern = rules::DNS_LABEL))]
    pub name: String,
    /// The second factors that will do: the token's claim `amr` has at least one of them, in exactly this spelling (RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 64), regex(pattern = rules::CLAIM_VALUE)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("!self.exists(method, method.lowerAscii() == 'pwd')")
            .message("pwd is a password, and no second factor: name what your provider adds for one, such as mfa, otp or hwk")
    )]
    pub accepted_amr: Vec<String>,
    /// In place of `acceptedAmr`: the levels that will do, of the claim `acrClaim`, in exactly this spelling. The provider must give none
    /// of them to who showed a password alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 64), regex(pattern = rules::CLAIM_VALUE)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = rules::second_factor_levels())]
    pub accepted_acr: Vec<String>,
    /// In place of both: nobody is asked for a second factor. After its last day the login gives nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<LoginException>,
    /// How long a session lasts, such as `15m`: 1m to 99m, or 1h to 12h; `15m` unless said otherwise. It cannot be renewed: what is
    /// taken away from a person is gone at once, and what was given by a token ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 3))]
    #[x_kube(validation = Rule::new("self.matches('^([1-9]|[1-9][0-9])m$') || self.matches('^([1-9]|1[0-2])h$')")
        .message("must be 1m to 99m or 1h to 12h, such as 15m"))]
    pub ttl: Option<String>,
    /// How many pairs of a Channel and a data class AccessRoles with this login can open; 32 unless said otherwise. Each makes
    /// a request of a person a little slower (docs/performance.md).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub slots: Option<i32>,
    /// How many pairs of a Channel and a data class AccessRoles with this login can seal; none unless said otherwise. Each makes a
    /// request of a person slower, an opening too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 256))]
    pub seal_slots: Option<i32>,
    /// How many pairs of a Channel and a data class AccessGrants of roles with this login can open at the same time; 8 unless said
    /// otherwise, and none with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 32))]
    pub grant_slots: Option<i32>,
}

/// Why a login asks for less than it should, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginException {
    /// Why it is acceptable. Never a person.
    #[schemars(length(min = 1, max = 512), regex(pattern = rules::FREE_TEXT))]
    pub reason: String,
    /// The last valid day.
    #[schemars(length(max = 10), regex(pattern = rules::DATE))]
    pub expires: String,
}

impl AcrClaim {
    /// The claim's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acr => "acr",
            Self::Acrs => "acrs",
        }
    }
}

impl IdentityProvider {
    /// Where JWT auth is mounted.
    pub fn mount(&self) -> &str {
        self.mount.as_deref().unwrap_or("subrosa-people")
    }

    /// The audience of its tokens.
    pub fn audience(&self) -> &str {
        self.audience.as_deref().unwrap_or("subrosa")
    }

    /// The claim that names a person.
    pub fn user_claim(&self) -> &str {
        self.user_claim.as_deref().unwrap_or("sub")
    }

    /// The claim with a person's groups.
    pub fn groups_claim(&self) -> &str {
        self.groups_claim.as_deref().unwrap_or("groups")
    }

    /// The claim that says how well a person logged in.
    pub fn acr_claim(&self) -> &'static str {
        self.acr_claim.unwrap_or_default().as_str()
    }

    /// How many different groups AccessRoles can name.
    pub fn groups(&self) -> i32 {
        self.groups.unwrap_or(DEFAULT_GROUPS)
    }
}

impl AccessLogin {
    /// How long a session lasts.
    pub fn ttl(&self) -> &str {
        self.ttl.as_deref().unwrap_or(DEFAULT_TTL)
    }

    /// How many seconds a session lasts.
    pub fn ttl_seconds(&self) -> u32 {
        seconds_of(self.ttl())
    }

    /// The claim that says that somebody showed a second factor, and the values that will do; `None` where the login asks for none.
    pub fn second_factor<'a>(&'a self, provider: &IdentityProvider) -> Option<(&'static str, &'a [String])> {
        match (self.accepted_amr.as_slice(), self.accepted_acr.as_slice()) {
            ([], []) => None,
            ([], levels) => Some((provider.acr_claim(), levels)),
            (methods, _) => Some(("amr", methods)),
        }
    }

    /// How many pairs of a Channel and a data class can be opened with it.
    pub fn slots(&self) -> i32 {
        self.slots.unwrap_or(DEFAULT_SLOTS)
    }

    /// How many pairs of a Channel and a data class can be sealed with it.
    pub fn seal_slots(&self) -> i32 {
        self.seal_slots.unwrap_or_default()
    }

    /// How many pairs of a Channel and a data class AccessGrants can open with it at the same time.
    pub fn grant_slots(&self) -> i32 {
        self.grant_slots.unwrap_or(DEFAULT_GRANT_SLOTS)
    }
}

/// The seconds of a ttl or a token's life.
pub fn seconds_of(text: &str) -> u32 {
    let digits = text.trim_end_matches(['m', 'h']);
    let minutes = if text.ends_with('h') { 60 } else { 1 };
    // Admission allows no other form; anything else counts as one minute.
    digits.parse::<u16>().map_or(60, |number| u32::from(number) * minutes * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lasts_as_long_as_it_says() {
        for (ttl, seconds) in [(None, 900), (Some("1m"), 60), (Some("12h"), 43_200), (Some(""), 60)] {
            let ttl = ttl.map(str::to_owned);
            let login = AccessLogin { name: "strong".to_owned(), ttl, ..AccessLogin::default() };
            assert_eq!(login.ttl_seconds(), seconds, "{:?}", login.ttl);
        }
    }
}
