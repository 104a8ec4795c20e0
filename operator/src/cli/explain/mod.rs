//! `subrosa explain`: what was made for an object, why it is in its state, and the next step.

pub(super) mod access;
pub(super) mod adoption;
mod channel;
mod conditions;
pub(super) mod ends;
mod others;
pub(super) mod page;
mod preset;

use std::str::FromStr;

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use subrosa_crds::{
    AccessGrant, AccessRole, Adoption, Channel, Destruction, ExternalParty, LegalHold, RetentionPolicy,
    TrustDomain, preset::Preset,
};

use super::{
    cluster::{ClusterClient, ClusterTarget},
    exit::Exit,
    output::Screen,
};
use page::Page;

const EXAMPLES: &str = "\
Examples:
  subrosa explain channel/voice -n cc-front
  subrosa explain td/oosterlinde
  subrosa explain xp/carrier              # also: rtp/contactcenter, hold/matter-2026-114
  subrosa explain dst/contactcenter.20270201.1a2b3c4d
  subrosa explain adoption/cc-front-rebuilt
  subrosa explain accessrole/recording-reviewer -n cc-front
  subrosa explain accessgrant/inc-4411 -n cc-front
  subrosa explain preset/postgresql       # needs no cluster";

/// Tells what an object became, why it is as it is, and the next steps
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The object: channel/NAME, trustdomain/NAME, externalparty/NAME, retentionpolicy/NAME, legalhold/NAME,
    /// destruction/NAME, adoption/NAME, accessrole/NAME, accessgrant/NAME or preset/NAME
    #[arg(value_name = "KIND/NAME")]
    object: Object,
    #[command(flatten)]
    target: ClusterTarget,
    /// The namespace of a Channel, an AccessRole or an AccessGrant [default: that of the kubeconfig's context]
    #[arg(short, long)]
    namespace: Option<String>,
}

/// An object by kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    kind: Kind,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Channel,
    TrustDomain,
    ExternalParty,
    RetentionPolicy,
    LegalHold,
    Destruction,
    Adoption,
    AccessRole,
    AccessGrant,
    Preset(Preset),
}

