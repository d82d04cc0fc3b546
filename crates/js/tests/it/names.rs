//! `node:dns`: what it makes of the records that the network gives.

use crate::driver::{Driver, module, version};
use atoll_model::ModuleKind::Esm;
use atoll_worker::{NameData, NameError, NameErrorKind, NameKind, NameQuestion, NameRecord};

/// The zone `a.test`; every other name does not exist.
pub fn answer(question: &NameQuestion) -> Result<Vec<NameRecord>, NameError> {
    let fails = |kind| Err(NameError::new(kind, format!("no {}", question.name)));
    let address = |text: &str| NameData::Address(text.parse().unwrap());
    let data = match (question.name.as_str(), question.kind) {
        ("a.test" | "xn--caf-dma.test", NameKind::Lookup) => vec![address("1.2.3.4"), address("2001:db8::1")],
        ("a.test", NameKind::A) => vec![address("1.2.3.4"), address("5.6.7.8")],
        ("a.test", NameKind::Aaaa) => vec![address("2001:db8::1")],
        ("a.test", NameKind::Caa) => vec![NameData::Caa {
            flags: 128,
            tag: "issue".into(),
            value: "ca.test".into(),
        }],
        ("a.test", NameKind::Cname) => vec![NameData::Name("b.test".into())],
        ("a.test", NameKind::Mx) => vec![NameData::Mx {
            priority: 10,
            exchange: "mx.a.test".into(),
        }],
        ("a.test", NameKind::Naptr) => vec![NameData::Naptr {
            order: 1,
            preference: 2,
            flags: "s".into(),
            service: "sip".into(),
            regexp: String::new(),
            replacement: "b.test".into(),
        }],
        ("a.test", NameKind::Soa) => vec![NameData::Soa {
            nsname: "ns.a.test".into(),
            hostmaster: "hm.a.test".into(),
            serial: 1,
            refresh: 2,
            retry: 3,
            expire: 4,
            minttl: 5,
        }],
        ("a.test", NameKind::Srv) => vec![NameData::Srv {
            priority: 1,
            weight: 2,
            port: 443,
            name: "h.a.test".into(),
        }],
        ("a.test", NameKind::Txt) => vec![NameData::Texts(vec!["one".into(), "two".into()])],
        ("4.3.2.1.in-addr.arpa", NameKind::Ptr) => vec![NameData::Name("a.test".into())],
        (name, NameKind::Ptr) if name.starts_with("1.0.0.0.") && name.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa") => {
            vec![NameData::Name("six.test".into())]
        }
        ("a.test", _) => return fails(NameErrorKind::NoData),
        ("secret.test", _) => return fails(NameErrorKind::Refused),
        _ => return fails(NameErrorKind::NotFound),
    };
    Ok(data.into_iter().map(|data| NameRecord { ttl: 60, data }).collect())
}

fn evaluated(expression: &str) -> String {
    let source = format!(
        "import dns from 'node:dns'; import {{ promisify }} from 'node:util'; const {{ promises }} = dns; \
         const shown = (error) => `${{error.name}} ${{error.code}}: ${{error.message}}`; \
         const called = (run) => new Promise((done) => run((error, ...values) => done(error ? shown(error) : values))); \
         export default {{ async fetch() {{ \
           try {{ return Response.json(await {expression}); }} catch (error) {{ return new Response(shown(error)); }} }} }}"
    );
    let mut version = version(vec![module("index.js", Esm, &source)]);
    version.compat_flags = vec!["nodejs_compat".into()];
    Driver::with(version).get("/")
}

