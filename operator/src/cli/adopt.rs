//! `subrosa adopt`: prints what a person must write to confirm a choice: another or new store in Vault, recreated
//! namespaces, and the keys that deleted ones left.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use subrosa_crds::{
    ADOPT_STORE_ANNOTATION, Adoption, AdoptionSpec, CONSENTS_ANNOTATION, Channel, TrustDomain,
    adoption::{AdoptingChannel, MOST_CHANNELS},
    condition,
};

use super::{
    cluster::{ClusterObjects, ClusterTarget},
    exit::Exit,
    harmless,
    output::Screen,
};

const EXAMPLES: &str = "\
Examples:
  subrosa adopt                       # the store in Vault, where a TrustDomain says that it is not its own
  subrosa adopt oosterlinde           # of this TrustDomain alone
  subrosa adopt --consents            # after a restore: namespaces that were made anew, for all Channels
  subrosa adopt --consents -n cc-web  # for the Channels of this namespace
  subrosa adopt --keys                # an Adoption of the keys that earlier Channels of the same names left
  subrosa adopt --keys -n cc-web      # for the Channels of this namespace

Nothing is changed: read what is printed, and run what is meant.";

/// Prints what adopts a store in Vault, namespaces that were made anew, or the keys of earlier Channels
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only of this TrustDomain
    #[arg(value_name = "TRUSTDOMAIN", conflicts_with = "consents")]
    domain: Option<String>,
    /// Consents of Channels to namespaces that were deleted and made anew
    #[arg(long)]
    consents: bool,
    /// Keys that earlier Channels left, for the Channels of their names: an Adoption, which other people approve
    #[arg(long, conflicts_with = "consents")]
    keys: bool,
    /// Only the Channels of this namespace
    #[arg(short, long, conflicts_with = "domain")]
    namespace: Option<String>,
    #[command(flatten)]
    target: ClusterTarget,
}

/// Runs the command.
///
/// # Errors
/// When the cluster cannot be read.
pub async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    if args.namespace.is_some() && !(args.consents || args.keys) {
        bail!("-n goes with --consents or --keys: a store is of the whole TrustDomain");
    }
    let cluster = args.target.connect().await?;
    let seen = cluster.see(args.namespace.as_deref()).await?;
    let text = if args.consents {
        consents(&seen)
    } else if args.keys {
        let user = cluster.user().await?;
        let nonce = || format!("{:08x}", rand::random::<u32>());
        super::stream(&keys(&seen, args.domain.as_deref(), &user, nonce)?)?
    } else {
        stores(&seen, args.domain.as_deref())
    };
    if text.is_empty() {
        let nothing = match (args.consents, args.keys) {
            (true, _) => "no Channel waits for its consent to a namespace that was made anew",
            (_, true) => "no Channel has an earlier one of its name that left keys",
            _ => "no TrustDomain waits for a store to be adopted",
        };
        screen.say(nothing)?;
    }
    screen.print(&text)?;
    Ok(Exit::Done)
}

fn stores(seen: &ClusterObjects, only: Option<&str>) -> String {
    let asked = |domain: &&TrustDomain| only.is_none_or(|only| domain.name_any() == only);
    seen.domains.iter().filter(asked).filter_map(store).collect()
}

/// The text for one TrustDomain's store.
fn store(domain: &TrustDomain) -> Option<String> {
    let status = domain.status.as_ref()?;
    let wanted = status.vault.as_ref()?.adopt_store.as_ref()?;
    let ready = condition::find(&status.conditions, condition::READY);
    let why = ready.map(|ready| format!("{}: {}", ready.reason, ready.message)).unwrap_or_default();
    let name = domain.name_any();
    Some(format!(
        "# TrustDomain {name}: {}\nkubectl annotate trustdomain {name} --overwrite {ADOPT_STORE_ANNOTATION}={}\n",
        harmless(&why),
        harmless(wanted),
    ))
}

fn consents(seen: &ClusterObjects) -> String {
    let all = seen.channels.iter().filter_map(|channel| {
        let wanted = annotation(channel, |_| true)?;
        let (namespace, name) = (channel.namespace().unwrap_or_default(), channel.name_any());
        Some(format!(
            "kubectl annotate channel -n {namespace} {name} --overwrite {CONSENTS_ANNOTATION}={}\n",
            harmless(&wanted)
        ))
    });
    all.collect()
}

/// The Adoptions with which `user` requests the keys of earlier Channels: for each trust domain, with at most
/// [`MOST_CHANNELS`] Channels each.
fn keys(
    seen: &ClusterObjects,
    only: Option<&str>,
    user: &str,
    nonce: impl Fn() -> String,
) -> Result<Vec<serde_json::Value>> {
    let mut by_domain: BTreeMap<&str, Vec<AdoptingChannel>> = BTreeMap::new();
    for channel in &seen.channels {
        let Some(status) = &channel.status else { continue };
        let (Some(id), Some(domain)) = (&status.id, status.trust_domain.as_deref()) else { continue };
        let asked = only.is_none_or(|only| only == domain);
        by_domain.entry(domain).or_default().extend(status.orphans.iter().filter(|_| asked).map(|adopts| {
            AdoptingChannel {
                namespace: channel.namespace().unwrap_or_default(),
                name: channel.name_any(),
                id: id.clone(),
                adopts: adopts.clone(),
            }
        }));
    }
    let mut made = Vec::new();
    for (domain, channels) in by_domain {
        for channels in channels.chunks(MOST_CHANNELS) {
            let name: String = domain.chars().take(50).collect();
            let metadata = ObjectMeta { name: Some(format!("{name}-{}", nonce())), ..ObjectMeta::default() };
            let spec = AdoptionSpec {
                trust_domain: domain.to_owned(),
                requested_by: user.to_owned(),
                channels: channels.to_vec(),
            };
            made.push(serde_json::to_value(Adoption { metadata, spec, status: None })?);
        }
    }
    Ok(made)
}

