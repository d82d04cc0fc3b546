//! Golden texts: the whole file for small configurations.

use super::*;
use crate::config::LocalFiles;
use std::fs;

/// Writes the files, runs `atoll types`, and gives the lines between the braces of `interface Env`.
fn env(files: &[(&str, &str)], environment: Option<&str>) -> Vec<String> {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let (written, _) = run(&options(home.path(), environment), &LocalFiles).unwrap();
    let text = fs::read_to_string(written.path).unwrap();
    let inner = text
        .split_once("interface Env {\n")
        .unwrap()
        .1
        .split_once("\n\t}\n")
        .unwrap_or_default()
        .0;
    inner.lines().map(|line| line.trim().to_owned()).collect()
}

fn options(directory: &Path, environment: Option<&str>) -> LoadOptions {
    LoadOptions {
        cwd: directory.to_path_buf(),
        directory: ".".into(),
        environment: environment.map(str::to_owned),
        ..LoadOptions::default()
    }
}

#[test]
fn the_whole_file() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("src")).unwrap();
    fs::write(home.path().join("src/index.ts"), "").unwrap();
    fs::write(
        home.path().join("wrangler.jsonc"),
        r#"{ "name": "x", "main": "src/index.ts", "compatibility_date": "2026-08-01", "vars": { "A": "te\"xt" },
             "rules": [{ "type": "Text", "globs": ["**/*.md", "notes/**/*.a*"], "fallthrough": false }] }"#,
    )
    .unwrap();
    let expected = "/* eslint-disable */
// Written by `atoll types` from the project's configuration.
declare namespace Cloudflare {
\tinterface GlobalProps {
\t\tmainModule: typeof import(\"./src/index\");
\t}
\tinterface Env {
\t\tA: \"te\\\"xt\";
\t}
}
interface Env extends Cloudflare.Env {}
declare module \"*.md\" {
\tconst value: string;
\texport default value;
}
declare module \"*.bin\" {
\tconst value: ArrayBuffer;
\texport default value;
}
declare module \"*.wasm\" {
\tconst value: WebAssembly.Module;
\texport default value;
}
declare module \"*.wasm?module\" {
\tconst value: WebAssembly.Module;
\texport default value;
}
";
    let options = options(home.path(), None);
    let (written, _) = run(&options, &LocalFiles).unwrap();
    assert_eq!(fs::read_to_string(&written.path).unwrap(), expected);
    assert_eq!((written.changed, written.bindings), (true, 1));
    // Once written, it is left alone: its time of change stays.
    let before = fs::metadata(&written.path).unwrap().modified().unwrap();
    let (again, _) = run(&options, &LocalFiles).unwrap();
    assert!(!again.changed);
    assert_eq!(fs::metadata(&written.path).unwrap().modified().unwrap(), before);
}

