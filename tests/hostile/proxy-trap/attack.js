export default function attack() {
  return new Proxy(new Response("x"), {
    get() {
      for (;;);
    },
  });
}
