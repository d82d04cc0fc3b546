//! What a named environment inherits, and what it does not.

use super::*;
use crate::config::keys::{Inherit, KEYS};

/// Every key's inheritance, against what wrangler does. The lists are its own, so that a slip in the table shows.
#[test]
fn the_table_of_keys() {
    let of = |inherit: Inherit| {
        let mut names: Vec<&str> = KEYS
            .iter()
            .filter(|key| key.inherit == inherit)
            .map(|key| key.name)
            .collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(
        of(Inherit::TopOnly),
        "$schema addresses alias data_blobs dependencies_instrumentation dev env keep_vars pages_build_output_dir send_metrics \
         site text_blobs wasm_modules"
    );
    assert_eq!(
        of(Inherit::NotInherited),
        "agent_memory ai ai_search ai_search_namespaces analytics analytics_engine_datasets artifacts browser cloudchamber \
         connect containers d1_databases define dispatch_namespaces durable_objects flagship hyperdrive images k2 kv_namespaces \
         media mtls_certificates pipelines queues r2_buckets ratelimits secrets secrets_store_secrets send_email services stream \
         streaming_tail_consumers tail_consumers unsafe unsafe_hello_world vars vectorize version_metadata vpc_networks \
         vpc_services worker_loaders workflows"
    );
    assert_eq!(
        of(Inherit::Inherited),
        "access account_id assets atoll base_dir build cache compatibility_date compatibility_flags compliance_region exports \
         find_additional_modules first_party_worker jsx_factory jsx_fragment keep_names limits logfwdr logpush main migrations \
         minify name no_bundle observability placement preserve_file_names preview_urls previews python_modules route routes \
         rules triggers tsconfig upload_source_maps workers_dev"
    );
    // As many as wrangler's schema has, no more and no less, and "atoll".
    assert_eq!(KEYS.len(), 92);
}

/// One key at the top level and in the environment `e`: what the project shows with `e` selected.
#[test]
fn the_matrix() {
    type Show = fn(&Project) -> String;
    let check = |top: &str, environment: &str, show: Show, expected: &str| {
        let comma = if top.is_empty() { "" } else { "," };
        let project = in_environment(
            &format!("{top}{comma} \"env\": {{ \"e\": {{ {environment} }} }}"),
            Some("e"),
        )
        .unwrap();
        assert_eq!(show(&project), expected, "top {top}, environment {environment}");
    };
    // Inherited: the environment's own value, else the top level's, else the default.
    let minify: Show = |project| project.minify.to_string();
    check("\"minify\": true", "", minify, "true");
    check("\"minify\": true", "\"minify\": false", minify, "false");
    check("", "\"minify\": true", minify, "true");
    check("", "", minify, "false");
    let crons: Show = |project| project.crons.join("|");
    check("\"triggers\": { \"crons\": [\"0 * * * *\"] }", "", crons, "0 * * * *");
    check(
        "\"triggers\": { \"crons\": [\"0 * * * *\"] }",
        "\"triggers\": { \"crons\": [] }",
        crons,
        "",
    );
    check(
        "\"triggers\": { \"crons\": [\"0 * * * *\"] }",
        "\"triggers\": { \"crons\": [\"5 * * * *\"] }",
        crons,
        "5 * * * *",
    );
    let flags: Show = |project| project.compat_flags.join("|");
    check(
        "\"compatibility_flags\": [\"nodejs_compat\"]",
        "",
        flags,
        "nodejs_compat",
    );
    check(
        "\"compatibility_flags\": [\"nodejs_compat\"]",
        "\"compatibility_flags\": []",
        flags,
        "",
    );
    let date: Show = |project| project.compat_date.to_string();
    check("", "", date, "2026-08-01");
    check("", "\"compatibility_date\": \"2025-01-01\"", date, "2025-01-01");
    let assets: Show = |project| {
        project
            .assets
            .as_ref()
            .map(|(path, _)| path.display().to_string())
            .unwrap_or_default()
    };
    check("\"assets\": { \"directory\": \"public\" }", "", assets, "/w/app/public");
    check(
        "\"assets\": { \"directory\": \"public\" }",
        "\"assets\": { \"directory\": \"src\" }",
        assets,
        "/w/app/src",
    );
    let build: Show = |project| project.build.command.clone().unwrap_or_default();
    check("\"build\": { \"command\": \"make\" }", "", build, "make");
    check(
        "\"build\": { \"command\": \"make\" }",
        "\"build\": { \"command\": \"make e\" }",
        build,
        "make e",
    );
    let rules: Show = |project| project.rules[0].globs.join("|");
    check(
        "\"rules\": [{ \"type\": \"Text\", \"globs\": [\"*.md\"] }]",
        "",
        rules,
        "*.md",
    );
    // Not inherited: the environment's own or nothing.
    check(
        "\"vars\": { \"A\": \"top\", \"B\": \"top\" }",
        "",
        |project| bindings(project).join("|"),
        "",
    );
    check(
        "\"vars\": { \"A\": \"top\", \"B\": \"top\" }",
        "\"vars\": { \"A\": \"e\" }",
        |p| bindings(p).join("|"),
        "A=e",
    );
    check(
        "\"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"1\" }]",
        "",
        |p| bindings(p).join("|"),
        "",
    );
    check(
        "\"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"1\" }]",
        "\"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"2\" }]",
        |project| bindings(project).join("|"),
        "KV=kv(2)",
    );
    check(
        "\"d1_databases\": [{ \"binding\": \"DB\" }]",
        "",
        |p| bindings(p).join("|"),
        "",
    );
    let define: Show = |project| {
        project
            .define
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    };
    check("\"define\": { \"A\": \"1\" }", "", define, "");
    check(
        "\"define\": { \"A\": \"1\" }",
        "\"define\": { \"B\": \"2\" }",
        define,
        "B=2",
    );
    // At the top level only: for every environment.
    let alias: Show = |project| {
        project
            .alias
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    };
    check("\"alias\": { \"a\": \"b\" }", "", alias, "a=b");
    check(
        "\"alias\": { \"a\": \"b\" }",
        "\"alias\": { \"a\": \"c\" }",
        alias,
        "a=b",
    );
    check(
        "\"dev\": { \"port\": 9000 }",
        "",
        |project| format!("{:?}", project.dev.port),
        "Some(9000)",
    );
    check(
        "\"dev\": { \"port\": 9000 }",
        "\"dev\": { \"port\": 1 }",
        |project| format!("{:?}", project.dev.port),
        "Some(9000)",
    );
    // An inherited name carries the environment; one of its own does not.
    check("", "", |project| project.name.clone(), "app-e");
    check("", "\"name\": \"other\"", |project| project.name.clone(), "other");
}

#[test]
fn the_top_level_is_not_touched_by_environments() {
    let project = with(
        "\"vars\": { \"A\": \"top\" }, \"env\": { \"e\": { \"vars\": { \"A\": \"e\" }, \"minify\": 7, \"x\": 1 } }",
    )
    .unwrap();
    assert_eq!(
        (
            bindings(&project),
            project.name.as_str(),
            project.environment.as_deref()
        ),
        (vec!["A=top".into()], "app", None)
    );
    assert_eq!(project.environments, ["e"]);
    // An environment that is not selected is not judged.
    assert_eq!(warnings(&project), Vec::<String>::new());
}

#[test]
fn what_is_told_about_environments() {
    let check = |keys: &str, expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|line| format!("wrangler.jsonc{line}")).collect();
        assert_eq!(warnings(&in_environment(keys, Some("e")).unwrap()), expected, "{keys}");
    };
    check(
        "\"vars\": { \"A\": 1 },\n\"env\": { \"e\": {} }",
        &[
            ":2:1: \"vars\": is set at the top level but not in \"env.e\", which does not inherit it; add \"vars\" to \"env.e\" if the \
           worker needs it there",
        ],
    );
    check(
        "\"vars\": { \"A\": 1 }, \"kv_namespaces\": [{ \"binding\": \"KV\" }],\n\"env\": { \"e\": { \"vars\": {} } }",
        &[
            ":2:21: \"kv_namespaces\": is set at the top level but not in \"env.e\", which does not inherit it; add \
           \"kv_namespaces\" to \"env.e\" if the worker needs it there",
        ],
    );
    check(
        "\"env\": { \"e\": {\n\"alias\": {} } }",
        &[":3:1: \"env.e.alias\": may stand at the top level only; ignored here"],
    );
    check(
        "\"env\": { \"e\": {\n\"var\": {} } }",
        &[":3:1: \"env.e.var\": unknown key, ignored; did you mean \"vars\"?"],
    );
    check(
        "\"minify\": true",
        &[": \"env\": environment \"e\" is selected, but the configuration has none: the top level is used"],
    );
}

