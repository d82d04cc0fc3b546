export default {
  fetch(request) {
    const { headers, cf } = request;
    return Response.json([headers.get("cf-connecting-ip"), headers.get("accept-encoding"), typeof cf === "object"]);
  },
};
