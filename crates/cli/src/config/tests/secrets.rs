//! Which files give secrets, and what wins over what.

use super::*;

/// Files of secrets; the bindings that come of them.
fn check(secret_files: &[(&str, &str)], environment: Option<&str>, process: &[(&str, &str)], expected: &[&str]) {
    check_with(
        "\"vars\": { \"V\": \"var\" }",
        secret_files,
        environment,
        process,
        expected,
    );
}

fn check_with(
    keys: &str,
    secret_files: &[(&str, &str)],
    environment: Option<&str>,
    process: &[(&str, &str)],
    expected: &[&str],
) {
    assert_eq!(
        bindings(&project(keys, secret_files, environment, process)),
        expected,
        "{secret_files:?}"
    );
}

fn project(keys: &str, secret_files: &[(&str, &str)], environment: Option<&str>, process: &[(&str, &str)]) -> Project {
    let text = format!("{{ \"main\": \"src/index.ts\", {keys} }}");
    let all: Vec<(&str, &str)> = [("wrangler.json", text.as_str())]
        .into_iter()
        .chain(secret_files.iter().copied())
        .collect();
    let options = LoadOptions {
        environment: environment.map(str::to_owned),
        process_env: process
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..options()
    };
    load(&options, &files(&all)).unwrap()
}

#[test]
fn dev_vars() {
    check(&[], None, &[], &["V=var"]);
    check(&[(".dev.vars", "S=1")], None, &[], &["V=var", "S=secret(1)"]);
    check(&[(".dev.vars", "V=hidden")], None, &[], &["V=secret(hidden)"]);
    // An environment's own file is read instead, not as well.
    let both = [(".dev.vars", "A=1\nB=1"), (".dev.vars.e", "B=2")];
    check(&both, Some("e"), &[], &["V=var", "B=secret(2)"]);
    check(&both, Some("f"), &[], &["V=var", "A=secret(1)", "B=secret(1)"]);
    check(&both, None, &[], &["V=var", "A=secret(1)", "B=secret(1)"]);
}

#[test]
fn dot_env() {
    let all = [
        (".env", "A=1\nB=1\nC=1\nD=1"),
        (".env.local", "B=2\nC=2\nD=2"),
        (".env.e", "C=3\nD=3"),
        (".env.e.local", "D=4"),
    ];
    check(
        &all,
        None,
        &[],
        &["V=var", "A=secret(1)", "B=secret(2)", "C=secret(2)", "D=secret(2)"],
    );
    check(
        &all,
        Some("e"),
        &[],
        &["V=var", "A=secret(1)", "B=secret(2)", "C=secret(3)", "D=secret(4)"],
    );
    // `.dev.vars` puts all of them out.
    check(
        &[(".dev.vars", "X=1"), (".env", "A=1")],
        None,
        &[],
        &["V=var", "X=secret(1)"],
    );
    check(
        &[(".dev.vars.e", "X=1"), (".env", "A=1")],
        None,
        &[],
        &["V=var", "A=secret(1)"],
    );
    check(
        &[(".env", "A=1")],
        None,
        &[("CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV", "false")],
        &["V=var"],
    );
    check(
        &[(".env", "A=1\nB=${A}2")],
        None,
        &[],
        &["V=var", "A=secret(1)", "B=secret(12)"],
    );
    // References are for `.env` alone.
    check(
        &[(".dev.vars", "A=1\nB=${A}2")],
        None,
        &[],
        &["V=var", "A=secret(1)", "B=secret(${A}2)"],
    );
}

#[test]
fn the_process_environment() {
    let process = [("HOME", "/h"), ("A", "outer")];
    check(&[(".env", "A=1")], None, &process, &["V=var", "A=secret(1)"]);
    let included = [
        ("CLOUDFLARE_INCLUDE_PROCESS_ENV", "true"),
        ("HOME", "/h"),
        ("A", "outer"),
    ];
    check(
        &[(".env", "A=1\nB=$HOME")],
        None,
        &included,
        &[
            "V=var",
            "A=secret(outer)",
            "B=secret(/h)",
            "CLOUDFLARE_INCLUDE_PROCESS_ENV=secret(true)",
            "HOME=secret(/h)",
        ],
    );
    check(&[(".dev.vars", "A=1")], None, &included, &["V=var", "A=secret(1)"]);
}

