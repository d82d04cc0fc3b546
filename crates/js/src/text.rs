//! The text of a version's modules as V8 takes it, and the names of its compiled code.
//!
//! All isolates that run a version share one copy: V8 reads ASCII text where it lies (an *external* string). Other text is
//! copied into each isolate's heap.
//!
//! Invariant: whoever gives V8 an external string holds the [`Texts`] until the isolate is disposed of.

use atoll_model::{Module, WorkerVersion};
use atoll_worker::CodeKey;
use bytes::Bytes;
use deno_core::{FastStaticString, ModuleCodeString, v8};
use deno_error::JsErrorBox;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// Changes when what is hashed into a [`CodeKey`] does.
const KEY_FORMAT: &[u8] = b"atoll code 1";

/// ASCII text that V8 reads where it lies.
struct Ascii(v8::OneByteConst);

// SAFETY: it is never written to, and V8's functions on it only read (`v8::OneByteConst` is `Sync` for that reason).
unsafe impl Send for Ascii {}
// SAFETY: as above.
unsafe impl Sync for Ascii {}

struct Text {
    content: Bytes,
    /// `None` for what is not ASCII, or longer than a string may be.
    ascii: OnceLock<Option<Ascii>>,
    key: OnceLock<CodeKey>,
}

/// The text of one version's modules, in their order.
pub(crate) struct Texts {
    list: Vec<Text>,
}

/// V8's longest string.
const STRING_MAX: usize = (1 << 29) - 24;

impl Texts {
    fn new(version: &WorkerVersion) -> Self {
        let text = |module: &Module| Text {
            content: module.content.clone(),
            ascii: OnceLock::new(),
            key: OnceLock::new(),
        };
        Self {
            list: version.modules.iter().map(text).collect(),
        }
    }

    /// A module's text for V8: no copy of it if it is ASCII.
    ///
    /// # Safety
    /// V8 must not see the string after `self` is dropped.
    pub unsafe fn code(&self, index: usize, name: &str) -> Result<ModuleCodeString, JsErrorBox> {
        let Some(text) = self.list.get(index) else {
            return Err(JsErrorBox::generic(format!("No such module \"{name}\".")));
        };
        let ascii = text.ascii.get_or_init(|| {
            if !text.content.is_ascii() || text.content.len() > STRING_MAX {
                return None;
            }
            // SAFETY: `content` is never changed or moved and dropped after `ascii`; nobody gets the reference but V8, for as
            // long as the caller promised.
            let bytes: &'static [u8] = unsafe { std::mem::transmute::<&[u8], &'static [u8]>(&text.content) };
            // SAFETY: looked at above.
            Some(Ascii(unsafe {
                FastStaticString::create_external_onebyte_const_unchecked_in_release(bytes)
            }))
        });
        if let Some(Ascii(ascii)) = ascii {
            // SAFETY: it lies in a vector that is never changed, and the caller keeps it.
            let ascii: &'static v8::OneByteConst =
                unsafe { std::mem::transmute::<&v8::OneByteConst, &'static v8::OneByteConst>(ascii) };
            return Ok(FastStaticString::new(ascii).into());
        }
        match std::str::from_utf8(&text.content) {
            Ok(content) => Ok(content.to_owned().into()),
            Err(error) => Err(JsErrorBox::type_error(format!(
                "Module \"{name}\" is not UTF-8 (byte {}).",
                error.valid_up_to()
            ))),
        }
    }

    /// What the compiled code of a module is kept under.
    pub fn key(&self, index: usize, version: &WorkerVersion) -> Option<CodeKey> {
        let (text, module) = (self.list.get(index)?, version.modules.get(index)?);
        Some(*text.key.get_or_init(|| {
            let mut hash = Sha256::new();
            // Each part with its length: no two lists of parts look the same.
            for part in [
                KEY_FORMAT,
                v8::V8::get_version().as_bytes(),
                &v8::script_compiler::cached_data_version_tag().to_le_bytes(),
                version.tenant.as_str().as_bytes(),
                version.name.as_str().as_bytes(),
                module.name.as_bytes(),
                &text.content,
            ] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            CodeKey(hash.finalize().into())
        }))
    }
}

