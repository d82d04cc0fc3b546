//#region src/router/utils.ts
const createNullObject = () => Object.create(null);
//#endregion
export { createNullObject };
