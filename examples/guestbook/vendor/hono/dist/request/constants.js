//#region src/request/constants.ts
const GET_MATCH_RESULT = Symbol();
//#endregion
export { GET_MATCH_RESULT };
