export default {
  fetch(request) {
    const bytes = Number(new URL(request.url).searchParams.get("bytes"));
    const headers = new Headers();
    for (let index = 0; index < 10; index++) headers.append("x-part", "a".repeat(bytes / 10));
    return new Response("small enough", { headers });
  },
};
