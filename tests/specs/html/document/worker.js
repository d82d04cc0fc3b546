export default {
  async fetch() {
    const seen = [];
    const html = '<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd"><!--c-->t<p>in</p>';
    const text = await new HTMLRewriter()
      .onDocument({
        doctype: (d) => void seen.push(d.name, d.publicId, d.systemId, String(d)),
        comments: (c) => void seen.push(c.text),
        text: (t) => void (t.lastInTextNode || seen.push(t.text)),
        end: (e) => void seen.push(String(e), e.append("<end>").append("<!--end-->", { html: true }) === e),
      })
      .transform(new Response(html))
      .text();
    let bare;
    await new HTMLRewriter().onDocument({ doctype: (d) => (bare = [d.name, d.publicId, d.systemId]) && undefined })
      .transform(new Response("<!doctype>")).text();
    return Response.json({ seen, text, bare });
  },
};