impl FromStr for Object {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || "expected KIND/NAME, such as channel/voice, td/oosterlinde, xp/carrier or rtp/contactcenter";
        let (kind, name) = text.split_once('/').filter(|(_, name)| !name.is_empty()).ok_or_else(expected)?;
        let kind = match kind.to_ascii_lowercase().as_str() {
            "channel" | "channels" | "chan" => Kind::Channel,
            "trustdomain" | "trustdomains" | "td" => Kind::TrustDomain,
            "externalparty" | "externalparties" | "xp" => Kind::ExternalParty,
            "retentionpolicy" | "retentionpolicies" | "rtp" => Kind::RetentionPolicy,
            "legalhold" | "legalholds" | "hold" => Kind::LegalHold,
            "destruction" | "destructions" | "dst" => Kind::Destruction,
            "adoption" | "adoptions" | "adopt" => Kind::Adoption,
            "accessrole" | "accessroles" | "arole" => Kind::AccessRole,
            "accessgrant" | "accessgrants" | "agrant" => Kind::AccessGrant,
            "preset" | "presets" => Kind::Preset(preset_named(name)?),
            _ => return Err(format!("no such kind: {}", expected())),
        };
        if name.contains('/') {
            return Err(format!("the namespace goes to -n: {}", expected()));
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

fn preset_named(name: &str) -> Result<Preset, String> {
    let known = Preset::ALL.into_iter().find(|preset| preset.as_str().eq_ignore_ascii_case(name));
    known.ok_or_else(|| {
        let names: Vec<_> = Preset::ALL.iter().map(|preset| preset.as_str()).collect();
        format!("no such preset: there are {}", names.join(", "))
    })
}

/// Runs the command.
///
/// # Errors
/// When the cluster cannot be read or has no such object.
pub async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    if let Kind::Preset(preset) = args.object.kind {
        let mut page = Page::new(screen.paint());
        preset::describe(preset, &mut page);
        screen.print(&page.text())?;
        return Ok(Exit::Done);
    }
    let cluster = args.target.connect().await?;
    let mut page = Page::new(screen.paint());
    let found = describe(args, &cluster, Timestamp::now(), &mut page).await?;
    if !found {
        return Err(anyhow!("there is no such object: {} ({})", args.object.name, absent(args, &cluster)));
    }
    screen.print(&page.text())?;
    Ok(Exit::Done)
}

fn absent(args: &Args, cluster: &ClusterClient) -> String {
    match args.object.kind {
        Kind::Channel => {
            let namespace = args.namespace.as_deref().unwrap_or_else(|| cluster.namespace());
            format!("Channel in namespace {namespace}; subrosa status -A shows those of all")
        }
        Kind::AccessGrant => {
            let namespace = args.namespace.as_deref().unwrap_or_else(|| cluster.namespace());
            format!("AccessGrant in namespace {namespace}; kubectl get accessgrants -A shows those of all")
        }
        Kind::AccessRole => {
            let namespace = args.namespace.as_deref().unwrap_or_else(|| cluster.namespace());
            format!("AccessRole in namespace {namespace}; kubectl get accessroles -A shows those of all")
        }
        kind => format!("{kind:?}; subrosa status shows what there is"),
    }
}

async fn describe(args: &Args, cluster: &ClusterClient, now: Timestamp, page: &mut Page) -> Result<bool> {
    let name = &args.object.name;
    Ok(match args.object.kind {
        Kind::Channel => {
            let namespace = args.namespace.as_deref().unwrap_or_else(|| cluster.namespace());
            let found = cluster.get_in::<Channel>(namespace, name).await?;
            found.map(|channel| channel::describe(&channel, now, page)).is_some()
        }
        Kind::TrustDomain => {
            let found = cluster.get::<TrustDomain>(name).await?;
            found.map(|domain| others::trust_domain(&domain, now, page)).is_some()
        }
        Kind::ExternalParty => {
            let found = cluster.get::<ExternalParty>(name).await?;
            found.map(|party| others::external_party(&party, now, page)).is_some()
        }
        Kind::RetentionPolicy => {
            let found = cluster.get::<RetentionPolicy>(name).await?;
            found.map(|policy| others::retention_policy(&policy, now, page)).is_some()
        }
        Kind::LegalHold => {
            let found = cluster.get::<LegalHold>(name).await?;
            found.map(|hold| ends::legal_hold(&hold, now, page)).is_some()
        }
        Kind::Destruction => {
            let found = cluster.get::<Destruction>(name).await?;
            found.map(|destruction| ends::destruction(&destruction, now, page)).is_some()
        }
        Kind::Adoption => {
            let found = cluster.get::<Adoption>(name).await?;
            found.map(|adoption| adoption::describe(&adoption, now, page)).is_some()
        }
        Kind::AccessRole => {
            let namespace = args.namespace.as_deref().unwrap_or_else(|| cluster.namespace());
            let found = cluster.get_in::<AccessRole>(namespace, name).await?;
            found.map(|role| access::role(&role, now, page)).is_some()
        }
        Kind::AccessGrant => {
            let namespace = args.namespace.as_deref().unwrap_or_else(|| cluster.namespace());
            match cluster.get_in::<AccessGrant>(namespace, name).await? {
                Some(grant) => {
                    let role = cluster.get_in::<AccessRole>(namespace, &grant.spec.role).await?;
                    access::grant(&grant, role.as_ref(), now, page);
                    true
                }
                None => false,
            }
        }
        Kind::Preset(preset) => {
            preset::describe(preset, page);
            true
        }
    })
}

#[cfg(test)]
mod tests {
    use subrosa_crds::channel::PendingNameStatus;

    use super::*;
    use crate::cli::{output::Paint, testing};

