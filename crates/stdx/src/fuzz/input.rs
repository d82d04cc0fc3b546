//! Inputs from seeds: valid examples and words of the format, mixed and damaged.

use crate::SplitMix64;

/// Numbers that parsers get wrong.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "-1",
    "1",
    "00",
    "9",
    "127",
    "255",
    "256",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "1e309",
    "1.5",
    "0x10",
    "+1",
];

/// Bytes that parsers get wrong: ends of ranges, separators, quotes, controls, pieces of UTF-8.
const BYTES: &[&[u8]] = &[
    b"\0",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b"\"",
    b"'",
    b"%",
    b"%0",
    b"%00",
    b"%ff",
    b"\\",
    b"/",
    b":",
    b";",
    b",",
    b"=",
    b"&",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xc3\xa9",
    b"\xc3",
    b"\xe2\x80\xa8",
    b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
];

/// Where a target's inputs come from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs {
    /// Valid examples.
    pub examples: &'static [&'static [u8]],
    /// Words of the format.
    pub words: &'static [&'static str],
    /// The longest input, bytes.
    pub bytes_max: usize,
}

impl Inputs {
    /// With the default length.
    pub const fn new(examples: &'static [&'static [u8]], words: &'static [&'static str]) -> Self {
        Self {
            examples,
            words,
            bytes_max: super::INPUT_BYTES_MAX,
        }
    }

    /// The input of a seed.
    pub fn of(&self, target: &str, seed: u64) -> Vec<u8> {
        // Targets must not share their stream: a seed's damage would fall on the same places of all.
        let name = target.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut source = Source {
            inputs: self,
            random: SplitMix64::new(name ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        };
        let mut input = source.input();
        input.truncate(self.bytes_max);
        input
    }
}

struct Source<'a> {
    inputs: &'a Inputs,
    random: SplitMix64,
}

impl Source<'_> {
    fn input(&mut self) -> Vec<u8> {
        match self.random.below(16) {
            // As it stands: what is valid must go on being taken.
            0 => self.example(),
            // Words in any order: a grammar of nothing but its terminals.
            1..4 => {
                let mut input = Vec::new();
                for _ in 0..=self.random.below(24) {
                    input.extend_from_slice(&self.piece());
                }
                input
            }
            // The start of one example, the end of another.
            4 => {
                let (first, second) = (self.example(), self.example());
                let (cut, from) = (self.place(&first), self.place(&second));
                let mut input = [&first[..cut], &second[from..]].concat();
                self.damage(&mut input);
                input
            }
            more => {
                let mut input = self.example();
                // Mostly a little: an input that is wrong everywhere is refused at its first byte.
                let times = if more < 12 { 1 } else { 1 + self.random.below(8) };
                for _ in 0..times {
                    self.damage(&mut input);
                }
                input
            }
        }
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.random.below(of.len() as u64) as usize).copied()
    }

    fn example(&mut self) -> Vec<u8> {
        self.one(self.inputs.examples).unwrap_or_default().to_vec()
    }

    fn place(&mut self, input: &[u8]) -> usize {
        self.random.below(input.len() as u64 + 1) as usize
    }

    fn range(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let start = self.place(input);
        let longest = if self.random.below(4) == 0 { 64 } else { 6 };
        let length = self.random.below(longest) as usize + 1;
        start..(start + length).min(input.len())
    }

    fn piece(&mut self) -> Vec<u8> {
        match self.random.below(10) {
            0 => self.one(NUMBERS).unwrap_or_default().as_bytes().to_vec(),
            1 => self.one(BYTES).unwrap_or_default().to_vec(),
            2 => {
                let example = self.example();
                let range = self.range(&example);
                example[range].to_vec()
            }
            3 => vec![self.random.next_u64() as u8],
            _ => self.one(self.inputs.words).unwrap_or_default().as_bytes().to_vec(),
        }
    }

    fn damage(&mut self, input: &mut Vec<u8>) {
        let range = self.range(input);
        match self.random.below(12) {
            0 => {
                let bit = 1_u8 << self.random.below(8);
                if let Some(byte) = input.get_mut(range.start) {
                    *byte ^= bit;
                }
            }
            1 | 2 => {
                input.drain(range);
            }
            3 | 4 => {
                let piece = self.piece();
                input.splice(range, piece);
            }
            5..8 => {
                let piece = self.piece();
                input.splice(range.start..range.start, piece);
            }
            8 => {
                let piece = input[range.clone()].to_vec();
                input.splice(range.start..range.start, piece);
            }
            9 => {
                // Another number in a number's place.
                let digits: Vec<usize> = (0..input.len()).filter(|&at| input[at].is_ascii_digit()).collect();
                if let Some(at) = self.one(&digits) {
                    let end = at + input[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let number = self.one(NUMBERS).unwrap_or_default().bytes();
                    input.splice(at..end, number);
                }
            }
            10 => input.truncate(range.start),
            // Very much of something.
            _ => {
                let piece = self.piece();
                let longest = self.inputs.bytes_max / (piece.len() + 1);
                let times = if self.random.below(8) == 0 {
                    self.random.below(longest as u64 + 1)
                } else {
                    self.random.below(16)
                };
                let many = piece.repeat(times as usize);
                input.splice(range.start..range.start, many);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: Inputs = Inputs::new(&[b"a=1; b=\"2\"", b"c=333"], &["a", "=", "; "]);

    #[test]
    fn an_input_depends_on_seed_and_target_alone() {
        let of = |target: &str| -> Vec<Vec<u8>> { (0..200).map(|seed| INPUTS.of(target, seed)).collect() };
        assert_eq!(of("one"), of("one"));
        assert_ne!(of("one"), of("two"));
    }

    #[test]
    fn inputs_differ_and_stay_within_their_length() {
        let inputs = Inputs {
            bytes_max: 50,
            ..INPUTS
        };
        let all: std::collections::BTreeSet<Vec<u8>> = (0..2000).map(|seed| inputs.of("x", seed)).collect();
        assert!(all.len() > 1000, "{} of 2000 differ", all.len());
        assert!(all.iter().all(|input| input.len() <= 50));
        assert!(
            INPUTS.examples.iter().all(|example| all.contains(*example)),
            "examples come as they stand"
        );
    }

    #[test]
    fn no_examples_and_no_words_are_no_failure() {
        for seed in 0..500 {
            Inputs::new(&[], &[]).of("x", seed);
        }
    }
}
