export default {
  fetch(request) {
    const { httpProtocol, tlsVersion, country, city } = request.cf;
    return Response.json([httpProtocol, tlsVersion ?? null, country ?? null, city ?? null, request.headers.get("cf-ipcountry"), request.headers.get("cf-ray")]);
  },
};
