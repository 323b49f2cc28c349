//! `sampan completions` and `sampan man`: what shells and manuals know of the commands.

use clap::CommandFactory;
use clap::builder::PossibleValuesParser;

use super::Stop;
use super::args::{Arguments, Completions, Man};
use super::exit::Code;
use super::output::Output;
use crate::catalogue::cli as text;

/// Prints a shell's completions.
pub(super) fn completions(completions: &Completions) -> Result<Code, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut offered(), "sampan", &mut script);
    print(&script)
}

/// The program without what is hidden, and with the names that `man` takes.
fn offered() -> clap::Command {
    let whole = Arguments::command();
    let commands: Vec<_> =
        whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    // clap keeps names for as long as the program runs, which prints them and ends.
    let word = |command: &clap::Command| -> &'static str { command.get_name().to_owned().leak() };
    let names: Vec<_> = commands.iter().map(word).collect();
    clap::Command::new("sampan")
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments().cloned())
        .subcommands(commands)
        .mut_subcommand("man", |man| {
            man.mut_arg("command", |name| name.value_parser(PossibleValuesParser::new(names)))
        })
}

/// Prints a page of the manual.
pub(super) fn man(man: &Man) -> Result<Code, Stop> {
    let mut program = Arguments::command();
    program.build();
    let page = match &man.command {
        None => program,
        Some(name) => {
            let found = program.find_subcommand(name).filter(|command| !command.is_hide_set());
            let found = found.ok_or_else(|| Stop::Usage(text::no_such_command(name)))?;
            found.clone().disable_help_subcommand(true)
        }
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page).render(&mut roff).map_err(Stop::Output)?;
    print(&roff)
}

fn print(text: &[u8]) -> Result<Code, Stop> {
    let mut output = Output::standard();
    output.write(text)?;
    output.flush()?;
    Ok(Code::Done)
}
