//! What is wrong is said with file, line, column and key.

use super::*;

/// The text of a configuration and everything that is wrong with it. A date is not asked for here.
fn check(name: &str, text: &str, expected: &[&str]) {
    assert_eq!(
        complaints(load(&options(), &files(&[(name, text)]))),
        expected,
        "{text}"
    );
}

#[test]
fn syntax_of_json() {
    check("wrangler.json", "", &["wrangler.json:1:1: the file is empty"]);
    check(
        "wrangler.json",
        "// nothing\n",
        &["wrangler.json:1:1: the file is empty"],
    );
    check(
        "wrangler.json",
        "[]",
        &["wrangler.json:1:1: a configuration must be an object: { ... }"],
    );
    check(
        "wrangler.jsonc",
        "\n\n  42",
        &["wrangler.jsonc:3:3: a configuration must be an object: { ... }"],
    );
    check(
        "wrangler.json",
        "{\n  \"name\": \"a\"\n  \"main\": \"b\"\n}",
        &["wrangler.json:2:14: not valid JSON: expected comma"],
    );
    check(
        "wrangler.json",
        "{\n  \"name\": }",
        &["wrangler.json:2:11: not valid JSON: unexpected close brace"],
    );
    check(
        "wrangler.json",
        "{\n  name: 1 }",
        &["wrangler.json:2:3: not valid JSON: expected string for object property"],
    );
    check(
        "wrangler.jsonc",
        "{\r\n  \"name\": 'a'\r\n}",
        &["wrangler.jsonc:2:11: not valid JSON: single-quoted strings are not allowed"],
    );
    check(
        "wrangler.jsonc",
        "{\n \"a\": [1, 2\n",
        &["wrangler.jsonc:2:7: not valid JSON: unterminated array"],
    );
    check(
        "wrangler.jsonc",
        "{\n \"a\": \"é\", b }",
        &["wrangler.jsonc:2:12: not valid JSON: expected string for object property"],
    );
    check(
        "wrangler.jsonc",
        "{} {}",
        &["wrangler.jsonc:1:4: not valid JSON: text cannot contain more than one JSON value"],
    );
}

#[test]
fn syntax_of_toml() {
    let check = |text: &str, place: &str, words: &str| {
        let found = complaints(load(&options(), &files(&[("wrangler.toml", text)])));
        let expected = format!("wrangler.toml:{place}: not valid TOML: ");
        assert!(
            found.len() == 1 && found[0].starts_with(&expected) && found[0].contains(words),
            "{text}: {found:?}"
        );
    };
    check("name = \"a\"\nmain = \n", "2:8", "value");
    check("name = \"a\"\n[vars\n", "2:6", "");
    check("name = \"a\"\nname = \"b\"\n", "2:1", "duplicate key");
    check("name = 'a\n", "1:10", "");
    check("a = 1\n\n[vars]\nX = 1 Y = 2\n", "4:9", "");
}

#[test]
fn too_large() {
    let text = format!("{{ \"name\": \"{}\" }}", "x".repeat(tree::CONFIG_BYTES_MAX));
    let found = complaints(load(&options(), &files(&[("wrangler.json", &text)])));
    assert!(found[0].contains("more than the limit of 4194304"), "{found:?}");
}

