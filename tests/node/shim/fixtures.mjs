// import ... from '../common/fixtures.mjs'
import fixtures from "./fixtures";

export const { fixturesDir, path, fileURL, readSync, readKey, readKeys } = fixtures;
export default fixtures;
