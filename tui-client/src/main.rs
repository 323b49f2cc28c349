//! The program `sampan`: arguments in, exit code out. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sampan_client::cli::main()
}
