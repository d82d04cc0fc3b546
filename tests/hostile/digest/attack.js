export default async function attack() {
  const bytes = new Uint8Array(32 << 20);
  for (;;) await crypto.subtle.digest("SHA-512", bytes);
}
