export default function attack() {
  const text = "a\u0301\u0323\u1E9B ".repeat(1 << 18);
  for (;;) {
    for (const part of new Intl.Segmenter("th", { granularity: "word" }).segment(text)) part.segment.localeCompare(text);
    text.normalize("NFKD").toLocaleUpperCase("tr");
  }
}
