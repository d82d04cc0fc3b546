// exports: convertProcessSignalToExitCode, setTraceSigInt
// exports: TextDecoder, TextEncoder, MIMEParams, MIMEType, _errnoException, _exceptionWithHostPort, _extend, aborted, callbackify
// exports: debug, debuglog, deprecate, diff, format, formatWithOptions, getCallSite, getCallSites, getSystemErrorMap
// exports: getSystemErrorMessage, getSystemErrorName, inherits, inspect, isArray, isBoolean, isBuffer, isDate, isDeepStrictEqual
// exports: isError, isFunction, isNull, isNullOrUndefined, isNumber, isObject, isPrimitive, isRegExp, isString, isSymbol
// exports: isUndefined, log, parseArgs, parseEnv, promisify, stripVTControlCharacters, styleText, toUSVString
// exports: transferableAbortController, transferableAbortSignal, types

module.exports = require("util");
