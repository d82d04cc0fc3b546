import semver from "semver";
export default () => [semver.satisfies("1.4.2", "^1.2.0 || 3.x"), semver.inc("1.2.3", "minor"), semver.sort(["1.10.0", "1.2.0"])];
export const expected = [true, "1.3.0", ["1.2.0", "1.10.0"]];
