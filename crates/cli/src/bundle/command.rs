//! The project's own build command (`build.command`): run by the shell before the bundler, its output shown as it comes.

use super::{BuildError, BuildFailure};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

/// How long a build command may run.
pub const COMMAND_TIME_MAX: Duration = Duration::from_secs(600);
/// Lines of its output that a failure repeats.
const LINES_KEPT: usize = 20;
/// The longest line shown, bytes; the rest of it is left out.
const LINE_BYTES_MAX: usize = 4_096;

/// Runs `command` in `directory`. Each line that it prints goes to `print`. Dropping the future kills it.
///
/// Fails if it cannot be started, exits with another status than 0, or runs longer than [`COMMAND_TIME_MAX`].
pub async fn run(command: &str, directory: &Path, print: &(dyn Fn(&str) + Sync)) -> Result<(), BuildFailure> {
    let failed = |cause: String| BuildFailure::new(BuildError::new(format!("the build command `{command}` {cause}")));
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut child = Command::new(shell)
        .arg(flag)
        .arg(command)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("could not be started in {}: {error}", directory.display())))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let kept = std::sync::Mutex::new(std::collections::VecDeque::new());
    let show = |line: &str| {
        // A poisoned list is still a list of lines.
        let mut kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.len() == LINES_KEPT {
            kept.pop_front();
        }
        kept.push_back(line.to_owned());
        drop(kept);
        print(line);
    };
    let work = async {
        let ((), (), status) = tokio::join!(lines(stdout, &show), lines(stderr, &show), child.wait());
        status
    };
    let status = match tokio::time::timeout(COMMAND_TIME_MAX, work).await {
        Ok(status) => status.map_err(|error| failed(format!("was lost: {error}")))?,
        Err(_) => {
            return Err(failed(format!(
                "ran longer than {} s and was stopped",
                COMMAND_TIME_MAX.as_secs()
            )));
        }
    };
    if status.success() {
        return Ok(());
    }
    let kept = kept.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut failure = failed(match status.code() {
        Some(code) => format!("exited with status {code}"),
        None => format!("was ended: {status}"),
    });
    failure.errors[0].frame = Vec::from(kept).join("\n");
    Err(failure)
}

/// Hands over each line of `stream`, whatever bytes it is made of, until it ends.
async fn lines(stream: Option<impl AsyncRead + Unpin>, show: &impl Fn(&str)) {
    let Some(stream) = stream else { return };
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        let (done, used) = match reader.fill_buf().await {
            Ok(bytes) if !bytes.is_empty() => match bytes.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    keep(&mut line, &bytes[..end]);
                    (true, end + 1)
                }
                None => {
                    keep(&mut line, bytes);
                    (false, bytes.len())
                }
            },
            // The end, or a pipe that broke: either way nothing more comes.
            _ => break,
        };
        reader.consume(used);
        if done {
            show(String::from_utf8_lossy(&line).trim_end_matches('\r'));
            line.clear();
        }
    }
    if !line.is_empty() {
        show(&String::from_utf8_lossy(&line));
    }
}

fn keep(line: &mut Vec<u8>, bytes: &[u8]) {
    let room = LINE_BYTES_MAX.saturating_sub(line.len());
    line.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn commands() {
        let directory = tempfile::tempdir().expect("a directory");
        let seen = Mutex::new(Vec::new());
        let print = |line: &str| seen.lock().expect("unpoisoned").push(line.to_owned());
        run(
            "echo one; echo two >&2; printf three; pwd > here",
            directory.path(),
            &print,
        )
        .await
        .expect("runs");
        let mut lines = std::mem::take(&mut *seen.lock().expect("unpoisoned"));
        lines.sort();
        assert_eq!(lines, ["one", "three", "two"]);
        assert!(directory.path().join("here").is_file());

        let failure = run("echo broken >&2; exit 3", directory.path(), &print)
            .await
            .expect_err("fails");
        assert_eq!(
            failure.to_string(),
            "the build command `echo broken >&2; exit 3` exited with status 3\nbroken"
        );
        let failure = run("true", &directory.path().join("gone"), &print)
            .await
            .expect_err("fails");
        assert!(failure.to_string().contains("could not be started"), "{failure}");
    }
}