/// The annotation with which `channel` consents to the recreated namespaces that satisfy `wanted`, merged with its
/// existing consents; `None` where it waits for no such consent.
pub fn annotation(channel: &Channel, wanted: impl Fn(&str) -> bool) -> Option<String> {
    let connections = &channel.status.as_ref()?.connections;
    let mut anew: Vec<(&str, &str)> = connections
        .iter()
        .filter_map(|connection| connection.consents.as_deref()?.split_once('='))
        .filter(|(namespace, _)| wanted(namespace))
        .collect();
    anew.sort_unstable();
    anew.dedup();
    if anew.is_empty() {
        return None;
    }
    let there = channel.metadata.annotations.as_ref().and_then(|all| all.get(CONSENTS_ANNOTATION));
    let kept =
        there.into_iter().flat_map(|text| text.split([',', ' '])).filter_map(|one| one.split_once('='));
    let kept = kept.filter(|(namespace, _)| anew.iter().all(|(other, _)| other != namespace));
    let all: Vec<_> =
        kept.chain(anew.iter().copied()).map(|(namespace, uid)| format!("{namespace}={uid}")).collect();
    Some(all.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::testing::voice;

    fn waiting(there: Option<&str>) -> Channel {
        let mut channel = serde_json::to_value(voice()).unwrap();
        channel["status"]["connections"][1]["consents"] = json!("cc-records=new");
        if let Some(there) = there {
            channel["metadata"]["annotations"][CONSENTS_ANNOTATION] = json!(there);
        }
        serde_json::from_value(channel).unwrap()
    }

    #[test]
    fn consents_are_added_to_those_that_are_there() {
        assert_eq!(annotation(&voice(), |_| true), None);
        assert_eq!(annotation(&waiting(None), |_| true).unwrap(), "cc-records=new");
        let both = annotation(&waiting(Some("cc-web=1, cc-records=old")), |_| true).unwrap();
        assert_eq!(both, "cc-web=1,cc-records=new");
        assert_eq!(annotation(&waiting(None), |namespace| namespace == "cc-web"), None);
        let seen = ClusterObjects { channels: vec![voice(), waiting(None)], ..ClusterObjects::default() };
        assert_eq!(
            consents(&seen),
            "kubectl annotate channel -n cc-front voice --overwrite subrosa.dev/consents=cc-records=new\n"
        );
    }

    #[test]
    fn keys_are_adopted_by_the_channels_of_the_names_that_left_them() {
        let with = |name: &str, orphans: &[&str]| -> Channel {
            let mut channel = serde_json::to_value(voice()).unwrap();
            channel["metadata"]["name"] = json!(name);
            channel["status"]["orphans"] = json!(orphans);
            serde_json::from_value(channel).unwrap()
        };
        let made = |channels: Vec<Channel>, only: Option<&str>| {
            let seen = ClusterObjects { channels, ..ClusterObjects::default() };
            keys(&seen, only, "anna", || "0badcafe".into()).unwrap()
        };
        let (old, older) = ("bbbbbbbbbbbbbbbb", "cccccccccccccccc");
        let one = made(vec![with("voice", &[old, older]), with("chat", &[])], None);
        assert_eq!(one.len(), 1, "{one:?}");
        assert_eq!(subrosa_crds::validate::<Adoption>(&one[0]), [], "{:#}", one[0]);
        assert_eq!(one[0]["metadata"]["name"], "oosterlinde-0badcafe");
        assert_eq!(one[0]["spec"]["requestedBy"], "anna");
        let channels = one[0]["spec"]["channels"].as_array().unwrap();
        assert_eq!((channels.len(), &channels[1]["adopts"]), (2, &json!(older)));
        let many = (0..1_001).map(|number| with(&format!("c-{number}"), &[old])).collect();
        assert_eq!(made(many, None).len(), 2);
        assert!(made(vec![with("voice", &[old])], Some("other")).is_empty());
        assert!(made(vec![voice()], None).is_empty());
    }

    #[test]
    fn a_store_is_adopted_by_the_id_that_status_has() {
        let domain = |adopt: serde_json::Value| -> TrustDomain {
            let mut domain = serde_json::to_value(crate::cli::testing::domain()).unwrap();
            domain["status"]["vault"] = json!({"version": "2.7.2", "sealed": false, "adoptStore": adopt});
            serde_json::from_value(domain).unwrap()
        };
        let seen = ClusterObjects { domains: vec![domain(json!("beef"))], ..ClusterObjects::default() };
        let text = stores(&seen, None);
        assert!(
            text.ends_with(" --overwrite subrosa.dev/adopt-store=beef\n")
                && text.starts_with("# TrustDomain "),
            "{text}"
        );
        assert_eq!(stores(&seen, Some("another")), "");
        assert_eq!(
            stores(&ClusterObjects { domains: vec![domain(json!(null))], ..ClusterObjects::default() }, None),
            ""
        );
    }
}