#[test]
fn types_of_json() {
    let check = |keys: &str, expected: &str| {
        let text = format!("{{\n{keys}\n}}");
        let found = complaints(load(&options(), &files(&[("wrangler.jsonc", &text)])));
        assert_eq!(found, [format!("wrangler.jsonc:{expected}")], "{keys}");
    };
    let main = "\"main\": \"src/index.ts\",\n";
    check("\"main\": 42", "2:9: \"main\": expected a string, found the number 42");
    check("\"main\": null", "2:9: \"main\": expected a string, found null");
    check("\"main\": \"\"", "2:9: \"main\": must not be empty");
    check(
        "\"main\": \"app.py\"",
        "2:9: \"main\": Python workers are not supported: the entry must be JavaScript or TypeScript",
    );
    let check = |keys: &str, expected: &str| check(&format!("{main}{keys}"), expected);
    check(
        "\"minify\": \"yes\"",
        "3:11: \"minify\": expected true or false, found the string \"yes\"",
    );
    check("\"rules\": {}", "3:10: \"rules\": expected a list, found an object");
    check("\"vars\": []", "3:9: \"vars\": expected an object, found a list");
    check(
        "\"name\": \"My App\"",
        "3:9: \"name\": expected lower-case letters, digits, dashes and underscores, found \"My App\"",
    );
    check(
        "\"name\": \"-a\"",
        "3:9: \"name\": expected lower-case letters, digits, dashes and underscores, found \"-a\"",
    );
    check(
        "\"compatibility_flags\": [\"a\",\n 1]",
        "4:2: \"compatibility_flags[1]\": expected a string, found the number 1",
    );
    check(
        "\"compatibility_date\": \"2026-13-01\"",
        "3:23: \"compatibility_date\": \"2026-13-01\" is not a date of the form YYYY-MM-DD",
    );
    check(
        "\"compatibility_date\": \"latest\"",
        "3:23: \"compatibility_date\": \"latest\" is not a date of the form YYYY-MM-DD",
    );
    check(
        "\"define\": { \"A\": 1 }",
        "3:18: \"define.A\": expected a string, found the number 1",
    );
    check(
        "\"alias\": { \"a\": true }",
        "3:17: \"alias.a\": expected a string, found true",
    );
    check(
        "\"kv_namespaces\": [{ \"id\": \"1\" }]",
        "3:19: \"kv_namespaces[0].binding\": is required: expected a string",
    );
    check(
        "\"kv_namespaces\": [\"KV\"]",
        "3:19: \"kv_namespaces[0]\": expected an object, found the string \"KV\"",
    );
    check(
        "\"kv_namespaces\": [{ \"binding\": \"KV\",\n\"id\": 7 }]",
        "4:7: \"kv_namespaces[0].id\": expected a string, found the number 7",
    );
    check(
        "\"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"\" }]",
        "3:44: \"kv_namespaces[0].id\": must not be empty; leave it out to have a namespace made for it",
    );
    check(
        "\"kv_namespaces\": [{ \"binding\": \"\" }]",
        "3:32: \"kv_namespaces[0].binding\": must not be empty",
    );
    check(
        "\"r2_buckets\": [{ \"bucket_name\": \"b\" }]",
        "3:16: \"r2_buckets[0].binding\": is required: expected a string",
    );
    check(
        "\"queues\": { \"producers\": {} }",
        "3:26: \"queues.producers\": expected a list, found an object",
    );
    check(
        "\"triggers\": { \"crons\": \"* * * * *\" }",
        "3:24: \"triggers.crons\": expected a list, found the string \"* * * * *\"",
    );
    check(
        "\"triggers\": { \"crons\": [\"0 * * *\"] }",
        "3:25: \"triggers.crons\": a cron expression has five fields (minute, hour, day, month, weekday), found \"0 * * *\"",
    );
    check(
        "\"dev\": { \"port\": \"8787\" }",
        "3:18: \"dev.port\": expected a whole number from 0 to 65535, found the string \"8787\"",
    );
    check(
        "\"dev\": { \"port\": 70000 }",
        "3:18: \"dev.port\": expected a whole number from 0 to 65535, found the number 70000",
    );
    check(
        "\"dev\": { \"port\": 1.5 }",
        "3:18: \"dev.port\": expected a whole number from 0 to 65535, found the number 1.5",
    );
    check(
        "\"dev\": { \"ip\": \"here\" }",
        "3:16: \"dev.ip\": expected an IP address or \"localhost\", found \"here\"",
    );
    check(
        "\"dev\": { \"local_protocol\": \"htps\" }",
        "3:28: \"dev.local_protocol\": expected one of \"http\", \"https\", found the string \"htps\" (did you mean \"https\"?)",
    );
    check(
        "\"limits\": { \"cpu_ms\": 0 }",
        "3:23: \"limits.cpu_ms\": expected a whole number from 1 to 300000, found the number 0",
    );
    check(
        "\"build\": { \"command\": [] }",
        "3:23: \"build.command\": expected a string, found a list",
    );
    check(
        "\"build\": { \"watch_dir\": [1] }",
        "3:26: \"build.watch_dir[0]\": expected a string, found the number 1",
    );
    check(
        "\"rules\": [{ \"globs\": [\"*\"] }]",
        "3:11: \"rules[0].type\": is required: the kind of module",
    );
    check(
        "\"rules\": [{ \"type\": \"Text\" }]",
        "3:11: \"rules[0].globs\": is required: a list of patterns",
    );
    check(
        "\"rules\": [{ \"type\": \"text\", \"globs\": [] }]",
        "3:21: \"rules[0].type\": expected one of \"ESModule\", \"CommonJS\", \"CompiledWasm\", \"Text\", \"Data\", \"PythonModule\", \
         \"PythonRequirement\", found the string \"text\" (did you mean \"Text\"?)",
    );
    check(
        "\"node_compat\": true",
        "3:1: \"node_compat\": is gone: add \"nodejs_compat\" to \"compatibility_flags\" instead",
    );
}

#[test]
fn types_of_toml() {
    let text = "name = \"app\"\nmain = \"src/index.ts\"\ncompatibility_date = 2026-08-01\n\n[[kv_namespaces]]\nbinding = 1\n\n\
                [dev]\nport = \"x\"\n";
    check(
        "wrangler.toml",
        text,
        &[
            "wrangler.toml:3:22: \"compatibility_date\": expected a string, found the date 2026-08-01 (put it in quotes to make it a string)",
            "wrangler.toml:6:11: \"kv_namespaces[0].binding\": expected a string, found the number 1",
            "wrangler.toml:9:8: \"dev.port\": expected a whole number from 0 to 65535, found the string \"x\"",
        ],
    );
}

