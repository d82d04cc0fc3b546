import OpenAI from "openai";
export default async () => {
  const seen = [];
  const client = new OpenAI({ apiKey: "key", fetch: async (url, init) => {
    seen.push(String(url), init.method);
    const lines = ["hel", "lo"].map((content) => `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", choices: [{ index: 0, delta: { content } }] })}\n\n`);
    return new Response(lines.join("") + "data: [DONE]\n\n", { headers: { "content-type": "text/event-stream" } });
  } });
  const stream = await client.chat.completions.create({ model: "m", messages: [{ role: "user", content: "hi" }], stream: true });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0].delta.content;
  return [seen, text];
};
export const expected = [["https://api.openai.com/v1/chat/completions", "POST"], "hello"];
