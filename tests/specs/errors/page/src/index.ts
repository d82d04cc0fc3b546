interface Shape {
  readonly path: string;
}

export default {
  fetch(request: Request): Response {
    const shape: Shape = { path: new URL(request.url).pathname };
    if (shape.path === "/throw") {
      throw new Error("thrown <b> on purpose");
    }
    return new Response("ok");
  },
};
