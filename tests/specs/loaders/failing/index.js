let asked = 0;

export default {
  async fetch(request, env) {
    const worker = env.LOADER.get("w", () => {
      if (++asked === 1) throw new Error("no code yet");
      return { compatibilityDate: "2026-01-01", mainModule: "m.js", modules: { "m.js": "export default { fetch() { return new Response('fine'); } }" } };
    });
    try {
      return await worker.getEntrypoint().fetch(request);
    } catch (error) {
      return new Response(error.message, { status: 500 });
    }
  },
};
