// util.parseArgs.

const { codes } = require("internal/errors");
const {
  ERR_INVALID_ARG_VALUE, ERR_PARSE_ARGS_INVALID_OPTION_VALUE, ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL, ERR_PARSE_ARGS_UNKNOWN_OPTION,
  ERR_INVALID_ARG_TYPE,
} = codes;
const { validateArray, validateBoolean, validateObject, validateString } = require("internal/validators");

const own = (object, key) => Object.hasOwn(object, key) ? object[key] : undefined;

function validateUnion(value, name, union) {
  if (!union.includes(value)) throw new ERR_INVALID_ARG_TYPE(name, `('${union.join("|")}')`, value);
}

function validateItems(value, name, validate) {
  validateArray(value, name);
  for (let i = 0; i < value.length; i++) validate(value[i], `${name}[${i}]`);
}

// The program's arguments, without the program and its script.
function processArgs() {
  const { argv = [], execArgv = [] } = globalThis.process ?? {};
  const evaluated = execArgv.some((arg) => ["-e", "--eval", "-p", "--print"].includes(arg));
  return argv.slice(evaluated ? 1 : 2);
}

function checkDefault(value, name, { type, multiple }) {
  const validate = type === "string" ? validateString : validateBoolean;
  if (multiple) validateItems(value, name, validate);
  else validate(value, name);
}

function checkOptions(options) {
  for (const [name, option] of Object.entries(options)) {
    const path = `options.${name}`;
    validateObject(option, path);
    validateUnion(own(option, "type"), `${path}.type`, ["string", "boolean"]);
    if (Object.hasOwn(option, "short")) {
      const { short } = option;
      validateString(short, `${path}.short`);
      if (short.length !== 1) throw new ERR_INVALID_ARG_VALUE(`${path}.short`, short, "must be a single character");
    }
    const multiple = own(option, "multiple");
    if (Object.hasOwn(option, "multiple")) validateBoolean(multiple, `${path}.multiple`);
    const value = own(option, "default");
    if (value !== undefined) checkDefault(value, `${path}.default`, { type: option.type, multiple });
  }
}

// The long name of a one-letter option.
function longName(letter, options) {
  const found = Object.entries(options).find(([, option]) => own(option, "short") === letter);
  return found === undefined ? letter : found[0];
}

const typeOf = (name, options) => Object.hasOwn(options, name) ? own(options[name], "type") : undefined;

// An argument that can be an option's value: it is there and looks like no option.
const isValue = (arg) => arg != null && !(arg.length > 1 && arg[0] === "-");

// The arguments as tokens: options, positionals, the terminator.
function tokenize(args, options) {
  const tokens = [];
  const rest = [...args];
  let index = -1;
  // Letters of a group stand in rest one by one and belong to one argument.
  let group = 0;
  const option = (name, rawName, value, inlineValue) => tokens.push({ kind: "option", name, rawName, index, value, inlineValue });
  while (rest.length > 0) {
    const arg = rest.shift();
    const next = rest[0];
    if (group > 0) group--;
    else index++;
    if (arg === "--") {
      tokens.push({ kind: "option-terminator", index });
      for (const value of rest) tokens.push({ kind: "positional", index: ++index, value });
      break;
    }
    if (arg.length === 2 && arg[0] === "-" && arg[1] !== "-") {
      const name = longName(arg[1], options);
      if (typeOf(name, options) === "string" && isValue(next)) {
        option(name, arg, rest.shift(), false);
        index++;
      } else option(name, arg, undefined, undefined);
    } else if (arg.length > 2 && arg[0] === "-" && arg[1] !== "-") {
      if (typeOf(longName(arg[1], options), options) === "string") {
        // -fVALUE
        option(longName(arg[1], options), `-${arg[1]}`, arg.slice(2), true);
        continue;
      }
      // -abc is -a -b -c, up to a letter that takes a value.
      const letters = [];
      for (let i = 1; i < arg.length; i++) {
        const takesValue = typeOf(longName(arg[i], options), options) === "string";
        if (takesValue && i < arg.length - 1) {
          letters.push(`-${arg.slice(i)}`);
          break;
        }
        letters.push(`-${arg[i]}`);
      }
      rest.unshift(...letters);
      group = letters.length;
      // The group itself was counted; its letters share that index.
    } else if (arg.startsWith("--") && arg.indexOf("=") >= 3) {
      const at = arg.indexOf("=");
      option(arg.slice(2, at), arg.slice(0, at), arg.slice(at + 1), true);
    } else if (arg.startsWith("--") && arg.length > 2) {
      const name = arg.slice(2);
      if (typeOf(name, options) === "string" && isValue(next)) {
        option(name, arg, rest.shift(), false);
        index++;
      } else option(name, arg, undefined, undefined);
    } else {
      tokens.push({ kind: "positional", index, value: arg });
    }
  }
  return tokens;
}

