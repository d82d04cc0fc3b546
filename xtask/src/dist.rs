//! `cargo xtask dist`: the binary for distribution, compiled by the profile of a training run.
//!
//! ```text
//! build with counters --> serve the examples under load --> merge the counters --> build by them
//! ```
//!
//! The compiler learns what runs often and what hardly ever, which saves a fifth of the server's own time per request
//! (`docs/decisions/2026-11-23-dist.md` has figures). The training serves the applications in `examples/`, not those of
//! `cargo xtask bench`: a binary is not to be measured by what it was trained with.
//!
//! - Nothing of a training is kept but the profile; what a build is made of is told by the tree alone, and it needs no access to
//!   anything that `cargo build --release` does not.
//! - A function that the profile does not know, or that has changed since, is compiled as ever.
//! - The profile's hash is in its name: with another one everything is compiled again, with the same one nothing.

use crate::bench::{load, process};
use crate::{CommandResult, command, repository};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Arguments of `cargo xtask dist`.
#[derive(clap::Args)]
pub struct Options {
    /// Seconds of load for each application and isolation.
    #[arg(long, default_value_t = SECONDS, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Use the profile of the last training instead of training anew.
    #[arg(long)]
    keep_profile: bool,
}

/// Seconds of load for each application and isolation, if nothing else is said.
const SECONDS: u64 = 5;
/// Connections of the load.
const CONNECTIONS: u32 = 32;
/// How long the instrumented server may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is trained with: a folder of `examples`, and what is asked of it.
const TRAINING: [(&str, Ask); 6] = [
    ("hello", Ask::Get("/")),
    ("hello", Ask::Get("/api")),
    // Hono, JSX and a stream, a key-value store.
    ("guestbook", Ask::Get("/")),
    ("guestbook", Ask::Get("/api/entries")),
    ("guestbook", Ask::Get("/style.css")),
    ("guestbook", Ask::Post("/")),
];

