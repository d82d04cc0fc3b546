export default {
  fetch() {
    let left = 50;
    const chunk = new Uint8Array(4000).fill(46);
    const body = new ReadableStream({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        controller.enqueue(chunk.slice());
        left -= 1;
        if (left === 0) controller.close();
      },
    });
    return new Response(body);
  },
};
