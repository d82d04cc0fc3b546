export default {
  fetch(request) {
    const count = Number(new URL(request.url).searchParams.get("count"));
    console.log("x".repeat(count));
    console.log("after");
    return new Response("ok");
  },
};
