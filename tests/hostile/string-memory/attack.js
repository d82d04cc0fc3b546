export default function attack() {
  const all = [];
  for (let i = 0; i < 1000; i++) {
    let text = "x" + i;
    while (text.length < 2 ** 24) text += text;
    // Flat: a rope of itself costs nothing.
    all.push(text.split("").reverse().join(""));
  }
  return new Response(String(all.length));
}
