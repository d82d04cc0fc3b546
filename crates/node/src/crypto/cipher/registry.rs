//! Which ciphers there are, with the facts that `getCipherInfo` tells.

/// The mode of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Ecb,
    Cbc,
    Cfb,
    Cfb8,
    Ofb,
    Ctr,
    Gcm,
    Ccm,
    Ocb,
    Wrap,
    WrapPad,
    TripleDesWrap,
    ChaCha,
    ChaChaPoly,
}

/// The block cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Aes,
    Des,
    TripleDes,
    ChaCha,
}

/// One cipher.
#[derive(Debug)]
pub(crate) struct CipherKind {
    /// As OpenSSL prints it in lower case.
    pub name: &'static str,
    aliases: &'static [&'static str],
    /// OpenSSL's number.
    pub nid: u32,
    pub family: Family,
    pub mode: Mode,
    /// Lengths in bytes; a length of IV that modes accept is the default where others are allowed too.
    pub key_length: usize,
    pub iv_length: usize,
    pub block_size: usize,
}

macro_rules! cipher {
    ($family:ident, $mode:ident, $key:literal, $iv:literal, $block:literal, $nid:literal, $name:literal $(, $alias:literal)*) => {
        CipherKind {
            name: $name,
            aliases: &[$($alias),*],
            nid: $nid,
            family: Family::$family,
            mode: Mode::$mode,
            key_length: $key,
            iv_length: $iv,
            block_size: $block,
        }
    };
}

static KINDS: [CipherKind; 44] = [
    cipher!(Aes, Cbc, 16, 16, 16, 419, "aes-128-cbc", "aes128"),
    cipher!(Aes, Ccm, 16, 12, 16, 896, "id-aes128-ccm", "aes-128-ccm"),
    cipher!(Aes, Cfb, 16, 16, 16, 421, "aes-128-cfb"),
    cipher!(Aes, Cfb8, 16, 16, 16, 653, "aes-128-cfb8"),
    cipher!(Aes, Ctr, 16, 16, 16, 904, "aes-128-ctr"),
    cipher!(Aes, Ecb, 16, 0, 16, 418, "aes-128-ecb"),
    cipher!(Aes, Gcm, 16, 12, 16, 895, "id-aes128-gcm", "aes-128-gcm"),
    cipher!(Aes, Ocb, 16, 12, 16, 958, "aes-128-ocb"),
    cipher!(Aes, Ofb, 16, 16, 16, 420, "aes-128-ofb"),
    cipher!(
        Aes,
        Wrap,
        16,
        8,
        8,
        788,
        "id-aes128-wrap",
        "aes128-wrap",
        "aes-128-wrap"
    ),
    cipher!(
        Aes,
        WrapPad,
        16,
        4,
        8,
        897,
        "id-aes128-wrap-pad",
        "aes128-wrap-pad",
        "aes-128-wrap-pad"
    ),
    cipher!(Aes, Cbc, 24, 16, 16, 423, "aes-192-cbc", "aes192"),
    cipher!(Aes, Ccm, 24, 12, 16, 899, "id-aes192-ccm", "aes-192-ccm"),
    cipher!(Aes, Cfb, 24, 16, 16, 425, "aes-192-cfb"),
    cipher!(Aes, Cfb8, 24, 16, 16, 654, "aes-192-cfb8"),
    cipher!(Aes, Ctr, 24, 16, 16, 905, "aes-192-ctr"),
    cipher!(Aes, Ecb, 24, 0, 16, 422, "aes-192-ecb"),
    cipher!(Aes, Gcm, 24, 12, 16, 898, "id-aes192-gcm", "aes-192-gcm"),
    cipher!(Aes, Ocb, 24, 12, 16, 959, "aes-192-ocb"),
    cipher!(Aes, Ofb, 24, 16, 16, 424, "aes-192-ofb"),
    cipher!(
        Aes,
        Wrap,
        24,
        8,
        8,
        789,
        "id-aes192-wrap",
        "aes192-wrap",
        "aes-192-wrap"
    ),
    cipher!(
        Aes,
        WrapPad,
        24,
        4,
        8,
        900,
        "id-aes192-wrap-pad",
        "aes192-wrap-pad",
        "aes-192-wrap-pad"
    ),
    cipher!(Aes, Cbc, 32, 16, 16, 427, "aes-256-cbc", "aes256"),
    cipher!(Aes, Ccm, 32, 12, 16, 902, "id-aes256-ccm", "aes-256-ccm"),
    cipher!(Aes, Cfb, 32, 16, 16, 429, "aes-256-cfb"),
    cipher!(Aes, Cfb8, 32, 16, 16, 655, "aes-256-cfb8"),
    cipher!(Aes, Ctr, 32, 16, 16, 906, "aes-256-ctr"),
    cipher!(Aes, Ecb, 32, 0, 16, 426, "aes-256-ecb"),
    cipher!(Aes, Gcm, 32, 12, 16, 901, "id-aes256-gcm", "aes-256-gcm"),
    cipher!(Aes, Ocb, 32, 12, 16, 960, "aes-256-ocb"),
    cipher!(Aes, Ofb, 32, 16, 16, 428, "aes-256-ofb"),
    cipher!(
        Aes,
        Wrap,
        32,
        8,
        8,
        790,
        "id-aes256-wrap",
        "aes256-wrap",
        "aes-256-wrap"
    ),
    cipher!(
        Aes,
        WrapPad,
        32,
        4,
        8,
        903,
        "id-aes256-wrap-pad",
        "aes256-wrap-pad",
        "aes-256-wrap-pad"
    ),
    cipher!(ChaCha, ChaCha, 32, 16, 1, 1019, "chacha20"),
    cipher!(ChaCha, ChaChaPoly, 32, 12, 1, 1018, "chacha20-poly1305"),
    cipher!(Des, Cbc, 8, 8, 8, 31, "des-cbc", "des"),
    cipher!(Des, Ecb, 8, 0, 8, 29, "des-ecb"),
    cipher!(TripleDes, Cbc, 24, 8, 8, 44, "des-ede3-cbc", "des3"),
    cipher!(TripleDes, Cfb, 24, 8, 8, 61, "des-ede3-cfb"),
    cipher!(TripleDes, Cfb8, 24, 8, 8, 659, "des-ede3-cfb8"),
    cipher!(TripleDes, Ecb, 24, 0, 8, 33, "des-ede3", "des-ede3-ecb"),
    cipher!(TripleDes, Ofb, 24, 8, 8, 63, "des-ede3-ofb"),
    cipher!(
        TripleDes,
        TripleDesWrap,
        24,
        0,
        8,
        246,
        "id-smime-alg-cms3deswrap",
        "des3-wrap"
    ),
    cipher!(Des, Cfb, 8, 8, 8, 30, "des-cfb"),
];

