//! The kinds of deployments, and what must become of each.

/// What must happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It comes to all PoPs.
    Live,
    /// It is taken back.
    RolledBack,
    /// It is not even stored.
    Refused,
}

/// What is done to what was stored, before it is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    None,
    /// A byte of its module is another.
    Module,
    /// A byte of its artifact's signature is another.
    Signature,
}

pub struct Kind {
    pub name: &'static str,
    pub expected: Expected,
    pub damage: Damage,
    /// The module; what it answers, if it does, is the marker.
    pub code: fn(&str) -> String,
}

const fn bad(name: &'static str, code: fn(&str) -> String) -> Kind {
    Kind {
        name,
        expected: Expected::RolledBack,
        damage: Damage::None,
        code,
    }
}

const fn refused(name: &'static str, code: fn(&str) -> String) -> Kind {
    Kind {
        expected: Expected::Refused,
        ..bad(name, code)
    }
}

const fn damaged(name: &'static str, damage: Damage) -> Kind {
    Kind {
        damage,
        ..bad(name, answers)
    }
}

fn answers(marker: &str) -> String {
    format!("export default {{ fetch() {{ return new Response('{marker}'); }} }}")
}

/// A module whose handler does this before it answers.
fn does(marker: &str, what: &str) -> String {
    format!(
        "let calls = 0; const kept = []; export default {{ async fetch(request, env, ctx) {{ calls++; {what}; return new Response('{marker}'); }} }}"
    )
}

pub const GOOD: Kind = Kind {
    expected: Expected::Live,
    ..bad("good", answers)
};

pub const KINDS: &[Kind] = &[
    bad("throws", |marker| does(marker, "throw new Error('bad')")),
    bad("throws-sometimes", |marker| {
        does(marker, "if (calls % 3 === 0) throw new Error('bad')")
    }),
    bad("throws-later", |marker| {
        does(marker, "if (calls > 20) throw new Error('bad')")
    }),
    bad("answers-500", |marker| {
        format!("export default {{ fetch() {{ return new Response('{marker}', {{ status: 500 }}); }} }}")
    }),
    bad("slow", |marker| {
        does(marker, "await new Promise(done => setTimeout(done, 1500))")
    }),
    bad("infinite-loop", |marker| does(marker, "for (;;) {}")),
    bad("huge-memory", |marker| {
        does(marker, "for (;;) kept.push(new Array(1e6).fill(calls))")
    }),
    bad("huge-buffers", |marker| {
        does(marker, "for (;;) kept.push(new Uint8Array(1 << 24).fill(1))")
    }),
    bad("recursion", |marker| {
        does(marker, "(function again() { again(); again(); })()")
    }),
    bad("never-answers", |marker| does(marker, "await new Promise(() => {})")),
    bad("no-response", |marker| does(marker, "return 'no response'")),
    bad("missing-binding", |marker| does(marker, "await env.STORE.get('key')")),
    bad("broken-stream", |marker| {
        does(
            marker,
            "return new Response(new ReadableStream({ start() { throw new Error('bad') } }))",
        )
    }),
    damaged("damaged-module", Damage::Module),
    damaged("wrong-signature", Damage::Signature),
    refused("throws-at-start", |marker| format!("throw new Error('{marker}')")),
    refused("loops-at-start", |marker| format!("for (;;) {{}} // {marker}")),
    refused("no-syntax", |marker| format!("export default {{ {marker}")),
    refused("missing-module", |marker| {
        format!("import './not-there.js'; // {marker}")
    }),
];
