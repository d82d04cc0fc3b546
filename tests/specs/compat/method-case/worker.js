const tried = (act) => {
  try {
    return act();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

export default {
  fetch() {
    return Response.json([
      new Request("http://a.test", { method: "patch" }).method,
      new Request("http://a.test", { method: "Purge" }).method,
      new Request("http://a.test", { method: "post" }).method,
      new Request("http://a.test", { integrity: "" }).integrity,
      tried(() => new Request("http://a.test", { integrity: "sha256-abc" })),
    ]);
  },
};
