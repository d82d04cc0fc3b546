// exports: AsyncLocalStorage, AsyncResource
const { AsyncLocalStorage, AsyncResource } = internal.context;

module.exports = { AsyncLocalStorage, AsyncResource };
