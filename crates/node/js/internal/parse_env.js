// util.parseEnv: the dotenv format.

const { validateString } = require("internal/validators");

// Trims what the format calls space around names and values.
const trim = (text) => text.replace(/^[ \t\r]+|[ \t\r]+$/g, "");

function parseEnv(content) {
  validateString(content, "content");
  const values = {};
  let rest = content.replaceAll("\r\n", "\n").trim();
  while (rest !== "") {
    if (rest[0] === "\n" || rest[0] === "#") {
      const end = rest.indexOf("\n");
      if (end < 0) break;
      rest = rest.slice(end + 1);
      continue;
    }
    const equals = rest.indexOf("=");
    const line = rest.indexOf("\n");
    if (equals < 0 || (line >= 0 && line < equals)) {
      // A line without a value says nothing.
      if (line < 0) break;
      rest = trim(rest.slice(line + 1));
      continue;
    }
    let name = trim(rest.slice(0, equals));
    if (name.startsWith("export ")) name = trim(name.slice(7));
    if (name === "") break;
    rest = rest.slice(equals + 1);
    const unspaced = rest.replace(/^[ \t\r]+/, "");
    if (unspaced === "" || unspaced[0] === "\n") {
      values[name] = "";
      rest = unspaced;
      continue;
    }
    const quote = unspaced[0];
    const closing = quote === '"' || quote === "'" || quote === "`" ? unspaced.indexOf(quote, 1) : -1;
    if (closing > 0) {
      const text = unspaced.slice(1, closing);
      // Only double quotes know an escape.
      values[name] = quote === '"' ? text.replaceAll("\\n", "\n") : text;
      const end = unspaced.indexOf("\n", closing + 1);
      rest = end < 0 ? "" : unspaced.slice(end + 1);
      continue;
    }
    const end = unspaced.indexOf("\n");
    let text = end < 0 ? unspaced : unspaced.slice(0, end);
    const comment = text.indexOf("#");
    if (comment >= 0) text = text.slice(0, comment);
    values[name] = trim(text);
    rest = end < 0 ? "" : unspaced.slice(end + 1);
  }
  return values;
}

module.exports = { parseEnv };
