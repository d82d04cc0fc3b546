//! A child that was taken over: it may send any bytes. The parent ends the link and names the violation, never panics, and
//! keeps what the child can make it hold within limits.

use crate::world::*;
use atoll_link::{
    ANSWER_SLACK, FRAME_BYTES_MAX, LinkError, ParentLink, RemoteSlot, SegmentReader, WIRE_VERSION, limits, segment,
};
use atoll_model::Limit;
use atoll_stdx::{SplitMix64, TaskGroup};
use atoll_worker::{Body, Event, FaultKind, ScheduledEvent, body};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const HELLO: u8 = 0;
const CALL: u8 = 1;
const ANSWER: u8 = 2;
const CANCEL: u8 = 3;
const NOTICE: u8 = 4;
const DATA: u8 = 5;
const END: u8 = 6;
const CREDIT: u8 = 7;
const STOP: u8 = 8;
const SHARED: u8 = 10;
const MORE: u8 = 1;
const FIRST: u8 = 2;
const CHILD: u64 = 1 << 63;

fn frame(kind: u8, flags: u8, channel: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
    bytes.extend([kind, flags, 0, 0]);
    bytes.extend(channel.to_le_bytes());
    bytes.extend(payload);
    bytes
}

fn hello(build: &str) -> Vec<u8> {
    let mut payload = b"ATOLLNK\n".to_vec();
    payload.extend(WIRE_VERSION.to_le_bytes());
    payload.extend(build.as_bytes());
    frame(HELLO, 0, 0, &payload)
}

/// A parent with one slot and one event under way (channels 1 and up are the parent's), and the hostile end.
struct Scene {
    link: ParentLink,
    child: DuplexStream,
    record: Arc<Record>,
    _slot: atoll_link::RemoteSlot,
    _answer: atoll_link::RemoteAnswer,
}

fn scene() -> Scene {
    scene_with(Some(SegmentReader::new().unwrap().0))
}

fn scene_with(segment: Option<SegmentReader>) -> Scene {
    let (parent, child) = tokio::io::duplex(1 << 20);
    let link = ParentLink::open(parent, segment, BUILD, &TaskGroup::new());
    let record = Arc::<Record>::default();
    let nobody = worker(|_, _, _| async { respond("service") });
    let slot = link.start(Arc::new(version()), environment(&record, &nobody), true);
    let event = Event::Fetch(request("/", Body::Empty));
    let answer = slot.submit(context(), event).unwrap();
    Scene {
        link,
        child,
        record,
        _slot: slot,
        _answer: answer,
    }
}

/// The parent's opinion of `frames` after a proper hello.
async fn opinion(frames: Vec<Vec<u8>>) -> LinkError {
    opinion_in(scene(), frames).await
}

async fn opinion_in(scene: Scene, frames: Vec<Vec<u8>>) -> LinkError {
    let Scene { link, mut child, .. } = scene;
    child.write_all(&hello(BUILD)).await.unwrap();
    let mut sink = vec![0; 1 << 20];
    // What it says first: hello, start and event.
    let said = child.read(&mut sink).await.unwrap();
    assert!(said > 0);
    for frame in frames {
        if child.write_all(&frame).await.is_err() {
            break;
        }
    }
    let ended = tokio::time::timeout(Duration::from_secs(10), link.ended());
    ended.await.unwrap_or(LinkError::Closed)
}

async fn check(frames: Vec<Vec<u8>>, expected: &str) {
    let error = opinion(frames).await;
    assert!(
        matches!(&error, LinkError::Violation(text) if text.contains(expected)),
        "expected {expected:?}, got {error:?}"
    );
}

/// A call's payload: an empty prelude, then the head.
fn call(head: &[u8]) -> Vec<u8> {
    [&[0, 0], head].concat()
}

