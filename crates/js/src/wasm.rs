//! WebAssembly memories of an isolate, held in sum against `wasm_bytes`.
//!
//! V8 bounds one memory and tells nobody of the others, and a module grows its memory without any JavaScript. So each memory
//! is known here, weakly, from the moment that it can be reached: the constructors' stand-ins (`js/04_wasm.js`) bring those
//! that they make and those that an instance exports. What an instance keeps to itself cannot be measured and counts as the
//! most that it can become, as long as the instance lives.
//!
//! The sum is held
//! - exactly, where JavaScript makes a memory, makes an instance or calls `grow`: one page more throws a `RangeError`;
//! - where a module grows a memory itself: at most every few milliseconds, by the watchdog's look, and after each turn. Too
//!   much ends the isolate. Between two looks a memory grows by what can be touched meanwhile, and each one ends at
//!   `wasm_bytes` by itself ([`capped`]).
//!
//! A memory that nobody holds any more counts until it is collected: before anything is refused, garbage is.

use crate::memory::WASM_PAGES_MAX;
use atoll_model::{Limit, Limits};
use atoll_worker::{Fault, FaultKind};
use deno_core::v8;
use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};

/// Bytes of a page. WebAssembly Core Specification, section 4.2.8.
const PAGE_BYTES: u64 = 1 << 16;
/// What a memory counts at least, pages: each costs mappings of the process, of which there is a fixed number.
pub(crate) const MEMORY_PAGES_LEAST: u64 = 4;

/// Pages that one memory of a worker may have.
pub(crate) fn pages_max(limits: &Limits) -> u32 {
    let pages = limits.wasm_bytes / PAGE_BYTES;
    u32::try_from(pages).unwrap_or(u32::MAX).min(WASM_PAGES_MAX)
}

enum Kept {
    /// A memory that can be looked at.
    Memory(v8::Weak<v8::Object>),
    /// An instance with memories that cannot, and the most pages that they can have.
    Hidden(v8::Weak<v8::Object>, u64),
}

/// The memories of one isolate.
pub(crate) struct Memories {
    max: u64,
    kept: RefCell<Vec<Kept>>,
    /// Pages of instances that are being made or were half made.
    pending: Cell<u64>,
    /// The getter of `WebAssembly.Memory.prototype.buffer`, from before the worker's first line.
    buffer: OnceCell<v8::Global<v8::Function>>,
}

impl Memories {
    pub fn new(limits: &Limits) -> Self {
        Self {
            max: limits.wasm_bytes / PAGE_BYTES,
            kept: RefCell::default(),
            pending: Cell::new(0),
            buffer: OnceCell::new(),
        }
    }

    /// Takes the getter by which memories are measured.
    pub fn measure_by(&self, buffer: v8::Global<v8::Function>) {
        let _ = self.buffer.set(buffer);
    }

    /// Whether there is anything to count.
    pub fn any(&self) -> bool {
        !self.kept.borrow().is_empty() || self.pending.get() != 0
    }

    /// Counts a memory from now on. False if it was counted already, or is none.
    pub fn keep(&self, scope: &mut v8::PinScope<'_, '_>, memory: v8::Local<'_, v8::Value>) -> bool {
        let Ok(memory) = v8::Local::<v8::WasmMemoryObject>::try_from(memory) else {
            return false;
        };
        v8::scope!(let scope, scope);
        let memory: v8::Local<'_, v8::Object> = memory.into();
        let mut kept = self.kept.borrow_mut();
        let known = kept.iter().any(|kept| match kept {
            Kept::Memory(weak) => weak.to_local(scope).is_some_and(|own| own == memory),
            Kept::Hidden(..) => false,
        });
        if !known {
            kept.push(Kept::Memory(v8::Weak::new(scope, memory)));
        }
        !known
    }

