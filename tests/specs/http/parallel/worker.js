let count = 0;
export default {
  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname === "/count") return new Response(String(count));
    count += 1;
    const wait = url.searchParams.get("wait");
    await new Promise((resolve) => setTimeout(resolve, Number(wait)));
    return new Response(`own ${wait}`);
  },
};