#[test]
fn assets_that_cannot_be() {
    let check = |assets: &str, main: bool, expected: &str| {
        let main = if main { "\"main\": \"src/index.ts\"," } else { "" };
        let text = format!("{{ {main}\n\"assets\": {assets}\n}}");
        let found = complaints(load(&options(), &files(&[("wrangler.jsonc", &text)])));
        assert_eq!(found, [format!("wrangler.jsonc:2:{expected}")], "{assets}");
    };
    check(
        "{ \"binding\": \"A\" }",
        true,
        "11: \"assets.directory\": is required: expected a string",
    );
    check(
        "{ \"directory\": \"nope\" }",
        true,
        "26: \"assets.directory\": there is no directory nope",
    );
    check(
        "{ \"directory\": \"public\", \"binding\": \"A\" }",
        false,
        "47: \"assets.binding\": a binding needs a worker that uses it: set \"main\", or remove the binding",
    );
    check(
        "{ \"directory\": \"public\", \"run_worker_first\": true }",
        false,
        "56: \"assets.run_worker_first\": there is no worker to run first: set \"main\", or remove this",
    );
    check(
        "{ \"directory\": \"public\", \"run_worker_first\": [\"api/*\"] }",
        true,
        "57: \"assets.run_worker_first\": a pattern begins with \"/\" or \"!/\", found \"api/*\"",
    );
    check(
        "{ \"directory\": \"public\", \"run_worker_first\": [\"!/api/*\"] }",
        true,
        "56: \"assets.run_worker_first\": has only exceptions: add a pattern that begins with \"/\"",
    );
    check(
        "{ \"directory\": \"public\", \"run_worker_first\": 1 }",
        true,
        "56: \"assets.run_worker_first\": expected true, false or a list of patterns, found the number 1",
    );
    let many = vec!["\"/a\""; 101].join(",");
    check(
        &format!("{{ \"directory\": \"public\", \"run_worker_first\": [{many}] }}"),
        true,
        "56: \"assets.run_worker_first\": has 101 patterns, more than the limit of 100",
    );
    check(
        "{ \"directory\": \"public\", \"not_found_handling\": \"spa\" }",
        true,
        "58: \"assets.not_found_handling\": expected one of \"none\", \"404-page\", \"single-page-application\", found the string \"spa\"",
    );
}

#[test]
fn names_that_two_bindings_have() {
    let check = |keys: &str, expected: &str| assert_eq!(complaints(with(keys)), [expected], "{keys}");
    check(
        "\"vars\": { \"A\": 1 },\n\"kv_namespaces\": [{ \"binding\": \"A\" }]",
        "wrangler.jsonc:3:32: \"kv_namespaces[0]\": the binding name \"A\" is taken by \"vars.A\" (line 2); every binding needs a \
         name of its own",
    );
    check(
        "\"kv_namespaces\": [{ \"binding\": \"A\" },\n{ \"binding\": \"A\" }]",
        "wrangler.jsonc:3:14: \"kv_namespaces[1]\": the binding name \"A\" is taken by \"kv_namespaces[0]\" (line 2); every \
         binding needs a name of its own",
    );
    check(
        "\"ai\": { \"binding\": \"A\" },\n\"durable_objects\": { \"bindings\": [{ \"name\": \"A\", \"class_name\": \"C\" }] }",
        "wrangler.jsonc:3:45: \"durable_objects.bindings[0]\": the binding name \"A\" is taken by \"ai\" (line 2); every binding \
         needs a name of its own",
    );
}

#[test]
fn nothing_to_serve() {
    check(
        "wrangler.json",
        "{ \"name\": \"a\" }",
        &[
            "wrangler.json: there is neither \"main\" (the worker's entry module) nor \"assets\" (a directory to serve): set one",
        ],
    );
    check(
        "wrangler.json",
        "{\n\"main\": \"src/nope.ts\" }",
        &["wrangler.json:2:9: \"main\": there is no file src/nope.ts"],
    );
    // A build command may make the file: it is looked for afterwards.
    let built = "{ \"main\": \"dist/a.js\", \"build\": { \"command\": \"make\" } }";
    let memory = files(&[("wrangler.json", built)]);
    let project = load(&options(), &memory).unwrap();
    let error = project.check_files(&memory).unwrap_err();
    assert_eq!(
        error.to_string(),
        "wrangler.json:1:11: \"main\": there is no file dist/a.js"
    );
    assert_eq!(error.title(), "wrangler.json is not valid");
}

#[test]
fn all_errors_at_once_in_the_order_of_the_file() {
    let found = complaints(with("\"minify\": 1,\n\"vars\": 2,\n\"rules\": 3,\n\"assets\": 4"));
    let places: Vec<&str> = found.iter().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(places, ["\"minify\"", "\"vars\"", "\"rules\"", "\"assets\""]);
    let title = with("\"minify\": 1,\n\"vars\": 2").unwrap_err().title();
    assert_eq!(title, "wrangler.jsonc is not valid: 2 errors");
}
