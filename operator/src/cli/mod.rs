//! The command `subrosa`: for people, and to start the operator.
//!
//! Only `approve` and `deny` change a cluster, by creating one Approval in the user's name. `vault-setup --apply`
//! changes Vault and reports each change; `seal`, `unseal` and `reseal` write files, `purge --apply` removes some,
//! `backup run` writes to a store, `backup restore` and `backup drill` write files, and
//! `backup now` annotates a Channel.

mod access;
mod adopt;
mod age_plugin;
mod approve;
mod backup;
mod cluster;
mod cohorts;
mod connect;
mod crds;
mod destroyer;
mod discover;
mod ends;
mod exit;
mod explain;
mod finding;
mod granter;
mod manifest;
mod output;
mod progress;
mod purge;
mod render;
pub mod seal;
mod status;
mod table;
#[cfg(test)]
mod testing;
mod vault_setup;
mod verify;
mod words;

use std::{
    ffi::{OsStr, OsString},
    io,
    path::Path,
    process::ExitCode,
};

use anyhow::Result;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use serde::{Serialize, Serializer};
use serde_json::Value;

use exit::Exit;
use output::{Colour, Screen};

use crate::{run, settings::Settings};

const RUN_EXAMPLES: &str = "\
Examples:
  subrosa run                                      # in a pod, as its ServiceAccount
  SUBROSA_LOG=debug subrosa run --log-format text  # elsewhere, with the kubeconfig's rights";

/// The operator's default namespace.
const OPERATOR_NAMESPACE: &str = "subrosa-system";
/// The operator's default ServiceAccount.
const OPERATOR_ACCOUNT: &str = "subrosa";

/// Enforces confidentiality for contact-center workloads on Kubernetes
#[derive(Debug, Parser)]
#[command(name = "subrosa", version, after_help = exit::HELP, disable_help_subcommand = true)]
struct Cli {
    /// When to use colours: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN", hide_possible_values = true)]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the operator
    #[command(after_help = RUN_EXAMPLES)]
    Run(Settings),
    Destroyer(destroyer::Args),
    Granter(granter::Args),
    Status(status::Args),
    Explain(explain::Args),
    Access(access::Args),
    Render(render::Args),
    Connect(connect::Args),
    Adopt(adopt::Args),
    Approve(approve::ApproveArgs),
    Deny(approve::DenyArgs),
    Verify(verify::Args),
    Discover(discover::Args),
    Seal(seal::SealArgs),
    Unseal(seal::UnsealArgs),
    Reseal(seal::ResealArgs),
    Cohorts(cohorts::Args),
    Purge(purge::Args),
    Backup(backup::Args),
    VaultSetup(Box<vault_setup::Args>),
    Crds(crds::Args),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // An embedding program may have installed a provider; that one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if age_plugin::is_meant(&arguments) {
        return age_plugin::main(&arguments);
    }
    let cli = match parse(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // With standard error closed there is nowhere to report it.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let mut screen = Screen::process(cli.color);
    match execute(&cli.command, &mut screen) {
        Ok(exit) => exit.into(),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = screen.say(&format!("{}: {}", screen.paint_said().bad("error"), told(&error)));
            ExitCode::from(exit::FAILED)
        }
    }
}

