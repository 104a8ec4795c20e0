//! The installation for which objects are generated.

use std::fmt;

use subrosa_crds::names::{DNS_LABEL_LENGTH, is_dns_label};

/// The destroyer's ServiceAccount, in the operator's namespace. The name is fixed, because admission policies and the
/// role in Vault refer to it.
pub const DESTROYER_ACCOUNT: &str = "subrosa-destroyer";

/// The granter's ServiceAccount, in the operator's namespace. Its name is fixed, as the destroyer's is.
pub const GRANTER_ACCOUNT: &str = "subrosa-granter";

/// The longest reference of an image that is taken.
const MAX_IMAGE: usize = 512;

/// The operator's namespace and ServiceAccount, and the choices of an installation.
///
/// The names are part of CEL expressions, so only valid ones are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    namespace: String,
    service_account: String,
    token_secrets: Vec<String>,
    confirm_deletion: bool,
    worker_image: Option<String>,
}

/// A name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInstallation {
    /// It is no DNS label.
    #[error(
        "{field} {name:?}: expected an RFC 1123 label of at most {DNS_LABEL_LENGTH} characters (a-z, 0-9 and '-', \
         not first or last): give the name as the cluster has it"
    )]
    NoLabel {
        /// The field.
        field: &'static str,
        /// The text.
        name: String,
    },
    /// It is no reference of an image.
    #[error(
        "worker image {0:?}: expected a reference such as registry.example/subrosa@sha256:…, without spaces and quotes"
    )]
    NoImage(String),
    /// The operator would have the destroyer's ServiceAccount.
    #[error(
        "service account {DESTROYER_ACCOUNT:?}: it is the destroyer's, and who lists keys for destruction must not be who \
         destroys them: give the operator a ServiceAccount of its own"
    )]
    OfDestroyer,
    /// The operator would have the granter's ServiceAccount.
    #[error(
        "service account {GRANTER_ACCOUNT:?}: it is the granter's, and who says what can be opened must not be who says by \
         whom: give the operator a ServiceAccount of its own"
    )]
    OfGranter,
}

impl Installation {
    /// The operator as ServiceAccount `service_account` of `namespace`.
    ///
    /// # Errors
    /// When one of them is no DNS label, or the ServiceAccount is the destroyer's or the granter's.
    pub fn new(namespace: &str, service_account: &str) -> Result<Self, InvalidInstallation> {
        if service_account == DESTROYER_ACCOUNT {
            return Err(InvalidInstallation::OfDestroyer);
        }
        if service_account == GRANTER_ACCOUNT {
            return Err(InvalidInstallation::OfGranter);
        }
        Ok(Self {
            namespace: label("namespace", namespace)?,
            service_account: label("service account", service_account)?,
            token_secrets: Vec::new(),
            confirm_deletion: true,
            worker_image: None,
        })
    }

    /// The image from which backup workers run: the operator may write no CronJob with another, and none without it.
    ///
    /// # Errors
    /// When it is no reference of an image.
    pub fn with_worker_image(mut self, image: &str) -> Result<Self, InvalidInstallation> {
        let valid = |letter: char| letter.is_ascii_alphanumeric() || "._-/:@".contains(letter);
        if image.is_empty() || image.len() > MAX_IMAGE || !image.chars().all(valid) {
            return Err(InvalidInstallation::NoImage(image.chars().take(DNS_LABEL_LENGTH).collect()));
        }
        self.worker_image = Some(image.to_owned());
        Ok(self)
    }

    /// Secrets in the operator's namespace that it may read, because a TrustDomain names them in `vault.auth.token`.
    /// For development: an installation that logs in with its own identity has none.
    ///
    /// # Errors
    /// When a name is no DNS label.
    pub fn with_token_secrets(mut self, names: &[&str]) -> Result<Self, InvalidInstallation> {
        self.token_secrets =
            names.iter().map(|name| label("token secret", name)).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Without the policy that requires a confirmation of deletions.
    #[must_use]
    pub fn without_deletion_confirmation(mut self) -> Self {
        self.confirm_deletion = false;
        self
    }

    /// The operator's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The operator's ServiceAccount.
    pub fn service_account(&self) -> &str {
        &self.service_account
    }

    /// Secrets the operator may read in its own namespace.
    pub fn token_secrets(&self) -> &[String] {
        &self.token_secrets
    }

    /// The image from which backup workers run.
    pub fn worker_image(&self) -> Option<&str> {
        self.worker_image.as_deref()
    }

    /// Whether deletions need a confirmation.
    pub fn confirms_deletion(&self) -> bool {
        self.confirm_deletion
    }

    /// The operator's user name in requests to the API server.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.service_account)
    }

    /// The destroyer's user name in requests to the API server.
    pub fn destroyer_user(&self) -> String {
        format!("system:serviceaccount:{}:{DESTROYER_ACCOUNT}", self.namespace)
    }

    /// The granter as the API server names it in a request.
    pub fn granter_user(&self) -> String {
        format!("system:serviceaccount:{}:{GRANTER_ACCOUNT}", self.namespace)
    }
}

/// `subrosa-system/subrosa`, as in `deploy/`.
impl Default for Installation {
    fn default() -> Self {
        Self {
            namespace: "subrosa-system".to_owned(),
            service_account: "subrosa".to_owned(),
            token_secrets: Vec::new(),
            confirm_deletion: true,
            worker_image: None,
        }
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service_account)
    }
}

fn label(field: &'static str, name: &str) -> Result<String, InvalidInstallation> {
    if is_dns_label(name) {
        Ok(name.to_owned())
    } else {
        Err(InvalidInstallation::NoLabel { field, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_cannot_leave_a_cel_string_are_held() {
        for bad in ["", "-a", "a-", "A", "a'b", "a.b", "a\nb", "a' || true || '", &"a".repeat(64)] {
            assert!(Installation::new(bad, "subrosa").is_err(), "{bad:?}");
            assert!(Installation::new("subrosa-system", bad).is_err(), "{bad:?}");
            assert!(Installation::default().with_token_secrets(&[bad]).is_err(), "{bad:?}");
        }
        let error = Installation::new("a'b", "subrosa").unwrap_err().to_string();
        assert!(error.contains("namespace \"a'b\"") && error.contains("RFC 1123"), "{error}");
        let error = Installation::new("subrosa-system", DESTROYER_ACCOUNT).unwrap_err().to_string();
        assert!(error.contains("ServiceAccount of its own"), "{error}");
    }

    #[test]
    fn the_default_is_a_valid_installation() {
        assert_eq!(Installation::default(), Installation::new("subrosa-system", "subrosa").unwrap());
        assert_eq!(Installation::default().user(), "system:serviceaccount:subrosa-system:subrosa");
    }
}
