//! Bodies that stream, in and out.

use crate::driver::{Driver, check};
use atoll_worker::{Body, Frame, body};
use bytes::Bytes;

#[test]
fn a_streamed_response_arrives_in_pieces() {
    let mut driver = Driver::source(
        "export default { fetch() { const e = new TextEncoder(); let n = 0; \
         return new Response(new ReadableStream({ async pull(c) { await scheduler.wait(1); n++; c.enqueue(e.encode(`${n}`)); if (n === 5) c.close(); } })); } }",
    );
    let response = driver.request("GET", "/", &[], Body::Empty).unwrap();
    assert!(matches!(response.body, Body::Stream(_)));
    assert_eq!(driver.text(response), "12345");
}

#[test]
fn a_request_body_streams_in() {
    let mut driver = Driver::source(
        "export default { async fetch(r) { let n = 0; for await (const c of r.body) n += c.length; return new Response(`${n}`); } }",
    );
    let (tx, rx) = body::channel(1 << 20, None);
    for _ in 0..10 {
        tx.send(Frame::Data(Bytes::from_static(&[7; 1000]))).unwrap();
    }
    tx.finish();
    let response = driver.request("POST", "/", &[], Body::Stream(rx)).unwrap();
    assert_eq!(driver.text(response), "10000");
}

#[test]
fn an_untouched_body_passes_through() {
    for code in [
        "new Response(r.body)",
        "new Response(r.body, r)",
        "fetch(r)",
        "fetch(new Request('http://y/', r))",
    ] {
        let mut driver = Driver::source(&format!("export default {{ fetch(r) {{ return {code}; }} }}"));
        let response = driver.request("POST", "/", &[], Body::from("abc")).unwrap();
        assert_eq!(driver.text(response), "abc", "{code}");
    }
}

#[test]
fn a_truncated_request_body_is_an_error() {
    let mut driver = Driver::source(
        "export default { async fetch(r) { try { await r.text(); } catch (e) { return new Response(e.message); } } }",
    );
    let (tx, rx) = body::channel(1 << 20, None);
    tx.send(Frame::Data(Bytes::from_static(b"half"))).unwrap();
    drop(tx);
    let response = driver.request("POST", "/", &[], Body::Stream(rx)).unwrap();
    assert!(driver.text(response).contains("Network connection lost"));
}

#[test]
fn a_reader_that_goes_away_cancels_the_source() {
    let mut driver = Driver::source(
        "let canceled = 'no'; export default { fetch(r) { if (r.url.endsWith('/state')) return new Response(canceled); \
         return new Response(new ReadableStream({ start(c) { c.enqueue(new Uint8Array(10)); }, cancel(reason) { canceled = `yes: ${reason.message}`; } })); } }",
    );
    let response = driver.request("GET", "/", &[], Body::Empty).unwrap();
    drop(response);
    driver.settle();
    assert!(driver.get("/state").starts_with("yes: The client disconnected"));
}

#[test]
fn a_stream_that_fails_breaks_the_body_off() {
    let mut driver = Driver::source(
        "export default { fetch() { return new Response(new ReadableStream({ pull(c) { c.error(new Error('broken pipe')); } })); } }",
    );
    let response = driver.request("GET", "/", &[], Body::Empty).unwrap();
    driver.settle();
    let Body::Stream(mut stream) = response.body else {
        panic!()
    };
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(matches!(
        stream.poll_frame(&mut cx),
        std::task::Poll::Ready(Some(Err(_)))
    ));
    assert_eq!(driver.logs.exceptions.lock().unwrap()[0].message, "broken pipe");
}

#[test]
fn platform_streams() {
    check(
        "const { readable, writable } = new FixedLengthStream(3); const w = writable.getWriter(); w.write(new Uint8Array(3)); w.close(); return (await new Response(readable).arrayBuffer()).byteLength",
        "3",
    );
    check(
        "const { readable, writable } = new IdentityTransformStream(); new Blob(['hey']).stream().pipeTo(writable); return await new Response(readable).text()",
        r#""hey""#,
    );
    check(
        "const [a, b] = new Response('tee').body.tee(); return [await new Response(a).text(), await new Response(b).text()]",
        r#"["tee","tee"]"#,
    );
    check(
        "const r = request.body.getReader({mode: 'byob'}); const { value } = await r.read(new Uint8Array(2)); return [...value]",
        "[98,111]",
    );
}

#[test]
fn web_socket_pairs() {
    check(
        "const [a, b] = Object.values(new WebSocketPair()); a.accept(); b.accept(); \
           return await new Promise((r) => { b.addEventListener('message', (e) => b.send(e.data + '!')); a.addEventListener('message', (e) => r(e.data)); a.send('x') })",
        r#""x!""#,
    );
    check(
        "const [a, b] = Object.values(new WebSocketPair()); a.accept(); b.accept(); \
           return await new Promise((r) => { b.onclose = (e) => r([e.code, e.reason, e.wasClean, b.readyState]); a.close(4000, 'bye') })",
        r#"[4000,"bye",true,3]"#,
    );
    check(
        "const [a] = Object.values(new WebSocketPair()); try { a.send('x') } catch (e) { return e.message }",
        r#""You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages.""#,
    );
}

#[test]
fn a_stream_of_content_has_the_fields_of_others_once_it_is_read() {
    // Its class is another crate's: a field that came with an update of it is seen here.
    let mut driver = Driver::source(
        "const fields = (stream) => Object.getOwnPropertySymbols(stream).map((field) => field.description).sort().join(); \
         export default { async fetch(request) { \
           const made = new ReadableStream({ type: 'bytes' }); \
           const content = new Response('text').body; await content.getReader().read(); \
           return new Response(fields(made) === fields(content) ? 'same' : `${fields(made)} | ${fields(content)}`); } }",
    );
    assert_eq!(driver.get("/"), "same");
}
