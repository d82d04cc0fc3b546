export default {
  fetch(request) {
    const { httpProtocol, tlsVersion, tlsCipher } = request.cf;
    return Response.json([httpProtocol, tlsVersion, tlsCipher]);
  },
};
