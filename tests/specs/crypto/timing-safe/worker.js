const encode = (text) => new TextEncoder().encode(text);
const outcome = (...args) => {
  try {
    return crypto.subtle.timingSafeEqual(...args);
  } catch (error) {
    return String(error);
  }
};

export default {
  fetch() {
    return Response.json([
      outcome(encode("ab"), encode("ab")),
      outcome(encode("ab"), encode("ac")),
      outcome(encode("ab").buffer, new DataView(encode("ab").buffer)),
      outcome(new Uint16Array([24930]), encode("ba")),
      outcome(encode("ab"), encode("abc")),
      outcome("ab", "ab"),
      outcome(encode("ab")),
    ]);
  },
};
