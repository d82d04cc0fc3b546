export default async function attack() {
  for (let i = 0; i < 1e5; i++) await fetch("http://127.0.0.1:9/").catch((error) => {
    if (String(error).includes("subrequests")) throw error;
  });
}
