//! The login of ServiceAccounts.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::access::{DEFAULT_TTL, seconds_of};
use crate::rules;

/// The name of the login, and of its role in Vault.
pub const ACCOUNTS_LOGIN: &str = "service-accounts";
/// The audience of their tokens unless said otherwise.
const DEFAULT_AUDIENCE: &str = "subrosa-access";
/// How many pairs of a Channel and a data class they can open unless said otherwise.
const DEFAULT_SLOTS: i32 = 8;

/// A login for ServiceAccounts of the TrustDomain's namespaces that AccessRoles name: a machine, so there is no second factor. It has an
/// auth mount of its own: that of the provider and `-service-accounts`. `subrosa vault-setup` writes it; run it again after each change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountsLogin {
    /// The audience that a ServiceAccount's token must have; `subrosa-access` unless said otherwise. One that no other login takes,
    /// such as that of workloads, keeps a token from logging in at both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = rules::CLAIM_VALUE))]
    pub audience: Option<String>,
    /// How long a session lasts, such as `15m`: 1m to 99m, or 1h to 12h; `15m` unless said otherwise. It cannot be renewed: a Job that
    /// runs longer logs in again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 3))]
    #[x_kube(validation = Rule::new("self.matches('^([1-9]|[1-9][0-9])m$') || self.matches('^([1-9]|1[0-2])h$')")
        .message("must be 1m to 99m or 1h to 12h, such as 15m"))]
    pub ttl: Option<String>,
    /// How many pairs of a Channel and a data class AccessRoles of ServiceAccounts can open; 8 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub slots: Option<i32>,
    /// How many pairs of a Channel and a data class they can seal; none unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 256))]
    pub seal_slots: Option<i32>,
}

impl ServiceAccountsLogin {
    /// The audience of a ServiceAccount's token.
    pub fn audience(&self) -> &str {
        self.audience.as_deref().unwrap_or(DEFAULT_AUDIENCE)
    }

    /// How long a session lasts.
    pub fn ttl(&self) -> &str {
        self.ttl.as_deref().unwrap_or(DEFAULT_TTL)
    }

    /// How many seconds a session lasts.
    pub fn ttl_seconds(&self) -> u32 {
        seconds_of(self.ttl())
    }

    /// How many pairs of a Channel and a data class can be opened by it.
    pub fn slots(&self) -> i32 {
        self.slots.unwrap_or(DEFAULT_SLOTS)
    }
}
