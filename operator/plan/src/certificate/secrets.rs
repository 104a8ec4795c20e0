//! The Secrets of a Channel: the one that Subrosa writes, and the one by another issuer.

use subrosa_crds::channel::Delivery;

use crate::world::declaration::Declaration;

/// The content of the Secret that Subrosa writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Leaf, private key and trust files, to be mounted together.
    Everything,
    /// Only trust files: certificate and private key reach the pods another way.
    Trust,
}

/// The name of the Secret with only trust files.
pub fn trust_name(channel: &str) -> String {
    format!("{channel}-trust")
}

/// The Secret that Subrosa writes, and its content.
pub fn written(channel: &Declaration) -> (String, Holds) {
    written_for(channel, channel.delivery())
}

/// The same while this delivery is in force, which may differ from the declared one.
pub fn written_for(channel: &Declaration, delivery: Delivery) -> (String, Holds) {
    let name = &channel.name().name;
    if delivery == Delivery::PodCertificate || channel.external_secret().is_some() {
        return (trust_name(name), Holds::Trust);
    }
    let declared = channel.secret_name().map(str::to_owned);
    (declared.unwrap_or_else(|| format!("{name}-mtls")), Holds::Everything)
}

/// The name of the Secret that Subrosa writes for a Channel.
pub fn secret_name(channel: &Declaration) -> String {
    written(channel).0
}

/// The content of a Secret of the Channel, by its name.
pub fn holds(name: &str, channel: &str) -> Holds {
    if name == trust_name(channel) { Holds::Trust } else { Holds::Everything }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::channel;

    #[test]
    fn what_is_external_is_not_written() {
        let of = |tls| {
            let channel = channel("cc-front/voice", json!({"tls": tls}));
            (written(&channel), channel.external_secret().map(str::to_owned))
        };
        let own = |name: &str| ((name.to_owned(), Holds::Everything), None);
        assert_eq!(of(json!({})), own("voice-mtls"));
        assert_eq!(of(json!({"secretName": "sip"})), own("sip"));
        assert_eq!(of(json!({"secretName": "sip", "issuance": "Subrosa"})), own("sip"));
        let foreign = of(json!({"secretName": "sip", "issuance": "External"}));
        assert_eq!(foreign, (("voice-trust".to_owned(), Holds::Trust), Some("sip".to_owned())));
        let of_each = of(json!({"delivery": "PodCertificate", "reload": "Workload"}));
        assert_eq!(of_each, (("voice-trust".to_owned(), Holds::Trust), None));
    }
}
