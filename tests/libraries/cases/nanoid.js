import { customAlphabet, nanoid } from "nanoid";
export default () => [nanoid().length, /^[01]{8}$/.test(customAlphabet("01", 8)()), nanoid() === nanoid()];
export const expected = [21, true, false];
