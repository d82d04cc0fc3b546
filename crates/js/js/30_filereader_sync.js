// FileReaderSync (File API): reads what lies in memory anyway, at once.
(function () {
const { core } = __bootstrap;
const { op_blob_take_part } = core.ops;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const mimesniff = core.loadExtScript("ext:deno_web/01_mimesniff.js");
const { TextDecoder } = core.loadExtScript("ext:deno_web/08_text_encoding.js");

const UTF_8 = "utf-8";

function bytesOf(blob) {
  const { parts, size } = blob[core.hostObjectBrand]();
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const { uuid } of parts) {
    const part = op_blob_take_part(uuid);
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

function decoderOf(label) {
  try {
    return new TextDecoder(label);
  } catch {
    return null;
  }
}

// "package data": the argument, else the type's charset, else UTF-8; a byte order mark outdoes them.
function textOf(bytes, type, label) {
  let decoder = label === undefined ? null : decoderOf(label);
  if (decoder === null) {
    const charset = mimesniff.parseMimeType(type)?.parameters.get("charset");
    decoder = charset === undefined ? null : decoderOf(charset);
  }
  if (bytes[0] === 0xfe && bytes[1] === 0xff) decoder = decoderOf("utf-16be");
  else if (bytes[0] === 0xff && bytes[1] === 0xfe) decoder = decoderOf("utf-16le");
  else if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) decoder = null;
  return (decoder ?? decoderOf(UTF_8)).decode(bytes);
}

class FileReaderSync {
  constructor() {
    this[webidl.brand] = webidl.brand;
  }

  readAsArrayBuffer(blob) {
    return bytesOf(check(this, arguments, "readAsArrayBuffer")).buffer;
  }

  readAsBinaryString(blob) {
    return binaryString(bytesOf(check(this, arguments, "readAsBinaryString")));
  }

  readAsText(blob, encoding = undefined) {
    const checked = check(this, arguments, "readAsText");
    const label = encoding === undefined ? undefined : webidl.converters.DOMString(encoding, "readAsText", "Argument 2");
    return textOf(bytesOf(checked), checked.type, label);
  }

  readAsDataURL(blob) {
    const checked = check(this, arguments, "readAsDataURL");
    return `data:${checked.type || "application/octet-stream"};base64,${bytesOf(checked).toBase64()}`;
  }
}

function binaryString(bytes) {
  let text = "";
  // In pieces: a call takes only so many arguments.
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
}

function check(reader, args, method) {
  webidl.assertBranded(reader, FileReaderSync.prototype);
  const prefix = `Failed to execute '${method}' on 'FileReaderSync'`;
  webidl.requiredArguments(args.length, 1, prefix);
  return webidl.converters.Blob(args[0], prefix, "Argument 1");
}

webidl.configureInterface(FileReaderSync);

return { FileReaderSync };
})();
