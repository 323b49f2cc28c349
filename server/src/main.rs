//! `sampand`: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    sampan_server::cli::run(std::env::args_os())
}