    fn page(describe: impl FnOnce(&mut Page)) -> String {
        let mut page = Page::new(Paint(false));
        describe(&mut page);
        page.text()
    }

    #[test]
    fn a_channel_is_told_in_words() {
        let text = page(|page| channel::describe(&testing::voice(), testing::now(), page));
        insta::assert_snapshot!("channel", text);
    }

    #[test]
    fn a_preset_is_told_in_words_and_what_it_gave_a_channel_too() {
        let text = page(|page| preset::describe(Preset::Postfix, page));
        insta::assert_snapshot!("preset", text);
        let mut channel = testing::voice();
        channel.spec.preset = Some(Preset::Asterisk);
        channel.spec.listeners.clear();
        channel.spec.type_ = None;
        let text = page(|page| channel::describe(&channel, testing::now(), page));
        assert!(text.contains("sips (5061/TCP), rtp (10000-20000/UDP)"), "{text}");
        assert!(text.contains("Asterisk gives its listeners, type Voice, tls.reload None"), "{text}");
        assert!(text.contains("5038/TCP") && text.contains("in workload.ref, so that Asterisk"), "{text}");
    }

    #[test]
    fn a_channel_that_nobody_looked_at_says_so() {
        let mut new = testing::voice();
        new.status = None;
        let text = page(|page| channel::describe(&new, testing::now(), page));
        assert!(
            text.contains("Ready Unknown (NotReconciled)") && text.contains("see whether the operator runs"),
            "{text}"
        );
    }

    #[test]
    fn names_that_wait_for_another_authority_are_told_with_their_day() {
        let mut channel = testing::voice();
        let status = channel.status.as_mut().unwrap();
        let name = |name: &str| PendingNameStatus { name: name.into(), from: "2027-03-01T00:00:00Z".into() };
        status.pending_names = vec![name("sbc.oosterlinde.nl"), name("pbx.oosterlinde.nl")];
        let text = page(|page| channel::describe(&channel, testing::now(), page));
        for name in ["sbc.oosterlinde.nl", "pbx.oosterlinde.nl"] {
            let line = text.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{text}"));
            assert!(line.contains("2027-03-01"), "{line}");
        }
    }

    #[test]
    fn the_others_are_told_in_words() {
        let domain = page(|page| others::trust_domain(&testing::domain(), testing::now(), page));
        let party = page(|page| others::external_party(&testing::party(), testing::now(), page));
        let policy = page(|page| others::retention_policy(&testing::policy(), testing::now(), page));
        insta::assert_snapshot!("others", format!("{domain}\n{party}\n{policy}"));
    }

    #[test]
    fn the_end_of_data_is_told_in_words() {
        let hold = page(|page| ends::legal_hold(&testing::hold(), testing::now(), page));
        let order = page(|page| ends::destruction(&testing::destruction(), testing::now(), page));
        insta::assert_snapshot!("ends", format!("{hold}\n{order}"));
        let (mut hold, mut order) = (testing::hold(), testing::destruction());
        (hold.status, order.status) = (None, None);
        let hold = page(|page| ends::legal_hold(&hold, testing::now(), page));
        let order = page(|page| ends::destruction(&order, testing::now(), page));
        for new in [hold, order] {
            assert!(new.contains("see whether the destroyer runs") && !new.contains("operator"), "{new}");
        }
    }

