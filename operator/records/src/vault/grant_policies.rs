//! The policies of grant slots. The granter's own policy in Vault allows each of them with one text, and with a ttl only.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subrosa_crds::access_grant::GrantDuration;
use subrosa_plan::roles::grants::progress::GrantPolicy;

use super::client::Vault;
use super::endpoint::{Call, Capability, Op};
use super::error::VaultError;
use super::name::PolicyName;

/// The policies of grant slots in a Vault.
#[derive(Debug, Clone)]
pub struct GrantPolicies {
    vault: Vault,
}

impl GrantPolicies {
    /// Those of that Vault.
    pub fn new(vault: Vault) -> Self {
        Self { vault }
    }

    /// A policy; `None` where there is none, or its time is over.
    ///
    /// It is read at the older path, since parameters that are required of a write are asked of a read too.
    pub async fn read(&self, name: &str) -> Result<Option<GrantPolicy>, VaultError> {
        let path = format!("sys/policy/{}", PolicyName::new(name)?);
        let op = Op::new("grant.policy", path.as_str(), &[Capability::Read]);
        let answer = self.vault.exec(&op, &Call::<(), PolicyAnswer>::get(path.as_str())).await?;
        let found = answer.and_then(|envelope| envelope.data);
        Ok(found.map(|found| GrantPolicy { expires: found.expiration }))
    }

    /// Writes a policy that Vault removes after `duration`.
    pub async fn write(&self, name: &str, text: &str, duration: GrantDuration) -> Result<(), VaultError> {
        let path = format!("sys/policies/acl/{}", PolicyName::new(name)?);
        let op = Op::new("grant.policy.write", path.as_str(), &[Capability::Update]).once();
        let body = Written { policy: text, ttl: duration.as_str() };
        self.vault.exec(&op, &Call::<_, serde_json::Value>::post(path.as_str(), body)).await.map(|_| ())
    }

    /// Removes a policy: what it opened is closed with the next request. Idempotent.
    pub async fn remove(&self, name: &str) -> Result<(), VaultError> {
        let path = format!("sys/policies/acl/{}", PolicyName::new(name)?);
        let op = Op::new("grant.policy.remove", path.as_str(), &[Capability::Delete]);
        self.vault.exec(&op, &Call::<(), serde_json::Value>::delete(path.as_str())).await.map(|_| ())
    }
}

#[derive(Serialize)]
struct Written<'a> {
    policy: &'a str,
    ttl: &'a str,
}

#[derive(Deserialize)]
struct PolicyAnswer {
    #[serde(default)]
    expiration: Option<Timestamp>,
}