    /// Counts what an instance does not show.
    pub fn keep_hidden(&self, scope: &mut v8::PinScope<'_, '_>, instance: v8::Local<'_, v8::Object>, pages: u64) {
        let weak = v8::Weak::new(scope, instance);
        self.kept.borrow_mut().push(Kept::Hidden(weak, pages));
    }

    /// An instance is being made whose memories can have so many pages.
    pub fn enter(&self, pages: u64) {
        self.pending.set(self.pending.get().saturating_add(pages));
    }

    /// It is made, or was not.
    pub fn leave(&self, pages: u64) {
        self.pending.set(self.pending.get().saturating_sub(pages));
    }

    /// Pages of all that live, as far as the collector knows.
    fn pages(&self, scope: &mut v8::PinScope<'_, '_>) -> u64 {
        let mut sum = self.pending.get();
        // What is looked at here must not be kept alive by it.
        v8::scope!(let scope, scope);
        let getter = self.buffer.get().map(|getter| v8::Local::new(scope, getter));
        self.kept.borrow_mut().retain(|kept| {
            let pages = match kept {
                Kept::Hidden(instance, pages) => instance.to_local(scope).map(|_| *pages),
                Kept::Memory(memory) => memory
                    .to_local(scope)
                    .map(|memory| getter.map_or(0, |getter| pages_of(scope, getter, memory))),
            };
            let Some(pages) = pages else { return false };
            sum = sum.saturating_add(pages.max(MEMORY_PAGES_LEAST));
            true
        });
        sum
    }

    /// What a memory counts more once it has so many pages more.
    pub fn more(&self, scope: &mut v8::PinScope<'_, '_>, memory: v8::Local<'_, v8::Object>, delta: u64) -> u64 {
        let now = match self.buffer.get() {
            Some(getter) => {
                let getter = v8::Local::new(scope, getter);
                pages_of(scope, getter, memory)
            }
            None => 0,
        };
        now.saturating_add(delta).max(MEMORY_PAGES_LEAST) - now.max(MEMORY_PAGES_LEAST)
    }

    /// What `more` pages would come to, if that is too much.
    pub fn too_many(&self, scope: &mut v8::PinScope<'_, '_>, more: u64) -> Option<u64> {
        let mut all = self.pages(scope).saturating_add(more);
        if all > self.max && self.any() {
            scope.low_memory_notification();
            all = self.pages(scope).saturating_add(more);
        }
        (all > self.max).then_some(all)
    }
}

/// Pages of one memory: what its buffer holds. The getter is the engine's own and runs no code of the worker.
fn pages_of(
    scope: &mut v8::PinScope<'_, '_>,
    getter: v8::Local<'_, v8::Function>,
    memory: v8::Local<'_, v8::Object>,
) -> u64 {
    v8::scope!(let scope, scope);
    let Some(buffer) = getter.call(scope, memory.into(), &[]) else {
        return 0;
    };
    let bytes = v8::Local::<v8::ArrayBuffer>::try_from(buffer)
        .map(|buffer| buffer.byte_length())
        .or_else(|_| v8::Local::<v8::SharedArrayBuffer>::try_from(buffer).map(|buffer| buffer.byte_length()))
        .unwrap_or(0);
    (bytes as u64).div_ceil(PAGE_BYTES)
}

/// The fault of an isolate whose memories grew beyond the limit.
pub(crate) fn fault(limits: &Limits) -> Fault {
    let bytes = limits.wasm_bytes;
    let text = format!("the worker's WebAssembly memories came to more than {bytes} bytes");
    Fault::limit(FaultKind::ExceededMemory, Limit::WasmMemory, bytes, &text)
}

/// What a module says of its own memories.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// How many there are.
    pub count: u32,
    /// Pages at their beginning, of all, as they are counted.
    pub min: u64,
    /// Pages that they can have, of all.
    pub max: u64,
    /// Something of an instance can be reached although making it failed: by its start function, by a table.
    pub escapes: bool,
    /// One of them is to be shared between threads.
    pub shared: bool,
}