#[test]
fn each_binding_has_its_type() {
    let check = |binding: &str, expected: &[&str]| {
        let config = format!(r#"{{ "name": "x", "main": "src/a.ts", {binding} }}"#);
        assert_eq!(
            env(&[("wrangler.json", &config), ("src/a.ts", ""), ("p/f", "")], None),
            expected,
            "{binding}"
        );
    };
    check(
        r#""vars": { "S": "a", "N": 5, "B": true, "Z": null }"#,
        &["S: \"a\";", "N: 5;", "B: true;", "Z: null;"],
    );
    check(
        r#""vars": { "J": { "a": [1, "x"], "b": null, "c": {} }, "L": ["p", "q"] }"#,
        &[r#"J: { "a": [1, "x"]; "b": null; "c": {} };"#, r#"L: ["p", "q"];"#],
    );
    check(r#""vars": { "not-a-name": "1" }"#, &["\"not-a-name\": \"1\";"]);
    check(r#""kv_namespaces": [{ "binding": "KV" }]"#, &["KV: KVNamespace;"]);
    check(
        r#""assets": { "directory": "p", "binding": "ASSETS" }"#,
        &["ASSETS: Fetcher;"],
    );
    check(
        r#""version_metadata": { "binding": "V" }"#,
        &["V: WorkerVersionMetadata;"],
    );
    check(
        r#""d1_databases": [{ "binding": "DB", "database_id": "1" }]"#,
        &["DB: D1Database;"],
    );
    check(
        r#""r2_buckets": [{ "binding": "B", "bucket_name": "b" }]"#,
        &["B: R2Bucket;"],
    );
    check(
        r#""queues": { "producers": [{ "binding": "Q", "queue": "q" }] }"#,
        &["Q: Queue;"],
    );
    check(
        r#""services": [{ "binding": "S", "service": "s" }, { "binding": "E", "service": "s*/", "entrypoint": "Api" },
            { "binding": "SELF", "service": "x" }, { "binding": "OWN", "service": "x", "entrypoint": "Api" }]"#,
        &[
            "S: Fetcher /* s */;",
            "E: Service /* entrypoint Api from s* / */;",
            "SELF: Service<typeof import(\"./src/a\").default>;",
            "OWN: Service<typeof import(\"./src/a\").Api>;",
        ],
    );
    check(r#""ai": { "binding": "AI" }"#, &["AI: Ai;"]);
    check(r#""hyperdrive": [{ "binding": "H", "id": "1" }]"#, &["H: Hyperdrive;"]);
    check(
        r#""durable_objects": { "bindings": [{ "name": "R", "class_name": "Room" },
            { "name": "O", "class_name": "Room", "script_name": "other" }] }"#,
        &[
            "R: DurableObjectNamespace<import(\"./src/a\").Room>;",
            "O: DurableObjectNamespace;",
        ],
    );
    check(
        r#""workflows": [{ "binding": "W", "name": "w", "class_name": "Flow" }]"#,
        &["W: Workflow<Parameters<import(\"./src/a\").Flow[\"run\"]>[0][\"payload\"]>;"],
    );
}

#[test]
fn secrets_are_strings_and_their_values_stay_out() {
    let config = r#"{ "name": "x", "main": "a.js", "vars": { "A": "1", "B": "2" } }"#;
    let files = [
        ("wrangler.json", config),
        ("a.js", ""),
        (".dev.vars", "B=hidden\nC=hidden too\n"),
    ];
    assert_eq!(env(&files, None), ["A: \"1\";", "B: string;", "C: string;"]);
}

#[test]
fn environments_are_united_unless_one_is_selected() {
    let config = r#"{ "name": "x", "main": "a.js", "vars": { "A": "dev", "ONLY_TOP": 1 }, "kv_namespaces": [{ "binding": "KV" }],
        "env": { "prod": { "vars": { "A": "prod", "P": true }, "kv_namespaces": [{ "binding": "KV" }] },
                 "test": { "vars": { "A": "dev" }, "kv_namespaces": [{ "binding": "KV" }] } } }"#;
    let files = [("wrangler.json", config), ("a.js", "")];
    assert_eq!(
        env(&files, None),
        [
            "A: \"dev\" | \"prod\";",
            "ONLY_TOP?: 1;",
            "KV: KVNamespace;",
            "P?: true;"
        ]
    );
    assert_eq!(
        env(&files, Some("prod")),
        ["A: \"prod\";", "P: true;", "KV: KVNamespace;"]
    );
    assert_eq!(env(&files, Some("test")), ["A: \"dev\";", "KV: KVNamespace;"]);
}

#[test]
fn the_examples_have_the_types_that_would_be_written() {
    for name in ["hello", "hono", "guestbook"] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
        let directory = directory.canonicalize().unwrap();
        let project = config::load(&options(&directory, None), &LocalFiles).unwrap();
        let expected = declaration(&[project], &directory);
        assert_eq!(
            fs::read_to_string(directory.join(FILE_NAME)).unwrap(),
            expected,
            "{name}"
        );
    }
}

#[test]
fn a_broken_configuration_is_told() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("wrangler.json"), "{\n  \"main\": 1\n}").unwrap();
    let error = run(&options(home.path(), None), &LocalFiles).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("wrangler.json:2:11: \"main\": expected a string"),
        "{error}"
    );
    assert!(!home.path().join(FILE_NAME).exists());
}
