//! Started by age and rage with `--age-plugin=…`; started by a person, it prints a recipient or an identity.

use std::{io, path::PathBuf, process::ExitCode};

use age_core::primitives::bech32_encode;
use age_plugin::run_state_machine;
use bech32::Hrp;
use clap::{Parser, Subcommand};
use subrosa_worker::{plugin, settings};

const EXAMPLES: &str = "\
Examples:
  age -r $(age-plugin-subrosa recipient call-recording) -o 0001.wav.age 0001.wav
  age-plugin-subrosa identity > subrosa.txt && age -d -i subrosa.txt -o 0001.wav 0001.wav.age";

/// Lets age and rage seal and open files with a key in Vault
#[derive(Debug, Parser)]
#[command(name = "age-plugin-subrosa", version, after_help = EXAMPLES)]
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

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "a command of its own")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let printed = match (arguments.age_plugin, arguments.command) {
        (Some(machine), _) => run_state_machine(&machine, plugin::Plugin).map(|()| None),
        (None, Some(Command::Recipient { class, config })) => {
            encoded("age1subrosa", plugin::recipient(&config, &class)).map(Some)
        }
        (None, Some(Command::Identity { config })) => {
            let text = encoded("age-plugin-subrosa-", plugin::identity_bytes(&config));
            text.map(|text| Some(text.to_uppercase()))
        }
        (None, None) => Err(io::Error::other("say recipient or identity; see --help")),
    };
    match printed {
        Ok(Some(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("age-plugin-subrosa: {error}");
            ExitCode::FAILURE
        }
    }
}

fn encoded(prefix: &str, bytes: Option<Vec<u8>>) -> io::Result<String> {
    let bytes = bytes.ok_or_else(|| io::Error::other("the path of the settings is no UTF-8 text"))?;
    let prefix = Hrp::parse(prefix).map_err(io::Error::other)?;
    Ok(bech32_encode(prefix, &bytes))
}
