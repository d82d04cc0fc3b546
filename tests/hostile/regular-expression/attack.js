export default function attack() {
  return new Response(String(/^(a+)+$/.test("a".repeat(64) + "b")));
}
