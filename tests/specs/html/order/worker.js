export default {
  async fetch() {
    const order = [];
    const rewriter = new HTMLRewriter()
      .on("p", {
        element(e) {
          e.mark = 1;
          order.push("p1");
          e.append("1");
        },
      })
      .on("*", { element: (e) => void order.push(`* ${e.mark}`) })
      .on("p", { element: (e) => (order.push("p2"), void e.append("2")) })
      .onDocument({ end: (e) => void e.append("E") });
    const first = await rewriter.transform(new Response("<p></p>")).text();
    const second = await rewriter.transform(new Response("<p></p>")).text();
    class Handlers {
      count = 0;
      element(e) {
        e.append(`${++this.count}`);
      }
    }
    const own = await new HTMLRewriter().on("p", new Handlers()).transform(new Response("<p></p><p></p>")).text();
    return Response.json({ order, first, second, own });
  },
};
