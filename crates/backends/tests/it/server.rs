//! A PostgreSQL server of the test's own: in a temporary directory, on a Unix socket, as an unprivileged user.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;

/// Set by whoever has installed the server: then its absence is a failure.
const REQUIRED: &str = "ATOLL_TEST_POSTGRES";
/// How long a start may take on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);
/// `nobody`: the server refuses to run as root.
const NOBODY: u32 = 65_534;

/// The directory of the newest version's programs.
fn programs() -> Option<PathBuf> {
    let has = |directory: &Path| directory.join("initdb").is_file() && directory.join("postgres").is_file();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).max_by_key(|path| version(path));
    let installed = newest.map(|path| path.join("bin")).filter(|path| has(path));
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|directory| has(directory))
    };
    installed.or_else(on_path)
}

/// A server that runs. It is killed when it is dropped.
pub struct Server {
    directory: tempfile::TempDir,
    programs: PathBuf,
    process: Option<Child>,
    databases: u32,
}

impl Server {
    /// Starts one. `None`, and a line that says so, if its programs are not installed.
    pub async fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(
                std::env::var(REQUIRED).as_deref() != Ok("ready"),
                "{REQUIRED} says that PostgreSQL is installed, but it was not found"
            );
            eprintln!("SKIPPED: PostgreSQL is not installed (Debian: apt-get install postgresql)");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        if is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut server = Self {
            directory,
            programs,
            process: None,
            databases: 0,
        };
        let made = server
            .command("initdb")
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
                "-D",
            ])
            .arg(server.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.run().await;
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.directory.path());
        command.stdin(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Starts the process and waits until it answers.
    pub async fn run(&mut self) {
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.directory.path());
        // What is acknowledged survives the server's death all the same: only a power cut could tell the difference.
        command.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50"]);
        // What it shares with its processes is files of its directory: segments of the machine would be left by `kill -9`.
        command.args(["-c", "dynamic_shared_memory_type=mmap"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        let start = Instant::now();
        loop {
            match tokio_postgres::connect(&self.url("postgres"), NoTls).await {
                Ok(_) => return,
                Err(error) if start.elapsed() < START_MAX => {
                    let ended = self.process.as_mut().and_then(|process| process.try_wait().unwrap());
                    assert!(ended.is_none(), "{error}: {}", self.log());
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("{error}: {}", self.log()),
            }
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// `kill -9` of the server's first process; the others end with it.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// How a database is reached.
    pub fn url(&self, database: &str) -> String {
        let host = self.directory.path().display();
        format!("host={host} user=postgres dbname={database} sslmode=disable")
    }

    /// A connection of the test's own.
    pub async fn connect(&self, database: &str) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls).await.unwrap();
        // It ends when the client is dropped.
        tokio::spawn(connection);
        client
    }

    /// A new, empty database, and its name.
    pub async fn create_database(&mut self) -> String {
        self.databases += 1;
        let name = format!("test{}", self.databases);
        let client = self.connect("postgres").await;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        name
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // Processes that the first one started end by themselves when they see it gone; the directory outlives them.
        let start = Instant::now();
        while self.directory.path().join("data/postmaster.pid").exists() && start.elapsed() < Duration::from_millis(500)
        {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