impl CipherKind {
    /// By any of its names, whatever the case.
    pub fn find(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| {
            kind.name.eq_ignore_ascii_case(name) || kind.aliases.iter().any(|a| a.eq_ignore_ascii_case(name))
        })
    }

    pub fn with_nid(nid: u32) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.nid == nid)
    }

    /// True where the unit is a byte and nothing is padded.
    pub fn stream(&self) -> bool {
        !matches!(self.mode, Mode::Ecb | Mode::Cbc)
    }

    /// The name without the prefix of its identifier.
    pub fn plain_name(&self) -> &'static str {
        let plain = self.aliases.iter().find(|alias| alias.starts_with("aes-"));
        plain.copied().unwrap_or(self.name)
    }

    /// The name with OpenSSL's capitals.
    pub fn printed(&self) -> String {
        match self.name {
            "id-smime-alg-cms3deswrap" => "id-smime-alg-CMS3DESwrap".to_owned(),
            "chacha20" => "ChaCha20".to_owned(),
            "chacha20-poly1305" => "ChaCha20-Poly1305".to_owned(),
            name => name.replace("-ccm", "-CCM").replace("-gcm", "-GCM"),
        }
    }

    pub fn mode_name(&self) -> &'static str {
        match self.mode {
            Mode::Ecb => "ecb",
            Mode::Cbc => "cbc",
            Mode::Cfb | Mode::Cfb8 => "cfb",
            Mode::Ofb => "ofb",
            Mode::Ctr => "ctr",
            Mode::Gcm => "gcm",
            Mode::Ccm => "ccm",
            Mode::Ocb => "ocb",
            Mode::Wrap | Mode::WrapPad | Mode::TripleDesWrap => "wrap",
            Mode::ChaCha | Mode::ChaChaPoly => "stream",
        }
    }
}

/// What `getCiphers()` answers, sorted.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for kind in &KINDS {
        names.push(if kind.name.starts_with("id-") {
            kind.printed()
        } else {
            kind.name.to_owned()
        });
        names.extend(kind.aliases.iter().map(|alias| (*alias).to_owned()));
    }
    names.retain(|name| {
        !matches!(
            name.as_str(),
            "des-ede3-ecb"
                | "aes-128-wrap"
                | "aes-192-wrap"
                | "aes-256-wrap"
                | "aes-128-wrap-pad"
                | "aes-192-wrap-pad"
                | "aes-256-wrap-pad"
        )
    });
    names.sort_unstable();
    names
}
