//! Which Secrets a Channel has: the one that Subrosa writes, and the one that somebody else does.

use subrosa_crds::{
    Channel,
    channel::{Delivery, Issuance},
};

/// What a Channel declares of its delivery.
#[must_use]
pub fn declared_delivery(channel: &Channel) -> Delivery {
    channel.spec.tls.as_ref().and_then(|tls| tls.delivery).unwrap_or_default()
}

/// What stands in the Secret that Subrosa writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Leaf, key and trust files, to be mounted as one.
    Everything,
    /// Trust files alone: certificate and key reach the pods another way.
    Trust,
}

/// The name of the Secret with the trust files alone.
pub fn trust_name(channel: &str) -> String {
    format!("{channel}-trust")
}

/// The Secret that Subrosa writes, and what stands in it.
pub fn written(channel: &Channel, name: &str) -> (String, Holds) {
    written_for(channel, name, declared_delivery(channel))
}

/// The same while this delivery is in force, which may be another than is declared.
pub fn written_for(channel: &Channel, name: &str, delivery: Delivery) -> (String, Holds) {
    if delivery == Delivery::PodCertificate || external(channel).is_some() {
        return (trust_name(name), Holds::Trust);
    }
    let declared = channel.spec.tls.as_ref().and_then(|tls| tls.secret_name.clone());
    (declared.unwrap_or_else(|| format!("{name}-mtls")), Holds::Everything)
}

/// The Secret that is written for a Channel.
pub fn secret_name(channel: &Channel, name: &str) -> String {
    written(channel, name).0
}

/// The Secret that somebody else writes and Subrosa only reads; none unless issuance is External.
pub fn external(channel: &Channel) -> Option<&str> {
    let tls = channel.spec.tls.as_ref()?;
    // The schema asks for a name. Without one there is nothing to read, and never something to write.
    (tls.issuance == Some(Issuance::External)).then(|| tls.secret_name.as_deref().unwrap_or_default())
}

/// What a Secret of the Channel holds, by the name of the Secret.
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
            (written(&channel, "voice"), external(&channel).map(str::to_owned))
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
