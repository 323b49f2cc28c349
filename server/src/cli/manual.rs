//! `sampand completions` and `sampand man`: what shells and manuals know of the commands.
//!
//! They need no data folder and no configuration, so that a package can be built with them.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Arguments;
use super::exit::CliError;
use super::output::print;

/// Prints a shell's completions.
pub(super) fn completions(shell: Shell) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "sampand", &mut script);
    print(&String::from_utf8_lossy(&script)).map(|()| ExitCode::SUCCESS)
}

/// Prints the manual's page of the program, or of one command: `user add` is two names.
pub(super) fn man(names: &[String]) -> Result<ExitCode, CliError> {
    let mut program = Arguments::command();
    program.build();
    let mut page = &program;
    for name in names {
        let found = page.find_subcommand(name).filter(|command| !command.is_hide_set());
        page = found.ok_or_else(|| CliError::NoSuchCommand(names.join(" ")))?;
    }
    let mut roff = Vec::new();
    let page = page.clone().disable_help_subcommand(true);
    clap_mangen::Man::new(page).render(&mut roff).map_err(CliError::Output)?;
    print(&String::from_utf8_lossy(&roff)).map(|()| ExitCode::SUCCESS)
}
