export default function attack() {
  const map = new Map();
  const set = new Set();
  for (let i = 0; ; i++) {
    map.set("key " + i, [i]);
    set.add({ i });
  }
}
