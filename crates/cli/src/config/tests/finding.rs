//! Which file is read.

use super::*;

const MAIN: &str = "{ \"name\": \"NAME\", \"main\": \"/w/app/src/index.ts\", \"compatibility_date\": \"2026-08-01\" }";

fn named(name: &str) -> String {
    MAIN.replace("NAME", name)
}

/// Files, each a configuration with the name of the worker it is for; the name of the one that counts, or the error.
fn check(configurations: &[(&str, &str)], directory: &str, config: Option<&str>, expected: &str) {
    let mut memory = files(&[("deep/er/x", "")]);
    for (path, name) in configurations {
        let text = match name.strip_prefix('>') {
            Some(target) => format!("{{ \"configPath\": \"{target}\" }}"),
            None if path.ends_with("toml") => {
                format!("name = \"{name}\"\nmain = \"/w/app/src/index.ts\"\ncompatibility_date = \"2026-08-01\"")
            }
            None => named(name),
        };
        memory.0.insert(find::normal(&Path::new("/w/app").join(path)), text);
    }
    let options = LoadOptions {
        directory: directory.into(),
        config: config.map(PathBuf::from),
        ..options()
    };
    let found = match load(&options, &memory) {
        Ok(project) => project.name,
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expected, "{configurations:?} in {directory}");
}

#[test]
fn the_three_names() {
    check(&[("wrangler.toml", "t")], ".", None, "t");
    check(&[("wrangler.toml", "t"), ("wrangler.jsonc", "c")], ".", None, "c");
    check(
        &[("wrangler.toml", "t"), ("wrangler.jsonc", "c"), ("wrangler.json", "j")],
        ".",
        None,
        "j",
    );
    check(
        &[("wrangler.yaml", "y")],
        ".",
        None,
        &ConfigError::NotFound("/w/app".into()).to_string(),
    );
}

#[test]
fn upwards() {
    check(&[("wrangler.toml", "t")], "deep/er", None, "t");
    check(
        &[("wrangler.json", "j"), ("deep/wrangler.toml", "t")],
        "deep/er",
        None,
        "t",
    );
    check(&[("../wrangler.json", "j")], ".", None, "j");
    check(
        &[("../elsewhere/wrangler.json", "j")],
        ".",
        None,
        &ConfigError::NotFound("/w/app".into()).to_string(),
    );
    check(
        &[],
        "nowhere",
        None,
        "cannot read nowhere: there is no such file or directory",
    );
}

#[test]
fn a_file_that_is_named() {
    check(
        &[("wrangler.json", "j"), ("deep/my.toml", "t")],
        ".",
        Some("deep/my.toml"),
        "t",
    );
    check(
        &[("wrangler.json", "j"), ("deep/my.toml", "t")],
        ".",
        Some("/w/app/deep/my.toml"),
        "t",
    );
    check(
        &[("wrangler.json", "j")],
        ".",
        Some("nope.json"),
        "cannot read nope.json: entity not found",
    );
    check(
        &[("wrangler.yaml", "y")],
        ".",
        Some("wrangler.yaml"),
        "cannot read wrangler.yaml: a configuration's name ends in .json, .jsonc or .toml",
    );
    // It is read as it is: no redirect counts.
    let redirected = [
        ("wrangler.json", "j"),
        (".wrangler/deploy/config.json", ">../../dist/w.json"),
        ("dist/w.json", "d"),
    ];
    check(&redirected, ".", Some("wrangler.json"), "j");
}

#[test]
fn redirects() {
    const REDIRECT: &str = ".wrangler/deploy/config.json";
    check(
        &[
            ("wrangler.json", "j"),
            (REDIRECT, ">../../dist/w.json"),
            ("dist/w.json", "d"),
        ],
        ".",
        None,
        "d",
    );
    check(
        &[
            ("wrangler.json", "j"),
            (REDIRECT, ">../../dist/w.json"),
            ("dist/w.json", "d"),
        ],
        "deep/er",
        None,
        "d",
    );
    // Without a configuration of the user's it counts as well.
    check(
        &[(REDIRECT, ">../../dist/w.json"), ("dist/w.json", "d")],
        ".",
        None,
        "d",
    );
    check(
        &[("wrangler.json", "j"), (REDIRECT, ">../../dist/w.json")],
        ".",
        None,
        ".wrangler/deploy/config.json: points at dist/w.json, which is not there; build the project again or delete this file",
    );
    check(
        &[
            ("deep/wrangler.json", "j"),
            (REDIRECT, ">../../dist/w.json"),
            ("dist/w.json", "d"),
        ],
        "deep",
        None,
        ".wrangler/deploy/config.json: redirects to the output of a build, but is not beside deep/wrangler.json; delete it if \
         an earlier build left it, or run from the directory whose configuration you want",
    );
    let check = |text: &str, expected: &str| {
        let memory = files(&[("wrangler.json", &named("j")), (REDIRECT, text)]);
        assert_eq!(complaints(load(&options(), &memory)), [expected], "{text}");
    };
    check(
        "{}",
        ".wrangler/deploy/config.json:1:1: \"configPath\": is required: expected a string",
    );
    check(
        "{ \"configPath\": 1 }",
        ".wrangler/deploy/config.json:1:17: \"configPath\": expected a string, found the number 1",
    );
    check(
        "{",
        ".wrangler/deploy/config.json:1:1: not valid JSON: unterminated object",
    );
}

