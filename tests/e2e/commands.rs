//! The small commands: help, version, completions, types; wrong words.

use crate::runner::server::{Subject, repository};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(directory: &Path, arguments: &[&str]) -> Result<Output> {
    let Subject::Atoll(binary) = Subject::find()? else {
        bail!("the commands are ours")
    };
    let output = Command::new(binary)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output();
    output.with_context(|| format!("run atoll {}", arguments.join(" ")))
}

/// Arguments, exit status, and a text in what is printed.
pub async fn answers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let check = |arguments: &[&str], status: i32, contains: &str| {
        let output = run(folder.path(), arguments)?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text += &String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(status) || !text.contains(contains) {
            bail!(
                "atoll {arguments:?} ended with {}, expected {status} and {contains:?}:\n{text}",
                output.status
            );
        }
        Ok(())
    };
    check(&["--version"], 0, "atoll 0.")?;
    check(&["--help"], 0, "dev")?;
    check(&["dev", "--help"], 0, "--persist-to")?;
    check(&["completions", "bash"], 0, "complete")?;
    check(&["completions", "zsh"], 0, "#compdef")?;
    check(&["completions", "fish"], 0, "complete")?;
    check(&["dve"], 2, "dev")?;
    check(&["dev", "--prot", "1"], 2, "--port")?;
    check(&["dev", "--port", "70000"], 2, "70000")?;
    check(&["serve", "--help"], 0, "--admin")?;
    check(&["srve"], 2, "serve")?;
    check(&["serve", "--grace", "ten"], 2, "500ms")?;
    check(&["serve", "no-such-folder"], 1, "no-such-folder")?;
    check(&["serve"], 1, "no configuration found")?;
    check(&["dev", "no-such-folder"], 1, "no-such-folder")
}

/// The types of an example's bindings, into a copy of it.
pub async fn types() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("guestbook");
    crate::runner::copy(&repository().join("examples/guestbook"), &project)?;
    let file = project.join("worker-configuration.d.ts");
    std::fs::remove_file(&file)?;
    let output = run(&project, &["types"])?;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let text = std::fs::read_to_string(&file)?;
    for part in ["GUESTBOOK: KVNamespace", "TITLE:", "ENTRIES_KEPT:"] {
        if !text.contains(part) {
            bail!("the types lack {part:?}:\n{text}");
        }
    }
    Ok(())
}

/// `atoll test` on a project whose tests pass, fail and never end.
pub async fn test() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path();
    let config = r#"{ "name": "tested", "main": "index.js", "compatibility_date": "2026-08-01", "vars": { "WHO": "you" },
        "kv_namespaces": [{ "binding": "KV" }] }"#;
    std::fs::write(project.join("wrangler.jsonc"), config)?;
    let code = r#"
        import { WorkerEntrypoint } from "cloudflare:workers";
        export default {
          async test(controller, env, ctx) {
            console.log("hello " + env.WHO);
            if (await env.KV.get("k") !== null) throw new Error("state of an earlier run");
            await env.KV.put("k", "v");
            if (await env.KV.get("k") !== "v") throw new Error("not stored");
            if (typeof ctx.waitUntil !== "function") throw new Error("no context");
          },
        };
        export const more = { test() {} };
        export const untested = { fetch() {} };
        export class InClass extends WorkerEntrypoint {
          async test() { if (this.env.WHO !== "you") throw new Error("no env"); }
        }
        export const failing = { test() { throw new RangeError("one is not two"); } };
        export const stuck = { test() { return new Promise(() => {}); } };
    "#;
    std::fs::write(project.join("index.js"), code)?;
    let check = |arguments: &[&str], status: i32, contains: &[&str], lacks: &[&str]| {
        let output = run(project, arguments)?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text += &String::from_utf8_lossy(&output.stderr);
        let missing = contains.iter().find(|part| !text.contains(**part));
        let surplus = lacks.iter().find(|part| text.contains(**part));
        if output.status.code() != Some(status) || missing.is_some() || surplus.is_some() {
            bail!(
                "atoll {arguments:?} ended with {}, expected {status}, {missing:?} is missing, {surplus:?} too much:\n{text}",
                output.status
            );
        }
        Ok(())
    };
    let colours = "\u{1b}[";
    check(
        &["test"],
        1,
        &[
            "pass default",
            "pass more",
            "pass InClass",
            "FAIL failing",
            "one is not two",
            "FAIL stuck",
            "3 passed, 2 failed, 0 skipped",
        ],
        &["untested", colours],
    )?;
    // Nothing is left of the run before.
    check(
        &["test", "-n", "default"],
        0,
        &["hello you", "1 passed, 0 failed, 4 skipped"],
        &["more"],
    )?;
    check(
        &["test", "--name", "InC", "--var", "WHO:me"],
        1,
        &["no env", "0 passed, 1 failed"],
        &[],
    )?;
    check(&["test", "--name", "nothing"], 1, &["no export's name matches"], &[])?;
    check(
        &["test", "--json", "-n", "failing"],
        1,
        &[
            r#""event":"test""#,
            r#""name":"failing""#,
            r#""ok":false"#,
            r#""failed":1"#,
        ],
        &[],
    )?;
    std::fs::write(project.join("index.js"), "export default { fetch() {} }")?;
    check(&["test"], 1, &["no export has a test handler"], &[])?;
    std::fs::write(project.join("index.js"), "export default {")?;
    check(&["test"], 1, &["index.js"], &[])
}