/// `CallWire::Binding` with `KvGet` of no keys for a slot and a binding.
fn kv_get(slot: u8, binding: u8) -> Vec<u8> {
    //    export, Binding, slot, binding, request id, traceparent, tracestate, entrypoint, props, depth, version key, route, KvGet, keys
    call(&[0, 4, slot, binding, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

#[tokio::test]
async fn each_violation_is_named() {
    let of = |kind, flags, channel, payload: &[u8]| vec![frame(kind, flags, channel, payload)];
    let mut long = frame(DATA, 0, 1, &[]);
    long[..4].copy_from_slice(&(FRAME_BYTES_MAX as u32 + 1).to_le_bytes());
    check(vec![long], "a frame of 131073 bytes").await;
    check(of(99, 0, 1, &[]), "unknown kind of frame 99").await;
    check(of(CALL, 0x80, CHILD | 1, &[]), "unknown flags").await;
    check(vec![hello(BUILD)], "a second hello").await;
    check(of(CALL, 0, 1, &kv_get(0, 1)), "which is not the caller's").await;
    check(of(CALL, 0, CHILD, &kv_get(0, 1)), "whose number is not its own").await;
    check(of(CALL, 0, CHILD | 1, &[]), "malformed message").await;
    check(of(CALL, 0, CHILD | 1, &call(&[])), "malformed call").await;
    check(of(CALL, 0, CHILD | 1, &call(&[0, 77])), "malformed").await;
    check(of(CALL, 0, CHILD | 1, &kv_get(9, 1)), "slot 9, which never was").await;
    check(of(CALL, 0, CHILD | 1, &kv_get(0, 77)), "binding 77 of slot 0").await;
    check(
        of(CALL, 0, CHILD | 1, &kv_get(0, 0)),
        "a call that binding \"TEXT\" of slot 0 does not have",
    )
    .await;
    check(
        of(CALL, 0, CHILD | 1, &call(&[0, 2, 0, 0])),
        "a call that only a parent makes",
    )
    .await;
    check(
        of(CALL, 0, CHILD | 1, &call(&[1, 77, 3])),
        "a call of service 0x4d, which it was not given",
    )
    .await;
    check(of(ANSWER, 0, 999, &[]), "which this side never opened").await;
    check(of(ANSWER, 0, CHILD | 1, &[]), "where nobody asked").await;
    check(of(DATA, 0, 999, &[]), "which this side never opened").await;
    check(of(DATA, 0, CHILD | 7, &[]), "which was never opened").await;
    check(of(END, 0, CHILD | 7, &[0]), "which was never opened").await;
    check(of(CANCEL, 0, CHILD | 7, &[]), "which was never opened").await;
    check(of(CREDIT, 0, CHILD | 7, &[1, 0, 0, 0]), "which was never opened").await;
    check(of(CREDIT, 0, 1, &[1]), "a credit that is no number").await;
    check(of(STOP, 0, CHILD | 7, &[]), "which was never opened").await;
    check(of(NOTICE, 0, 0, &[9]), "malformed message").await;
    check(of(NOTICE, 0, 0, &call(&[77])), "malformed").await;
    // A data point for a binding that is no dataset: Point, slot, binding, time, no indexes, blobs, doubles.
    check(of(NOTICE, 0, 0, &call(&[3, 0, 1, 0, 0, 0, 0])), "which is no dataset").await;
    // The first piece of a message, and what may not follow.
    let first = |length: u32| [&length.to_le_bytes()[..], &[0; 100]].concat();
    check(
        of(CALL, FIRST | MORE, CHILD | 1, &first(u32::MAX)),
        "a message of 4294967295 bytes",
    )
    .await;
    check(
        of(CALL, FIRST | MORE, CHILD | 1, &first(50)),
        "a message in pieces that is none",
    )
    .await;
    check(
        of(CALL, FIRST, CHILD | 1, &first(500)),
        "the first piece of a message is its last",
    )
    .await;
    check(of(CALL, MORE, CHILD | 1, &[0]), "a piece of a message that never began").await;
    let twice = || frame(CALL, FIRST | MORE, CHILD | 1, &first(500));
    check(vec![twice(), twice()], "which is open").await;
    let pieces = vec![twice(), frame(CALL, 0, CHILD | 1, &[0; 401])];
    check(pieces, "pieces that do not make the message").await;
    // A body (attachment 0: Body, id, not wide, no length) with a request to the way out, then more than its credit.
    let id = [0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    let request = |attachments: &[&[u8]]| {
        let mut payload = vec![attachments.len() as u8];
        payload.extend(attachments.concat());
        payload.extend([0]);
        //              export, Common, slot, request id, ..., Fetch
        payload.extend([0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        //              method,            url,     headers, protocol, tls, client, peer, upgrade, cf, body, redirect, how many
        payload.extend([3, b'G', b'E', b'T', 1, b'u', 0, 0, 0, 0, 0, 0, 0, 2, 0, 0]);
        frame(CALL, 0, CHILD | 1, &payload)
    };
    let body = [&[0][..], &id, &[0, 0]].concat();
    let data = |size: usize| frame(DATA, 0, CHILD | 2, &vec![0; size]);
    check(vec![request(&[&body]), data(50_000)], "bytes where 4096 were granted").await;
    check(vec![request(&[&body, &body])], "which is open").await;
    check(vec![request(&[])], "lacks an attachment").await;
    let trailers = || frame(DATA, 8, CHILD | 2, &[0]);
    check(vec![request(&[&body]), trailers(), trailers()], "two trailers").await;
    // Bytes in the segment: where there is nothing, of a length that cannot be, beyond the credit, on what is no body.
    let place = |slot: u32, length: u32| [slot.to_le_bytes(), length.to_le_bytes()].concat();
    let shared = |slot: u32, length: u32| frame(SHARED, 0, CHILD | 2, &place(slot, length));
    let (slots, most) = (segment::SLOTS as u32, segment::SLOT_BYTES as u32);
    for (slot, length) in [(slots, 1), (u32::MAX, 1), (0, 0), (0, most + 1), (slots - 1, u32::MAX)] {
        let expected = format!("{length} bytes in slot {slot}, which cannot be");
        check(vec![request(&[&body]), shared(slot, length)], &expected).await;
    }
    check(
        vec![request(&[&body]), shared(3, 5_000)],
        "5064 bytes where 4096 were granted",
    )
    .await;
    check(of(SHARED, 0, 999, &place(0, 1)), "which this side never opened").await;
    check(of(SHARED, 0, CHILD | 7, &place(0, 1)), "which was never opened").await;
    // Attachment 3: an RPC session, on the next channel.
    let session = [&[3, 0x83][..], &id[1..], &[0]].concat();
    let on_session = frame(SHARED, 0, CHILD | 3, &place(0, 1));
    let frames = vec![request(&[&body, &session]), on_session];
    check(frames, "shared bytes on a channel that is no body").await;
    let short = frame(SHARED, 0, CHILD | 2, &[0; 7]);
    check(vec![request(&[&body]), short], "shared bytes without their place").await;
    let frames = vec![request(&[&body]), shared(0, 1)];
    let error = opinion_in(scene_with(None), frames).await;
    assert!(error.to_string().contains("a segment that is not shared"), "{error}");
    let service = [&[5][..], &id].concat();
    check(vec![request(&[&service])], "a service travels where a body belongs").await;
    let returned = [6, 77, 0, 0];
    check(
        vec![request(&[&returned])],
        "it passes on service 0x4d, which it was not given",
    )
    .await;
}

#[tokio::test]
async fn another_partner_is_refused() {
    let refused = async |bytes: Vec<u8>| {
        let Scene { link, mut child, .. } = scene();
        child.write_all(&bytes).await.unwrap();
        match link.ended().await {
            LinkError::Refused(text) => text,
            other => panic!("{other:?}"),
        }
    };
    assert!(refused(hello("another build")).await.contains("another build"));
    let mut version = hello(BUILD);
    version[24] += 1;
    let next = format!("it speaks version {}", WIRE_VERSION + 1);
    assert!(refused(version).await.contains(&next));
    assert!(
        refused(frame(CALL, 0, CHILD | 1, &[]))
            .await
            .contains("does not begin with a hello")
    );
    assert!(
        refused(frame(HELLO, 0, 0, b"GET / HTTP/1.1\r\n"))
            .await
            .contains("hello")
    );
}

/// A flood of channels ends at the limit, and a child that never reads is not read from for ever.
#[tokio::test]
async fn floods_end_at_their_limits() {
    // Calls that never end.
    let flood = (1..=limits::CHANNELS_MAX as u64 + 1).map(|at| {
        //              a key "never"
        let head = [&[0, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 5][..], b"never"].concat();
        frame(CALL, 0, CHILD | at, &call(&head))
    });
    check(flood.collect(), "it opens more than 16384 channels").await;
    // Large messages that are never finished take no memory beyond their first pieces.
    let first = [&(32u32 << 20).to_le_bytes()[..], &[0; 100]].concat();
    let flood = (1..=limits::CHANNELS_MAX as u64 + 1).map(|at| frame(CALL, FIRST | MORE, CHILD | at, &first));
    check(flood.collect(), "it opens more than 16384 channels").await;
}

#[tokio::test]
async fn a_child_that_asks_and_never_reads_is_not_read_from() {
    let Scene { link, child, .. } = scene();
    let (_unread, mut write) = tokio::io::split(child);
    write.write_all(&hello(BUILD)).await.unwrap();
    // Each is answered at once with the bytes it brought; the answers find no reader.
    let blob = [0; 60_000];
    let mut asked = 0u64;
    loop {
        asked += 1;
        //                prelude: no attachments, one blob of 60,000 bytes
        let mut payload = vec![0, 1, 0xE0, 0xD4, 0x03];
        //              export, Common, slot, request id, ..., Fetch
        payload.extend([0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        //              method,            url,     headers, ..., body at hand, redirect, how many
        payload.extend([3, b'G', b'E', b'T', 1, b'u', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
        payload.extend(blob);
        let frame = frame(CALL, 0, CHILD | asked, &payload);
        match tokio::time::timeout(Duration::from_millis(500), write.write_all(&frame)).await {
            Ok(Ok(())) => assert!(asked < 10_000),
            Ok(other) => panic!("{asked}: {other:?} {:?}", link.end()),
            // Neither read nor thrown out: it waits for the child, which the deadline ends.
            Err(_) => break,
        }
    }
    assert!(link.end().is_none());
    let most = limits::OUT_PAUSE_BYTES / blob.len() + 200;
    assert!((asked as usize) < most, "{asked} of at most {most}");
}

/// Tenant and worker of a call are the slot's; a message of the right shape gets its answer.
#[tokio::test]
async fn what_an_honest_child_says_is_answered() {
    let Scene {
        link,
        mut child,
        record,
        ..
    } = scene();
    child.write_all(&hello(BUILD)).await.unwrap();
    child
        .write_all(&frame(CALL, 0, CHILD | 1, &kv_get(0, 1)))
        .await
        .unwrap();
    until(|| !record.callers.lock().unwrap().is_empty()).await;
    assert_eq!(record.callers.lock().unwrap()[0], ("t".to_owned(), "w".to_owned(), 0));
    assert_eq!(link.end(), None);
}

/// Seeded: valid conversations with bytes changed, frames shuffled, repeated and cut, and plain noise.
#[test]
fn noise_never_panics_and_always_ends() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let kinds = [CALL, ANSWER, CANCEL, NOTICE, DATA, END, CREDIT, STOP, SHARED];
    let mut ended = 0;
    for seed in 0..1_500 {
        let mut rng = SplitMix64::new(seed);
        let mut below = |bound: u64| rng.below(bound);
        let mut frames = Vec::new();
        for _ in 0..1 + below(20) {
            let kind = kinds[below(kinds.len() as u64) as usize];
            let channel = match below(4) {
                0 => 1 + below(12),
                1 => CHILD | below(1 << 40),
                _ => CHILD | (1 + below(6)),
            };
            let mut payload = match below(5) {
                _ if kind == SHARED => {
                    [(below(600) as u32).to_le_bytes(), (below(40_000) as u32).to_le_bytes()].concat()
                }
                0 => kv_get(0, below(7) as u8),
                1 => call(&[
                    0,
                    below(6) as u8,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    below(5) as u8,
                    1,
                    1,
                    b'k',
                    0,
                    0,
                ]),
                2 => [
                    &[below(3) as u8][..],
                    &[below(7) as u8, below(250) as u8, 0x80, 1, 0, 0, 0, 0, 0],
                ]
                .concat(),
                _ => (0..below(60)).map(|_| below(256) as u8).collect(),
            };
            for _ in 0..below(3) {
                if !payload.is_empty() {
                    let at = below(payload.len() as u64) as usize;
                    payload[at] = below(256) as u8;
                }
            }
            let flags = if below(3) == 0 { below(32) as u8 } else { 0 };
            frames.push(frame(kind, flags, channel, &payload));
        }
        let error = runtime.block_on(async {
            let Scene { link, mut child, .. } = scene();
            child.write_all(&hello(BUILD)).await.unwrap();
            for frame in &frames {
                if child.write_all(frame).await.is_err() {
                    break;
                }
            }
            // What was put up with ends here.
            drop(child);
            tokio::time::timeout(Duration::from_secs(10), link.ended()).await
        });
        let error = error.unwrap_or_else(|_| panic!("seed {seed}: the link did not end"));
        ended += u32::from(matches!(error, LinkError::Violation(_)));
    }
    assert!(ended > 1_000, "{ended}");
}

/// A child that reads everything and answers nothing has until the limit and the slack beyond it, by the parent's clock.
#[tokio::test(start_paused = true)]
async fn a_child_that_answers_nothing_is_thrown_out() {
    let limits = version().limits;
    let cron = || {
        Event::Scheduled(ScheduledEvent {
            cron: "* * * * *".to_owned(),
            scheduled_ms: 0,
        })
    };
    let fetch = || Event::Fetch(request("/", Body::Empty));
    for (event, cancels, limit, limit_ms) in [
        (cron(), false, Limit::Wall, limits.wall_ms),
        (fetch(), true, Limit::WaitUntil, limits.wait_until_ms),
    ] {
        let (link, slot) = silent();
        let ctx = context();
        if cancels {
            ctx.cancel.cancel();
        }
        let began = tokio::time::Instant::now();
        let fault = slot.submit(ctx, event).unwrap().wait().await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::ExceededWall);
        assert_eq!(fault.limit.map(|hit| (hit.limit, hit.value)), Some((limit, limit_ms)));
        let within = Duration::from_millis(limit_ms + limits.cpu_ms) + ANSWER_SLACK;
        assert!(began.elapsed() >= within && began.elapsed() < within + Duration::from_secs(1));
        let end = link.ended().await;
        assert!(matches!(end, LinkError::Overdue(hit) if hit.limit == limit), "{end:?}");
        assert_eq!(end.limit(), Some(fault));
    }
    // A request whose client waits has no such limit.
    let (link, slot) = silent();
    let answer = slot.submit(context(), fetch()).unwrap().wait();
    assert!(
        tokio::time::timeout(Duration::from_secs(24 * 3600), answer)
            .await
            .is_err()
    );
    assert_eq!(link.end(), None);
}

/// A link whose child greets, reads, and says nothing more; and a slot in it.
fn silent() -> (ParentLink, RemoteSlot) {
    let (parent, mut child) = tokio::io::duplex(1 << 20);
    let link = ParentLink::open(parent, None, BUILD, &TaskGroup::new());
    let record = Arc::<Record>::default();
    let nobody = worker(|_, _, _| async { respond("service") });
    let slot = link.start(Arc::new(version()), environment(&record, &nobody), false);
    tokio::spawn(async move {
        let mut sink = vec![0; 1 << 16];
        child.write_all(&hello(BUILD)).await.unwrap();
        while child.read(&mut sink).await.is_ok_and(|read| read > 0) {}
    });
    (link, slot)
}

/// A child that takes an upload and never makes room for more holds up that upload and nothing else, and the parent keeps no
/// more of it than the windows.
#[tokio::test(start_paused = true)]
async fn a_child_that_holds_credit_back_holds_one_upload() {
    let (link, slot) = silent();
    let (upload, body) = body::channel(body::CREDIT_DEFAULT, None);
    let event = Event::Fetch(request("/", Body::Stream(body)));
    let _held = slot.submit(context(), event).unwrap();
    let piece = vec![0; 16 * 1024];
    let mut taken = 0;
    while let Ok(sent) = tokio::time::timeout(Duration::from_secs(600), upload.send_data(piece.clone().into())).await {
        sent.unwrap();
        taken += piece.len();
    }
    let most = body::CREDIT_DEFAULT + limits::WINDOW_WIDE_BYTES as usize + piece.len();
    assert!(taken > 0 && taken <= most, "{taken} of at most {most}");
    assert_eq!(link.end(), None);
    let before = link.stats().bytes_out;
    let _other = slot
        .submit(context(), Event::Fetch(request("/other", Body::Empty)))
        .unwrap();
    until(|| link.stats().bytes_out > before).await;
}
