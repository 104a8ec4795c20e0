//! A certificate by another issuer: its facts, and whether pods can use it.

use jiff::Timestamp;
use subrosa_crds::Reason;

use super::observed::Malformed;
use super::{CurrentCertificate, Observation};
use crate::world::certificate::{CLOCK_SKEW, Fingerprint, Validity, after, fraction};
use crate::world::fault::Fault;

/// The facts of a readable Secret of another issuer, without the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalFacts {
    /// Serial number, lower-case hex.
    pub serial: String,
    /// The certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// The first SPIFFE ID in it, if there is one.
    pub spiffe_id: Option<String>,
    /// The leaf's validity.
    pub validity: Validity,
    /// Why `tls.key` cannot be read, without quoting it.
    pub key_problem: Option<&'static str>,
    /// `tls.key` is the private key of the leaf.
    pub key_matches: bool,
}

/// What exists under the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedExternal {
    /// There is no such Secret.
    Missing,
    /// A Secret that Subrosa made.
    Ours,
    /// A file of it cannot be read.
    Malformed(Malformed),
    /// A leaf and a key.
    Present(ExternalFacts),
}

/// When a renewal by another issuer is late: a sixth of the life is left. cert-manager renews when a third is left,
/// so the time between is for its own retries.
#[must_use]
pub fn late(validity: Validity) -> Timestamp {
    after(validity.not_after, -fraction(validity.lifetime(), 1, 6))
}

impl From<&ObservedExternal> for Observation {
    fn from(found: &ObservedExternal) -> Self {
        match found {
            ObservedExternal::Present(facts) => CurrentCertificate::External(facts.clone()).into(),
            ObservedExternal::Missing | ObservedExternal::Ours | ObservedExternal::Malformed(_) => {
                Self::Nothing
            }
        }
    }
}

/// Whether pods can present the found certificate now.
///
/// # Errors
/// What is wrong with it, and what its issuer should do.
pub fn judge(found: &ObservedExternal, secret: &str, now: Timestamp) -> Result<(), Fault> {
    let malformed = |Malformed { field, problem }: &Malformed| {
        let what = format!("Secret {secret}: {field}: {problem}; have it issued again");
        Err(Fault::new(Reason::ExternalSecretMalformed, what))
    };
    let fault = |reason: Reason, what: String| Err(Fault::new(reason, format!("Secret {secret}: {what}")));
    match found {
        ObservedExternal::Missing => fault(
            Reason::ExternalSecretNotFound,
            "it is not there; have it issued (tls.issuance is External), or correct tls.secretName".into(),
        ),
        ObservedExternal::Ours => fault(
            Reason::ExternalSecretOurs,
            "Subrosa made it; name the Secret of the other issuer in tls.secretName, under another name"
                .into(),
        ),
        ObservedExternal::Malformed(problem) => malformed(problem),
        ObservedExternal::Present(ExternalFacts { key_problem: Some(problem), .. }) => {
            malformed(&Malformed { field: "tls.key", problem })
        }
        ObservedExternal::Present(facts) if !facts.key_matches => fault(
            Reason::ExternalKeyMismatch,
            "tls.key is not the key of tls.crt; find what writes only one of them, and have it issued again"
                .into(),
        ),
        ObservedExternal::Present(facts) if facts.validity.not_after < now => {
            let ended = facts.validity.not_after;
            fault(
                Reason::ExternalCertificateExpired,
                format!("its certificate ended at {ended}; have it issued again"),
            )
        }
        ObservedExternal::Present(facts) if facts.validity.not_before > after(now, CLOCK_SKEW) => {
            let begins = facts.validity.not_before;
            fault(
                Reason::ExternalCertificateNotYetValid,
                format!("its certificate begins at {begins}; check the clocks"),
            )
        }
        ObservedExternal::Present(_) => Ok(()),
    }
}

/// The fault of a certificate that is valid but should have been renewed.
#[must_use]
pub fn expiring(facts: &ExternalFacts, secret: &str, now: Timestamp) -> Option<Fault> {
    (late(facts.validity) <= now).then(|| {
        let ends = facts.validity.not_after;
        let message = format!(
            "Secret {secret}: its certificate ends at {ends} and was not renewed; see what its issuer says"
        );
        Fault::new(Reason::ExternalCertificateExpiring, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn facts() -> ExternalFacts {
        ExternalFacts {
            serial: "01".into(),
            fingerprint: crate::testing::fingerprint("01"),
            issuer: "CN=old".into(),
            spiffe_id: None,
            validity: Validity {
                not_before: at("2026-11-01T00:00:00Z"),
                not_after: at("2026-11-25T00:00:00Z"),
            },
            key_problem: None,
            key_matches: true,
        }
    }

    #[test]
    fn each_thing_that_is_wrong_has_its_reason() {
        let now = at("2026-11-10T00:00:00Z");
        let reason = |found, now| judge(&found, "voice-tls", now).unwrap_err().reason;
        let present = ObservedExternal::Present;
        assert_eq!(judge(&present(facts()), "voice-tls", now), Ok(()));
        assert_eq!(reason(ObservedExternal::Missing, now), Reason::ExternalSecretNotFound);
        assert_eq!(reason(ObservedExternal::Ours, now), Reason::ExternalSecretOurs);
        let malformed = Malformed { field: "tls.key", problem: "it is missing" };
        let said = judge(&ObservedExternal::Malformed(malformed), "voice-tls", now).unwrap_err();
        assert_eq!(said.reason, Reason::ExternalSecretMalformed);
        assert!(said.message.contains("tls.key: it is missing"), "{}", said.message);
        let unreadable = ExternalFacts { key_problem: Some("it is missing"), key_matches: false, ..facts() };
        assert_eq!(reason(present(unreadable), now), Reason::ExternalSecretMalformed);
        let other = ExternalFacts { key_matches: false, ..facts() };
        assert_eq!(reason(present(other), now), Reason::ExternalKeyMismatch);
        let ended = at("2026-11-25T00:00:01Z");
        assert_eq!(reason(present(facts()), ended), Reason::ExternalCertificateExpired);
        assert_eq!(
            reason(present(facts()), at("2026-10-31T23:00:00Z")),
            Reason::ExternalCertificateNotYetValid
        );
    }

    #[test]
    fn a_renewal_is_late_when_a_sixth_is_left() {
        assert_eq!(late(facts().validity), at("2026-11-21T00:00:00Z"));
        assert_eq!(expiring(&facts(), "voice-tls", at("2026-11-20T23:59:59Z")), None);
        let late = expiring(&facts(), "voice-tls", at("2026-11-21T00:00:00Z")).unwrap();
        assert!(late.reason == Reason::ExternalCertificateExpiring && late.message.contains("2026-11-25"));
    }
}
