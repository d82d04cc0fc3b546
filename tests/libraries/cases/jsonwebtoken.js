import jwt from "jsonwebtoken";
export default () => {
  const token = jwt.sign({ a: 1 }, "secret", { noTimestamp: true, subject: "ada" });
  let refused;
  try { jwt.verify(token, "other"); } catch (error) { refused = error.message; }
  return [jwt.verify(token, "secret"), refused];
};
export const expected = [{ a: 1, sub: "ada" }, "invalid signature"];