/// One kind of request.
#[derive(Clone, Copy)]
enum Ask {
    Get(&'static str),
    /// A form that is refused, so that nothing grows.
    Post(&'static str),
}

/// Where the examples are served. A child process keeps no counters, as it has no files: what only children do is not trained.
const ISOLATIONS: [&str; 3] = ["shared", "alone", "cordon"];

/// `cargo xtask dist`.
pub fn command(options: &Options) -> CommandResult {
    let root = repository::root();
    let folder = folder(&root);
    let binary = make(&root, &folder, options)?;
    println!("built {}", binary.display());
    Ok(())
}

/// The binary for distribution of what is checked out, by the profile of the last training, or of one that is made now.
pub fn binary(root: &Path) -> Result<PathBuf> {
    let folder = folder(root);
    let options = Options {
        seconds: SECONDS,
        keep_profile: last_profile(&folder).is_ok(),
    };
    make(root, &folder, &options)
}

fn folder(root: &Path) -> PathBuf {
    repository::target_dir(root).join("dist")
}

fn make(root: &Path, folder: &Path, options: &Options) -> Result<PathBuf> {
    let compiler = Compiler::ask()?;
    let _alone = alone(folder)?;
    let profile = if options.keep_profile {
        last_profile(folder)?
    } else {
        load::prepare()?;
        let merger = merger(&compiler)?;
        train(root, folder, &compiler, &merger, options.seconds)?
    };
    println!("building by {}", profile.display());
    let flags = format!("-Cprofile-use={}", profile.display());
    let built = build(root, &folder.join("optimized"), &compiler, &flags)?;
    let binary = folder.join("atoll");
    // Renamed, not written over: one that runs goes on.
    let fresh = folder.join("atoll.new");
    std::fs::copy(&built, &fresh).with_context(|| format!("copy {}", built.display()))?;
    std::fs::rename(&fresh, &binary).with_context(|| format!("write {}", binary.display()))?;
    Ok(binary)
}

/// What keeps others out of the folder until it is dropped: two trainings at once would count for one profile.
fn alone(folder: &Path) -> Result<File> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let path = folder.join("lock");
    let lock = File::create(&path).with_context(|| format!("make {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!("another `cargo xtask dist` is at work in {}", folder.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

/// What `rustc` says of itself.
struct Compiler {
    /// The triple that it runs on, and builds for.
    host: String,
    /// The major version of its LLVM, in whose format profiles are.
    llvm: u32,
}

impl Compiler {
    fn ask() -> Result<Self> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        Self::read(&command::output(Command::new(rustc).arg("-vV"))?)
    }

    fn read(said: &str) -> Result<Self> {
        let field = |name: &str| {
            let found = said.lines().find_map(|line| line.strip_prefix(name));
            found.with_context(|| format!("`rustc -vV` has no line \"{name}\":\n{said}"))
        };
        let llvm = field("LLVM version: ")?;
        let major = llvm.split('.').next().and_then(|major| major.parse().ok());
        Ok(Self {
            host: field("host: ")?.to_owned(),
            llvm: major.with_context(|| format!("LLVM's version \"{llvm}\" does not begin with a number"))?,
        })
    }
}

/// The `llvm-profdata` that reads this compiler's profiles: rustup's, or one of the system that is new enough.
fn merger(compiler: &Compiler) -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = command::output(Command::new(rustc).args(["--print", "sysroot"]))?;
    let own = Path::new(sysroot.trim()).join(format!("lib/rustlib/{}/bin/llvm-profdata", compiler.host));
    if own.is_file() {
        return Ok(own);
    }
    // Of the same version: what counters look like in a file, and a profile, changes with it.
    let major = compiler.llvm;
    let numbered = format!("llvm-profdata-{major}");
    if repository::has_program(&numbered) {
        return Ok(numbered.into());
    }
    let plain = "llvm-profdata";
    if repository::has_program(plain)
        && command::output(Command::new(plain).arg("--version"))?.contains(&format!("LLVM version {major}."))
    {
        return Ok(plain.into());
    }
    bail!(
        "llvm-profdata of LLVM {major} is not there: `rustup component add llvm-tools`, or the system's package \
         llvm-{major}"
    )
}

/// Builds the binary with `flags`, into a folder of its own; returns where it lies.
fn build(root: &Path, target: &Path, compiler: &Compiler, flags: &str) -> Result<PathBuf> {
    let mut cargo = command::cargo();
    // With a target of its own name build scripts and macros are compiled without the flags.
    cargo
        .current_dir(root)
        .args(["build", "--release", "--locked", "-p", "atoll", "--bins", "--target"])
        .arg(&compiler.host)
        .env("CARGO_TARGET_DIR", target)
        // Not RUSTFLAGS, which is split at spaces: a path may have some.
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env_remove("RUSTFLAGS");
    command::run(&mut cargo)?;
    Ok(target.join(&compiler.host).join("release/atoll"))
}

/// Builds with counters, serves under load, merges; returns the profile.
fn train(root: &Path, folder: &Path, compiler: &Compiler, merger: &Path, seconds: u64) -> Result<PathBuf> {
    println!("building with counters");
    let raw = folder.join("raw");
    let flags = format!("-Cprofile-generate={}", raw.display());
    let binary = build(root, &folder.join("counted"), compiler, &flags)?;
    if raw.exists() {
        std::fs::remove_dir_all(&raw).with_context(|| format!("empty {}", raw.display()))?;
    }
    for isolation in ISOLATIONS {
        for (example, ask) in TRAINING {
            let served = serve(root, folder, &binary, (example, isolation), ask, seconds);
            served.with_context(|| format!("train with examples/{example}, isolation {isolation}"))?;
            if !raw.is_dir() {
                bail!("the server has written no counters into {}", raw.display());
            }
        }
    }
    let merged = folder.join("merged.profdata");
    // Without the counters of functions that never ran: they would be compiled as cold ones, and what only children and encrypted
    // connections do has not been trained. A function without counters is compiled as ever.
    command::run(
        Command::new(merger)
            .args(["merge", "--sparse", "-o"])
            .arg(&merged)
            .arg(&raw),
    )?;
    let bytes = std::fs::read(&merged).with_context(|| format!("read {}", merged.display()))?;
    let hash: String = Sha256::digest(&bytes)[..6]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for old in profiles(folder)? {
        std::fs::remove_file(&old).with_context(|| format!("remove {}", old.display()))?;
    }
    let profile = folder.join(format!("{PROFILE}{hash}.profdata"));
    std::fs::rename(&merged, &profile).with_context(|| format!("write {}", profile.display()))?;
    println!("{} KB of counters", bytes.len() / 1000);
    Ok(profile)
}

/// How the name of a profile begins.
const PROFILE: &str = "atoll-";

fn profiles(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if let Some(name) = name.to_str()
            && name.starts_with(PROFILE)
            && name.ends_with(".profdata")
        {
            found.push(folder.join(name));
        }
    }
    Ok(found)
}

fn last_profile(folder: &Path) -> Result<PathBuf> {
    let found = if folder.exists() { profiles(folder)? } else { Vec::new() };
    let last = found.into_iter().next();
    last.with_context(|| {
        format!(
            "no training has left a profile in {}; leave out --keep-profile",
            folder.display()
        )
    })
}

/// One server under one load, from its start to its orderly end, at which it writes its counters.
fn serve(
    root: &Path,
    folder: &Path,
    binary: &Path,
    (example, isolation): (&str, &str),
    ask: Ask,
    seconds: u64,
) -> Result<()> {
    let state = folder.join("state");
    if state.exists() {
        std::fs::remove_dir_all(&state)?;
    }
    std::fs::create_dir_all(&state)?;
    let port = process::free_port()?;
    let log = folder.join("log");
    let output = File::create(&log).with_context(|| format!("make {}", log.display()))?;
    let mut atoll = Command::new(binary);
    // It is served as we say, and its counters go where we look for them.
    for (name, _) in std::env::vars_os() {
        if name == "LLVM_PROFILE_FILE" || name.to_string_lossy().starts_with("ATOLL_") {
            atoll.env_remove(name);
        }
    }
    atoll
        .args([
            "serve",
            "--host",
            "127.0.0.1",
            "--log-level",
            "error",
            "--isolation",
            isolation,
        ])
        .args(["--allow-downgrade", "--port", &port.to_string(), "--persist-to"])
        .arg(&state)
        .arg(root.join("examples").join(example))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    // SAFETY: between fork and exec, one system call that takes no lock and allocates nothing.
    unsafe {
        atoll.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let mut server = Serving(atoll.spawn().with_context(|| format!("start {}", binary.display()))?);
    let (path, script) = match ask {
        Ask::Get(path) => (path, None),
        Ask::Post(path) => {
            let script = folder.join("post.lua");
            let lua = "wrk.method = \"POST\"\nwrk.body = \"name=&text=\"\nwrk.headers[\"Content-Type\"] = \
                       \"application/x-www-form-urlencoded\"\n";
            std::fs::write(&script, lua)?;
            (path, Some(script))
        }
    };
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let begin = Instant::now();
    while !process::get(SocketAddr::from(([127, 0, 0, 1], port)), "/")
        .is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
    {
        if let Some(status) = server.0.try_wait()? {
            bail!("the server ended with {status}:\n{}", said());
        }
        if begin.elapsed() > PATIENCE {
            bail!("the server did not answer within {PATIENCE:?}:\n{}", said());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut wrk = Command::new("wrk");
    wrk.args([
        "-t1",
        "--latency",
        &format!("-c{CONNECTIONS}"),
        &format!("-d{seconds}s"),
    ]);
    if let Some(script) = script {
        wrk.arg("-s").arg(script);
    }
    wrk.arg(format!("http://127.0.0.1:{port}{path}"));
    let raw = command::output(&mut wrk)?;
    let load = load::parse(&raw).with_context(|| format!("read the report of wrk:\n{raw}"))?;
    // The form is refused with 4xx, every other answer is good.
    let refused = if matches!(ask, Ask::Post(_)) { load.requests } else { 0 };
    if load.requests == 0 || load.errors != refused {
        bail!("examples/{example} did not answer as it should:\n{raw}{}", said());
    }
    let answers = load.requests;
    server.end().with_context(|| format!("end the server:\n{}", said()))?;
    println!("  {example} {path}, {isolation}: {answers} answers");
    Ok(())
}

/// A server that ends with us, however we end.
struct Serving(Child);

impl Serving {
    /// Asks it to end, and waits for that.
    fn end(&mut self) -> Result<()> {
        // SAFETY: the number is of a child that nobody has waited for.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGTERM) };
        let begin = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("it ended with {status}");
            }
            if begin.elapsed() > PATIENCE {
                bail!("it did not end within {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Without effect on one that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_read() {
        let said = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 22.1.2\n";
        let compiler = Compiler::read(said).unwrap();
        assert_eq!(
            (compiler.host.as_str(), compiler.llvm),
            ("x86_64-unknown-linux-gnu", 22)
        );
        assert!(Compiler::read("host: x\n").is_err());
        assert!(Compiler::read("host: x\nLLVM version: new\n").is_err());
    }

    #[test]
    fn profiles_are_found_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        assert!(last_profile(&folder.path().join("none")).is_err());
        assert!(last_profile(folder.path()).is_err());
        for name in ["atoll", "atoll-0123.profdata", "merged.profdata"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(
            last_profile(folder.path()).unwrap(),
            folder.path().join("atoll-0123.profdata")
        );
    }

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = alone(&folder.path().join("dist")).unwrap();
        let error = alone(&folder.path().join("dist")).unwrap_err();
        assert!(error.to_string().contains("another"), "{error:#}");
        drop(first);
        assert!(alone(&folder.path().join("dist")).is_ok());
    }

    /// What is trained with is there.
    #[test]
    fn the_examples_are_there() {
        for (example, _) in TRAINING {
            let config = repository::root().join("examples").join(example).join("wrangler.jsonc");
            assert!(config.is_file(), "{}", config.display());
        }
    }
}