fn execute(command: &Command, screen: &mut Screen) -> Result<Exit> {
    match command {
        Command::Run(settings) => operate(settings.clone()),
        Command::Destroyer(args) => cores()?.block_on(destroyer::run(args.clone())),
        Command::Granter(args) => cores()?.block_on(granter::run(args.clone())),
        Command::Status(args) => wait(status::run(args, screen)),
        Command::Explain(args) => wait(explain::run(args, screen)),
        Command::Access(args) => wait(access::run(args, screen)),
        Command::Render(args) => render::run(args, screen),
        Command::Connect(args) => wait(connect::run(args, screen)),
        Command::Adopt(args) => wait(adopt::run(args, screen)),
        Command::Approve(args) => wait(approve::approve(args, screen)),
        Command::Deny(args) => wait(approve::deny(args, screen)),
        Command::Verify(args) => wait(verify::run(args, screen)),
        Command::Discover(args) => wait(discover::run(args, screen)),
        // Several files are sealed at once.
        Command::Seal(args) => cores()?.block_on(seal::seal(args, screen)),
        Command::Unseal(args) => wait(seal::unseal(args, screen)),
        Command::Reseal(args) => wait(seal::reseal(args, screen)),
        Command::Cohorts(args) => cohorts::run(args, screen),
        // The login is renewed while files are checked.
        Command::Purge(args) => cores()?.block_on(purge::run(args, screen)),
        // rustic reads and writes on threads of its own, which wait for the store.
        Command::Backup(args) => cores()?.block_on(backup::run(args, screen)),
        Command::VaultSetup(args) => wait(vault_setup::run(args, screen)),
        Command::Crds(args) => crds::run(args, screen),
    }
}

/// Runs the operator on all cores.
fn operate(settings: Settings) -> Result<Exit> {
    cores()?.block_on(run::process(settings)).map(|()| Exit::Done)
}

fn cores() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn wait(command: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// Parses a command line; called as `kubectl-subrosa`, the help says `kubectl subrosa`.
fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let args: Vec<OsString> = args.into_iter().collect();
    let name = args.first().map(Path::new).and_then(Path::file_stem).and_then(OsStr::to_str);
    let called = match name {
        Some("kubectl-subrosa") => "kubectl subrosa",
        _ => "subrosa",
    };
    let matches = Cli::command().bin_name(called).try_get_matches_from(args)?;
    Cli::from_arg_matches(&matches)
}

/// Whether the reader closed the pipe, such as `head`, which is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// An error with its causes, each once, because many libraries repeat the cause in the error.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    text
}

/// Documents as a YAML stream.
fn stream(documents: &[Value]) -> Result<String> {
    let mut text = String::new();
    for document in documents {
        text.push_str("---\n");
        text.push_str(serde_saphyr::to_string(&AsWritten(document))?.trim_end());
        text.push('\n');
    }
    Ok(text)
}

/// A document in the order in which people write it: what it is, how it is called, then the rest.
struct AsWritten<'a>(&'a Value);

impl Serialize for AsWritten<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const FIRST: [&str; 7] =
            ["apiVersion", "kind", "metadata", "type", "trustDomain", "operation", "path"];
        let Value::Object(fields) = self.0 else { return self.0.serialize(serializer) };
        let first = FIRST.iter().filter_map(|key| fields.get_key_value(*key));
        let rest = fields.iter().filter(|(key, _)| !FIRST.contains(&key.as_str()));
        serializer.collect_map(first.chain(rest))
    }
}

/// Text from others without control characters, which could control the terminal.
fn harmless(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn as_a_plugin_of_kubectl_it_speaks_so() {
        let usage = |line: &str| parsed(line).unwrap_err().to_string();
        assert!(
            usage("/usr/local/bin/kubectl-subrosa render --help").contains("Usage: kubectl subrosa render")
        );
        assert!(usage("subrosa render --help").contains("Usage: subrosa render"));
        assert_eq!(parsed("subrosa nonsense").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn every_command_shows_examples_and_the_exit_codes_are_documented() {
        for command in Cli::command().get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
        assert!(parsed("subrosa --help").unwrap_err().to_string().contains("Exit codes:"));
    }

    #[test]
    fn nothing_to_render_is_a_wrong_command_line() {
        assert_eq!(parsed("subrosa render").unwrap_err().exit_code(), 2);
        assert!(parsed("subrosa render -f x -f y").is_ok());
    }

    #[test]
    fn a_cause_is_told_once() {
        let error =
            anyhow::anyhow!("refused").context("no answer: refused").context("the cluster cannot be read");
        assert_eq!(told(&error), "the cluster cannot be read: no answer: refused");
    }

    #[test]
    fn a_terminal_is_not_steered_by_others() {
        assert_eq!(harmless("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
