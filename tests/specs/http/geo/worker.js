export default {
  fetch(request) {
    const { asOrganization, asn, city, continent, country, isEUCountry, latitude, longitude, postalCode, region, regionCode, timezone } = request.cf;
    const cf = { asOrganization, asn, city, continent, country, isEUCountry, latitude, longitude, postalCode, region, regionCode, timezone };
    return Response.json({ cf, header: request.headers.get("cf-ipcountry"), ip: request.headers.get("cf-connecting-ip") });
  },
};
