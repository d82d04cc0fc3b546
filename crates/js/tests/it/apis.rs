//! The web platform's and the Workers platform's objects.

use crate::driver::{Driver, check};
use atoll_worker::Body;

#[test]
fn hello() {
    let mut driver = Driver::source("export default { fetch() { return new Response('hello'); } }");
    let response = driver.request("GET", "/", &[], Body::Empty).unwrap();
    assert_eq!(response.head.status, 200);
    assert_eq!(response.head.headers["content-type"], "text/plain;charset=UTF-8");
    assert!(matches!(response.body, Body::Full(_)));
    assert_eq!(driver.text(response), "hello");
}

#[test]
fn request_shows_what_was_sent() {
    check(
        "return [request.method, request.url, request.headers.get('X-A'), await request.text()]",
        r#"["POST","http://example.com/path?q=1","b","body"]"#,
    );
    check("return [...request.headers]", r#"[["cookie","c=d"],["x-a","b"]]"#);
    check("return request.cf.httpProtocol", r#""HTTP/1.1""#);
    check(
        "const c = request.clone(); return [await c.text(), await request.text(), request.bodyUsed]",
        r#"["body","body",true]"#,
    );
    check(
        "return [request.body instanceof ReadableStream, request.bodyUsed, request.signal.aborted]",
        "[true,false,false]",
    );
    check(
        "try { request.headers.set('a', 'b') } catch (e) { return `${e}` }",
        r#""TypeError: Can't modify immutable headers.""#,
    );
    check(
        "await request.text(); try { await request.text() } catch (e) { return e.message.slice(0, 27) }",
        r#""Body has already been used.""#,
    );
}

#[test]
fn headers() {
    check(
        "const h = new Headers({B: '2', a: ' 1 '}); h.append('a', '3'); return [...h]",
        r#"[["a","1, 3"],["b","2"]]"#,
    );
    check(
        "const h = new Headers([['set-cookie','a'],['set-cookie','b']]); return [h.getSetCookie(), h.getAll('Set-Cookie'), [...h.keys()]]",
        r#"[["a","b"],["a","b"],["set-cookie","set-cookie"]]"#,
    );
    check(
        "const h = new Headers({a: '1'}); h.delete('A'); h.set('B', 1); return [h.has('a'), h.get('a'), h.get('b')]",
        r#"[false,null,"1"]"#,
    );
    check(
        "try { new Headers({'a b': '1'}) } catch (e) { return e.name }",
        r#""TypeError""#,
    );
    check(
        "try { new Headers({a: 'x\\ny'}) } catch (e) { return e.name }",
        r#""TypeError""#,
    );
    check(
        "try { new Headers({a: '\\u1234'}) } catch (e) { return e.name }",
        r#""TypeError""#,
    );
    check(
        "return Object.prototype.toString.call(new Headers())",
        r#""[object Headers]""#,
    );
}

#[test]
fn responses() {
    check(
        "const r = new Response('x', {status: 201, headers: {a: 'b'}}); return [r.status, r.ok, r.statusText, [...r.headers], await r.text()]",
        r#"[201,true,"",[["a","b"],["content-type","text/plain;charset=UTF-8"]],"x"]"#,
    );
    check(
        "return [Response.json({a: 1}).headers.get('content-type'), Response.redirect('http://a/b').headers.get('location'), Response.error().type]",
        r#"["application/json","http://a/b","error"]"#,
    );
    check(
        "return [100, 199, 600].map((status) => { try { new Response('', {status}) } catch (e) { return e.name } })",
        r#"["RangeError","RangeError","RangeError"]"#,
    );
    check(
        "try { new Response('x', {status: 204}) } catch (e) { return e.name }",
        r#""TypeError""#,
    );
    check(
        "const r = new Response('x'); const c = r.clone(); return [await r.text(), await c.text()]",
        r#"["x","x"]"#,
    );
    check(
        "return new Response(new URLSearchParams('a=b')).headers.get('content-type')",
        r#""application/x-www-form-urlencoded;charset=UTF-8""#,
    );
    check(
        "return [...new Uint8Array(await new Response(new Uint8Array([1,2])).arrayBuffer())]",
        "[1,2]",
    );
    check("return await (await new Response('{\"a\":1}').json()).a", "1");
}

#[test]
fn form_data() {
    check(
        "const f = new FormData(); f.append('a', '1'); f.append('f', new Blob(['x'], {type: 'text/x'}), 'n.txt'); \
           const g = await new Response(f).formData(); const file = g.get('f'); \
           return [g.get('a'), file.name, file.type, await file.text()]",
        r#"["1","n.txt","text/x","x"]"#,
    );
    check(
        "const g = await new Response('a=1&a=2', {headers: {'content-type': 'application/x-www-form-urlencoded'}}).formData(); return g.getAll('a')",
        r#"["1","2"]"#,
    );
    check(
        "const f = new FormData(); f.set('a', 1); f.set('a', 2); f.delete('b'); return [[...f], f.has('a')]",
        r#"[[["a","2"]],true]"#,
    );
}

#[test]
fn platform() {
    check(
        "return [new URL('../x', 'http://a/b/c').href, new URLPattern({pathname: '/:a'}).exec('http://x/y').pathname.groups.a]",
        r#"["http://a/x","y"]"#,
    );
    check(
        "return new TextDecoder().decode(new TextEncoder().encode('\\u00e9'))",
        r#""é""#,
    );
    check(
        "return [atob('YQ=='), btoa('a'), structuredClone(new Map([[1,2]])).get(1)]",
        r#"["a","YQ==",2]"#,
    );
    check(
        "const c = new AbortController(); c.abort(); return [c.signal.aborted, AbortSignal.timeout(1).aborted]",
        "[true,false]",
    );
    check("return await new Promise((r) => setTimeout(r, 1, 'x'))", r#""x""#);
    check(
        "let n = 0; return await new Promise((r) => { const i = setInterval(() => { if (++n === 3) { clearInterval(i); r(n) } }, 1) })",
        "3",
    );
    check(
        "const d = await crypto.subtle.digest('SHA-256', new TextEncoder().encode('')); return new Uint8Array(d)[0]",
        "227",
    );
    check(
        "return [crypto.randomUUID().length, crypto.getRandomValues(new Uint8Array(4)).length]",
        "[36,4]",
    );
    check(
        "const k = await crypto.subtle.generateKey({name: 'HMAC', hash: 'SHA-256'}, true, ['sign', 'verify']); \
           const s = await crypto.subtle.sign('HMAC', k, new Uint8Array(3)); return await crypto.subtle.verify('HMAC', k, s, new Uint8Array(3))",
        "true",
    );
    check(
        "const s = new Blob(['aaaa']).stream().pipeThrough(new CompressionStream('gzip')).pipeThrough(new DecompressionStream('gzip')); return await new Response(s).text()",
        r#""aaaa""#,
    );
    check(
        "return [navigator.userAgent, typeof performance.now(), self === globalThis, typeof Deno, typeof __bootstrap, typeof __atoll]",
        r#"["Cloudflare-Workers","number",true,"undefined","undefined","undefined"]"#,
    );
    check(
        "return new Intl.DateTimeFormat('de', {timeZone: 'UTC', month: 'long'}).format(0)",
        r#""Januar""#,
    );
    check(
        "const e = new EventTarget(); let n = 0; e.addEventListener('x', () => n++, {once: true}); e.dispatchEvent(new Event('x')); e.dispatchEvent(new Event('x')); return n",
        "1",
    );
    check(
        "const { port1, port2 } = new MessageChannel(); return await new Promise((r) => { port2.onmessage = (e) => { r(e.data); port2.close() }; port1.postMessage({a: 1}) })",
        r#"{"a":1}"#,
    );
    check("await scheduler.wait(1); return 1", "1");
    check(
        "try { new WebAssembly.Module(new Uint8Array([0,97,115,109,1,0,0,0])) } catch (e) { return [e.name, e.message] }",
        r#"["CompileError","WebAssembly.Module(): Wasm code generation disallowed by embedder"]"#,
    );
}

#[test]
fn two_isolates_have_their_own_random_numbers() {
    let source = "export default { fetch() { return new Response(`${Math.random()}`); } }";
    let one = Driver::source(source).get("/");
    let other = Driver::source(source).get("/");
    assert_ne!(one, other);
}

#[test]
fn bindings() {
    check("return [env.GREETING, env.CONFIG]", r#"["hi",{"a":[1]}]"#);
    check(
        "const r = await env.ECHO.fetch('http://x/y', {method: 'PUT', body: 'z'}); return [r.headers.get('x-method'), r.headers.get('x-url'), await r.text()]",
        r#"["PUT","http://x/y","z"]"#,
    );
    check(
        "try { env.DB.prepare('x') } catch (e) { return e.message.includes('\"DB\" is a D1 database (main)') }",
        "true",
    );
    check("return await env.DB === undefined", "false");
}

#[test]
fn outgoing_fetch() {
    check(
        "const r = await fetch('http://x/y?z#f', {headers: {a: 'b'}}); return [r.status, r.url, r.headers.get('x-url'), r.headers.get('echo-a')]",
        r#"[200,"http://x/y?z","http://x/y?z","b"]"#,
    );
    check(
        "const r = await fetch('http://x/', {method: 'POST', body: new ReadableStream({start(c) { c.enqueue(new TextEncoder().encode('ab')); c.close() }})}); return await r.text()",
        r#""ab""#,
    );
    check(
        "try { await fetch('http://x/slow', {signal: AbortSignal.timeout(5)}) } catch (e) { return e.name }",
        r#""TimeoutError""#,
    );
    check(
        "try { await fetch('http://x/refuse') } catch (e) { return e.message }",
        r#""connect to 127.0.0.1:1 refused""#,
    );
    check(
        "try { await fetch('ftp://x/') } catch (e) { return e.name }",
        r#""TypeError""#,
    );
    check(
        "try { await fetch('/x') } catch (e) { return e.message }",
        r#""Invalid URL: /x""#,
    );
    check("return await (await fetch(request)).text()", r#""body""#);
}

#[test]
fn async_context() {
    check(
        "const { AsyncLocalStorage } = await import('node:async_hooks'); const als = new AsyncLocalStorage(); \
           return await als.run(1, async () => { await 0; const a = als.getStore(); \
           const b = await als.run(2, () => new Promise((r) => setTimeout(() => r(als.getStore()), 1))); return [a, b, als.getStore()] })",
        "[1,2,1]",
    );
    check(
        "const { AsyncLocalStorage } = await import('node:async_hooks'); const als = new AsyncLocalStorage(); \
           const run = als.run(7, () => AsyncLocalStorage.snapshot()); return [run(() => als.getStore()), als.getStore() ?? null]",
        "[7,null]",
    );
}

#[test]
fn console_lines() {
    let mut driver = Driver::source(
        "export default { fetch() { console.log('a', {b: [1]}, 'é'); console.warn('%s-%d', 'x', 5); console.error(new Error('boom')); \
         console.table([{a: 1}]); console.group('g'); console.info('in'); console.groupEnd(); console.assert(false, 'no'); return new Response(); } }",
    );
    driver.get("/");
    let lines = driver.logs.lines.lock().unwrap();
    assert_eq!(lines[0], "Log a { b: [ 1 ] } é");
    assert_eq!(lines[1], "Warn x-5");
    assert!(
        lines[2].starts_with("Error Error: boom\n    at Object.fetch (index.js:1:"),
        "{}",
        lines[2]
    );
    assert!(lines[3].contains("│ (index) │ a │"), "{}", lines[3]);
    assert_eq!(lines[5], "Info   in");
    assert_eq!(lines[6], "Error Assertion failed: no");
}

#[test]
fn nothing_is_shared_and_nothing_blocks_the_thread() {
    // What checks whether it is there finds that it is not, as in a browser's page that is not isolated.
    check(
        "return [typeof SharedArrayBuffer, 'SharedArrayBuffer' in globalThis, typeof structuredClone(new ArrayBuffer(1))]",
        r#"["undefined",false,"object"]"#,
    );
    check(
        "try { Atomics.wait(new Int32Array(new ArrayBuffer(4)), 0, 0) } catch (e) { return e.name }",
        r#""TypeError""#,
    );
    check("return Atomics.add(new Int32Array(new ArrayBuffer(4)), 0, 2)", "0");
    check(
        "try { new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }) } catch (e) { return `${e}` }",
        r#""TypeError: WebAssembly: a memory cannot be shared: a worker has no threads to share it with.""#,
    );
    check(
        "return new WebAssembly.Memory({ initial: 1, maximum: 1, shared: false }).buffer.byteLength",
        "65536",
    );
}

#[test]
fn classes_that_are_loaded_later_look_like_the_others() {
    // The first look is at what the property is.
    check(
        "const d = Object.getOwnPropertyDescriptor(globalThis, 'HTMLRewriter'); \
         return [Object.keys(d).sort(), typeof d.value, d.writable, d.enumerable, d.configurable, d.value === HTMLRewriter]",
        r#"[["configurable","enumerable","value","writable"],"function",true,false,true,true]"#,
    );
    check(
        "const names = Object.getOwnPropertyNames(globalThis); \
         return ['EventSource', 'HTMLRewriter', 'URLPattern', 'FileReader'].map((name) => [names.includes(name), name in globalThis])",
        "[[true,true],[true,true],[true,true],[false,false]]",
    );
    check(
        "URLPattern = 1; const had = delete globalThis.EventSource; return [URLPattern, had, typeof EventSource]",
        r#"[1,true,"undefined"]"#,
    );
    // Whatever a worker does to the prototypes: what is loaded then works.
    check(
        "Map.prototype.get = Map.prototype.set = Array.prototype.map = Object.prototype.toString = undefined; \
         Object.freeze(globalThis); \
         const pattern = new URLPattern({ pathname: '/a/:b' }); \
         const page = new HTMLRewriter().on('p', { element(e) { e.setInnerContent('x') } }).transform(new Response('<p>y</p>')); \
         return [pattern.exec('http://h/a/c').pathname.groups.b, await page.text(), URLPattern === globalThis.URLPattern]",
        r#"["c","<p>x</p>",true]"#,
    );
}

#[test]
fn every_isolate_loads_its_own() {
    let code = "HTMLRewriter.mark ??= 0; HTMLRewriter.mark += 1; return [HTMLRewriter.mark, new URLPattern({ pathname: '/*' }).test('http://h/a')]";
    // The second has the code of the first, and nothing else of it.
    for _ in 0..2 {
        check(code, "[1,true]");
    }
}

#[test]
fn connections_are_loaded_by_whoever_makes_one() {
    let source = "import { connect } from 'cloudflare:sockets'; \
        export default { async fetch(request, env, ctx) { \
            const own = ctx.exports.default.connect('h:1'); \
            const [opened] = await Promise.allSettled([own.opened]); \
            let wrong; try { connect('no port') } catch (error) { wrong = error.name } \
            return Response.json([typeof connect, connect.name, own.readable instanceof ReadableStream, opened.status, wrong]); \
        } }";
    assert_eq!(
        Driver::source(source).get("/"),
        r#"["function","connect",true,"rejected","TypeError"]"#
    );
}