function checkToken({ name, rawName, value, inlineValue }, { options, allowPositionals, allowNegative }) {
  if (!Object.hasOwn(options, name)) {
    if (allowNegative && name.startsWith("no-") && typeOf(name.slice(3), options) === "boolean") {
      if (value !== undefined) throw new ERR_PARSE_ARGS_INVALID_OPTION_VALUE(`Option '--${name}' does not take an argument`);
      return;
    }
    throw new ERR_PARSE_ARGS_UNKNOWN_OPTION(rawName, allowPositionals);
  }
  const short = own(options[name], "short");
  const shown = `${short ? `-${short}, ` : ""}--${name}`;
  const type = own(options[name], "type");
  if (type === "string" && typeof value !== "string") throw new ERR_PARSE_ARGS_INVALID_OPTION_VALUE(`Option '${shown} <value>' argument missing`);
  if (type === "boolean" && value != null) throw new ERR_PARSE_ARGS_INVALID_OPTION_VALUE(`Option '${shown}' does not take an argument`);
  // --foo -bar may be a value that looks like an option, or one forgotten.
  if (inlineValue === false && value.length > 1 && value[0] === "-") {
    const example = rawName.startsWith("--") ? `'${rawName}=-XYZ'` : `'--${name}=-XYZ' or '${rawName}-XYZ'`;
    throw new ERR_PARSE_ARGS_INVALID_OPTION_VALUE(
      `Option '${rawName}' argument is ambiguous.\nDid you forget to specify the option argument for '${rawName}'?\nTo specify an option argument starting with a dash use ${example}.`,
    );
  }
}

function store({ name, value }, options, values, allowNegative) {
  if (name === "__proto__") return;
  let stored = value ?? true;
  if (allowNegative && value === undefined && name.startsWith("no-") && !Object.hasOwn(options, name)) {
    name = name.slice(3);
    stored = false;
  }
  const option = own(options, name);
  if (option !== undefined && own(option, "multiple")) (values[name] ??= []).push(stored);
  else values[name] = stored;
}

function parseArgs(config = {}) {
  validateObject(config, "config");
  const args = own(config, "args") ?? processArgs();
  const strict = own(config, "strict") ?? true;
  const allowPositionals = own(config, "allowPositionals") ?? !strict;
  const returnTokens = own(config, "tokens") ?? false;
  const allowNegative = own(config, "allowNegative") ?? false;
  const options = own(config, "options") ?? { __proto__: null };
  validateArray(args, "args");
  validateBoolean(strict, "strict");
  validateBoolean(allowPositionals, "allowPositionals");
  validateBoolean(returnTokens, "tokens");
  validateBoolean(allowNegative, "allowNegative");
  validateObject(options, "options");
  checkOptions(options);

  const tokens = tokenize(args, options);
  const result = { values: { __proto__: null }, positionals: [] };
  if (returnTokens) result.tokens = tokens;
  for (const token of tokens) {
    if (token.kind === "option") {
      if (strict) checkToken(token, { options, allowPositionals, allowNegative });
      store(token, options, result.values, allowNegative);
    } else if (token.kind === "positional") {
      if (!allowPositionals) throw new ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL(token.value);
      result.positionals.push(token.value);
    }
  }
  for (const [name, option] of Object.entries(options)) {
    if (own(option, "default") !== undefined && result.values[name] === undefined && name !== "__proto__") {
      result.values[name] = option.default;
    }
  }
  return result;
}

module.exports = { parseArgs };
