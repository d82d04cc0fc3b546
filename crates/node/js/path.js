// exports: _makeLong, basename, delimiter, dirname, extname, format, isAbsolute, join, matchesGlob, normalize, parse, posix
// exports: relative, resolve, sep, toNamespacedPath, win32

module.exports = require("internal/path").posix;
