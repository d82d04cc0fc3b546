//! Debuggers: what Chrome DevTools and VS Code do with `--inspector-port`, done by a client of our own.

use super::cdp::{Cdp, Script};
use super::{get_text, start, write_project};
use crate::runner::DEADLINE;
use crate::runner::client;
use crate::runner::format::Protocol;
use crate::runner::server::{START_DEADLINE, Server, Start};
use anyhow::{Context, Result, bail, ensure};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::task::JoinHandle;

const WORKER: &str = r#"interface Sum { total: number }

function add(a: number, b: number): Sum {
  const parts: number[] = [a];
  parts.push(b);
  parts.reverse();
  return { total: parts[0] + parts[1] };
}

class MarkedForTheSnapshot {
  values: number[] = [1, 2, 3];
}
const kept = new MarkedForTheSnapshot();

function busyWork(rounds: number): number {
  let sum = 0;
  for (let i = 0; i < rounds; i++) sum += Math.sqrt(i) * kept.values[i % 3];
  return sum;
}

export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    switch (pathname) {
      case "/log":
        console.log("printed", { deep: [1, 2] });
        break;
      case "/throw":
        throw Object.assign(new TypeError("thrown on purpose"), { facts: { order: 7 } });
      case "/busy":
        return new Response(String(busyWork(3e7) > 0));
      case "/spin":
        console.log("spinning");
        for (;;) {}
    }
    return new Response(`sum ${add(1, 2).total}`);
  },
} satisfies ExportedHandler;
"#;
/// The line, from 0, of `parts.push` in the worker.
const LINE: u32 = 4;
const CPU_LIMIT_MS: u32 = 200;

/// A server with an inspector.
struct Debugged {
    server: Server,
    /// Where the inspector listens.
    inspector: SocketAddr,
    source: PathBuf,
    _folder: tempfile::TempDir,
}

fn project() -> Result<(tempfile::TempDir, Start)> {
    let folder = tempfile::tempdir()?;
    // The names in source maps are real ones.
    let project = folder.path().canonicalize()?.join("my project");
    std::fs::create_dir_all(project.join("src"))?;
    std::fs::create_dir_all(project.join("public"))?;
    std::fs::write(project.join("src/index.ts"), WORKER)?;
    std::fs::write(project.join("public/file.txt"), "asset")?;
    let config = format!(
        r#"{{ "name": "debugged", "main": "src/index.ts", "compatibility_date": "2026-08-01",
             "assets": {{ "directory": "public" }}, "limits": {{ "cpu_ms": {CPU_LIMIT_MS} }} }}"#
    );
    std::fs::write(project.join("wrangler.jsonc"), config)?;
    let mut start = start(&project, &folder.path().join("state"))?;
    start.args = vec!["--inspector-port".to_owned(), "0".to_owned()];
    Ok((folder, start))
}

async fn serve() -> Result<Debugged> {
    let (folder, start) = project()?;
    let source = start.directory.join("src/index.ts");
    let server = Server::start(&start).await?;
    let address = |line: &str| {
        let told = line.lines().any(|field| field == "event: inspector");
        let address = line.lines().find_map(|field| field.strip_prefix("address: "));
        address.filter(|_| told).and_then(|address| address.parse().ok())
    };
    let inspector = server.lines.wait(0, START_DEADLINE, address).await;
    Ok(Debugged {
        inspector: inspector.context("it does not say where debuggers are let in")?,
        server,
        source,
        _folder: folder,
    })
}

