//! Small bindings, compatibility flags, and settings that have no effect.

use super::*;

#[test]
fn small_bindings() {
    let check = |keys: &str, expected: &str| assert_eq!(bindings(&with(keys).unwrap()), [expected], "{keys}");
    let limit = |simple: &str| {
        format!("\"ratelimits\": [{{ \"name\": \"R\", \"namespace_id\": \"1\", \"simple\": {simple} }}]")
    };
    check(&limit("{ \"limit\": 5, \"period\": 60 }"), "R=limit(1, 5 in 60)");
    check(
        "\"analytics_engine_datasets\": [{ \"binding\": \"A\" }]",
        "A=dataset(A)",
    );
    check(
        "\"analytics_engine_datasets\": [{ \"binding\": \"A\", \"dataset\": \"d\" }]",
        "A=dataset(d)",
    );
    let stored = "\"secrets_store_secrets\": [{ \"binding\": \"S\", \"store_id\": \"x\", \"secret_name\": \"n\" }]";
    check(stored, "S=stored(n, None)");
    let wrong = |keys: &str, expected: &str| {
        let lines = complaints(with(keys));
        assert!(lines.iter().any(|line| line.contains(expected)), "{lines:?}");
    };
    wrong(
        &limit("{ \"limit\": 5, \"period\": 30 }"),
        "ratelimits[0].simple.period",
    );
    wrong(&limit("{ \"limit\": 0, \"period\": 10 }"), "ratelimits[0].simple.limit");
    wrong(
        &limit("{ \"period\": 10 }"),
        "\"ratelimits[0].simple.limit\": is required",
    );
    wrong(
        "\"ratelimits\": [{ \"name\": \"R\", \"namespace_id\": \"1\" }]",
        "simple",
    );
    wrong("\"analytics_engine_datasets\": [{ \"dataset\": \"d\" }]", "binding");
    wrong(
        "\"secrets_store_secrets\": [{ \"binding\": \"S\", \"store_id\": \"x\" }]",
        "secret_name",
    );
}

#[test]
fn a_stored_secret_has_its_local_value_from_the_files_of_secrets() {
    let text = "{ \"name\": \"app\", \"main\": \"src/index.ts\", \"compatibility_date\": \"2026-08-01\", \
                \"secrets_store_secrets\": [{ \"binding\": \"S\", \"store_id\": \"x\", \"secret_name\": \"n\" }] }";
    for name in ["S", "n"] {
        let vars = format!("{name}=value\nOTHER=1\n");
        let project = load(&options(), &files(&[("wrangler.jsonc", text), (".dev.vars", &vars)])).unwrap();
        assert_eq!(bindings(&project), ["S=stored(n, Some(\"value\"))", "OTHER=secret(1)"]);
    }
}

#[test]
fn flags() {
    let check = |flags: &str, expected: &[&str]| {
        let project = with(&format!("\"compatibility_flags\": [{flags}]")).unwrap();
        assert_eq!(warnings(&project), expected, "{flags}");
    };
    check("\"nodejs_compat\"", &[]);
    check(
        "\"nodejs_comapt\"",
        &[
            "wrangler.jsonc:2:25: \"compatibility_flags[0]\": No such compatibility flag: nodejs_comapt; did you mean \
           \"nodejs_compat\"?",
        ],
    );
    check(
        "\"nodejs_compat\", \"url_standard\"",
        &[
            "wrangler.jsonc:2:42: \"compatibility_flags[1]\": The compatibility flag url_standard became the default as of \
           2022-10-31 so does not need to be specified anymore.",
        ],
    );
    check(
        "\"python_workers\"",
        &[
            "wrangler.jsonc:2:25: \"compatibility_flags[0]\": the flag \"python_workers\" has no effect: what it concerns does \
           not exist here",
        ],
    );
    let lines = complaints(with(
        "\"compatibility_flags\": [\"nodejs_compat\", \"no_nodejs_compat\"]",
    ));
    assert!(
        lines
            .iter()
            .any(|line| line.contains("mutually contradictory: nodejs_compat vs no_nodejs_compat")),
        "{lines:?}"
    );
}

#[test]
fn settings_without_effect_say_so() {
    let check = |keys: &str, expected: &str| {
        let found = warnings(&with(keys).unwrap());
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    };
    check(
        "\"dev\": { \"host\": \"a.b\" }",
        "\"dev.host\": is accepted, but has no effect",
    );
    check(
        "\"dev\": { \"upstream_protocol\": \"https\" }",
        "\"dev.upstream_protocol\": is accepted, but has no effect",
    );
    check(
        "\"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"a\", \"preview_id\": \"b\" }]",
        "\"kv_namespaces[0].preview_id\": is accepted, but has no effect",
    );
    // The default has nothing to say.
    let found = warnings(&with("\"dev\": { \"upstream_protocol\": \"http\" }").unwrap());
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_way_out() {
    let check = |keys: &str, allow: Option<&[&str]>, deny: &[&str]| {
        let rules = with(keys).unwrap().outbound;
        let shown =
            |entries: &[atoll_model::OutboundEntry]| entries.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            rules.allow.as_deref().map(shown).as_deref(),
            allow
                .map(|list| list.iter().map(|text| text.to_string()).collect::<Vec<_>>())
                .as_deref()
        );
        assert_eq!(shown(&rules.deny), deny);
    };
    check("", None, &[]);
    check("\"atoll\": {}", None, &[]);
    check("\"atoll\": { \"outbound\": {} }", None, &[]);
    check("\"atoll\": { \"outbound\": { \"allow\": [] } }", Some(&[]), &[]);
    check(
        "\"atoll\": { \"outbound\": { \"allow\": [\"public\", \"10.0.0.0/8\", \"DB.internal:5432\", \"*.example.com\"], \
         \"deny\": [\"loopback\", \"[fd00::1]:443\"] } }",
        Some(&["public", "10.0.0.0/8", "db.internal:5432", "*.example.com"]),
        &["loopback", "[fd00::1]:443"],
    );
    let wrong = |value: &str, expected: &str| {
        let lines = complaints(with(&format!("\"atoll\": {{ \"outbound\": {value} }}")));
        assert!(lines.iter().any(|line| line.contains(expected)), "{lines:?}");
    };
    wrong("{ \"allow\": [\"http://x/\"] }", "is neither an address, a network");
    wrong("{ \"allow\": [\"10.0.0.0/99\"] }", "\"atoll.outbound.allow\"");
    wrong("{ \"deny\": \"public\" }", "expected a list");
    wrong("{ \"deny\": [1] }", "expected a string");
    wrong("[]", "expected an object");
    let project = with("\"atoll\": { \"outbond\": {}, \"outbound\": { \"alow\": [] } }").unwrap();
    let lines = warnings(&project);
    assert!(lines.iter().any(|line| line.contains("\"outbound\"")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("\"allow\"")), "{lines:?}");
    // An environment without a list of its own has the top level's: leaving it out must not open the network.
    let keys = "\"atoll\": { \"outbound\": { \"allow\": [\"api.example\"] } }, \"env\": { \"staging\": {} }";
    let staging = in_environment(keys, Some("staging")).unwrap();
    assert_eq!(staging.outbound.allow.map(|list| list.len()), Some(1));
}
