export default {
  async fetch(request, { KV }) {
    const count = Number((await KV.get("count")) ?? 0) + 1;
    await KV.put("count", String(count), { metadata: { at: count } });
    return new Response(`count ${count}`);
  },
};