/// Reads the sections of a module. What follows the standard's form was compiled by V8 before; anything else counts as a
/// memory that can become as large as one can be.
pub(crate) fn facts(bytes: &[u8], pages_max: u32) -> Facts {
    let most = u64::from(pages_max);
    read_facts(bytes, most).unwrap_or(Facts {
        count: 1,
        min: 0,
        max: most,
        escapes: true,
        shared: false,
    })
}

/// Ids of sections. WebAssembly Core Specification, section 5.5.2.
const SECTION_MEMORY: u8 = 5;
const SECTION_START: u8 = 8;
const SECTION_ELEMENT: u8 = 9;
/// Bytes of magic number and version.
const HEADER_BYTES: usize = 8;
/// Flags of a memory's limits: it has a maximum; threads share it; its pages have a size of their own. Section 5.3.8 and the
/// proposals "threads" and "custom page sizes".
const HAS_MAX: u8 = 1;
const IS_SHARED: u8 = 2;
const HAS_PAGE_SIZE: u8 = 8;
/// All that are known.
const FLAGS: u8 = 15;

/// One memory as its module declares it.
struct Declared {
    flags: u8,
    min: u64,
    max: Option<u64>,
    page_bits: u32,
}

fn read_facts(bytes: &[u8], most: u64) -> Option<Facts> {
    let mut facts = Facts::default();
    let mut reader = Reader(bytes.get(HEADER_BYTES..)?);
    while let Some((id, content)) = reader.section()? {
        match id {
            SECTION_MEMORY => {
                for memory in memories(content)? {
                    // Pages may be as small as a byte.
                    let pages = |count: u64| {
                        let bytes = count.checked_shl(memory.page_bits).unwrap_or(u64::MAX);
                        bytes.div_ceil(PAGE_BYTES)
                    };
                    facts.count += 1;
                    facts.shared |= memory.flags & IS_SHARED != 0;
                    facts.min = facts.min.saturating_add(pages(memory.min).max(MEMORY_PAGES_LEAST));
                    facts.max += memory.max.map_or(most, |max| pages(max).min(most));
                }
            }
            SECTION_START | SECTION_ELEMENT => facts.escapes = true,
            _ => {}
        }
    }
    Some(facts)
}

fn memories(content: &[u8]) -> Option<Vec<Declared>> {
    let mut reader = Reader(content);
    let count = reader.number()?;
    let mut all = Vec::new();
    for _ in 0..count {
        let flags = reader.byte()?;
        if flags & !FLAGS != 0 {
            return None;
        }
        let min = reader.number()?;
        let max = match flags & HAS_MAX {
            0 => None,
            _ => Some(reader.number()?),
        };
        let page_bits = match flags & HAS_PAGE_SIZE {
            0 => PAGE_BYTES.trailing_zeros(),
            _ => u32::try_from(reader.number()?).ok()?,
        };
        all.push(Declared {
            flags,
            min,
            max,
            page_bits,
        });
    }
    Some(all)
}

/// The module with no memory of its own larger than `pages`. One that begins larger stays as it is: no instance of it is made.
pub(crate) fn capped(bytes: &[u8], pages: u32) -> Cow<'_, [u8]> {
    if pages >= WASM_PAGES_MAX {
        // V8 holds every memory to that.
        return Cow::Borrowed(bytes);
    }
    rewrite(bytes, pages.into()).map_or(Cow::Borrowed(bytes), Cow::Owned)
}