    #[test]
    fn an_adoption_is_told_in_words() {
        let told = |status: serde_json::Value| {
            let adoption: Adoption = serde_json::from_value(serde_json::json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "Adoption", "metadata": {"name": "rebuilt"},
                "spec": {
                    "trustDomain": "oosterlinde", "requestedBy": "eva",
                    "channels": [
                        {"namespace": "cc-front", "name": "voice", "id": "6uy4zq2mbcde3fgh", "adopts": "kz7w2hqpaabc4def"},
                        {"namespace": "cc-front", "name": "chat", "id": "7uy4zq2mbcde3fgh", "adopts": "lz7w2hqpaabc4def"},
                    ],
                },
                "status": status,
            }))
            .unwrap();
            page(|page| adoption::describe(&adoption, testing::now(), page))
        };
        let new = told(serde_json::json!({}));
        assert!(
            new.contains("the operator has not looked at it yet") && new.contains("but for eva"),
            "{new}"
        );
        let ready = |reason: &str, message: &str| {
            serde_json::json!([{
                "type": "Ready", "status": "False", "reason": reason, "message": message,
                "lastTransitionTime": "2026-11-20T10:00:00Z",
            }])
        };
        let waits = told(serde_json::json!({
            "state": "AwaitingApproval", "approvals": "1/2", "adopted": 0, "total": 2,
            "approvedBy": [{"approver": "anna", "approval": "a-1", "uid": "u", "at": "2026-11-20T09:00:00Z"}],
            "channels": [
                {"adopts": "kz7w2hqpaabc4def", "state": "AwaitingApproval"},
                {"adopts": "lz7w2hqpaabc4def", "state": "NameDiffers", "message": "it was Channel cc-front/mail"},
            ],
            "conditions": ready("AwaitingApproval", "1 of 2 people approve, beside who asks"),
        }));
        let lost = told(serde_json::json!({
            "state": "AdoptionLost", "approvals": "0/2", "adopted": 1, "adoptedAt": "2026-11-01T09:00:00Z",
            "channels": [
                {"adopts": "kz7w2hqpaabc4def", "state": "Adopted"},
                {"adopts": "lz7w2hqpaabc4def", "state": "AdoptionLost", "message": "the records do not have it"},
            ],
            "conditions": ready("AdoptionLost", "1 of 2 are adopted, and 1 were"),
        }));
        insta::assert_snapshot!("adoption", format!("{waits}\n{lost}"));
    }

    #[test]
    fn an_access_role_is_told_in_words() {
        let text = page(|page| access::role(&testing::access_role(), testing::now(), page));
        insta::assert_snapshot!("access_role", text);
        let mut new = testing::access_role();
        new.status = None;
        let text = page(|page| access::role(&new, testing::now(), page));
        assert!(text.contains("the granter has not looked at it yet"), "{text}");
    }

    #[test]
    fn an_access_grant_is_told_in_words() {
        let role = testing::access_role();
        let told = |grant: &AccessGrant, role: Option<&AccessRole>| {
            page(|page| access::grant(grant, role, testing::now(), page))
        };
        let in_force = told(&testing::access_grant(), Some(&role));
        let mut new = testing::access_grant();
        new.status = None;
        let new = told(&new, None);
        insta::assert_snapshot!("access_grant", format!("{in_force}\n{new}"));
    }

    #[test]
    fn objects_are_named_as_with_kubectl() {
        let parsed = |text: &str| text.parse::<Object>().map(|object| (object.kind, object.name));
        assert_eq!(parsed("channel/voice"), Ok((Kind::Channel, "voice".into())));
        assert_eq!(parsed("adoptions/rebuilt"), Ok((Kind::Adoption, "rebuilt".into())));
        assert_eq!(parsed("arole/reviewer"), Ok((Kind::AccessRole, "reviewer".into())));
        assert_eq!(parsed("agrant/inc-4411"), Ok((Kind::AccessGrant, "inc-4411".into())));
        assert_eq!(parsed("XP/carrier"), Ok((Kind::ExternalParty, "carrier".into())));
        assert_eq!(parsed("preset/postgresql"), Ok((Kind::Preset(Preset::PostgreSQL), "postgresql".into())));
        assert!(parsed("preset/oracle").unwrap_err().contains("Kamailio, "));
        for wrong in ["voice", "channel/", "pod/x", "channel/cc-front/voice"] {
            assert!(parsed(wrong).unwrap_err().contains("channel/voice"), "{wrong}");
        }
    }
}
