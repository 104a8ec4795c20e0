//! Certificates as bytes: built, checked before they are signed, and read back.
//!
//! ```text
//!  build::prepare_* ─▶ Unsigned ─▶ check::* ─▶ Checked ──to_be_signed()──▶ Vault transit
//!                                                 │                            │
//!                                                 └────────── finish(signature)◀┘──▶ Certificate
//! ```
//!
//! The CA's private key is a transit key and never here: rcgen builds a certificate, Vault signs exactly the bytes
//! that passed [`check`], and [`check::Checked::finish`] accepts a signature only if it verifies. Decisions about
//! certificates are in `subrosa_plan::certificate`; nothing here uses the network.

pub mod authority;
pub mod build;
pub mod check;
pub mod external;
pub mod key;
pub mod observe;
pub mod presented;
pub mod request;

mod der;
#[cfg(test)]
mod tests;
mod x509;

pub use authority::AuthorityCertificate;
pub use build::{Serial, Unsigned, prepare_authority, prepare_leaf};
pub use check::{Certificate, Checked, check_authority, check_leaf};
pub use external::is_authority;
pub use key::{LeafKey, PublicKey};
pub use observe::observe;
pub use presented::presented;
pub use request::requested_key;
