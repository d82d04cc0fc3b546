//! What is odd, but does not stop the worker.

use super::*;

fn check(keys: &str, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|line| format!("wrangler.jsonc:{line}")).collect();
    assert_eq!(warnings(&with(keys).unwrap()), expected, "{keys}");
}

#[test]
fn unknown_keys_and_the_nearest_known_one() {
    check(
        "\"kv_namespace\": []",
        &["2:1: \"kv_namespace\": unknown key, ignored; did you mean \"kv_namespaces\"?"],
    );
    check(
        "\"compatability_flags\": []",
        &["2:1: \"compatability_flags\": unknown key, ignored; did you mean \"compatibility_flags\"?"],
    );
    check(
        "\"kvNamespaces\": []",
        &["2:1: \"kvNamespaces\": unknown key, ignored; did you mean \"kv_namespaces\"?"],
    );
    check(
        "\"no-bundle\": true",
        &["2:1: \"no-bundle\": unknown key, ignored; did you mean \"no_bundle\"?"],
    );
    check("\"crons\": []", &["2:1: \"crons\": unknown key, ignored"]);
    check("\"zzzzzzzz\": 1", &["2:1: \"zzzzzzzz\": unknown key, ignored"]);
    check(
        "\"assets\": { \"directory\": \"public\",\n\"htmlHandling\": 1 }",
        &["3:1: \"assets.htmlHandling\": unknown key, ignored; did you mean \"html_handling\"?"],
    );
    check(
        "\"kv_namespaces\": [{ \"binding\": \"KV\", \"idd\": \"1\" }]",
        &["2:38: \"kv_namespaces[0].idd\": unknown key, ignored; did you mean \"id\"?"],
    );
    check(
        "\"dev\": { \"prt\": 1 }",
        &["2:10: \"dev.prt\": unknown key, ignored; did you mean \"port\"?"],
    );
    check(
        "\"triggers\": { \"cron\": [] }",
        &["2:15: \"triggers.cron\": unknown key, ignored; did you mean \"crons\"?"],
    );
}

#[test]
fn every_key_of_wrangler_is_known() {
    // Keys that a configuration may have without the least remark, each as it is commonly written.
    for keys in [
        "\"$schema\": \"./node_modules/wrangler/config-schema.json\"",
        "\"account_id\": \"1\", \"workers_dev\": true, \"preview_urls\": false, \"logpush\": true, \"keep_vars\": true",
        "\"route\": \"example.com/*\"",
        "\"routes\": [{ \"pattern\": \"example.com\", \"custom_domain\": true }]",
        "\"observability\": { \"enabled\": true }, \"placement\": { \"mode\": \"smart\" }, \"upload_source_maps\": true",
        "\"migrations\": [{ \"tag\": \"v1\", \"new_sqlite_classes\": [\"Room\"] }]",
        "\"send_metrics\": false, \"minify\": true, \"keep_names\": false, \"first_party_worker\": false",
        "\"containers\": [], \"tail_consumers\": []",
    ] {
        check(keys, &[]);
    }
}

#[test]
fn dates() {
    let check = |date: &str, expected: &[&str]| {
        let text = format!("{{ \"main\": \"src/index.ts\"{date} }}");
        let project = load(&options(), &files(&[("wrangler.json", &text)])).unwrap();
        assert_eq!(warnings(&project), expected, "{date}");
        project.compat_date.to_string()
    };
    assert_eq!(check(", \"compatibility_date\": \"2021-05-01\"", &[]), "2021-05-01");
    assert_eq!(check(", \"compatibility_date\": \"2026-11-24\"", &[]), "2026-11-24");
    let future = "wrangler.json:1:49: \"compatibility_date\": 2031-01-01 is newer than the newest behaviour that is known here, \
                  2026-11-24, which is used";
    assert_eq!(
        check(", \"compatibility_date\": \"2031-01-01\"", &[future]),
        "2031-01-01"
    );
    let missing = "wrangler.json: \"compatibility_date\": is not set: the newest behaviour, 2026-11-24, is used; set \
                   \"compatibility_date\" to keep the worker's behaviour when the platform moves on";
    assert_eq!(check("", &[missing]), "2026-11-24");
}

#[test]
fn parts_that_are_not_built() {
    check(
        "\"containers\": [{ \"class_name\": \"C\", \"image\": \"x\" }]",
        &["2:1: \"containers\": is accepted, but its part is not built yet: it has no effect"],
    );
    check(
        "\"cache\": { \"enabled\": true }",
        &["2:1: \"cache\": is accepted, but its part is not built yet: it has no effect"],
    );
    check(
        "\"queues\": { \"consumers\": [{ \"queue\": \"q\" }] }",
        &["2:27: \"queues.consumers\": queues are not built yet: the \"queue\" handler is never called"],
    );
    check(
        "\"kv_namespaces\": [{ \"binding\": \"KV\", \"remote\": true }]",
        &["2:48: \"kv_namespaces[0].remote\": remote bindings are not supported: the local data is used"],
    );
    check(
        "\"assets\": { \"directory\": \"public\", \"base_path\": \"/docs\" }",
        &["2:49: \"assets.base_path\": is not supported yet: the assets are served from /"],
    );
}

#[test]
fn the_rest() {
    check(
        "\"vars\": { \"A\": 1,\n\"A\": 2 }",
        &["3:1: \"A\": stands twice in this object (first in line 2); this one counts"],
    );
    check(
        "\"assets\": { \"directory\": \"public\", \"run_worker_first\": true }",
        &[
            "2:56: \"assets.run_worker_first\": the worker runs first for every path, but has no \"assets.binding\" by which to \
           serve an asset",
        ],
    );
    check(
        "\"rules\": [{ \"type\": \"PythonModule\", \"globs\": [\"**/*.py\"] }]",
        &["2:11: \"rules[0].type\": Python modules are not supported: the rule is ignored"],
    );
}

#[test]
fn rules_that_hide_others() {
    let text =
        |fallthrough: &str| format!("\"rules\": [{{ \"type\": \"Text\", \"globs\": [\"**/*.md\"]{fallthrough} }}]");
    let project = with(&text("")).unwrap();
    assert_eq!(
        warnings(&project),
        [
            "wrangler.jsonc: \"rules[0]\": hides the default rule for **/*.txt, **/*.html, **/*.sql; set \"fallthrough\" to true to \
          keep it, or to false to silence this"
        ]
    );
    let globs = |project: &Project| {
        project
            .rules
            .iter()
            .map(|rule| rule.globs[0].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(globs(&project), ["**/*.md", "**/*.bin", "**/*.wasm"]);
    let project = with(&text(", \"fallthrough\": false")).unwrap();
    assert_eq!(
        (warnings(&project).len(), globs(&project)),
        (0, vec!["**/*.md".into(), "**/*.bin".into(), "**/*.wasm".into()])
    );
    let project = with(&text(", \"fallthrough\": true")).unwrap();
    assert_eq!(warnings(&project).len(), 0);
    assert_eq!(globs(&project), ["**/*.md", "**/*.txt", "**/*.bin", "**/*.wasm"]);
    let two = "\"rules\": [{ \"type\": \"Data\", \"globs\": [\"a\"], \"fallthrough\": false }, { \"type\": \"Data\", \"globs\": [\"b\"] }]";
    let project = with(two).unwrap();
    assert_eq!(
        (warnings(&project).len(), globs(&project)),
        (0, vec!["a".into(), "**/*.txt".into(), "**/*.wasm".into()])
    );
}
