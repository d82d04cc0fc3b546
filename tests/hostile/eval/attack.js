export default function attack() {
  let refused = 0;
  for (let i = 0; i < 1e4; i++) {
    for (const body of [() => eval("for (;;);"), () => new Function("for (;;);")(), () => new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))]) {
      try {
        body();
      } catch {
        refused++;
      }
    }
  }
  return new Response(String(refused));
}
