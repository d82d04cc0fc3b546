// exports: finished, pipeline
const { promises: { finished, pipeline } } = require("stream");

module.exports = { finished, pipeline };