/// `None` if there is nothing to change.
fn rewrite(bytes: &[u8], cap: u64) -> Option<Vec<u8>> {
    let mut reader = Reader(bytes.get(HEADER_BYTES..)?);
    loop {
        let begin = bytes.len() - reader.0.len();
        let (id, content) = reader.section()??;
        if id != SECTION_MEMORY {
            continue;
        }
        let all = memories(content)?;
        let plain = all.iter().all(|memory| memory.flags & HAS_PAGE_SIZE == 0);
        let large = all.iter().any(|memory| memory.max.is_none_or(|max| max > cap));
        if !plain || !large {
            return None;
        }
        let mut section = Vec::new();
        write_number(&mut section, all.len() as u64);
        for memory in all {
            let max = memory.max.unwrap_or(u64::MAX).min(cap).max(memory.min);
            section.push(memory.flags | HAS_MAX);
            write_number(&mut section, memory.min);
            write_number(&mut section, max);
        }
        let mut out = bytes[..begin].to_vec();
        out.push(SECTION_MEMORY);
        write_number(&mut out, section.len() as u64);
        out.extend(section);
        out.extend(reader.0);
        return Some(out);
    }
}

/// Unsigned LEB128. Section 5.2.2.
fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// The next section's id and content; `Some(None)` at the end.
    fn section(&mut self) -> Option<Option<(u8, &'a [u8])>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let id = self.byte()?;
        let len = usize::try_from(self.number()?).ok()?;
        let content = self.0.get(..len)?;
        self.0 = &self.0[len..];
        Some(Some((id, content)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(sections: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for (id, content) in sections {
            bytes.push(*id);
            write_number(&mut bytes, content.len() as u64);
            bytes.extend_from_slice(content);
        }
        bytes
    }

    #[test]
    fn what_modules_declare() {
        let check = |sections: &[(u8, &[u8])], count: u32, min: u64, max: u64, escapes: bool| {
            let expected = Facts {
                count,
                min,
                max,
                escapes,
                shared: false,
            };
            assert_eq!(facts(&module(sections), 16), expected, "{sections:?}");
        };
        check(&[], 0, 0, 0, false);
        check(&[(1, &[0]), (7, &[0])], 0, 0, 0, false);
        check(&[(5, &[1, 0, 5])], 1, 5, 16, false);
        check(&[(5, &[1, 1, 2, 5]), (8, &[0])], 1, 4, 5, true);
        check(&[(5, &[1, 1, 2, 200, 1]), (9, &[0])], 1, 4, 16, true);
        check(&[(5, &[2, 0, 1, 1, 5, 6])], 2, 9, 22, false);
        check(&[(5, &[1, 5, 1, 2])], 1, 4, 2, false);
        // Pages of one byte.
        check(&[(5, &[1, 9, 1, 0x80, 0x80, 8, 0])], 1, 4, 2, false);
        // What nobody can read counts as much as it can be.
        check(&[(5, &[1, 16, 1])], 1, 0, 16, true);
        check(&[(5, &[1])], 1, 0, 16, true);
        assert_eq!(facts(b"\0asm", 16).max, 16);
        assert!(facts(&module(&[(5, &[2, 0, 1, 3, 1, 1])]), 16).shared);
    }

    #[test]
    fn memories_are_capped_and_nothing_else_is_touched() {
        let check = |before: &[u8], after: Option<&[u8]>| {
            let sections = |memory| module(&[(1, &[0]), (5, memory), (7, &[0])]);
            let before = sections(before);
            let capped = capped(&before, 16);
            match after {
                Some(after) => assert_eq!(capped, sections(after)),
                None => assert!(matches!(capped, Cow::Borrowed(same) if same == before)),
            }
        };
        check(&[1, 0, 2], Some(&[1, 1, 2, 16]));
        check(&[1, 1, 2, 17], Some(&[1, 1, 2, 16]));
        check(&[1, 1, 2, 16], None);
        check(&[1, 0, 20], Some(&[1, 1, 20, 20]));
        check(&[2, 1, 1, 2, 0, 0], Some(&[2, 1, 1, 2, 1, 0, 16]));
        check(&[1, 16, 1], None);
        let whole = module(&[(5, &[1, 0, 2])]);
        assert!(matches!(capped(&whole, WASM_PAGES_MAX), Cow::Borrowed(_)));
    }
}
