//! Suites by others, fetched once: the tests of Node.js, among them the Web Platform Tests, from Debian's source package.
//!
//! Debian's own client fetches and checks it. It is given a source list of ours, derived from the machine's (the same
//! mirror, the release that has the package, sources only), and state and cache of its own: the machine's lists stay as they
//! are. Signatures are checked against Debian's archive keys. What lies in `target/fixtures/` afterwards is the package's
//! `test/` directory as its authors published it, without Debian's patches.
//!
//! Where that cannot be done (another distribution, no network, a release that moved on) the reason is returned; whoever
//! needs the suites skips them and says so.

use crate::{CommandResult, command, repository};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's source package.
const PACKAGE: &str = "nodejs";
/// The upstream version the counts in the test suites belong to.
const VERSION: &str = "20.19.2";
/// The Debian release that has it.
const RELEASE: &str = "trixie";
/// Debian's archive keys, as the package `debian-archive-keyring` installs them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Stands in a directory once everything was unpacked.
const COMPLETE: &str = ".complete";

/// `cargo xtask fixtures`.
pub fn command() -> CommandResult {
    let root = repository::root();
    match node_tests(&root, false) {
        Ok(how) => {
            println!("{how}");
            Ok(())
        }
        Err(why) => bail!("{why}"),
    }
}

/// Where suites by others are kept.
pub fn directory(root: &Path) -> PathBuf {
    match std::env::var_os("ATOLL_FIXTURES") {
        Some(directory) => root.join(directory),
        None => repository::target_dir(root).join("fixtures"),
    }
}

/// Fetches the tests of Node.js unless they are there; says what was done, or why not.
pub fn node_tests(root: &Path, no_install: bool) -> Result<String, String> {
    let directory = directory(root);
    let target = directory.join(format!("{PACKAGE}-{VERSION}"));
    if target.join(COMPLETE).is_file() {
        return Ok(format!("the tests of Node.js {VERSION} are there"));
    }
    if no_install {
        return Err(format!(
            "the tests of Node.js {VERSION} are not there and --no-install was given"
        ));
    }
    fetch(&directory, &target)
        .map(|()| format!("fetched the tests of Node.js {VERSION} from Debian's source package"))
        .map_err(|error| format!("the tests of Node.js {VERSION} cannot be fetched: {error:#}"))
}

fn fetch(directory: &Path, target: &Path) -> Result<()> {
    for program in ["apt-get", "tar", "xz"] {
        if !repository::has_program(program) {
            bail!("there is no `{program}` here");
        }
    }
    if !Path::new(KEYRING).is_file() {
        bail!("Debian's archive keys ({KEYRING}, package debian-archive-keyring) are not installed");
    }
    let release = std::fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
    let codename = codename(&release).context("this is no Debian release")?;
    let mirror = machine_mirror(Path::new("/etc/apt"), codename)?;

    let apt = directory.join("apt");
    for part in ["lists/partial", "archives/partial", "sources", "download"] {
        std::fs::create_dir_all(apt.join(part)).with_context(|| format!("make {}", apt.join(part).display()))?;
    }
    let write = |name: &str, text: String| {
        let path = apt.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    write(
        "sources/node.sources",
        format!("Types: deb-src\nURIs: {mirror}\nSuites: {RELEASE}\nComponents: main\nSigned-By: {KEYRING}\n"),
    )?;
    write("status", String::new())?;
    let here = apt.display();
    // The machine's own configuration (proxies, say) is read before this; its hooks belong to its own lists.
    write(
        "apt.conf",
        format!(
            "Dir::State \"{here}\";\nDir::State::status \"{here}/status\";\nDir::State::lists \"{here}/lists\";\n\
             Dir::Cache \"{here}\";\nDir::Etc::sourcelist \"/dev/null\";\nDir::Etc::sourceparts \"{here}/sources\";\n\
             APT::Sandbox::User \"\";\nAPT::Get::AllowUnauthenticated \"false\";\n\
             #clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
        ),
    )?;
    let apt_get = |arguments: &[&str]| {
        let mut apt_get = Command::new("apt-get");
        apt_get.current_dir(apt.join("download"));
        apt_get.arg("-q").arg("-c").arg(apt.join("apt.conf")).args(arguments);
        command::run(&mut apt_get)
    };
    apt_get(&["update", "--error-on=any"])?;
    // Debian's own part of the package is not needed, and of an older revision than the mirror's it is not there any more.
    apt_get(&["source", "--only-source", "--download-only", "--tar-only", PACKAGE])?;

    let archive = apt.join(format!("download/{PACKAGE}_{VERSION}+dfsg.orig.tar.xz"));
    if !archive.is_file() {
        bail!("Debian's {RELEASE} has another version of {PACKAGE} than {VERSION}");
    }
    let partial = target.with_extension("partial");
    if partial.exists() {
        std::fs::remove_dir_all(&partial).with_context(|| format!("remove {}", partial.display()))?;
    }
    std::fs::create_dir_all(&partial).with_context(|| format!("make {}", partial.display()))?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--xz", "--strip-components=1", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(&partial)
        .args([
            "--wildcards",
            "--no-wildcards-match-slash",
            "--anchored",
            "*/test",
            "*/LICENSE",
        ]);
    command::run(&mut tar)?;
    std::fs::write(partial.join(COMPLETE), format!("{VERSION}\n")).context("mark the unpacked tests")?;
    if target.exists() {
        std::fs::remove_dir_all(target).with_context(|| format!("remove {}", target.display()))?;
    }
    std::fs::rename(&partial, target).with_context(|| format!("move to {}", target.display()))
}

/// Debian's name for the release that this machine runs; `None` on other systems.
fn codename(os_release: &str) -> Option<&str> {
    let value = |key: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches('"'))
    };
    if value("ID") != Some("debian") {
        return None;
    }
    value("VERSION_CODENAME")
}

