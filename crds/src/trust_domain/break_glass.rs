//! The login for emergencies.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::access::LoginException;
use crate::rules;

/// The name of the login, and of its role in Vault.
pub const BREAK_GLASS_LOGIN: &str = "break-glass";
/// How many pairs of a Channel and a data class break-glass can open unless said otherwise.
const DEFAULT_SLOTS: i32 = 8;
/// How long a session lasts unless said otherwise.
const DEFAULT_TTL: &str = "1h";
/// How soon a use of break-glass has to be reviewed unless said otherwise.
pub const DEFAULT_USE_REVIEW: &str = "3d";

/// A login for emergencies: prepared in Vault, so that Vault and the identity provider are enough for it. Who uses it is told, and
/// somebody else reviews it. `subrosa vault-setup` writes it; run it again after each change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.acceptedAmr) != has(self.acceptedAcr)")
    .message("write exactly one of acceptedAmr and acceptedAcr: break-glass needs a second factor, by one claim"))]
pub struct BreakGlassLogin {
    /// Who may use it: groups in exactly the spelling of the identity provider's tokens. Vault refuses the login of everybody else.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 128), regex(pattern = rules::GROUP_NAME)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub groups: Vec<String>,
    /// The second factors that will do, as of `spec.access.logins`: choose one that works while much else does not, such as `hwk`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 64), regex(pattern = rules::CLAIM_VALUE)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("!self.exists(method, method.lowerAscii() == 'pwd')")
            .message("pwd is a password, and no second factor: name what your provider adds for one, such as hwk")
    )]
    pub accepted_amr: Vec<String>,
    /// In place of `acceptedAmr`: the levels that will do, as of `spec.access.logins`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 64), regex(pattern = rules::CLAIM_VALUE)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = rules::second_factor_levels())]
    pub accepted_acr: Vec<String>,
    /// How long a session lasts, such as `1h`: 1m to 99m, or 1h to 12h; `1h` unless said otherwise. It cannot be renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 3))]
    #[x_kube(validation = Rule::new("self.matches('^([1-9]|[1-9][0-9])m$') || self.matches('^([1-9]|1[0-2])h$')")
        .message("must be 1m to 99m or 1h to 12h, such as 1h"))]
    pub ttl: Option<String>,
    /// How many pairs of a Channel and a data class AccessRoles can open by it; 8 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub slots: Option<i32>,
    /// How soon somebody else has to review a use, such as `3d`; `3d` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = rules::PERIOD))]
    pub review_within: Option<String>,
    /// Where the granter cannot read Vault's audit log, so that nobody sees what was opened: break-glass opens all the same, until the
    /// last day. Left out, it opens nothing there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<LoginException>,
}

impl BreakGlassLogin {
    /// How long a session lasts.
    pub fn ttl(&self) -> &str {
        self.ttl.as_deref().unwrap_or(DEFAULT_TTL)
    }

    /// How many pairs of a Channel and a data class can be opened by it.
    pub fn slots(&self) -> i32 {
        self.slots.unwrap_or(DEFAULT_SLOTS)
    }

    /// How soon a use has to be reviewed.
    pub fn review_within(&self) -> &str {
        self.review_within.as_deref().unwrap_or(DEFAULT_USE_REVIEW)
    }

    /// Whether people of `group` may use it; Vault compares groups without upper and lower case.
    pub fn is_for(&self, group: &str) -> bool {
        self.groups.iter().any(|one| one.to_lowercase() == group.to_lowercase())
    }
}