impl Debugged {
    async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Result<(u16, String)> {
        let mut request = http::Request::get(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", self.inspector.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(client::whole(Vec::new()))?;
        let (head, body) = client::send(self.inspector, Protocol::Http1, request)
            .await?
            .response
            .into_parts();
        let body = body.collect().await?.to_bytes();
        Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
    }

    /// The list of workers.
    async fn list(&self) -> Result<Value> {
        let (status, text) = self.ask("/json/list", &[]).await?;
        ensure!(status == 200, "{status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    async fn connect(&self) -> Result<Cdp> {
        let list = self.list().await?;
        let url = list[0]["webSocketDebuggerUrl"]
            .as_str()
            .context("no worker is listed")?;
        Cdp::connect(url).await
    }

    /// Enables what debuggers enable; gives back the worker's script.
    async fn attach(&self) -> Result<(Cdp, Script)> {
        let mut client = self.connect().await?;
        client.call("Runtime.enable", json!({})).await?;
        client.call("Debugger.enable", json!({})).await?;
        let script = the_script(&mut client).await?;
        Ok((client, script))
    }

    /// The source as source maps name it.
    fn source_url(&self) -> String {
        format!("file://{}", self.source.to_string_lossy().replace(' ', "%20"))
    }

    /// Sends a request whose answer will come later.
    fn request(&self, path: &'static str) -> JoinHandle<Result<(u16, String)>> {
        let address = self.server.address;
        tokio::spawn(async move {
            let request = http::Request::get(path)
                .header("host", address.to_string())
                .body(client::whole(Vec::new()))?;
            let answer = client::send(address, Protocol::Http1, request).await?;
            let (head, body) = answer.response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
        })
    }

    async fn break_at(&self, client: &mut Cdp, script: &Script, line: u32) -> Result<Value> {
        let (line, column) = script.generated(&self.source_url(), line)?;
        let place = json!({ "url": script.url, "lineNumber": line, "columnNumber": column });
        let set = client.call("Debugger.setBreakpointByUrl", place).await?;
        ensure!(
            set["locations"].as_array().is_some_and(|all| all.len() == 1),
            "the breakpoint is at no place: {set}"
        );
        Ok(set)
    }
}

async fn the_script(client: &mut Cdp) -> Result<Script> {
    let ours = |params: &Value| params["url"].as_str().is_some_and(|url| url.ends_with("/index.js"));
    Script::announced(&client.event("Debugger.scriptParsed", ours).await?)
}

async fn answered(request: JoinHandle<Result<(u16, String)>>) -> Result<()> {
    let answer = tokio::time::timeout(DEADLINE, request)
        .await
        .context("no answer came")???;
    ensure!(answer == (200, "sum 3".to_owned()), "{answer:?}");
    Ok(())
}

async fn paused(client: &mut Cdp) -> Result<Value> {
    let paused = client.event("Debugger.paused", |_| true).await?;
    Ok(paused["callFrames"].clone())
}

/// A breakpoint in TypeScript, steps, the values there; the answer comes when the worker goes on.
pub async fn breakpoints_in_typescript() -> Result<()> {
    let debugged = serve().await?;
    let (mut client, script) = debugged.attach().await?;
    debugged.break_at(&mut client, &script, LINE).await?;
    let request = debugged.request("/");

    let frames = paused(&mut client).await?;
    let source = debugged.source_url();
    let at = |frames: &Value| -> Result<(String, u32)> {
        let (source, line) = script.original(&frames[0]["location"])?;
        Ok((source.to_owned(), line))
    };
    ensure!(at(&frames)? == (source.clone(), LINE), "{frames}");
    let functions: Vec<&str> = frames
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|frame| frame["functionName"].as_str())
        .collect();
    ensure!(
        functions == ["add", "fetch"],
        "not the worker's functions alone: {frames}"
    );
    let evaluate = |frames: &Value, expression: &str| json!({ "callFrameId": frames[0]["callFrameId"], "expression": expression, "returnByValue": true });
    let value = client
        .call(
            "Debugger.evaluateOnCallFrame",
            evaluate(&frames, "[a, b, parts.length]"),
        )
        .await?;
    ensure!(value["result"]["value"] == json!([1, 2, 1]), "{value}");
    let global = client
        .call("Runtime.evaluate", json!({ "expression": "typeof Response" }))
        .await?;
    ensure!(global["result"]["value"] == "function", "{global}");

    // A line may have more than one place to stop at.
    let mut frames = frames;
    for _ in 0..4 {
        client.call("Debugger.stepOver", json!({})).await?;
        frames = paused(&mut client).await?;
        if at(&frames)?.1 != LINE {
            break;
        }
    }
    ensure!(at(&frames)? == (source, LINE + 1), "{frames}");
    let value = client
        .call("Debugger.evaluateOnCallFrame", evaluate(&frames, "parts.length"))
        .await?;
    ensure!(value["result"]["value"] == 2, "{value}");
    ensure!(!request.is_finished(), "it answered while it stood still");
    client.call("Debugger.resume", json!({})).await?;
    answered(request).await?;

    // Without a request: the clock that stands still and the ban of eval do not reach the debugger.
    for (expression, expected) in [
        ("1 + 1", json!(2)),
        ("eval('2 + 3')", json!(5)),
        ("new Promise((done) => setTimeout(done, 1, 'later'))", json!("later")),
    ] {
        let value = client.evaluate(expression).await?;
        ensure!(value == expected, "{expression}: {value}");
    }
    // A breakpoint inside of what a debugger evaluates.
    let expression = json!({ "expression": "(() => { debugger; return 'passed'; })()" });
    let id = client.send("Runtime.evaluate", expression).await?;
    client.event("Debugger.paused", |_| true).await?;
    client.call("Debugger.resume", json!({})).await?;
    let passed = client.answer(id).await?;
    ensure!(passed["result"]["result"]["value"] == "passed", "{passed}");
    Ok(())
}

/// What a worker prints and throws, in the terminal and in the debugger.
pub async fn console_and_exceptions() -> Result<()> {
    let debugged = serve().await?;
    let mut client = debugged.connect().await?;
    client.call("Runtime.enable", json!({})).await?;
    answered(debugged.request("/log")).await?;
    let printed = client.event("Runtime.consoleAPICalled", |_| true).await?;
    ensure!(
        printed["type"] == "log" && printed["args"][0]["value"] == "printed",
        "{printed}"
    );
    let object = &printed["args"][1]["objectId"];
    let properties = client
        .call(
            "Runtime.getProperties",
            json!({ "objectId": object, "ownProperties": true }),
        )
        .await?;
    ensure!(properties["result"][0]["name"] == "deep", "{properties}");
    let place = printed["stackTrace"]["callFrames"][0]["url"]
        .as_str()
        .unwrap_or_default();
    ensure!(place.ends_with("/index.js"), "printed by {place:?}: {printed}");
    let shown = |line: &str| line.contains("printed { deep: [ 1, 2 ] }").then_some(());
    let lines = &debugged.server.lines;
    lines
        .wait(0, DEADLINE, shown)
        .await
        .context("the terminal does not show it")?;

    let (status, _) = get_text(&debugged.server, "/throw").await?;
    ensure!(status == 500, "{status}");
    let thrown = client.event("Runtime.exceptionThrown", |_| true).await?;
    let details = &thrown["exceptionDetails"];
    let text = details["exception"]["description"].as_str().unwrap_or_default();
    ensure!(
        text.starts_with("TypeError: thrown on purpose\n    at fetch (file:///index.js:"),
        "{thrown}"
    );
    ensure!(details["exception"]["className"] == "TypeError", "{thrown}");
    let script = &details["stackTrace"]["callFrames"][0]["scriptId"];
    ensure!(script.is_string() && details["scriptId"] == *script, "{thrown}");
    let id = &details["exception"]["objectId"];
    let of = json!({ "objectId": id, "ownProperties": true });
    let properties = client.call("Runtime.getProperties", of).await?;
    let facts = properties["result"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|property| property["name"] == "facts")
        .with_context(|| format!("the exception has no facts: {properties}"))?;
    let of = json!({ "objectId": facts["value"]["objectId"], "ownProperties": true });
    let properties = client.call("Runtime.getProperties", of).await?;
    ensure!(properties["result"][0]["value"]["value"] == 7, "{properties}");
    let frame = &details["stackTrace"]["callFrames"][0];
    ensure!(
        frame["functionName"] == "fetch" && frame["url"] == "file:///index.js",
        "{thrown}"
    );

    // Who comes later is told what was printed before.
    let mut late = debugged.connect().await?;
    late.send("Runtime.enable", json!({})).await?;
    late.event("Runtime.consoleAPICalled", |params| {
        params["args"][0]["value"] == "printed"
    })
    .await?;
    Ok(())
}

/// A CPU profile names the worker's functions, a heap snapshot its classes.
pub async fn profiles() -> Result<()> {
    let debugged = serve().await?;
    let mut client = debugged.connect().await?;
    client.call("Profiler.enable", json!({})).await?;
    client
        .call("Profiler.setSamplingInterval", json!({ "interval": 200 }))
        .await?;
    client.call("Profiler.start", json!({})).await?;
    let (status, text) = get_text(&debugged.server, "/busy").await?;
    ensure!((status, text.as_str()) == (200, "true"), "{status} {text}");
    let profile = client.call("Profiler.stop", json!({})).await?;
    let nodes = profile["profile"]["nodes"].as_array().context("no nodes")?;
    let hits = |name: &str| -> u64 {
        let named = nodes.iter().filter(|node| node["callFrame"]["functionName"] == name);
        named.filter_map(|node| node["hitCount"].as_u64()).sum()
    };
    ensure!(hits("busyWork") > 0, "busyWork was never seen at work: {nodes:?}");
    ensure!(
        nodes.iter().any(|node| node["callFrame"]["functionName"] == "fetch"),
        "no handler"
    );

    client.call("HeapProfiler.enable", json!({})).await?;
    let id = client
        .send("HeapProfiler.takeHeapSnapshot", json!({ "reportProgress": false }))
        .await?;
    let answer = client.answer(id).await?;
    ensure!(answer["error"].is_null(), "{answer}");
    // All pieces come before the answer; none may be missing.
    let mut text = String::new();
    while !text.ends_with("]}") || serde_json::from_str::<Value>(&text).is_err() {
        let piece = client.event("HeapProfiler.addHeapSnapshotChunk", |_| true).await?;
        text.push_str(piece["chunk"].as_str().unwrap_or_default());
    }
    let snapshot: Value = serde_json::from_str(&text)?;
    let names = snapshot["strings"].as_array().context("no strings")?;
    ensure!(
        names.iter().any(|name| name == "MarkedForTheSnapshot"),
        "the worker's class is not in the snapshot"
    );
    Ok(())
}

/// A debugger that goes while the worker stands at a breakpoint lets it go on.
pub async fn a_debugger_that_goes_resumes() -> Result<()> {
    let debugged = serve().await?;
    for _ in 0..2 {
        let (mut client, script) = debugged.attach().await?;
        debugged.break_at(&mut client, &script, LINE).await?;
        let request = debugged.request("/");
        paused(&mut client).await?;
        client.vanish();
        answered(request).await?;
    }
    // And at the server's end nothing waits for it.
    let (mut client, script) = debugged.attach().await?;
    debugged.break_at(&mut client, &script, LINE).await?;
    let request = debugged.request("/");
    paused(&mut client).await?;
    let mut server = debugged.server;
    server.signal(libc::SIGINT)?;
    answered(request).await?;
    let status = server.ended().await?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

/// While somebody debugs, the limits of time do not hold; others are served; afterwards they hold again.
pub async fn limits_wait_for_the_debugger() -> Result<()> {
    // Some seconds of a debug build, at least twice the limit of any.
    const ROUNDS: &str = "(() => { let s = 0; for (let i = 0; i < 6e8; i++) s += i % 7; return s > 0; })()";
    let debugged = serve().await?;
    let (mut client, script) = debugged.attach().await?;
    debugged.break_at(&mut client, &script, LINE).await?;
    let request = debugged.request("/");
    let frames = paused(&mut client).await?;
    let work = json!({ "callFrameId": frames[0]["callFrameId"], "expression": ROUNDS });
    let id = client.send("Debugger.evaluateOnCallFrame", work).await?;
    for _ in 0..5 {
        let (status, text) = get_text(&debugged.server, "/file.txt").await?;
        ensure!((status, text.as_str()) == (200, "asset"), "{status} {text}");
    }
    let value = client.answer(id).await?;
    ensure!(value["result"]["result"]["value"] == true, "{value}");
    client.call("Debugger.resume", json!({})).await?;
    answered(request).await?;

    // A loop that never ends is found by pausing it, and ended by the limit once nobody looks.
    let request = debugged.request("/spin");
    let spinning = |line: &str| line.contains("spinning").then_some(());
    let lines = &debugged.server.lines;
    lines
        .wait(0, DEADLINE, spinning)
        .await
        .context("the loop did not begin")?;
    client.call("Debugger.pause", json!({})).await?;
    let frames = paused(&mut client).await?;
    ensure!(frames[0]["functionName"] == "fetch", "{frames}");
    client.vanish();
    let (status, text) = tokio::time::timeout(DEADLINE, request)
        .await
        .context("the loop goes on")???;
    ensure!(status >= 500, "{status} {text}");
    answered(debugged.request("/")).await?;

    // Asked for while nothing runs, the pause comes in the worker's code and not in the engine's.
    let (mut client, _) = debugged.attach().await?;
    client.call("Debugger.pause", json!({})).await?;
    let request = debugged.request("/");
    let frames = paused(&mut client).await?;
    ensure!(frames[0]["functionName"] == "fetch", "{frames}");
    client.call("Debugger.resume", json!({})).await?;
    answered(request).await
}

/// A reload keeps the debugger: it sees a new context, and its breakpoints hold in the new version.
pub async fn a_reload_keeps_the_debugger() -> Result<()> {
    let debugged = serve().await?;
    let (mut client, script) = debugged.attach().await?;
    debugged.break_at(&mut client, &script, LINE).await?;
    // The old version stands still when the new one comes, and goes on then.
    let request = debugged.request("/");
    paused(&mut client).await?;
    let since = debugged.server.lines.count();
    std::fs::write(
        &debugged.source,
        format!("{WORKER}\nconsole.log('the second version');\n"),
    )?;
    client.event("Runtime.executionContextsCleared", |_| true).await?;
    answered(request).await?;
    client.event("Runtime.executionContextCreated", |_| true).await?;
    let script = the_script(&mut client).await?;
    let reloaded = |line: &str| line.lines().any(|field| field == "event: reload").then_some(());
    let lines = &debugged.server.lines;
    lines
        .wait(since, START_DEADLINE, reloaded)
        .await
        .context("it did not reload")?;
    let request = debugged.request("/");
    let frames = paused(&mut client).await?;
    ensure!(script.original(&frames[0]["location"])?.1 == LINE, "{frames}");
    client.call("Debugger.resume", json!({})).await?;
    answered(request).await
}

/// What is listed, who is let in, and what a newcomer is told.
pub async fn who_is_let_in() -> Result<()> {
    let debugged = serve().await?;
    let list = debugged.list().await?;
    let address = debugged.inspector;
    let expected = json!({
        "id": "debugged", "title": "debugged", "description": "worker", "type": "node", "url": "",
        "webSocketDebuggerUrl": format!("ws://{address}/debugged"),
        "devtoolsFrontendUrl":
            format!("devtools://devtools/bundled/js_app.html?experiments=true&v8only=true&ws={address}/debugged"),
        "devtoolsFrontendUrlCompat":
            format!("devtools://devtools/bundled/inspector.html?experiments=true&v8only=true&ws={address}/debugged"),
    });
    ensure!(list == json!([expected]), "{list}");
    let (_, version) = debugged.ask("/json/version", &[]).await?;
    let version: Value = serde_json::from_str(&version)?;
    ensure!(version["Protocol-Version"] == "1.3", "{version}");
    let local = format!("localhost:{}", address.port());
    for (path, headers, expected) in [
        ("/json", vec![], 200),
        ("/json/list", vec![("host", local.as_str())], 200),
        ("/json/list", vec![("host", "attacker.example")], 400),
        ("/json/list", vec![("origin", "https://attacker.example")], 403),
        ("/json/list", vec![("origin", "devtools://devtools")], 200),
        ("/debugged", vec![], 426),
        ("/nobody", vec![], 404),
    ] {
        let (status, text) = debugged.ask(path, &headers).await?;
        ensure!(status == expected, "{path} {headers:?}: {status} {text}");
    }
    for (origin, allowed) in [("http://localhost:8787", true), ("https://attacker.example", false)] {
        let request = http::Request::get(format!("ws://{address}/debugged"))
            .header("host", address.to_string())
            .header("origin", origin)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())?;
        let connected = Cdp::connect(request).await;
        ensure!(connected.is_ok() == allowed, "{origin}: {:?}", connected.err());
    }

    let held = std::net::TcpListener::bind("127.0.0.1:0")?;
    let busy = held.local_addr()?.port();
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(&project, "export default { fetch() { return new Response(); } };\n", "")?;
    let mut start = start(&project, &folder.path().join("state"))?;
    for (port, said) in [
        (busy.to_string(), "--inspector-port"),
        ("devtools".to_owned(), "invalid"),
    ] {
        start.args = vec!["--inspector-port".to_owned(), port.clone()];
        let (status, lines) = Server::start_to_end(&start).await?;
        let lines = lines.join("\n");
        if status.success() || !lines.contains(said) || !lines.contains(&port) {
            bail!("{port}: {status}, {lines}");
        }
    }
    Ok(())
}
