//! `subrosa access`: who can open and seal what by AccessRoles and AccessGrants, in a cluster or in files, and why a login would be refused.

mod grants;
mod leaver;
mod openings;
mod seen;
#[cfg(test)]
mod tests;
mod token;

use anyhow::{Result, bail};
use serde::Serialize;

use super::{
    cluster::ClusterTarget,
    exit::Exit,
    harmless,
    manifest::{self, Sources},
    output::{Paint, Screen},
    table::{Cell, Table, Tone},
};
use openings::{Asked, Opening, Openings};
use seen::AccessObjects;

const EXAMPLES: &str = "\
Examples:
  subrosa access who voice -n cc-front                 # who can open or seal data of this Channel
  subrosa access who cc-front/voice call-recording     # who can open or seal this class of it
  subrosa access what cc-quality                       # what this group of the identity provider can open or seal
  subrosa access what --service-account cc-front/transcriber   # what this ServiceAccount can open or seal
  subrosa access what --user 4f1c7b1e                  # what this person can open by AccessGrants, and until when
  subrosa access what cc-quality -f deploy/ -o json    # the same, of manifests
  subrosa access leaver 4f1c7b1e --group cc-quality    # what an AccessRevocation of this person would end
  subrosa access leaver 4f1c7b1e --revoke              # and makes it
  subrosa access leaver --service-account cc-front/transcriber   # the same of a ServiceAccount
  subrosa access token id-token.jwt -f deploy/         # why a login with this token would be refused, offline
  subrosa access token - --login strong <id-token.jwt  # the same of one login, by the cluster's TrustDomain

Groups are compared without upper and lower case, as Vault does it. STATE is the reason of condition Ready, or
what files say of it.";

/// Shows who can open what by AccessRoles and AccessGrants, what ends when somebody leaves, and why a login would be refused
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, clap::Subcommand)]
enum Question {
    /// Who can open data of a Channel
    #[command(after_help = EXAMPLES)]
    Who(WhoArgs),
    /// What a group of the identity provider or a ServiceAccount can open, or a single person by AccessGrants
    #[command(after_help = EXAMPLES)]
    What(WhatArgs),
    /// What an AccessRevocation of a person or a ServiceAccount would end, and makes it
    #[command(after_help = EXAMPLES)]
    Leaver(leaver::LeaverArgs),
    /// Why a login with a token of the identity provider would be refused; reads it, never verifies, shows or sends it
    #[command(after_help = EXAMPLES)]
    Token(token::TokenArgs),
}

