export default {
  fetch(request, env) {
    const write = (point) => {
      try {
        env.POINTS.writeDataPoint(point);
        return "written";
      } catch (error) {
        return `${error.name}: ${error.message}`;
      }
    };
    if (new URL(request.url).pathname === "/many") {
      for (let count = 0; ; count++) {
        const result = write({ doubles: [count] });
        if (result !== "written") return Response.json([count, result]);
      }
    }
    return Response.json({
      blobs: write({ blobs: new Array(21).fill("x") }),
      doubles: write({ doubles: new Array(21).fill(1) }),
      indexes: write({ indexes: ["a", "b"] }),
      index: write({ indexes: ["\u00e9".repeat(49)] }),
      bytes: write({ blobs: ["x".repeat(16384), "y"] }),
      fits: write({ blobs: ["x".repeat(16384)], indexes: ["\u00e9".repeat(48)], doubles: new Array(20).fill(0) }),
      text: write("s"),
      list: write({ blobs: "x" }),
    });
  },
};
