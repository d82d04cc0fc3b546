//! What a worker finds in a child process is what it finds in the server's own: a child has no files, so whatever the engine loads
//! when it is first asked for must be part of the program. Nor does either show where the server is.

use super::{get_text, start, write_project};
use crate::runner::server::{Command, Server};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;

const WORKER: &str = r#"
import { connect } from "cloudflare:sockets";
import * as workers from "cloudflare:workers";
import { builtinModules } from "node:module";

// What is done with what was made, so that scripts that are loaded when they are asked for run.
const uses = {
  async compression() {
    const { readable, writable } = new CompressionStream("gzip");
    const writer = writable.getWriter();
    writer.write(new TextEncoder().encode("text"));
    writer.close();
    return await new Response(readable.pipeThrough(new DecompressionStream("gzip"))).text();
  },
  async html() {
    const rewriter = new HTMLRewriter().on("p", { element: (element) => element.setInnerContent("new") });
    return await rewriter.transform(new Response("<p>old</p>")).text();
  },
  async events() {
    const source = EventSource.from(new Response("data: 1\n\n").body);
    return await new Promise((done) => source.addEventListener("message", ({ data }) => done(data)));
  },
  pattern: () => new URLPattern({ pathname: "/:name" }).exec("http://a/b").pathname.groups.name,
  connect: () => typeof connect({ hostname: "127.0.0.1", port: 1 }).opened.catch(() => {}).then,
  time: () => new Date(0).toString(),
  zone: () => Intl.DateTimeFormat().resolvedOptions().timeZone,
  number: () => (1234.5).toLocaleString(),
  digest: async () => (await crypto.subtle.digest("SHA-256", new Uint8Array(1))).byteLength,
};

const told = async (get) => {
  try {
    return String(await get());
  } catch (error) {
    return `${error?.name}: ${error?.message}`;
  }
};

export default {
  async fetch() {
    const found = {};
    for (const name of Object.getOwnPropertyNames(globalThis).sort()) {
      found[`global ${name}`] = await told(() => typeof globalThis[name]);
      if (typeof globalThis[name] === "function" && /^[A-Z]/.test(name)) {
        found[`new ${name}`] = await told(() => Object.prototype.toString.call(new globalThis[name]()));
      }
    }
    found["cloudflare:workers"] = Object.keys(workers).sort().join();
    for (const name of builtinModules) {
      found[`module ${name}`] = await told(() => Object.keys(process.getBuiltinModule(name)).sort().join());
    }
    for (const name of Object.keys(uses)) found[`use ${name}`] = await told(uses[name]);
    return Response.json(found);
  },
};
"#;

const OPTIONS: &str = r#", "compatibility_flags": ["nodejs_compat"]"#;

async fn found(isolation: &str) -> Result<BTreeMap<String, String>> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(&project, WORKER, OPTIONS)?;
    let mut start = start(&project, &folder.path().join("state"))?;
    start.args = vec!["--isolation".to_owned(), isolation.to_owned()];
    start.command = Command::Serve;
    // A worker is in no place.
    for (name, value) in [
        ("TZ", "America/New_York"),
        ("LANG", "de_DE.UTF-8"),
        ("LC_ALL", "de_DE.UTF-8"),
    ] {
        start.env.insert(name.to_owned(), value.to_owned());
    }
    let mut server = Server::start(&start).await?;
    let (status, text) = get_text(&server, "/").await?;
    server.stop().await?;
    serde_json::from_str(&text).with_context(|| format!("{isolation}: {status} {text}"))
}

/// Every global, every module and every class, looked at, made and used.
pub async fn a_child_has_what_the_server_has() -> Result<()> {
    let (shared, cordon) = (found("shared").await?, found("cordon").await?);
    for (name, here) in &shared {
        let there = cordon.get(name);
        ensure!(there == Some(here), "{name}: {here} here, {there:?} in a child");
    }
    ensure!(cordon.len() == shared.len(), "a child has more");
    let used = |name: &str| shared.get(&format!("use {name}")).map(String::as_str);
    let expected = [
        ("compression", "text"),
        ("html", "<p>new</p>"),
        ("events", "1"),
        ("pattern", "b"),
        ("connect", "function"),
        ("time", "Thu Jan 01 1970 00:00:00 GMT+0000 (Coordinated Universal Time)"),
        ("zone", "UTC"),
        ("number", "1,234.5"),
        ("digest", "32"),
    ];
    for (name, expected) in expected {
        ensure!(used(name) == Some(expected), "{name}: {:?}", used(name));
    }
    Ok(())
}
