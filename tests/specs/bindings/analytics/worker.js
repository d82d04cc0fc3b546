export default {
  fetch(request, env) {
    const all = [
      env.POINTS.writeDataPoint({ indexes: ["a"], blobs: ["b", null, new Uint8Array([99])], doubles: [1, -2.5] }),
      env.POINTS.writeDataPoint({}),
      env.POINTS.writeDataPoint(),
      env.UNNAMED.writeDataPoint({ blobs: ["x"] }),
    ];
    return Response.json(all.map((result) => typeof result));
  },
};
