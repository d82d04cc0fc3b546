export default function attack() {
  const all = [];
  for (;;) all.push(new Promise(() => {}).then(() => all.length));
}
