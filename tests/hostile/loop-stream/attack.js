export default function attack() {
  return new Response(
    new ReadableStream({
      pull() {
        for (;;);
      },
    }),
  );
}
