//! `sampand completions` and `sampand man`: what shells and manuals know of the commands.
//!
//! They need no data folder and no configuration, so that a package can be built with them.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::builder::PossibleValuesParser;
use clap_complete::Shell;

use super::Arguments;
use super::exit::CliError;
use super::output::print;

/// Prints a shell's completions.
pub(super) fn completions(shell: Shell) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut offered(), "sampand", &mut script);
    print(&String::from_utf8_lossy(&script)).map(|()| ExitCode::SUCCESS)
}

/// The program, with the names that `man` takes.
fn offered() -> clap::Command {
    let program = Arguments::command();
    // clap keeps names for as long as the program runs, which prints them and ends.
    let word = |command: &clap::Command| -> &'static str { command.get_name().to_owned().leak() };
    let mut names: Vec<_> = program.get_subcommands().map(word).collect();
    let inner = program.get_subcommands().flat_map(clap::Command::get_subcommands).map(word);
    names.extend(inner.collect::<std::collections::BTreeSet<_>>());
    program.mut_subcommand("man", |man| {
        man.mut_arg("command", |name| name.value_parser(PossibleValuesParser::new(names)))
    })
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
    let page = page.clone().disable_help_subcommand(true);
    let roff = render(&page).map_err(CliError::Output)?;
    print(&String::from_utf8_lossy(&roff)).map(|()| ExitCode::SUCCESS)
}

/// A page whose synopsis says which options take a value, and what is given without one.
fn render(command: &clap::Command) -> io::Result<Vec<u8>> {
    let page = clap_mangen::Man::new(command.clone());
    let mut roff = Vec::new();
    page.render_title(&mut roff)?;
    page.render_name_section(&mut roff)?;
    roff.extend_from_slice(synopsis(command).as_bytes());
    page.render_description_section(&mut roff)?;
    page.render_options_section(&mut roff)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut roff)?;
    }
    if command.get_after_help().is_some() {
        page.render_extra_section(&mut roff)?;
    }
    if command.get_version().is_some() {
        page.render_version_section(&mut roff)?;
    }
    Ok(roff)
}

fn synopsis(command: &clap::Command) -> String {
    let dashed = |text: &str| text.replace('-', "\\-");
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut words = vec![format!("\\fB{}\\fR", dashed(name))];
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        let values = argument.get_value_names().unwrap_or_default();
        let values: Vec<_> = values.iter().map(|value| format!("\\fI{value}\\fR")).collect();
        let takes_values = argument.get_action().takes_values();
        let values = if takes_values { values.join(" ") } else { String::new() };
        let flag = match (argument.get_long(), argument.get_short()) {
            (Some(long), _) => format!("\\fB{}\\fR ", dashed(&format!("--{long}"))),
            (None, Some(short)) => format!("\\fB\\-{short}\\fR "),
            (None, None) => String::new(),
        };
        let word = format!("{flag}{values}");
        let repeats = matches!(argument.get_action(), clap::ArgAction::Append);
        let more = if repeats { "..." } else { "" };
        let word = word.trim_end();
        let word = if argument.is_required_set() { word.to_owned() } else { format!("[{word}]") };
        words.push(format!("{word}{more}"));
    }
    if command.has_subcommands() {
        words.push("\\fICOMMAND\\fR".to_owned());
    }
    format!(".SH SYNOPSIS\n{}\n", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synopsis_names_values() {
        let mut program = Arguments::command();
        program.build();
        let page = String::from_utf8(render(&program).unwrap()).unwrap();
        let expected = "[\\fB\\-\\-data\\fR \\fIDIR\\fR]";
        assert!(page.contains(expected), "{page}");
        assert!(page.contains("SAMPAND_DATA") && page.contains("SAMPAND_CONFIG"), "{page}");
        let serve = program.find_subcommand("serve").unwrap();
        let page = String::from_utf8(render(serve).unwrap()).unwrap();
        assert!(page.contains("\\fIADDR:PORT\\fR]..."), "{page}");
    }
}
