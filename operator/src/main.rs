//! The command `subrosa`.

use std::process::ExitCode;

fn main() -> ExitCode {
    subrosa::cli::main()
}
