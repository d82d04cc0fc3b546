import Decimal from "decimal.js";
export default () => [new Decimal("0.1").plus("0.2").toString(), Decimal.sqrt(2).toFixed(20)];
export const expected = ["0.3", "1.41421356237309504880"];
