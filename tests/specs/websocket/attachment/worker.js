const thrown = (work) => {
  try {
    return String(work());
  } catch (error) {
    return error.name === "Error" ? String(error) : error.name;
  }
};

export default {
  fetch() {
    const [end] = Object.values(new WebSocketPair());
    const before = end.deserializeAttachment();
    const value = { date: new Date(0), map: new Map([[1, 2]]) };
    end.serializeAttachment(value);
    const copy = end.deserializeAttachment();
    return Response.json([
      before,
      copy.date instanceof Date,
      copy.map.get(1),
      copy === value || copy === end.deserializeAttachment(),
      thrown(() => end.serializeAttachment(() => {})),
      thrown(() => end.serializeAttachment("x".repeat(20000))),
      thrown(() => end.serializeAttachment()),
    ]);
  },
};
