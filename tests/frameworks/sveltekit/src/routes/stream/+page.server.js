export function load() {
  return { fast: "first", slow: new Promise((resolve) => setTimeout(() => resolve("later"), 300)) };
}
