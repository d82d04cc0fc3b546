export default {
  fetch(request) {
    if (new URL(request.url).pathname === "/break") {
      let pulls = 0;
      const body = new ReadableStream({
        async pull(controller) {
          pulls += 1;
          if (pulls === 1) return controller.enqueue(new TextEncoder().encode("half"));
          await new Promise((resolve) => setTimeout(resolve, 20));
          throw new Error("broke on purpose");
        },
      });
      return new Response(body);
    }
    return new Response("ok");
  },
};
