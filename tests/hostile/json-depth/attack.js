export default function attack() {
  const depth = 1_000_000;
  try {
    JSON.parse("[".repeat(depth) + "]".repeat(depth));
  } catch (error) {
    return new Response(error.name);
  }
}
