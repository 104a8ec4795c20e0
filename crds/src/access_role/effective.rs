//! What an AccessRole gives as it stands, rule by rule.

use std::borrow::Borrow;

use data_encoding::HEXLOWER;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{AccessAction, ClassRight};
use crate::{
    access_grant::{GrantDuration, RoleGrants},
    trust_domain::ACCOUNTS_LOGIN,
};

/// How many rules a status lists.
pub const MAX_RULES: usize = 50;

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRules {
    /// How many rules there are.
    pub count: i32,
    /// That single persons can get it for a time; absent where nobody can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<EffectiveGrants>,
    /// SHA-256 of all rules, and of `grants` (docs/access.md has the form). It is that of `status.digest` while everything that the role names
    /// is in force.
    pub digest: String,
    /// Each of them, sorted: at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rules: Vec<AccessRule>,
}

/// How single persons can get the same for a time, by AccessGrants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveGrants {
    /// The longest time.
    pub max: GrantDuration,
    /// How many other people have to approve each grant.
    pub approvals: i32,
}

impl From<&RoleGrants> for EffectiveGrants {
    fn from(grants: &RoleGrants) -> Self {
        Self { max: grants.max, approvals: grants.approvals() }
    }
}

/// What members of a group, or a ServiceAccount, may do with a data class of a Channel, after a login. Names only: no part of it stands for several.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessRule {
    /// The login that they have to use.
    pub login: String,
    /// The group of the provider, in lower case, as Vault compares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// In its place the ServiceAccount of the AccessRole's namespace: a machine, of which no second factor is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// The Channel, of the AccessRole's namespace.
    pub channel: String,
    /// The data class.
    pub data_class: String,
    /// What they may do: `Open`, `Seal` or `List`.
    pub action: AccessAction,
}

impl AccessRule {
    /// What `who` may do after `login`: a ServiceAccount where the login is theirs, otherwise a group.
    pub fn new(login: &str, who: &str, (channel, class, action): &ClassRight) -> Self {
        let is_account = login == ACCOUNTS_LOGIN;
        Self {
            login: login.to_owned(),
            group: (!is_account).then(|| who.to_owned()),
            service_account: is_account.then(|| who.to_owned()),
            channel: channel.clone(),
            data_class: class.clone(),
            action: *action,
        }
    }

    /// The group or the ServiceAccount.
    pub fn who(&self) -> &str {
        self.group.as_deref().or(self.service_account.as_deref()).unwrap_or_default()
    }
}

/// How long a session lasts, and what that means for a group that the provider takes from a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionStatus {
    /// How long a session of the login lasts.
    pub ttl: String,
    /// How long a right lasts after the provider took the group away, at most: such as `21m`, or `Unknown`.
    pub outlives: String,
    /// Why it is that long, or not known.
    pub message: String,
}

/// SHA-256 over `rules`, which are sorted, and `grants`. Each rule is a line: a JSON array of login, group or ServiceAccount, channel,
/// data class and action. The last line is that of `grants`, where there are any: the word `grants`, the longest time and how many approve.
pub fn rules_digest(
    rules: impl IntoIterator<Item = impl Borrow<AccessRule>>,
    grants: Option<&EffectiveGrants>,
) -> String {
    let mut hash = Sha256::new();
    let mut line = |bytes: Vec<u8>| {
        hash.update(bytes);
        hash.update(b"\n");
    };
    for rule in rules {
        let rule = rule.borrow();
        let AccessRule { login, channel, data_class, action, .. } = rule;
        // Texts and numbers always serialize.
        line(serde_json::to_vec(&(login, rule.who(), channel, data_class, action)).unwrap_or_default());
    }
    if let Some(EffectiveGrants { max, approvals }) = grants {
        line(serde_json::to_vec(&("grants", max, approvals)).unwrap_or_default());
    }
    format!("sha256:{}", HEXLOWER.encode(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What docs/access.md says that `jq -c` and `sha256sum` find.
    #[test]
    fn anybody_can_compute_the_digest() {
        let right = ("voice".to_owned(), "call-recording".to_owned(), AccessAction::Open);
        let rule = |group: &str| AccessRule::new("strong", group, &right);
        let rules = [rule("/staff/cc quality"), rule("cc-quality")];
        let text = "[\"strong\",\"/staff/cc quality\",\"voice\",\"call-recording\",\"Open\"]\n\
                    [\"strong\",\"cc-quality\",\"voice\",\"call-recording\",\"Open\"]\n";
        let of = |text: &str| format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(text)));
        assert_eq!(rules_digest(&rules, None), of(text));
        assert_ne!(rules_digest(&rules[..1], None), of(text));
        let nothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(rules_digest(&rules[..0], None), nothing);
        let grants = EffectiveGrants { max: GrantDuration::Eight, approvals: 2 };
        let with_grants = format!("{text}[\"grants\",\"8h\",2]\n");
        assert_eq!(rules_digest(&rules, Some(&grants)), of(&with_grants));
    }
}
