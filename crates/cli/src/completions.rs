//! `atoll completions SHELL`: the script that completes commands and flags.

use clap::Command;
use clap_complete::Shell;
use std::io::{self, Write};

/// Writes the completion script of `command`, which is known to the shell as `name`.
pub fn write(command: &mut Command, name: &str, shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    // The generator panics when its writer fails; memory does not fail.
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    out.write_all(&script)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ValueEnum as _};

    #[test]
    fn every_shell_gets_the_commands_and_flags() {
        for shell in Shell::value_variants() {
            let mut command = Command::new("atoll").subcommand(Command::new("dev").arg(Arg::new("port").long("port")));
            let mut out = Vec::new();
            write(&mut command, "atoll", *shell, &mut out).unwrap();
            let script = String::from_utf8(out).unwrap();
            for word in ["atoll", "dev", "port"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
