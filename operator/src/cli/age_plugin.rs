//! `age-plugin-subrosa`: this program under that name, for example by a symbolic link. age and rage start it with
//! `--age-plugin=…`; started by a person, it prints a recipient or an identity.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use subrosa_worker::{plugin, settings};

use super::{
    exit,
    output::{Colour, Screen},
};

const EXAMPLES: &str = "\
Examples:
  age -r $(age-plugin-subrosa recipient call-recording) -o 0001.wav.age 0001.wav
  age-plugin-subrosa identity > subrosa.txt && age -d -i subrosa.txt -o 0001.wav 0001.wav.age";

/// Lets age and rage seal and open files with a key in Vault
#[derive(Debug, Parser)]
#[command(name = plugin::PROGRAM, version, after_help = EXAMPLES)]
struct Arguments {
    /// Said by age
    #[arg(long, value_name = "MACHINE", hide = true)]
    age_plugin: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints a recipient: a class of the Channel's data
    Recipient {
        /// The class
        class: String,
        /// The contents of ConfigMap CHANNEL-sealing
        #[arg(long, value_name = "FILE", default_value = settings::CONFIG, env = settings::CONFIG_VARIABLE)]
        config: PathBuf,
    },
    /// Prints an identity
    Identity {
        /// The contents of ConfigMap CHANNEL-sealing
        #[arg(long, value_name = "FILE", default_value = settings::CONFIG, env = settings::CONFIG_VARIABLE)]
        config: PathBuf,
    },
}

/// Whether this process was started as the plugin: by its name, or by rage, which resolves links.
pub fn is_meant(arguments: &[OsString]) -> bool {
    let name = arguments.first().map(Path::new).and_then(Path::file_name);
    let asked = arguments.get(1).and_then(|argument| argument.to_str());
    name == Some(OsStr::new(plugin::PROGRAM)) || asked.is_some_and(|asked| asked.starts_with("--age-plugin="))
}

/// Runs the plugin.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // With standard error closed there is nowhere to report it.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let mut screen = Screen::process(Colour::Auto);
    match run(&parsed, &mut screen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = screen.say(&format!("{}: {}", plugin::PROGRAM, super::told(&error)));
            ExitCode::from(exit::FAILED)
        }
    }
}

fn run(arguments: &Arguments, screen: &mut Screen) -> Result<()> {
    let text = match (&arguments.age_plugin, &arguments.command) {
        (Some(machine), _) => return Ok(plugin::run(machine)?),
        (None, Some(Command::Recipient { class, config })) => plugin::recipient_text(config, class),
        (None, Some(Command::Identity { config })) => plugin::identity_text(config),
        (None, None) => bail!("say recipient or identity; see --help"),
    };
    screen.print(&format!("{}\n", text?)).or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error.into()),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn it_is_the_plugin_under_that_name_or_where_age_asks() {
        let meant = |line: &str| is_meant(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        assert!(meant("age-plugin-subrosa") && meant("/usr/local/bin/age-plugin-subrosa identity"));
        assert!(meant("/opt/subrosa --age-plugin=identity-v1"));
        assert!(!meant("subrosa status") && !meant("kubectl-subrosa") && !meant(""));
        Arguments::command().debug_assert();
    }
}
