//! The page of the command line: the help texts themselves.

use std::fmt::{self, Write};

use clap::{Command, CommandFactory};

use crate::cli::Cli;

/// Widest line of a help text.
const WIDTH: usize = 100;

/// The help of the program and of each command that people use.
pub(super) fn page() -> Result<String, fmt::Error> {
    let mut program = Cli::command().term_width(WIDTH);
    program.build();
    let mut text = "# Command line\n".to_owned();
    describe(&mut program, "leasehold", &mut text)?;
    Ok(text)
}

fn describe(command: &mut Command, name: &str, text: &mut String) -> fmt::Result {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    writeln!(
        text,
        "\n## {name}\n\n```text\n{}\n```",
        lines.join("\n").trim()
    )?;
    for below in command.get_subcommands_mut() {
        if !below.is_hide_set() && below.get_name() != "help" {
            let name = format!("{name} {}", below.get_name());
            describe(below, &name, text)?;
        }
    }
    Ok(())
}