#[test]
fn errors_in_environments() {
    let check = |keys: &str, environment: &str, expected: &str| {
        assert_eq!(
            complaints(in_environment(keys, Some(environment))),
            [expected],
            "{keys}"
        );
    };
    check(
        "\"env\": { \"production\": {}, \"staging\": {} }",
        "produktion",
        "wrangler.jsonc:2:1: \"env\": there is no environment \"produktion\", only \"production\", \"staging\"; did you mean \
         \"production\"?",
    );
    check(
        "\"env\": { \"a\": {} }",
        "zzzzzz",
        "wrangler.jsonc:2:1: \"env\": there is no environment \"zzzzzz\", only \"a\"",
    );
    check(
        "\"env\": { \"e\": 1 }",
        "e",
        "wrangler.jsonc:2:15: \"env.e\": expected an object, found the number 1",
    );
    check(
        "\"env\": { \"e\": {\n  \"kv_namespaces\": [{ \"binding\": true }] } }",
        "e",
        "wrangler.jsonc:3:34: \"env.e.kv_namespaces[0].binding\": expected a string, found true",
    );
    // The top level is checked too, whatever the environment has.
    check(
        "\"minify\": 1,\n\"env\": { \"e\": { \"minify\": true } }",
        "e",
        "wrangler.jsonc:2:11: \"minify\": expected true or false, found the number 1",
    );
}

