const url = "http://cache.test/";
const request = (language) => new Request(url, { headers: language === null ? {} : { "accept-language": language } });
export default {
  async fetch() {
    for (const language of ["de", "en"]) {
      const headers = { "cache-control": "max-age=60", vary: "Accept-Language" };
      await caches.default.put(request(language), new Response(`text in ${language}`, { headers }));
    }
    const ask = async (language) => (await (await caches.default.match(request(language)))?.text()) ?? null;
    const found = [await ask("de"), await ask("en"), await ask("fr"), await ask(null)];
    return Response.json([...found, await caches.default.delete(url), await ask("de")]);
  },
};