/// What a framework's build writes: a normalized configuration, with keys of its own and paths relative to itself.
#[test]
fn generated_configurations() {
    const REDIRECT: (&str, &str) = (
        ".wrangler/deploy/config.json",
        "{ \"configPath\": \"../../dist/server/wrangler.json\" }",
    );
    let generated = "{ \"configPath\": \"/x/wrangler.jsonc\", \"userConfigPath\": \"/x/wrangler.jsonc\", \"topLevelName\": \"app\", \
         \"definedEnvironments\": [\"e\"], \"targetEnvironment\": \"e\", \"legacy_env\": true, \"jsx_factory\": \"React.createElement\", \
         \"name\": \"app-e\", \"main\": \"index.js\", \"no_bundle\": true, \"compatibility_date\": \"2026-08-01\", \
         \"assets\": { \"directory\": \"../client\" }, \"rules\": [{ \"type\": \"ESModule\", \"globs\": [\"**/*.js\"] }], \
         \"ai\": {}, \"logfwdr\": { \"bindings\": [] }, \"cloudchamber\": {}, \
         \"python_modules\": { \"exclude\": [\"**/*.pyc\"] }, \"durable_objects\": { \"bindings\": [] }, \"unsafe\": {}, \
         \"dev\": { \"ip\": \"localhost\", \"local_protocol\": \"http\", \"enable_containers\": true }, \"queues\": { \"producers\": [], \"consumers\": [] }, \"pages_build_output_dir\": null, \"migrations\": [], \
         \"triggers\": { \"crons\": null }, \"vars\": { \"A\": \"1\" } }";
    let user = "{ \"name\": \"app\", \"env\": { \"e\": {} } }";
    let mut memory = files(&[
        ("wrangler.json", user),
        REDIRECT,
        ("dist/server/wrangler.json", generated),
        ("dist/server/index.js", ""),
        ("dist/client/a.css", ""),
        (".dev.vars", "S=1"),
    ]);
    let check = |memory: &Memory, environment: Option<&str>| {
        load(
            &LoadOptions {
                environment: environment.map(str::to_owned),
                ..options()
            },
            memory,
        )
    };
    for environment in [None, Some("e")] {
        let project = check(&memory, environment).unwrap();
        assert_eq!(warnings(&project), Vec::<String>::new());
        assert_eq!(project.name, "app-e");
        assert_eq!(project.main.as_deref(), Some(Path::new("/w/app/dist/server/index.js")));
        assert_eq!(project.root, Path::new("/w/app/dist/server"));
        assert_eq!(project.assets.as_ref().unwrap().0, Path::new("/w/app/dist/client"));
        assert_eq!(
            project.user_config_path.as_deref(),
            Some(Path::new("/w/app/wrangler.json"))
        );
        assert_eq!(
            project.redirected_by.as_deref(),
            Some(Path::new("/w/app/.wrangler/deploy/config.json"))
        );
        assert!(project.no_bundle && project.find_additional_modules);
        // Secrets stand beside what the user wrote.
        assert_eq!(bindings(&project), ["A=1", "S=secret(1)"]);
    }
    assert_eq!(
        complaints(check(&memory, Some("other"))),
        [
            "dist/server/wrangler.json:1:130: \"targetEnvironment\": was built for the environment \"e\", not for \"other\": build it \
          again for that one"
        ]
    );
    let with_environments = generated.replacen('{', "{ \"env\": { \"e\": {} },", 1);
    memory
        .0
        .insert("/w/app/dist/server/wrangler.json".into(), with_environments);
    assert_eq!(
        complaints(check(&memory, None)),
        [
            "dist/server/wrangler.json:1:3: \"env\": a generated configuration cannot have environments; the tool that wrote it is \
          at fault"
        ]
    );
}

#[test]
fn a_script_without_a_configuration() {
    let memory = files(&[("deep/My Worker/a.js", "")]);
    let options = LoadOptions {
        directory: "deep/My Worker/a.js".into(),
        ..options()
    };
    let project = load(&options, &memory).unwrap();
    assert_eq!(project.main.as_deref(), Some(Path::new("/w/app/deep/My Worker/a.js")));
    assert_eq!((project.name.as_str(), project.config_path), ("my-worker", None));
    // With one, the script takes the place of its entry.
    let memory = files(&[("deep/a.js", ""), ("wrangler.json", &named("j"))]);
    let options = LoadOptions {
        directory: "deep/a.js".into(),
        ..options
    };
    let project = load(&options, &memory).unwrap();
    assert_eq!(
        (project.name.as_str(), project.main.as_deref()),
        ("j", Some(Path::new("/w/app/deep/a.js")))
    );
}

#[test]
fn what_is_watched() {
    let memory = files(&[("wrangler.json", &named("j"))]);
    let project = load(
        &LoadOptions {
            environment: Some("e".into()),
            ..options()
        },
        &memory,
    )
    .unwrap();
    let watched: Vec<String> = project
        .watch
        .iter()
        .map(|path| display(path, Path::new("/w/app")))
        .collect();
    assert_eq!(
        watched,
        [
            "wrangler.json",
            ".wrangler/deploy/config.json",
            ".dev.vars.e",
            ".dev.vars",
            ".env",
            ".env.local",
            ".env.e",
            ".env.e.local"
        ]
    );
}
