//! The object of a decision, in the notation of people and kubectl.

use std::str::FromStr;

use subrosa_crds::{GROUP, VERSION, approval::TargetKind};

/// An object by kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its kind.
    pub kind: TargetKind,
    /// Whether uses of an AccessRole's break-glass are meant, and not the role itself.
    pub uses: bool,
    /// The namespace of an AccessRole or AccessGrant.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected KIND/NAME, such as destruction/contactcenter.20270201.1a2b3c4d, legalhold/matter-2026-114, \
                        retentionpolicy/contactcenter, trustdomain/oosterlinde, adoption/cc-front, \
                        accessrole/cc-front/recording-reviewer, breakglass/cc-front/recording-reviewer, \
                        accessgrant/cc-front/inc-4411 or accessrevocation/leaver-2026-114";
        let (kind, name) = text.split_once('/').ok_or_else(|| expected.to_owned())?;
        let kind = kind.to_ascii_lowercase();
        // As kubectl prints it: destruction.subrosa.dev, or with a version.
        let kind = match kind.split_once('.') {
            None => kind.as_str(),
            Some((kind, rest)) if rest == GROUP || rest == format!("{VERSION}.{GROUP}") => kind,
            Some(_) => return Err(format!("no kind of {GROUP}: {expected}")),
        };
        let uses = kind == "breakglass";
        let kind = match kind {
            "destruction" | "destructions" | "dst" => TargetKind::Destruction,
            "legalhold" | "legalholds" | "hold" => TargetKind::LegalHold,
            "retentionpolicy" | "retentionpolicies" | "rtp" => TargetKind::RetentionPolicy,
            "trustdomain" | "trustdomains" | "td" => TargetKind::TrustDomain,
            "adoption" | "adoptions" | "adopt" => TargetKind::Adoption,
            "accessgrant" | "accessgrants" | "agrant" => TargetKind::AccessGrant,
            "accessrevocation" | "accessrevocations" | "arev" => TargetKind::AccessRevocation,
            "accessrole" | "accessroles" | "arole" | "breakglass" => TargetKind::AccessRole,
            _ => return Err(format!("nobody decides about that kind: {expected}")),
        };
        let (namespace, name) = match (kind, name.split_once('/')) {
            (TargetKind::AccessRole | TargetKind::AccessGrant, Some((namespace, name))) => {
                (Some(namespace.to_owned()), name)
            }
            (TargetKind::AccessRole | TargetKind::AccessGrant, None) => {
                return Err(format!("an {} has a namespace: KIND/NAMESPACE/NAME; {expected}", kind.as_str()));
            }
            (_, _) => (None, name),
        };
        if name.is_empty() || name.contains('/') || namespace.as_deref() == Some("") {
            return Err(expected.to_owned());
        }
        Ok(Self { kind, uses, namespace, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_people_and_kubectl_do() {
        let parsed = |text: &str| text.parse::<Named>().map(|named| (named.kind, named.name));
        for text in [
            "Destruction/p.1.a",
            "destruction/p.1.a",
            "DST/p.1.a",
            "destructions.subrosa.dev/p.1.a",
            "destruction.v1alpha1.subrosa.dev/p.1.a",
        ] {
            assert_eq!(parsed(text), Ok((TargetKind::Destruction, "p.1.a".to_owned())), "{text}");
        }
        assert_eq!(parsed("hold/m").unwrap().0, TargetKind::LegalHold);
        assert_eq!(parsed("rtp/m").unwrap().0, TargetKind::RetentionPolicy);
        assert_eq!(parsed("td/m").unwrap().0, TargetKind::TrustDomain);
        assert_eq!(parsed("adoption/m").unwrap().0, TargetKind::Adoption);
        assert_eq!(parsed("arev/m").unwrap().0, TargetKind::AccessRevocation);
        let grant: Named = "agrant/cc-front/inc-4411".parse().unwrap();
        assert_eq!((grant.kind, grant.namespace.as_deref()), (TargetKind::AccessGrant, Some("cc-front")));
        let role: Named = "arole/cc-front/reviewer".parse().unwrap();
        assert_eq!((role.kind, role.namespace.as_deref()), (TargetKind::AccessRole, Some("cc-front")));
        let uses: Named = "breakglass/cc-front/reviewer".parse().unwrap();
        assert!(uses.uses && !role.uses && uses.kind == TargetKind::AccessRole);
        for wrong in [
            "breakglass/reviewer",
            "accessgrant/inc-4411",
            "accessrole/reviewer",
            "accessrole//reviewer",
            "accessrole/a/b/c",
            "accessrole/a/",
            "p.1.a",
            "Destruction/",
            "Destruction/a/b",
            "channel/x",
            "destruction.example.org/x",
        ] {
            assert!(parsed(wrong).unwrap_err().contains("KIND/NAME"), "{wrong}");
        }
    }
}
