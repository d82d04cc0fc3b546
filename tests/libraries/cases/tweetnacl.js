import nacl from "tweetnacl";
export default () => { const key = nacl.randomBytes(32), nonce = nacl.randomBytes(24); const box = nacl.secretbox(new Uint8Array([7, 8]), nonce, key); return [...nacl.secretbox.open(box, nonce, key)]; };
export const expected = [7, 8];