/// The address of the archive that the machine itself installs from.
fn machine_mirror(etc: &Path, codename: &str) -> Result<String> {
    let mut files = vec![etc.join("sources.list")];
    if let Ok(entries) = std::fs::read_dir(etc.join("sources.list.d")) {
        let mut more: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        more.sort();
        files.extend(more);
    }
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        let found = match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => mirror_of_lines(&text, codename),
            Some("sources") => mirror_of_stanzas(&text, codename),
            _ => None,
        };
        if let Some(mirror) = found {
            return Ok(mirror);
        }
    }
    bail!(
        "no source list below {} names the component main of {codename}",
        etc.display()
    )
}

/// Whether a list of suites and components is the release itself (not its updates, not another archive's).
fn is_release(suites: &[&str], components: &[&str], codename: &str) -> bool {
    let named = |suite: &&str| *suite == codename || ["stable", "oldstable", "testing"].contains(suite);
    suites.iter().any(named) && components.contains(&"main")
}

/// sources.list(5), one line each.
fn mirror_of_lines(text: &str, codename: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let mut rest = line.strip_prefix("deb")?;
        rest = rest.strip_prefix("-src").unwrap_or(rest);
        rest = rest.strip_prefix([' ', '\t'])?.trim_start();
        if let Some(options) = rest.strip_prefix('[') {
            rest = options.split_once(']')?.1;
        }
        let words: Vec<&str> = rest.split_whitespace().collect();
        let [mirror, suite, components @ ..] = words.as_slice() else {
            return None;
        };
        is_release(&[suite], components, codename).then(|| (*mirror).to_owned())
    })
}

/// sources.list(5), stanzas of fields. Fields that go on over several lines are not followed.
fn mirror_of_stanzas(text: &str, codename: &str) -> Option<String> {
    text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| -> Vec<&str> {
            let value = stanza
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_default().split_whitespace().collect()
        };
        if field("Enabled") == ["no"] {
            return None;
        }
        let mirror = (*field("URIs").first()?).to_owned();
        is_release(&field("Suites"), &field("Components"), codename).then_some(mirror)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_names() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(codename(text), expected, "{text}");
        check("ID=debian\nVERSION_CODENAME=bookworm\n", Some("bookworm"));
        check("ID=\"debian\"\nVERSION_CODENAME=\"trixie\"\n", Some("trixie"));
        check("ID=ubuntu\nVERSION_CODENAME=noble\nID_LIKE=debian\n", None);
        check("", None);
    }

    #[test]
    fn lines() {
        let check =
            |text: &str, expected: Option<&str>| assert_eq!(mirror_of_lines(text, "x").as_deref(), expected, "{text}");
        check("deb http://a.example/debian x main\n", Some("http://a.example/debian"));
        check(
            "# c\ndeb [signed-by=/k arch=amd64] https://a.example/d x contrib main # c",
            Some("https://a.example/d"),
        );
        check(
            "deb http://a.example/security x-security main\ndeb-src\thttp://b.example/ x main",
            Some("http://b.example/"),
        );
        check("deb http://a.example/debian x contrib", None);
        check("deb http://a.example/debian", None);
        check("# deb http://a.example/debian x main", None);
        check("debug http://a.example/debian x main", None);
    }

    #[test]
    fn stanzas() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(mirror_of_stanzas(text, "x").as_deref(), expected, "{text}")
        };
        let debian = "Types: deb\n# a comment\nURIs: http://a.example/debian\nSuites: x x-updates\nComponents: main\n";
        check(debian, Some("http://a.example/debian"));
        check(&debian.replace("Suites: x x", "Suites: x"), None);
        check(&format!("{debian}Enabled: no\n"), None);
        check(
            "Types: deb\nURIs: http://s.example/\nSuites: x-security\nComponents: main\n\nTypes: deb\nURIs: http://b.example/\nSuites: x\nComponents: main",
            Some("http://b.example/"),
        );
        check("", None);
    }
}
