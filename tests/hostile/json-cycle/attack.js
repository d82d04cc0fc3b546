export default function attack() {
  const cycle = { name: "x" };
  cycle.self = cycle;
  cycle.list = [cycle, new Map([[cycle, cycle]])];
  console.log(cycle);
  try {
    JSON.stringify(cycle);
  } catch (error) {
    return new Response(error.name);
  }
}