#[test]
fn without_environments_the_name_still_carries_it() {
    let project = in_environment("", Some("e")).unwrap();
    assert_eq!(
        (project.name.as_str(), project.environment.as_deref()),
        ("app-e", Some("e"))
    );
}

#[test]
fn the_process_environment_selects_one() {
    let text = "{ \"name\": \"app\", \"main\": \"src/index.ts\", \"env\": { \"a\": {}, \"b\": {} } }";
    let check = |flag: Option<&str>, variable: &str, expected: &str| {
        let options = LoadOptions {
            environment: flag.map(str::to_owned),
            process_env: vec![("CLOUDFLARE_ENV".into(), variable.into())],
            ..options()
        };
        assert_eq!(
            load(&options, &files(&[("wrangler.json", text)])).unwrap().name,
            expected
        );
    };
    check(None, "a", "app-a");
    check(None, "", "app");
    check(Some("b"), "a", "app-b");
    // An empty flag says: none.
    check(Some(""), "a", "app");
}

#[test]
fn toml_has_environments_too() {
    let text = "name = \"app\"\nmain = \"src/index.ts\"\ncompatibility_date = \"2026-08-01\"\nvars = { A = \"top\" }\n\n\
                [env.e]\nvars = { A = \"e\" }\n[[env.e.kv_namespaces]]\nbinding = \"KV\"\nid = \"7\"\n";
    let options = LoadOptions {
        environment: Some("e".into()),
        ..options()
    };
    let project = load(&options, &files(&[("wrangler.toml", text)])).unwrap();
    assert_eq!(
        (project.name.as_str(), bindings(&project)),
        ("app-e", vec!["A=e".to_owned(), "KV=kv(7)".to_owned()])
    );
}
