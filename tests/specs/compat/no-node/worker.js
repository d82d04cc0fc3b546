export default {
  fetch(request) {
    const names = new URL(request.url).search.slice(1).split(",");
    return Response.json(names.map((name) => Cloudflare.compatibilityFlags[name] ?? null));
  },
};
