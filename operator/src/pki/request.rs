//! Reads the public key of a certificate signing request.
//!
//! A request may claim any names and extensions, such as being a CA. Our certificates follow the Channel's
//! declaration, so nothing but the public key is used.

use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::key::{KeyError, PublicKey};

/// Why a request has no usable key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Not a request, or more than one.
    #[error("it is not one PKCS #10 request in DER; a kubelet older than 1.37 makes another form of it")]
    Malformed,
    /// The key has an unsupported type.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Whoever made it does not have the private key.
    #[error(
        "its signature is not by its own key: whoever made it did not show that they have the private key"
    )]
    Possession,
}

/// The public key of a PKCS #10 request whose signature proves possession of the private key.
///
/// The API server checked that already; checking again costs little.
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
