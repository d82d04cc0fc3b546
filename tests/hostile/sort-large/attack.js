export default function attack() {
  const list = Array.from({ length: 3e5 }, (_, i) => String((i * 7919) % 300007));
  for (;;) [...list].sort();
}
