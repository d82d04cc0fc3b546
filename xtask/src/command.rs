//! Running other programs, with errors that say which one and how it ended.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// The command line as a person would type it.
pub fn display(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// Runs `command` with our own terminal; anything but success is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start `{}`", display(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", display(command));
    }
    Ok(())
}

/// Runs `command` as [`run`] does and ends what it started and left running, where the system (Linux) says what that is: a tool's own
/// servers have no business here once it is done.
pub fn run_to_its_end(command: &mut Command) -> Result<()> {
    let before = children();
    adopt(true);
    let ran = run(command);
    // Whose parent has ended becomes ours; what that one has started, with the next look.
    loop {
        let left: Vec<i32> = children().into_iter().filter(|pid| !before.contains(pid)).collect();
        if left.is_empty() {
            break;
        }
        for pid in left {
            // SAFETY: the number is of a child of ours that nobody has waited for, so it is not given to another process.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, std::ptr::null_mut(), 0);
            }
        }
    }
    adopt(false);
    ran
}

/// Whether processes of ours whose parent ends become our children.
#[cfg(target_os = "linux")]
fn adopt(whether: bool) {
    // SAFETY: it sets an attribute of this process, and reads no memory. Where it fails nothing is adopted.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, libc::c_ulong::from(whether)) };
}

#[cfg(not(target_os = "linux"))]
fn adopt(_: bool) {}

/// This process's children; none where the system does not say.
fn children() -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let all: Vec<String> = lists.collect();
    all.iter()
        .flat_map(|list| list.split_whitespace())
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Runs `command` and gives back its standard output; its standard error goes to ours.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start `{}`", display(command)))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", display(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed bytes that are no UTF-8", display(command)))
}

/// The `cargo` that runs us.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_leaves_running_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut script = Command::new("sh");
        // The shell ends, what it started does not; and what that one started is somebody else's.
        script
            .args(["-c", "sh -c 'sleep 1000 & echo $! > inner; wait' & echo $! > outer; while ! test -s inner; do sleep 0.01; done"])
            .current_dir(folder.path());
        run_to_its_end(&mut script).unwrap();
        for name in ["outer", "inner"] {
            let pid = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(!std::path::Path::new("/proc").join(pid.trim()).exists(), "{name} runs");
        }
    }
}