#[test]
fn secrets_that_are_listed() {
    let keys = "\"vars\": { \"V\": \"var\" }, \"compatibility_date\": \"2026-08-01\", \"secrets\": { \"required\": [\"A\", \"B\"] }";
    let process = [("A", "outer"), ("HOME", "/h")];
    check_with(
        keys,
        &[(".env", "B=1\nC=1\nV=2")],
        None,
        &process,
        &["V=secret(2)", "B=secret(1)", "A=secret(outer)"],
    );
    let missing = project(keys, &[(".dev.vars", "A=1")], None, &process);
    assert_eq!(
        warnings(&missing),
        [
            "wrangler.json:1:98: \"secrets.required\": no value for B: add it to .dev.vars or .env, or set it in the environment"
        ]
    );
}

#[test]
fn names_that_are_taken() {
    let keys = "\"compatibility_date\": \"2026-08-01\", \"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"1\" }]";
    let taken = project(keys, &[(".dev.vars", "KV=1")], None, &[]);
    assert_eq!(bindings(&taken), ["KV=kv(1)"]);
    assert_eq!(
        warnings(&taken),
        ["wrangler.json: the secret \"KV\" is hidden by the binding of the same name"]
    );
}

#[test]
fn vars_of_the_command_line() {
    let load_with = |vars: &[(&str, &str)]| {
        let text = "{ \"main\": \"src/index.ts\", \"vars\": { \"A\": \"1\", \"B\": { \"x\": 1 } }, \"ai\": { \"binding\": \"AI\" } }";
        let vars = vars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        load(
            &LoadOptions { vars, ..options() },
            &files(&[("wrangler.json", text), (".dev.vars", "S=1")]),
        )
    };
    let project = load_with(&[("A", "2"), ("B", "x:y"), ("S", "3"), ("N", "")]).unwrap();
    assert_eq!(bindings(&project), ["A=2", "B=x:y", "AI=Workers AI()", "S=3", "N="]);
    assert_eq!(
        complaints(load_with(&[("AI", "2")])),
        ["wrangler.json: --var AI has the name of a binding that is not a variable"]
    );
}

#[test]
fn the_flag_for_a_variable() {
    let check = |text: &str, expected: Option<(&str, &str)>| {
        assert_eq!(
            split_var(text),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned())),
            "{text}"
        );
    };
    check("A:1", Some(("A", "1")));
    check("URL:https://a.b", Some(("URL", "https://a.b")));
    check("A:", Some(("A", "")));
    check("A", None);
    check(":1", None);
}

#[test]
fn files_that_are_named() {
    let text = "{ \"main\": \"src/index.ts\" }";
    let memory = files(&[
        ("wrangler.json", text),
        (".dev.vars", "X=1"),
        ("a.env", "A=1\nB=1"),
        ("b.env", "B=2"),
    ]);
    let load_with = |names: &[&str]| {
        let env_files = names.iter().map(PathBuf::from).collect();
        load(&LoadOptions { env_files, ..options() }, &memory)
    };
    assert_eq!(
        bindings(&load_with(&["a.env", "b.env"]).unwrap()),
        ["A=secret(1)", "B=secret(2)"]
    );
    assert_eq!(
        complaints(load_with(&["c.env"])),
        ["cannot read c.env: it is not there"]
    );
}

#[test]
fn odd_lines_are_told_without_their_text() {
    let project = project(
        "\"compatibility_date\": \"2026-08-01\"",
        &[(".dev.vars", "A=1\nsecret text\n")],
        None,
        &[],
    );
    assert_eq!(
        warnings(&project),
        [".dev.vars:2:1: this line is not KEY=VALUE: skipped"]
    );
    assert!(!format!("{project:?}").contains("secret text"));
}
