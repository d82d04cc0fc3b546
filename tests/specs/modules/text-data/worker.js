import text from "./note.txt";
import page from "./page.html";
import query from "./query.sql";
import bytes from "./three.bin";
import json from "./data.json";
export default {
  fetch() {
    const data = [...new Uint8Array(bytes)];
    return Response.json([text, page, query, bytes instanceof ArrayBuffer, data, json]);
  },
};
