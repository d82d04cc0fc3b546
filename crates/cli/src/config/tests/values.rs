//! What a correct configuration comes to.

use super::*;
use atoll_model::{AssetsConfig, HtmlHandling, ModuleKind, NotFoundHandling, RunWorkerFirst};

#[test]
fn bindings_in_the_order_of_the_file() {
    let check = |keys: &str, expected: &[&str]| assert_eq!(bindings(&with(keys).unwrap()), expected, "{keys}");
    check(
        "\"vars\": { \"Z\": \"1\", \"A\": 2, \"T\": true, \"N\": null, \"O\": { \"x\": [1] } }",
        &[
            "Z=1",
            "A=json(2)",
            "T=json(true)",
            "N=json(null)",
            "O=json({\"x\":[1]})",
        ],
    );
    // Without an id the namespace is the worker's own. The other id is for another place.
    check("\"kv_namespaces\": [{ \"binding\": \"KV\" }]", &["KV=kv(app-KV)"]);
    check(
        "\"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"a\", \"preview_id\": \"b\" }]",
        &["KV=kv(a)"],
    );
    check(
        "\"assets\": { \"directory\": \"public\", \"binding\": \"ASSETS\" }",
        &["ASSETS=assets"],
    );
    check("\"assets\": { \"directory\": \"public\" }", &[]);
    check("\"version_metadata\": { \"binding\": \"V\" }", &["V=version"]);
    check(
        "\"services\": [{ \"binding\": \"S\", \"service\": \"s\" }], \"vars\": { \"A\": \"1\" }, \"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"k\" }]",
        &["S=service(s None None)", "A=1", "KV=kv(k)"],
    );
}

