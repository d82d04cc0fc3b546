export default function attack() {
  const all = [];
  for (let i = 0; ; i++) {
    const locale = ["de", "ar-EG", "hi", "ja-JP-u-ca-japanese", "th"][i % 5];
    all.push(new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "full", timeZone: "Asia/Kathmandu" }));
    all.push(new Intl.NumberFormat(locale, { style: "unit", unit: "kilometer-per-hour", notation: "compact" }));
    all.at(-2).format(new Date(i * 1e9));
  }
}
