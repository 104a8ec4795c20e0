//! The key in a certificate signing request, and nothing else of it.
//!
//! Whoever makes a request writes what they like into it: names, extensions, "I am an authority". A certificate
//! of ours says what its Channel says, so all that is taken over is the public key.

use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::key::{KeyError, PublicKey};

/// A request without a key that may be certified.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Not a request, or more than one.
    #[error("it is not one PKCS #10 request in DER; a kubelet older than 1.37 makes another form of it")]
    Malformed,
    /// The key is none of ours.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Whoever made it does not have the private key.
    #[error(
        "its signature is not by its own key: whoever made it did not show that they have the private key"
    )]
    Possession,
}

/// The public key of a PKCS #10 request whose signature shows that the private key is there.
///
/// The API server has looked at that already; checking it again costs little.
///
/// # Errors
/// What is wrong with the request.
pub fn requested_key(der: &[u8]) -> Result<PublicKey, RequestError> {
    let Ok(([], request)) = X509CertificationRequest::from_der(der) else {
        return Err(RequestError::Malformed);
    };
    let key = PublicKey::from_parsed(&request.certification_request_info.subject_pki)?;
    request.verify_signature().map_err(|_| RequestError::Possession)?;
    Ok(key)
}