#[derive(Debug, clap::Args)]
struct WhoArgs {
    /// The Channel: NAME or NAMESPACE/NAME
    #[arg(value_name = "CHANNEL")]
    channel: String,
    /// One of its data classes [default: each]
    #[arg(value_name = "CLASS")]
    class: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct WhatArgs {
    /// The group, as the identity provider's tokens name it
    #[arg(value_name = "GROUP", required_unless_present_any = ["user", "service_account"])]
    group: Option<String>,
    /// A ServiceAccount instead: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME", conflicts_with_all = ["group", "user"])]
    service_account: Option<String>,
    /// A single person instead, as the identity provider's tokens have them: what AccessGrants give them
    #[arg(long, value_name = "NAME", conflicts_with = "group")]
    user: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub struct Common {
    #[command(flatten)]
    target: ClusterTarget,
    #[command(flatten)]
    sources: Sources,
    /// The Channel's namespace, and that of manifests that name none [default: that of the kubeconfig's context; of files: default]
    #[arg(short, long)]
    namespace: Option<String>,
    /// The format
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
    Yaml,
}

/// Runs the command.
///
/// # Errors
/// When the cluster or a file cannot be read, or there is no such Channel.
pub async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let common = match &args.question {
        Question::Who(who) => &who.common,
        Question::What(what) => &what.common,
        Question::Leaver(leaver) => &leaver.common,
        Question::Token(token) => &token.common,
    };
    let (seen, namespace) = read(common).await?;
    for kinds in &seen.hidden {
        screen.say(&format!(
            "{kinds} cannot be read: ask for ClusterRole subrosa-view, or install the definitions"
        ))?;
    }
    let asked = match &args.question {
        Question::Token(args) => return token::run(args, &seen, screen),
        Question::Leaver(args) => return leaver::run(args, &seen, &namespace, screen).await,
        Question::Who(who) => {
            let (namespace, name) = match who.channel.split_once('/') {
                Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
                None => (namespace, who.channel.clone()),
            };
            Asked::Channel { namespace, name, class: who.class.clone() }
        }
        Question::What(WhatArgs { user: Some(user), .. }) => Asked::User { user: user.clone() },
        Question::What(WhatArgs { service_account: Some(account), .. }) => {
            let (namespace, name) = match account.split_once('/') {
                Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
                None => (namespace, account.clone()),
            };
            Asked::Account { namespace, service_account: name }
        }
        Question::What(what) => Asked::Group { name: what.group.clone().unwrap_or_default() },
    };
    let openings = Openings::of(&seen, asked);
    if let Some(missing) = openings.missing(&seen) {
        bail!("{missing}");
    }
    screen.print(&written(&openings, common.output, screen.paint())?)?;
    if common.output != Format::Table {
        for note in &openings.notes {
            screen.say(note)?;
        }
    }
    Ok(Exit::Done)
}

async fn read(common: &Common) -> Result<(AccessObjects, String)> {
    if common.sources.files.is_empty() {
        let cluster = common.target.connect().await?;
        let namespace = common.namespace.clone().unwrap_or_else(|| cluster.namespace().to_owned());
        return Ok((AccessObjects::of_cluster(&cluster).await?, namespace));
    }
    let namespace = common.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let (manifests, findings) = manifest::read(&common.sources)?;
    if let Some(first) = findings.first() {
        bail!("{}", first.text(Paint(false)));
    }
    Ok((AccessObjects::of_files(manifests, &namespace)?, namespace))
}

fn written(openings: &Openings, format: Format, paint: Paint) -> Result<String> {
    Ok(match format {
        Format::Table => drawn(openings, paint),
        Format::Json => format!("{}\n", serde_json::to_string_pretty(openings)?),
        Format::Yaml => super::stream(&[serde_json::to_value(openings)?])?,
    })
}

fn drawn(openings: &Openings, paint: Paint) -> String {
    let mut text = String::new();
    if openings.openings.is_empty() {
        text.push_str(&harmless(&openings.nobody()));
        text.push('\n');
    } else {
        let mut table = Table::new([
            "WHO",
            "CHANNEL",
            "CLASS",
            "ACTION",
            "LOGIN",
            "SECOND FACTOR",
            "SESSION",
            "ROLE",
            "STATE",
        ]);
        for one in &openings.openings {
            let tone = if one.gives { Tone::Good } else { Tone::Odd };
            table.row([
                Cell::from(harmless(&who(one))),
                format!("{}/{}", one.namespace, one.channel).into(),
                one.data_class.as_str().into(),
                format!("{:?}", one.action).into(),
                one.login.as_str().into(),
                one.second_factor().into(),
                one.session.as_deref().unwrap_or("?").into(),
                one.role.as_str().into(),
                Cell::new(one.state.as_str(), tone),
            ]);
        }
        text.push_str(&table.text(paint));
    }
    for note in &openings.notes {
        text.push_str(&harmless(note));
        text.push('\n');
    }
    text
}

/// The group or the ServiceAccount, or the person with the time until when.
fn who(one: &Opening) -> String {
    if let Some(account) = &one.service_account {
        return format!("ServiceAccount {}/{account}", one.namespace);
    }
    match (&one.user, &one.until) {
        (Some(user), Some(until)) => format!("{user} (until {until})"),
        (Some(user), None) => format!("{user} (for a time)"),
        (None, _) => one.group.clone(),
    }
}

/// Whether a value is left out of what is printed.
fn is_none<T: Serialize>(value: &Option<T>) -> bool {
    value.is_none()
}
