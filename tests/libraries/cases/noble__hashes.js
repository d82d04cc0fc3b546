import { sha256 } from "@noble/hashes/sha2.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { blake3 } from "@noble/hashes/blake3.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
export default () => [sha256, keccak_256, blake3].map((hash) => bytesToHex(hash(utf8ToBytes("abc"))).slice(0, 16));
export const expected = ["ba7816bf8f01cfea", "4e03657aea45a94f", "6437b3ac38465133"];
