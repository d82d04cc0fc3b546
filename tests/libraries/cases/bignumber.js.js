import BigNumber from "bignumber.js";
export default () => new BigNumber(2).pow(100).dividedBy(3).toFixed(4);
export const expected = "422550200076076467165567735125.3333";