#[test]
fn services() {
    let check = |item: &str, expected: &str| {
        let keys = format!("\"services\": [{item}]");
        assert_eq!(bindings(&with(&keys).unwrap()), [expected], "{item}");
    };
    check(
        r#"{ "binding": "B", "service": "api", "entrypoint": "E", "props": { "a": 1 } }"#,
        r#"B=service(api Some("E") Some(Object {"a": Number(1)}))"#,
    );
    check(
        r#"{ "binding": "B", "service": "api", "environment": "staging", "entrypoint": "default" }"#,
        "B=service(api-staging None None)",
    );
    let errors = |item: &str, expected: &str| {
        let found = complaints(with(&format!("\"services\": [{item}]")));
        assert!(found.iter().any(|line| line.contains(expected)), "{item}: {found:?}");
    };
    errors(r#"{ "binding": "B" }"#, "services[0].service");
    errors(r#"{ "service": "b" }"#, "services[0].binding");
    errors(r#"{ "binding": "B", "service": "b", "props": 1 }"#, "must be an object");
}

#[test]
fn parts_that_are_not_built_become_bindings_that_say_so() {
    let check = |keys: &str, expected: &str| assert_eq!(bindings(&with(keys).unwrap()), [expected], "{keys}");
    check(
        "\"d1_databases\": [{ \"binding\": \"B\", \"database_name\": \"shop\", \"database_id\": \"1\" }]",
        "B=D1 database(shop)",
    );
    check(
        "\"d1_databases\": [{ \"binding\": \"B\", \"database_id\": \"1\" }]",
        "B=D1 database(1)",
    );
    check(
        "\"r2_buckets\": [{ \"binding\": \"B\", \"bucket_name\": \"b\" }]",
        "B=R2 bucket(b)",
    );
    check("\"r2_buckets\": [{ \"binding\": \"B\" }]", "B=R2 bucket()");
    check(
        "\"durable_objects\": { \"bindings\": [{ \"name\": \"B\", \"class_name\": \"Room\" }] }",
        "B=Durable Object(Room)",
    );
    check(
        "\"queues\": { \"producers\": [{ \"binding\": \"B\", \"queue\": \"q\" }] }",
        "B=Queue(q)",
    );
    check(
        "\"workflows\": [{ \"binding\": \"B\", \"name\": \"w\", \"class_name\": \"W\" }]",
        "B=Workflow(w)",
    );
    check(
        "\"hyperdrive\": [{ \"binding\": \"B\", \"id\": \"h\" }]",
        "B=Hyperdrive(h)",
    );
    check("\"ai\": { \"binding\": \"B\" }", "B=Workers AI()");
    check("\"browser\": { \"binding\": \"B\" }", "B=browser()");
    check("\"images\": { \"binding\": \"B\" }", "B=Images()");
    check(
        "\"vectorize\": [{ \"binding\": \"B\", \"index_name\": \"i\" }]",
        "B=Vectorize index(i)",
    );
    check(
        "\"dispatch_namespaces\": [{ \"binding\": \"B\", \"namespace\": \"n\" }]",
        "B=dispatch namespace(n)",
    );
    check("\"worker_loaders\": [{ \"binding\": \"B\" }]", "B=loader");
    check(
        "\"send_email\": [{ \"name\": \"B\", \"destination_address\": \"a@b.c\" }]",
        "B=email sender(a@b.c)",
    );
    check(
        "\"mtls_certificates\": [{ \"binding\": \"B\", \"certificate_id\": \"c\" }]",
        "B=mTLS certificate(c)",
    );
    check(
        "\"pipelines\": [{ \"binding\": \"B\", \"pipeline\": \"p\" }]",
        "B=Pipeline(p)",
    );
    check(
        "\"vpc_networks\": [{ \"binding\": \"B\", \"network_id\": \"n\" }]",
        "B=VPC network(n)",
    );
    check(
        "\"flagship\": [{ \"binding\": \"B\", \"app_id\": \"a\" }]",
        "B=Flagship(a)",
    );
    check(
        "\"unsafe\": { \"bindings\": [{ \"name\": \"B\", \"type\": \"t\" }] }",
        "B=unsafe(t)",
    );
    check("\"text_blobs\": { \"B\": \"a.txt\" }", "B=text blob(a.txt)");
}

#[test]
fn building() {
    let project = with("").unwrap();
    assert_eq!(project.main.as_deref(), Some(Path::new("/w/app/src/index.ts")));
    assert_eq!(project.base_dir, Path::new("/w/app/src"));
    assert!(!project.no_bundle && !project.find_additional_modules && !project.minify && project.keep_names);
    assert_eq!(project.build, Build::default());
    let kinds: Vec<ModuleKind> = project.rules.iter().map(|rule| rule.kind).collect();
    assert_eq!(kinds, [ModuleKind::Text, ModuleKind::Data, ModuleKind::Wasm]);

    let project = with(
        "\"no_bundle\": true, \"base_dir\": \"./lib/..\", \"tsconfig\": \"./tsconfig.build.json\", \"keep_names\": false, \
         \"jsx_factory\": \"h\", \"jsx_fragment\": \"Fragment\", \"preserve_file_names\": true, \
         \"define\": { \"A\": \"1\" }, \"alias\": { \"a\": \"./b\" }, \
         \"build\": { \"command\": \"make\", \"cwd\": \"sub\", \"watch_dir\": [\"a\", \"../b\"] }",
    )
    .unwrap();
    assert!(project.no_bundle && project.find_additional_modules && !project.keep_names && project.preserve_file_names);
    assert_eq!(project.base_dir, Path::new("/w/app"));
    assert_eq!(
        project.tsconfig.as_deref(),
        Some(Path::new("/w/app/tsconfig.build.json"))
    );
    assert_eq!(
        (project.jsx_factory.as_deref(), project.jsx_fragment.as_deref()),
        (Some("h"), Some("Fragment"))
    );
    assert_eq!(project.define, [("A".to_owned(), "1".to_owned())]);
    assert_eq!(project.alias, [("a".to_owned(), "./b".to_owned())]);
    let expected = Build {
        command: Some("make".into()),
        cwd: Some("/w/app/sub".into()),
        watch_dir: vec!["/w/app/a".into(), "/w/b".into()],
    };
    assert_eq!(project.build, expected);
    let project =
        with("\"no_bundle\": true, \"find_additional_modules\": false, \"build\": { \"command\": \"make\" }").unwrap();
    assert!(!project.find_additional_modules);
    assert_eq!(project.build.watch_dir, [Path::new("/w/app/src")]);
}

#[test]
fn serving_assets() {
    let check = |keys: &str, expected: AssetsConfig| {
        let (path, config) = with(&format!("\"assets\": {{ \"directory\": \"./public/\"{keys} }}"))
            .unwrap()
            .assets
            .unwrap();
        assert_eq!(
            (path.as_path(), config),
            (Path::new("/w/app/public"), expected),
            "{keys}"
        );
    };
    check("", AssetsConfig::default());
    check(
        ", \"html_handling\": \"drop-trailing-slash\", \"not_found_handling\": \"single-page-application\"",
        AssetsConfig {
            html_handling: HtmlHandling::DropTrailingSlash,
            not_found_handling: NotFoundHandling::SinglePageApplication,
            ..AssetsConfig::default()
        },
    );
    check(
        ", \"not_found_handling\": \"404-page\", \"binding\": \"A\", \"run_worker_first\": true",
        AssetsConfig {
            binding: Some("A".into()),
            not_found_handling: NotFoundHandling::NotFoundPage,
            run_worker_first: RunWorkerFirst::All(true),
            ..AssetsConfig::default()
        },
    );
    check(
        ", \"run_worker_first\": [\"/api/*\", \"!/api/docs/*\"]",
        AssetsConfig {
            run_worker_first: RunWorkerFirst::Patterns(vec!["/api/*".into(), "!/api/docs/*".into()]),
            ..AssetsConfig::default()
        },
    );
    // Assets alone need neither a worker nor a date.
    let memory = files(&[("wrangler.json", "{ \"assets\": { \"directory\": \"public\" } }")]);
    let project = load(&options(), &memory).unwrap();
    assert_eq!(
        (project.main, project.name.as_str(), project.warnings.len()),
        (None, "app", 0)
    );
}

#[test]
fn listening_and_limits() {
    let dev = |keys: &str| with(&format!("\"dev\": {{ {keys} }}")).unwrap().dev;
    assert_eq!(dev(""), DevSettings::default());
    assert_eq!(dev("\"ip\": \"localhost\"").ip, Some([127, 0, 0, 1].into()));
    assert_eq!(dev("\"ip\": \"*\"").ip, Some([0, 0, 0, 0].into()));
    assert_eq!(dev("\"ip\": \"::1\"").ip, Some("::1".parse().unwrap()));
    assert_eq!(dev("\"port\": 9000").port, Some(9000));
    assert_eq!(dev("\"local_protocol\": \"https\"").https, Some(true));
    assert_eq!(
        dev("\"host\": \"a.b\", \"upstream_protocol\": \"https\"").upstream_https,
        Some(true)
    );
    let limits = with("\"limits\": { \"cpu_ms\": 50, \"subrequests\": 7 }")
        .unwrap()
        .limits;
    assert_eq!((limits.cpu_ms, limits.subrequests_max), (50, 7));
    assert_eq!(with("").unwrap().limits, atoll_model::Limits::default());
    let own = |keys: &str| with(&format!("\"atoll\": {{ \"limits\": {{ {keys} }} }}"));
    let limits = own("\"heap_bytes\": 33554432, \"timers_max\": 5").unwrap().limits;
    assert_eq!((limits.heap_bytes, limits.timers_max), (32 << 20, 5));
    let misspelt = own("\"heap_byte\": 1").unwrap();
    let lines: Vec<String> = misspelt.warnings.iter().map(ToString::to_string).collect();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("atoll.limits.heap_byte") && line.contains("did you mean \"heap_bytes\"?")),
        "{lines:?}"
    );
}

#[test]
fn the_same_in_toml() {
    let toml = "name = \"app\"\nmain = \"src/index.ts\"\ncompatibility_date = \"2026-08-01\"\ncompatibility_flags = [\"nodejs_compat\"]\n\
                minify = true\n[vars]\nZ = \"1\"\nA = 2\nF = 1.5\nH = 0x10\n[[kv_namespaces]]\nbinding = \"KV\"\nid = \"k\"\n\
                [[kv_namespaces]]\nbinding = \"KV2\"\nid = \"k2\"\n[triggers]\ncrons = [\"0 * * * *\"]\n[dev]\nport = 9_000\n\
                [assets]\ndirectory = \"public\"\n";
    let json = "\u{feff}{ // Comments, and commas at the end.\n \"name\": \"app\", \"main\": \"src/index.ts\", \
                \"compatibility_date\": \"2026-08-01\", \"compatibility_flags\": [\"nodejs_compat\",], \"minify\": true, \
                \"vars\": { \"Z\": \"1\", \"A\": 2, \"F\": 1.5, \"H\": 16 }, /* more */ \
                \"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"k\" }, { \"binding\": \"KV2\", \"id\": \"k2\" }], \
                \"triggers\": { \"crons\": [\"0 * * * *\"] }, \"dev\": { \"port\": 9000 }, \"assets\": { \"directory\": \"public\" }, }";
    let read = |name: &str, text: &str| {
        let mut project = load(&options(), &files(&[(name, text)])).unwrap();
        (project.config_path, project.user_config_path, project.places) = (None, None, Default::default());
        project.watch.clear();
        format!("{project:#?}")
    };
    assert_eq!(read("wrangler.toml", toml), read("wrangler.json", json));
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let memory = files(&[
        ("wrangler.json", "{ \"main\": \"src/index.ts\" }"),
        (".dev.vars", "S=do not show"),
    ]);
    assert!(!format!("{:?}", load(&options(), &memory).unwrap()).contains("do not show"));
}
