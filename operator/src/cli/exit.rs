//! The exit codes of commands.

use std::process::ExitCode;

/// The exit codes, for the help text.
pub const HELP: &str = "\
Exit codes:
  0  done, and nothing is wrong
  1  something that was looked at is wrong: a manifest would be refused or Stalled, a file differs
  2  the command line is wrong
  3  something could not be read, reached or written: a file, the cluster, Vault";

/// How a command that could do its work ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing is wrong.
    Done,
    /// What was looked at is wrong; it has been said.
    Wrong,
}

/// The code for a command that could not do its work.
pub const FAILED: u8 = 3;

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Wrong => Self::from(1),
        }
    }
}