#[test]
fn records_are_what_node_makes_of_them() {
    for (expression, expected) in [
        ("promises.lookup('a.test')", r#"{"address":"1.2.3.4","family":4}"#),
        (
            "promises.lookup('caf\u{e9}.test')",
            r#"{"address":"1.2.3.4","family":4}"#,
        ),
        (
            "promises.lookup('a.test', 6)",
            r#"{"address":"2001:db8::1","family":6}"#,
        ),
        (
            "promises.lookup('a.test', { all: true, order: 'ipv6first' })",
            r#"[{"address":"2001:db8::1","family":6},{"address":"1.2.3.4","family":4}]"#,
        ),
        ("promises.lookup('9.9.9.9')", r#"{"address":"9.9.9.9","family":4}"#),
        ("promises.lookup('')", r#"{"address":null,"family":4}"#),
        ("called((done) => dns.lookup('a.test', done))", r#"["1.2.3.4",4]"#),
        (
            "called((done) => dns.lookup('a.test', { all: true, family: 4 }, done))",
            r#"[[{"address":"1.2.3.4","family":4}]]"#,
        ),
        ("promisify(dns.lookup)('a.test')", r#"{"address":"1.2.3.4","family":4}"#),
        ("promises.resolve('a.test')", r#"["1.2.3.4","5.6.7.8"]"#),
        (
            "promises.resolve4('a.test', { ttl: true })",
            r#"[{"address":"1.2.3.4","ttl":60},{"address":"5.6.7.8","ttl":60}]"#,
        ),
        ("called((done) => dns.resolve6('a.test', done))", r#"[["2001:db8::1"]]"#),
        (
            "promises.resolveCaa('a.test')",
            r#"[{"critical":128,"issue":"ca.test"}]"#,
        ),
        ("promises.resolve('a.test', 'CNAME')", r#"["b.test"]"#),
        (
            "promises.resolveMx('a.test')",
            r#"[{"exchange":"mx.a.test","priority":10}]"#,
        ),
        (
            "promises.resolveNaptr('a.test')",
            r#"[{"flags":"s","service":"sip","regexp":"","replacement":"b.test","order":1,"preference":2}]"#,
        ),
        (
            "promises.resolveSoa('a.test')",
            r#"{"nsname":"ns.a.test","hostmaster":"hm.a.test","serial":1,"refresh":2,"retry":3,"expire":4,"minttl":5}"#,
        ),
        (
            "new dns.promises.Resolver().resolveSrv('a.test')",
            r#"[{"name":"h.a.test","port":443,"priority":1,"weight":2}]"#,
        ),
        (
            "called((done) => new dns.Resolver().resolveTxt('a.test', done))",
            r#"[[["one","two"]]]"#,
        ),
        ("promises.reverse('1.2.3.4')", r#"["a.test"]"#),
        ("promises.reverse('2001:db8::1')", r#"["six.test"]"#),
    ] {
        assert_eq!(evaluated(expression), expected, "{expression}");
    }
}

#[test]
fn errors_are_nodes() {
    for (expression, expected) in [
        (
            "promises.lookup('b.test')",
            "Error ENOTFOUND: getaddrinfo ENOTFOUND b.test",
        ),
        (
            "promises.resolve4('b.test')",
            "Error ENOTFOUND: queryA ENOTFOUND b.test",
        ),
        ("promises.resolveNs('a.test')", "Error ENODATA: queryNs ENODATA a.test"),
        (
            "promises.resolveTxt('secret.test')",
            "Error EREFUSED: queryTxt EREFUSED secret.test",
        ),
        (
            "called((done) => dns.resolve('b.test', 'MX', done))",
            r#""Error ENOTFOUND: queryMx ENOTFOUND b.test""#,
        ),
        (
            "promises.reverse('nonsense')",
            "Error EINVAL: getHostByAddr EINVAL nonsense",
        ),
        (
            "promises.resolve('a.test', 'BAD')",
            "TypeError ERR_INVALID_ARG_VALUE: The argument 'rrtype' is invalid. Received 'BAD'",
        ),
        (
            "promises.lookup('a.test', { family: 7 })",
            "TypeError ERR_INVALID_ARG_VALUE: The property 'options.family' must be one of: 0, 4, 6. Received 7",
        ),
        (
            "promises.resolveMx(5)",
            r#"TypeError ERR_INVALID_ARG_TYPE: The "name" argument must be of type string. Received type number (5)"#,
        ),
        (
            "dns.lookup('a.test')",
            r#"TypeError ERR_INVALID_ARG_TYPE: The "callback" argument must be of type function. Received type string ('a.test')"#,
        ),
        (
            "promises.resolveAny('a.test')",
            "Error ERR_METHOD_NOT_IMPLEMENTED: The dns.resolveAny method is not implemented",
        ),
    ] {
        assert_eq!(evaluated(expression), expected, "{expression}");
    }
}

#[test]
fn each_question_is_a_subrequest() {
    let source = "import dns from 'node:dns'; export default { async fetch() { \
        for (let asked = 0; ; asked++) try { await dns.promises.resolve4('a.test'); } \
        catch (error) { return new Response(`${asked} ${error.message}`); } } }";
    let mut version = version(vec![module("index.js", Esm, source)]);
    version.compat_flags = vec!["nodejs_compat".into()];
    version.limits.subrequests_max = 5;
    let text = Driver::with(version).get("/");
    assert!(text.starts_with("5 ") && text.contains("subrequests_max = 5"), "{text}");
}
