//! What the demo claims of its handshakes, and how each claim is checked.

use std::fmt;

use anyhow::Result;
use kube::Client;

use super::{
    DOMAIN,
    handshake::{Files, HandshakeResult, shake},
};

/// A Channel: namespace and name.
type Name = (&'static str, &'static str);

/// What becomes of a client that connects to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Both ends accept each other, and see who the other is.
    Allowed,
    /// The client does not accept the server.
    RefusedByClient,
    /// The server does not accept a client that would trust anybody.
    RefusedByServer,
}

/// One claim.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    client: Name,
    server: Name,
    expected: Expected,
    why: &'static str,
}

const IVR: Name = ("cc-front", "ivr");
const DB: Name = ("cc-data", "db");
const PORTAL: Name = ("cc-web", "portal");
const RECORDER: Name = ("cc-records", "recorder");

/// The claims, in the order in which they are shown.
pub const CLAIMS: [Claim; 4] = [
    Claim { client: IVR, server: DB, expected: Expected::Allowed, why: "both ends declare it" },
    Claim {
        client: DB,
        server: IVR,
        expected: Expected::RefusedByServer,
        why: "declared the other way only",
    },
    Claim {
        client: PORTAL,
        server: RECORDER,
        expected: Expected::RefusedByClient,
        why: "nobody declares it",
    },
    Claim {
        client: PORTAL,
        server: RECORDER,
        expected: Expected::RefusedByServer,
        why: "though this portal trusts whatever answers",
    },
];

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (client, server) = (show(self.client), show(self.server));
        let what = match self.expected {
            Expected::Allowed => "allowed".to_owned(),
            Expected::RefusedByClient => format!("refused by {}", self.client.1),
            Expected::RefusedByServer => format!("refused by {}", self.server.1),
        };
        write!(f, "{client} connects to {server}: {what}, {}", self.why)
    }
}

impl Claim {
    /// Whether the claim holds, and what was seen.
    ///
    /// # Errors
    /// When a Secret cannot be read or used.
    pub async fn check(&self, client: &Client) -> Result<(bool, String)> {
        let server = Files::read(client, self.server.0, self.server.1).await?;
        let files = Files::read(client, self.client.0, self.client.1).await?;
        let files = match self.expected {
            Expected::RefusedByServer => files.trusting(&server),
            Expected::Allowed | Expected::RefusedByClient => files,
        };
        let name = format!("{}.{}.svc", self.server.1, self.server.0);
        Ok(self.judge(&shake(&server, &files, &name).await?))
    }

    fn judge(&self, outcome: &HandshakeResult) -> (bool, String) {
        let (client, server) = (self.client.1, self.server.1);
        // An end that broke for another reason than the other's authority proves nothing.
        let unknown =
            |seen: &Result<String, String>| seen.as_ref().is_err_and(|error| error.contains("UnknownIssuer"));
        let held = match self.expected {
            Expected::Allowed => {
                outcome.server == Ok(spiffe_id(self.client)) && outcome.client == Ok(spiffe_id(self.server))
            }
            Expected::RefusedByClient => !outcome.talked() && unknown(&outcome.client),
            Expected::RefusedByServer => !outcome.talked() && unknown(&outcome.server),
        };
        let said = |end: &str, seen: &Result<String, String>| match seen {
            Ok(id) => format!("{end} sees {id}"),
            Err(error) => format!("{end}: {error}"),
        };
        (held, format!("{}\n{}", said(client, &outcome.client), said(server, &outcome.server)))
    }
}

fn show((namespace, name): Name) -> String {
    format!("{namespace}/{name}")
}

fn spiffe_id((namespace, name): Name) -> String {
    format!("spiffe://{DOMAIN}/ns/{namespace}/channel/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(error: &str) -> Result<String, String> {
        Err(format!("invalid peer certificate: {error}"))
    }

    #[test]
    fn a_claim_holds_only_for_its_own_reason() {
        let [allowed, _, by_client, by_server] = CLAIMS;
        let both = HandshakeResult { server: Ok(spiffe_id(IVR)), client: Ok(spiffe_id(DB)) };
        assert!(allowed.judge(&both).0);
        let another = HandshakeResult { server: Ok(spiffe_id(PORTAL)), ..both.clone() };
        assert!(!allowed.judge(&another).0, "somebody else's identity");
        assert!(!by_client.judge(&both).0 && !by_server.judge(&both).0, "nobody refused");

        let at_client = HandshakeResult { client: refused("UnknownIssuer"), server: refused("alert") };
        assert!(by_client.judge(&at_client).0);
        assert!(!by_server.judge(&at_client).0 && !allowed.judge(&at_client).0);
        let expired = HandshakeResult { client: refused("Expired"), server: refused("Expired") };
        assert!(!by_client.judge(&expired).0 && !by_server.judge(&expired).0, "broken, not refused");
    }
}
