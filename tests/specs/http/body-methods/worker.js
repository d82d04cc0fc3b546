const name = (promise) => promise.then(() => "nothing", (error) => error.name);
export default {
  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/text":
        return new Response(await request.text());
      case "/json":
        return Response.json(await request.json());
      case "/bytes":
        return Response.json([...(await request.bytes())]);
      case "/arrayBuffer":
        return Response.json([...new Uint8Array(await request.arrayBuffer())]);
      case "/blob": {
        const blob = await request.blob();
        return Response.json([blob.type, blob.size]);
      }
      case "/twice":
        return Response.json([await request.text(), request.bodyUsed, await name(request.text())]);
      case "/clone": {
        const copy = request.clone();
        const texts = [await copy.text(), await request.text()];
        try {
          request.clone();
        } catch (error) {
          texts.push(error.name);
        }
        return Response.json(texts);
      }
      case "/badJson":
        return new Response(await name(request.json()));
    }
  },
};
