//! What `--resume` goes on with: a line for each part of a campaign that is over, in a file beside the program.

use anyhow::{Context, Result, bail};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// A campaign's file. Its first line says what the campaign is of; each further one is the campaign's own.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    file: File,
    /// What is done already.
    pub done: Vec<String>,
}

impl Progress {
    /// Begins anew, or with `resume` goes on with what a run of the same name and the same `of` (seed and whatever else its parts
    /// depend on) has noted; a last line that was cut off is as if it were not there. An error: there is nothing to go on with.
    pub fn open(name: &str, of: &str, resume: bool) -> Result<Self> {
        let path = std::env::current_exe()?.with_file_name(format!("{name}-progress"));
        let mut whole = format!("{of}\n");
        let mut done = Vec::new();
        if resume {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("nothing to resume: {}", path.display()))?;
            let text = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            let mut lines = text.lines();
            let before = lines.next().unwrap_or_default();
            if before != of {
                bail!("{} is of \"{before}\", not of \"{of}\"", path.display());
            }
            done.extend(lines.map(str::to_owned));
            text.clone_into(&mut whole);
        }
        std::fs::write(&path, whole).with_context(|| format!("write {}", path.display()))?;
        let file = OpenOptions::new().append(true).open(&path)?;
        Ok(Self { path, file, done })
    }

    /// A part is over.
    pub fn note(&mut self, line: &str) -> Result<()> {
        // One write: a run that is killed leaves whole lines, or one that is cut off.
        let line = format!("{}\n", line.replace('\n', " "));
        let written = self.file.write_all(line.as_bytes());
        written.with_context(|| format!("write {}", self.path.display()))
    }
}