/// A version as long as it lives, and its texts.
type Kept = (Weak<WorkerVersion>, Arc<Texts>);

/// The texts of the versions that run, by version.
#[derive(Default)]
pub(crate) struct SharedTexts {
    /// By the version's address. A weak reference keeps the address from being used again.
    versions: Mutex<HashMap<usize, Kept>>,
}

impl SharedTexts {
    /// The texts of `version`.
    pub fn of(&self, version: &Arc<WorkerVersion>) -> Arc<Texts> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let address = Arc::as_ptr(version) as usize;
        if let Some((_, texts)) = versions.get(&address) {
            return texts.clone();
        }
        versions.retain(|_, (version, _)| version.strong_count() > 0);
        let texts = Arc::new(Texts::new(version));
        versions.insert(address, (Arc::downgrade(version), texts.clone()));
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_model::{CompatDate, Limits, ModuleKind, TenantId, WorkerName};

    fn version(tenant: &str, name: &str, module: &str, content: &str) -> Arc<WorkerVersion> {
        Arc::new(WorkerVersion {
            tenant: TenantId::new(tenant),
            name: WorkerName::new(name),
            id: "1".to_owned(),
            main_module: module.to_owned(),
            modules: vec![Module {
                name: module.to_owned(),
                kind: ModuleKind::Esm,
                content: content.as_bytes().to_vec().into(),
                source_map: None,
            }],
            compat_date: CompatDate::NEWEST,
            compat_flags: Vec::new(),
            bindings: Vec::new(),
            crons: Vec::new(),
            tail_consumers: Vec::new(),
            limits: Limits::default(),
            outbound: Default::default(),
            created_ms: 0,
            tag: String::new(),
        })
    }

    #[test]
    fn keys_differ_in_whatever_differs() {
        crate::init();
        let shared = SharedTexts::default();
        let key = |version: Arc<WorkerVersion>| shared.of(&version).key(0, &version).unwrap();
        let one = key(version("t", "w", "m", "code"));
        assert_eq!(one, key(version("t", "w", "m", "code")));
        for other in [
            version("u", "w", "m", "code"),
            version("t", "x", "m", "code"),
            version("t", "w", "n", "code"),
            version("t", "w", "m", "codf"),
            // Parts that only a length tells apart.
            version("tw", "", "m", "code"),
            version("t", "w", "mc", "ode"),
        ] {
            assert_ne!(one, key(other));
        }
    }

    #[test]
    fn a_version_has_one_copy_and_takes_it_along() {
        let shared = SharedTexts::default();
        let first = version("t", "w", "m", "code");
        assert!(Arc::ptr_eq(&shared.of(&first), &shared.of(&first)));
        drop(first);
        let _second = shared.of(&version("t", "w", "m", "code"));
        assert_eq!(shared.versions.lock().unwrap().len(), 1);
    }

    #[test]
    fn text_that_is_not_text_is_refused() {
        let shared = SharedTexts::default();
        let mut bad = Arc::into_inner(version("t", "w", "m", "")).unwrap();
        bad.modules[0].content = vec![b'a', 0xff].into();
        let bad = Arc::new(bad);
        // SAFETY: no V8 here.
        let error = unsafe { shared.of(&bad).code(0, "m") }.unwrap_err();
        assert_eq!(error.to_string(), "Module \"m\" is not UTF-8 (byte 1).");
        for content in ["let a;", "let \u{e4};"] {
            let good = version("t", "w", "m", content);
            let texts = shared.of(&good);
            // SAFETY: no V8 here, and `texts` lives on.
            assert_eq!(unsafe { texts.code(0, "m") }.unwrap().as_str(), content);
        }
    }
}
