//! A certificate that a server presented: its identity, and whether the Channel's own authority signed it.

use subrosa_plan::world::{answers::Presented, pem};

use super::x509;

/// The facts of a presented certificate; `None` where it does not parse. `authorities` are PEM certificates of the
/// Channel's own generations. The signer is found by verifying the signature, not by name.
#[must_use]
pub fn presented(der: &[u8], authorities: &[String]) -> Option<Presented> {
    let leaf = x509::certificate(der)?;
    let signed_by = |authority: &[u8]| {
        x509::certificate(authority).is_some_and(|authority| {
            leaf.issuer.as_raw() == authority.subject.as_raw()
                && leaf.verify_signature(Some(&authority.subject_pki)).is_ok()
        })
    };
    let ours = authorities.iter().flat_map(|text| pem::certificates(text).unwrap_or_default());
    Some(Presented {
        fingerprint: x509::fingerprint(der),
        serial: x509::serial_hex(&leaf),
        ours: { ours }.any(|authority| signed_by(&authority)),
        not_after: x509::validity(&leaf).map(|validity| validity.not_after),
    })
}
